"""What a prediction warns of, refuses and counts where a recording does not fit."""
# ruff: noqa: F811  `place` is a fixture

import csv
import io
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_predict import DEPTH, frames, place, wide, write  # noqa: F401

from jaxpose import cli, demo
from jaxpose.body.skeleton import JOINTS, MIRROR
from jaxpose.body.space import Intrinsics
from jaxpose.decoding.confidence import FOUND, MISSING, STATES, WEAK
from jaxpose.kinematics.table import rows
from jaxpose.outputs import overlay
from jaxpose.outputs.doubts import (
    DISTANCES_MM,
    about_distance,
    about_intrinsics,
    about_pauses,
    about_poses,
    about_problems,
    about_times,
    about_unit,
    doubts,
)
from jaxpose.outputs.movements import write_kinematics
from jaxpose.outputs.quality import coverage
from jaxpose.outputs.rows import interval_s
from jaxpose.outputs.usable import frames_without_gaps, usable
from jaxpose.prediction.journal import RECORD
from jaxpose.prediction.stream import Counts
from jaxpose.recordings.images import open_images


def records(time_s, state: str = FOUND) -> np.ndarray:
    made = np.zeros(len(time_s), RECORD)
    made["number"], made["time_s"], made["readable"] = np.arange(len(time_s)), time_s, True
    made["state"] = STATES.index(state)
    made["mm"] = np.nan
    return made


# ---- times, poses, intrinsics ----


def test_frames_that_cannot_be_used_are_counted_and_the_first_is_named_once():
    assert about_problems({}, 9) == []
    (text,) = about_problems({7: "frame 7: damaged", 8: "frame 8: damaged"}, 9)
    assert text.startswith("2 of 9 frames cannot be used") and text.endswith("is frame 7: damaged")
    (text,) = about_problems({7: "7.png: not a complete PNG"}, 9)
    assert text.endswith("the first is frame 7: 7.png: not a complete PNG")


def test_frames_without_neighbours_in_time_are_warned_of_with_what_to_do():
    times = np.arange(20) / 10
    (said,) = about_times(records(times), Counts(middle=18, incomplete=2), 1 / 6)
    assert said.startswith("10 % of the frames have no neighbours 0.167 s before or after them")
    assert "frames are 0.1 s apart, going by their numbers and --rate; if that is wrong" in said
    assert "pass the true --rate, or for a folder, times in seconds in timestamps.csv" in said
    (said,) = about_times(records(times), Counts(middle=18, incomplete=2), 1 / 6, "timestamps.csv")
    assert "going by timestamps.csv; if that is wrong, correct these times; poses" in said
    assert "--rate" not in said
    assert about_times(records(times), Counts(middle=19, incomplete=1), 1 / 6) == []


def test_a_long_pause_is_named_with_where_it_is_and_what_to_do():
    parts = np.concatenate([np.arange(20) / 6, 100 + np.arange(20) / 6])
    made = records(parts)
    (said,) = about_pauses(made)
    assert said.startswith(
        "the frames cover 6 % of the 103.3 s from the first to the last, at 0.16"
    )
    assert "the longest pause, of 96.83 s, is between frames 19 and 20" in said
    assert said.endswith(": split the recording there and predict the parts one by one, or use the "
                         "rows of single minutes")  # fmt: skip
    assert doubts(made, Counts(middle=40), 1 / 6, None, (640, 480)) == [said]
    reason = usable(made)["left_arm"]["reason"]
    assert reason == "all its joints are found in 6 % of the time; expected at least 70 %"


def test_frames_that_are_lost_throughout_are_named_and_a_few_are_not():
    lost = records(np.arange(90)[np.arange(90) % 3 < 2] / 30)
    (said,) = about_pauses(lost)
    assert "cover 67 % of the 2.967 s" in said and "longest pause, of 0.06667 s" in said
    assert "look for what lost frames in the recording, or predict those that are evenly" in said
    assert about_pauses(lost[::2]) == []  # every third number
    assert usable(lost[::2])["left_arm"]["share"] == 1
    assert usable(lost)["left_arm"]["share"] == pytest.approx(2 / 3, abs=0.01)
    assert about_pauses(records(np.arange(90)[np.arange(90) % 5 < 4] / 30)) == []
    assert about_pauses(records(np.arange(90) / 30)) == []
    assert about_pauses(records([5.0])) == []


def test_more_missing_joints_than_others_are_warned_of_with_what_to_look_at():
    assert about_poses(records([0.0, 0.1])) == []
    some = records(np.arange(5) / 6, MISSING)
    some["state"][:, :6] = STATES.index(WEAK)
    assert about_poses(some) == []
    some["state"][0, 0] = STATES.index(MISSING)
    (said,) = about_poses(some)
    assert said.startswith("48 % of the joints have a position, and some may be wrong")  # 29 of 60
    assert all(words in said for words in ("--crop", "mounted", "--rotate", "in mm"))


def test_a_crop_that_cuts_the_infant_is_warned_of_and_the_whole_image_is_not(tmp_path):
    with np.load(demo.sample(), allow_pickle=False) as stored:
        np.save(tmp_path / "bed.npy", stored["depth"][:18])
    for name, options in (("whole", []), ("cut", ["--crop=200,0,240,300"])):
        out = ["--rate=6", f"--out={tmp_path / name}", "--no-video", "--no-overlap", "--quiet"]
        assert cli.main(["predict", str(tmp_path / "bed.npy"), *out, *options]) == 0
        warnings = json.loads((tmp_path / name / "quality.json").read_text())["warnings"]
        assert any("joints have a position" in w for w in warnings) == (name == "cut"), warnings


def test_intrinsics_of_another_resolution_are_warned_of():
    assert about_intrinsics(Intrinsics(570.0, 570.0, 319.5, 239.5), (640, 480)) == []
    (said,) = about_intrinsics(Intrinsics(570.0, 570.0, 319.5, 239.5), (320, 240))
    assert "(319.5, 239.5) is far from the middle of images of 320x240" in said


def test_a_camera_file_of_another_image_size_is_refused(place, tmp_path, capsys):
    write(tmp_path / "ward", DEPTH[:6])
    camera = {"fx": 100, "fy": 100, "cx": 50, "cy": 30, "width": 640, "height": 480}
    (tmp_path / "ward" / "camera.json").write_text(json.dumps(camera))
    assert predict(place, tmp_path / "ward", tmp_path / "out") == 2
    size = f"{DEPTH.shape[2]}x{DEPTH.shape[1]}"
    said = capsys.readouterr().err
    assert f"camera.json is of images of 640x480 pixels, the frames have {size}" in said
    assert not (tmp_path / "out" / "job.json").exists()


def test_a_mirrored_image_is_not_noticed_as_the_guide_says(tmp_path):
    with np.load(demo.sample(), allow_pickle=False) as stored:
        depth = stored["depth"][:9]
    for name, images in (("plain", depth), ("flipped", depth[:, :, ::-1])):
        np.savez(tmp_path / f"{name}.npz", depth=images, time_s=np.arange(9) / 6)
    recordings = [str(tmp_path / f"{name}.npz") for name in ("plain", "flipped")]
    options = [f"--out={tmp_path / 'out'}", "--quiet", "--no-video"]
    assert cli.main(["predict", *recordings, *options]) == 0
    (_, plain, _), (_, flipped, _) = (
        wide(tmp_path / "out" / name / "pose.csv") for name in ("plain", "flipped")
    )
    flipped[..., 0] = depth.shape[2] - 1 - flipped[..., 0]
    same, other = (
        np.nanmedian(np.linalg.norm(poses - plain, axis=-1))
        for poses in (flipped, flipped[:, MIRROR])
    )
    assert other < 10 < same  # px of 640x480
    result = json.loads((tmp_path / "out" / "flipped" / "quality.json").read_text())
    assert result["warnings"] == [] and not result["orientation"]["mirrored"]


# ---- an output folder and its recording ----


def predict(place, recording, out, *more) -> int:
    model = f"--model={place / 'model.safetensors'}"
    return cli.main(["predict", str(recording), f"--out={out}", model, "--quiet", *more])


def test_a_recording_whose_files_changed_is_not_what_the_folder_holds(
    place,
    tmp_path,
    capsys,
):
    ward = tmp_path / "ward"
    write(ward, DEPTH[:6])
    damaged = sorted(ward.glob("*.png"))[2]
    good = damaged.read_bytes()
    damaged.write_bytes(good[:60])
    assert predict(place, ward, tmp_path / "out", "--no-video") == 0
    assert json.loads((tmp_path / "out" / "quality.json").read_text())["frames_unreadable"] == 1
    capsys.readouterr()
    assert predict(place, ward, tmp_path / "out", "--no-video") == 0
    assert "is complete, nothing was computed" in capsys.readouterr().err
    damaged.write_bytes(good)
    assert predict(place, ward, tmp_path / "out", "--no-video") == 2
    assert "another state of the recording's files; choose another" in capsys.readouterr().err


def test_a_video_that_is_asked_for_later_is_not_silently_left_out(
    place,
    tmp_path,
    capsys,
):
    write(tmp_path / "ward", DEPTH[:6])
    assert predict(place, tmp_path / "ward", tmp_path / "out", "--no-video") == 0
    assert predict(place, tmp_path / "ward", tmp_path / "out") == 2
    assert "another choice of --video" in capsys.readouterr().err


def test_a_second_stream_is_never_taken_for_the_first(
    place,
    tmp_path,
    capsys,
    monkeypatch,
):
    size = f"--size={DEPTH.shape[2]}x{DEPTH.shape[1]}"
    for part, code in ((DEPTH[:6], 0), (DEPTH[6:12], 2)):
        piped = SimpleNamespace(buffer=io.BytesIO(part.astype("<u2").tobytes()))
        monkeypatch.setattr("sys.stdin", piped)
        assert predict(place, "-", tmp_path / "out", size, "--no-video") == code
    assert "what came through a pipe cannot be compared" in capsys.readouterr().err


def test_recordings_of_one_name_are_told_apart_by_the_folder_above(place, tmp_path):
    for person in ("a", "b"):
        (tmp_path / person).mkdir()
        write(tmp_path / person / "depth", DEPTH[:4])
    both = [str(tmp_path / person / "depth") for person in ("a", "b")]
    model = f"--model={place / 'model.safetensors'}"
    out = f"--out={tmp_path / 'out'}"
    assert cli.main(["predict", *both, out, model, "--quiet", "--no-video"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_depth", "b_depth"}


# ---- options and names ----


@pytest.mark.parametrize("crop", ["2000,0,64,48", "-8,0,64,48", "0,0,97,48", "0,20,64,48"])
def test_a_crop_that_is_not_inside_of_the_image_is_refused_by_every_command(
    place, tmp_path, capsys, crop
):
    ward, model = write(tmp_path / "ward", DEPTH[:4]), place / "model.safetensors"
    out, option = f"--out={tmp_path / 'out'}", f"--crop={crop}"
    for command in (
        ["predict", str(ward), f"--model={model}", "--quiet", "--no-video"],
        ["label", "export", str(ward), f"--model={model}", "--quiet", "--frames=3"],
        ["export", str(model), "--format=stablehlo", f"--clips={ward}"],
    ):
        assert cli.main([*command, out, option]) == 2
        assert f"the crop {crop} reaches beyond images of 96x64" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_a_rate_without_end_and_a_suffix_in_capitals(place, tmp_path, capsys):
    np.savez(tmp_path / "x.npz", depth=DEPTH[:4])
    (tmp_path / "x.npz").rename(tmp_path / "X.NPZ")
    assert predict(place, tmp_path / "X.NPZ", tmp_path / "out", "--rate=inf") == 2
    assert "--rate=inf: expected frames per second, above 0" in capsys.readouterr().err
    assert predict(place, tmp_path / "X.NPZ", tmp_path / "out", "--no-video") == 0


def test_a_number_of_a_frame_that_has_no_time_of_its_own_is_refused(tmp_path):
    for number in (2**53 + 1, 2**53 + 2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), frames(1)[0])
    with pytest.raises(ValueError, match="too large for the number of a frame"):
        open_images(tmp_path)


# ---- what can be used ----


def test_a_gap_in_time_counts_as_one_in_numbers_does():
    times = np.concatenate([np.arange(20), 80 + np.arange(20)]) / 10  # 60 of 100 frames are absent
    made = records(times)
    assert coverage(made)[JOINTS[0]] == 0.4
    limb = usable(made)["left_arm"]
    assert limb["share"] == 0.4 and not limb["include"]
    assert limb["usable_s"] == pytest.approx(0.4 * 9.9)


def test_weak_joints_have_coverage_and_no_usable_time():
    made = records(np.arange(50) / 10, WEAK)
    assert set(coverage(made).values()) == {1.0}
    assert all(limb["share"] == 0 and not limb["include"] for limb in usable(made).values())


def with_mm() -> np.ndarray:
    """All joints found in 120 frames, moving, with positions in px and in mm."""
    made = records(np.arange(120) / 30)
    rng = np.random.default_rng(0)
    made["xy"] = 100 + 10 * np.arange(24).reshape(12, 2) + rng.normal(size=(120, 12, 2)) / 10
    phase = np.pi * made["time_s"][:, None, None] + np.arange(24).reshape(12, 2)
    made["xy"] += 10 * np.sin(phase)
    made["mm"][..., :2] = 2 * made["xy"]
    made["mm"][..., 2] = 700 + rng.normal(size=(120, 12)) / 10
    return made


@pytest.mark.parametrize("rate_hz, decimals", [(30, 3), (30, 2), (60, 3), (60, 2), (15, 2)])
def test_rounded_times_are_no_gaps_and_a_true_gap_counts_whole(rate_hz, decimals):
    times = np.round(np.arange(121) / rate_hz, decimals)[1:]  # 0.03, 0.07, 0.10, ...
    xy = with_mm()["xy"]
    whole, measured = records(times), list(rows(times, xy, "px"))
    assert frames_without_gaps(whole) == 120 and interval_s(whole) == pytest.approx(
        1 / rate_hz, 0.005
    )
    assert set(coverage(whole).values()) == {1.0} and measured[0].coverage == 1.0
    assert {limb["share"] for limb in usable(whole).values()} == {1.0}
    assert about_pauses(whole) == []
    gap = np.delete(np.arange(120), np.s_[40:70])
    measured = list(rows(times[gap], xy[gap], "px"))
    assert frames_without_gaps(whole[gap]) == 120
    assert set(coverage(whole[gap]).values()) == {0.75}
    assert measured[0].coverage == pytest.approx(0.75, abs=0.01)
    lost = whole[gap]
    lost["number"] = np.arange(90)  # a gap in time alone
    assert set(coverage(lost).values()) == {0.75}


def numbers_of(made, tmp_path) -> tuple[str, dict[tuple, str]]:
    unit = write_kinematics(tmp_path / "kinematics.csv", made)
    with open(tmp_path / "kinematics.csv", newline="") as file:
        return unit, {(r["part"], r["measure"]): r["value"] for r in csv.DictReader(file)}


@pytest.mark.parametrize("lost", [0, 12, 35, 37, 48, 59, 61, 120])
def test_no_number_is_lost_because_depth_is_missing_around_the_joints(lost, tmp_path):
    made = with_mm()
    unit, whole = numbers_of(made, tmp_path)
    assert unit == "mm" and all(whole.values()) and about_unit(made) == []
    made["mm"][:lost] = np.nan
    unit, values = numbers_of(made, tmp_path)
    assert unit == ("mm" if lost <= 36 else "px")
    assert values.keys() == whole.keys() and all(values.values())
    limb = usable(made)["left_leg"]
    share = 1 - lost / 120 if unit == "mm" else 1.0
    assert limb["include"] and limb["share"] == pytest.approx(share, abs=1e-4)
    warnings = about_unit(made)
    assert len(warnings) == (unit == "px")
    for text in warnings:
        assert f"in px: {100 - 100 * lost / 120:.0f} % of the found joints have" in text


def test_a_part_that_would_be_lost_in_mm_alone_is_named(tmp_path):
    made = with_mm()
    ankle = JOINTS.index("left_ankle")
    made["mm"][:40, ankle] = np.nan
    assert numbers_of(made, tmp_path)[0] == "px"
    (said,) = about_unit(made)
    assert "97 % of the found joints" in said and "in mm, left_ankle, left_leg would be" in said
    made["state"][:, ankle] = STATES.index(WEAK)  # it is not measured in px, either
    assert numbers_of(made, tmp_path)[0] == "mm" and about_unit(made) == []
    trunk = with_mm()  # no frame has all four
    for k, name in enumerate(("right_shoulder", "left_shoulder", "right_hip", "left_hip")):
        trunk["mm"][30 * k : 30 * k + 30, JOINTS.index(name)] = np.nan
    assert numbers_of(trunk, tmp_path)[0] == "px"
    assert "in mm, trunk would be" in about_unit(trunk)[0]


@pytest.mark.parametrize("seed", range(8))
def test_a_limb_that_can_be_used_has_numbers_and_another_has_not(seed, tmp_path):
    rng, made = np.random.default_rng(seed), with_mm()
    made["state"][rng.random((120, 12)) < rng.uniform(0, 0.2, 12)] = STATES.index(WEAK)
    made["mm"][rng.random((120, 12)) < rng.uniform(0, 0.2, 12)] = np.nan
    _, values = numbers_of(made, tmp_path)
    for name, limb in usable(made).items():
        middle = name.replace("arm", "elbow").replace("leg", "knee")
        assert bool(values[middle, "mean_angle"]) == limb["include"], name
        assert limb["include"] or "all its joints are found" in limb["reason"]


def test_px_are_warned_of_where_the_camera_is_known_alone():
    made = with_mm()
    made["mm"] = np.nan
    counts, camera = Counts(middle=120), Intrinsics(570.0, 570.0, 319.5, 239.5)
    assert doubts(made, counts, 1 / 6, None, (640, 480)) == []
    (said,) = doubts(made, counts, 1 / 6, camera, (640, 480))
    assert "kinematics.csv is in px: 0 % of the found joints" in said
    made["state"] = STATES.index(MISSING)
    assert about_unit(made) == []


def test_without_a_torso_no_share_of_time_moving_is_given():
    times = np.arange(90) / 30
    positions = np.full((90, 12, 2), np.nan)
    wrist, trunk = JOINTS.index("right_wrist"), [j for j in JOINTS if j[-3:] in ("der", "hip")]
    positions[:, wrist] = np.stack([5.0 * np.arange(90), np.zeros(90)], axis=1)
    found = {(r.part, r.measure): r for r in rows(times, positions, "px")}
    moving = found["right_wrist", "time_moving"]
    assert np.isnan(moving.value) and moving.coverage == 0
    assert found["right_wrist", "speed_median"].value == pytest.approx(150)
    for name in trunk:  # seen in half of the frames: still too rarely
        positions[:45, JOINTS.index(name)] = [0.0, 100.0 if name.endswith("hip") else 0.0]
    half = {(r.part, r.measure): r for r in rows(times, positions, "px")}
    assert np.isnan(half["right_wrist", "time_moving"].value)
    for name in trunk:
        positions[45:, JOINTS.index(name)] = positions[0, JOINTS.index(name)]
    whole = {(r.part, r.measure): r for r in rows(times, positions, "px")}
    assert whole["right_wrist", "time_moving"].value == 1


def test_a_recording_slower_than_a_window_has_no_windows():
    times = 167.0 * np.arange(12)  # milliseconds taken for seconds
    positions = np.random.default_rng(0).normal(size=(12, 12, 2))
    assert {row.window for row in rows(times, positions, "px")} <= {"whole"}


# ---- the video ----


def written(times, tmp_path, monkeypatch) -> tuple[list[int], float]:
    """Returns which frame each image of a video shows, and its rate."""
    shown, rates = [], []

    class Writer:
        def __init__(self, path, size, rate):
            rates.append(rate)

        def write(self, image):
            shown.append(int(image[0, 0, 0]))

    monkeypatch.setattr(overlay, "_VP9", Writer)
    monkeypatch.setattr(overlay, "_H264", Writer)
    video = overlay.Overlay(tmp_path / "overlay.mp4")
    for k, time_s in enumerate(times):
        video._write(float(time_s), np.full((2, 2, 3), k, np.uint8))
    monkeypatch.setattr(overlay, "_complete", lambda path: False)
    monkeypatch.setattr(Writer, "close", lambda self: None, raising=False)
    with pytest.raises(OSError):
        video.close()
    return shown, rates[0]


def test_a_video_keeps_the_recording_s_time(tmp_path, monkeypatch):
    regular = np.arange(40) / 10
    shown, rate = written(regular, tmp_path, monkeypatch)
    assert shown == list(range(40)) and rate == pytest.approx(10)
    first_short = np.concatenate([[0.0], regular[1:] - 0.09])
    shown, rate = written(first_short, tmp_path, monkeypatch)
    assert rate == pytest.approx(10) and len(shown) == pytest.approx(39, abs=1)
    gap = np.concatenate([regular, regular + 9.0])  # 5 s without a frame
    shown, _ = written(gap, tmp_path, monkeypatch)
    assert len(shown) == 130 and shown.count(39) == 51
    longer = np.concatenate([regular, regular + 100.0])
    assert len(written(longer, tmp_path, monkeypatch)[0]) == 40 + 100 + 40


@pytest.mark.parametrize(
    "distance, dataset, said",
    [(700.0, "simulated", False), (1500.0, "simulated", True), (350.0, "simulated", True),
     (3000.0, "utd_mhad", False), (3000.0, None, False)],
)  # fmt: skip
def test_depth_that_the_model_does_not_know_is_a_warning(distance, dataset, said):
    warnings = about_distance(distance, dataset)
    assert bool(warnings) == said
    assert all(f"the median depth is {distance:.0f} mm" in text for text in warnings)


def distance(place, tmp_path, depth, *options) -> tuple[float | None, list[str]]:
    """The distance of a recording, and the warnings about it; the model knows 0.45 to 1.15 m."""
    np.save(tmp_path / "ward.npy", depth)
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    assert predict(place, tmp_path / "ward.npy", out, "--no-video", "--rate=6", *options) == 0
    result = json.loads((out / "quality.json").read_text())
    return result["distance_mm"], [t for t in result["warnings"] if "the median depth is" in t]


def test_the_distance_is_that_of_what_the_nets_see(place, tmp_path, monkeypatch):
    monkeypatch.setitem(DISTANCES_MM, "none", (450, 1150))  # the data set of the model
    near_bed = np.full((6, 64, 96), 3000, np.uint16)  # a floor around a bed
    near_bed[:, 20:44, 30:54] = 700
    near_bed[:, 30:34, 40:44] = 0
    assert distance(place, tmp_path, near_bed)[0] == 3000
    assert distance(place, tmp_path, near_bed, "--crop=30,20,24,24") == (700, [])
    # the crop of a good image can be a floor: turned or not, it is in px of the image
    bed = np.where(near_bed == 3000, np.uint16(700), np.uint16(3000))
    assert distance(place, tmp_path, bed)[1] == []
    for turn in (0, 90):
        options = "--crop=30,20,24,24", f"--rotate={turn}"
        assert distance(place, tmp_path, bed, *options)[0] == 3000
        assert len(distance(place, tmp_path, bed, *options)[1]) == 1


def test_images_without_depth_do_not_make_the_distance_small(place, tmp_path):
    depth = np.full((9, 64, 96), 700, np.uint16)
    depth[:6, ::4, ::4] = 0  # what is sampled of most images has no depth, the rest has
    depth[6:8] = 0
    depth[7, 40, 50] = 800  # outside of the crop below
    assert distance(place, tmp_path, depth) == (700, [])
    assert distance(place, tmp_path, depth, "--crop=0,0,20,20") == (700, [])
    depth[1:, :20, :20] = 0
    assert distance(place, tmp_path, depth, "--crop=0,0,20,20") == (700, [])
