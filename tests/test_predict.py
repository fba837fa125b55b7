"""`jaxpose predict`: from recordings to files, killed and continued, with bad inputs."""

import csv
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import weakref
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from babypose_folder import write_folder
from models import SPECIFICATION, make_model
from test_estimator import frames

import jaxpose
from data_pipeline.datasets import DATASETS
from data_pipeline.examples.splits import split_frames
from data_pipeline.load import load_frames
from experiments import evaluation
from jaxpose import cli, demo
from jaxpose.body.geometry import joints_to_grid
from jaxpose.body.skeleton import JOINTS, LIMBS
from jaxpose.decoding.confidence import MISSING, STATES
from jaxpose.decoding.metrics import limb_rmsd
from jaxpose.estimator import Estimator
from jaxpose.kinematics.table import Row
from jaxpose.outputs import overlay
from jaxpose.outputs.colours import COLOURS
from jaxpose.outputs.overlay import draw
from jaxpose.outputs.report import write_report
from jaxpose.prediction import task
from jaxpose.prediction.journal import RECORD

DEPTH = frames(24)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model file and a recording of 24 frames, every fifth raw frame."""
    place = tmp_path_factory.mktemp("predict")
    model = make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=20.0))
    model.save(place / "model.safetensors")
    write(place / "ward1", DEPTH)
    camera = {"fx": 100, "fy": 100, "cx": 47.5, "cy": 31.5}
    (place / "ward1" / "camera.json").write_text(json.dumps(camera))
    return place


def write(folder, images, step=5):
    folder.mkdir()
    for k, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{1 + step * k}_16bit.png"), image)
    return folder


def run(place, out, *arguments, recording="ward1"):
    options = [f"--out={out}", f"--model={place / 'model.safetensors'}", "--quiet"]
    return cli.main(["predict", str(place / recording), *options, *arguments])


def wide(path):
    """Reads DeepLabCut's layout: frame numbers [n], xy [n 12 2], likelihood [n 12]."""
    with open(path, newline="") as file:
        scorer, parts, coords, *body = csv.reader(file)
    assert (scorer[0], parts[0], coords[0]) == ("scorer", "bodyparts", "coords")
    assert parts[1::3] == list(JOINTS) and coords[1:] == ["x", "y", "likelihood"] * 12
    cells = np.array([[float(c or "nan") for c in row] for row in body])
    values = cells[:, 1:].reshape(len(cells), 12, 3)
    return cells[:, 0].astype(int), values[..., :2], values[..., 2]


@pytest.fixture(scope="module")
def done(place, tmp_path_factory):
    """The results for the recording, and what the command printed."""
    out = tmp_path_factory.mktemp("out") / "a"
    stdout = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        assert run(place, out) == 0
    return out, json.loads(stdout.getvalue().splitlines()[-1])


@pytest.fixture(scope="module")
def expected(place):
    estimator = jaxpose.load(place / "model.safetensors")
    return Estimator(estimator.model)(DEPTH, time_s=(1 + 5 * np.arange(24)) / 30)


def test_pose_csv_has_the_poses_in_deeplabcuts_layout(done, expected):
    number, xy, likelihood = wide(done[0] / "pose.csv")
    np.testing.assert_array_equal(number, 1 + 5 * np.arange(24))
    np.testing.assert_allclose(xy, expected.xy, atol=0.0006)
    np.testing.assert_allclose(likelihood, expected.confidence, atol=6e-5)
    assert np.isnan(xy).any() and not likelihood[np.isnan(xy[..., 0])].any()


@pytest.mark.parametrize(
    "options, area",
    [
        ([], (0, 0, 40, 64)),
        (["--rotate=90"], (0, 0, 40, 64)),
        (["--crop=10,8,24,48"], (10, 8, 24, 48)),
        (["--crop=4,20,30,10", "--rotate=270"], (4, 20, 30, 10)),
    ],
)
def test_no_joint_is_outside_of_the_image_or_of_the_crop(place, tmp_path, options, area):
    write(tmp_path / "narrow", frames(24, size=(64, 40)))
    assert run(place, tmp_path / "a", *options, "--no-video", recording=tmp_path / "narrow") == 0
    _, xy, likelihood = wide(tmp_path / "a" / "pose.csv")
    known = np.isfinite(xy).all(axis=-1)
    assert known.any() and not known.all()
    np.testing.assert_array_equal(known, likelihood > 0)
    first, last = np.array(area[:2]), np.array(area[:2]) + area[2:] - 1
    assert ((xy[known] >= first) & (xy[known] <= last)).all()


def test_pose_long_csv_has_px_mm_confidence_and_state(done, expected):
    with open(done[0] / "pose_long.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 24 * 12
    mm = expected.to_mm(DEPTH, jaxpose.Intrinsics(100.0, 100.0, 47.5, 31.5))
    for k, row in enumerate(table):
        frame, joint = divmod(k, 12)
        assert (row["frame"], row["joint"]) == (str(1 + 5 * frame), JOINTS[joint])
        assert row["state"] == expected.state[frame, joint]
        assert float(row["time_s"]) == pytest.approx((1 + 5 * frame) / 30, abs=1e-6)
        if row["state"] == "missing":
            assert (row["x_px"], row["z_mm"], row["confidence"]) == ("", "", "0.0000")
        else:
            assert float(row["x_px"]) == pytest.approx(expected.xy[frame, joint, 0], abs=1e-3)
            if row["z_mm"]:
                assert float(row["z_mm"]) == pytest.approx(mm[frame, joint, 2], abs=0.06)


def test_coco_keypoints_are_consistent(done, expected):
    coco = json.loads((done[0] / "pose_coco.json").read_text())
    (category,) = coco["categories"]
    assert category["keypoints"] == list(JOINTS) and len(category["skeleton"]) == 8
    assert len(coco["images"]) == len(coco["annotations"]) == 24
    for k, annotation in enumerate(coco["annotations"]):
        points = np.array(annotation["keypoints"]).reshape(12, 3)
        seen = points[:, 2] > 0
        np.testing.assert_array_equal(seen, expected.state[k] != "missing")
        np.testing.assert_allclose(points[seen, :2], expected.xy[k][seen] + 0.5, atol=1e-3)
        assert not points[~seen].any() and annotation["num_keypoints"] == seen.sum()
        assert coco["images"][k]["id"] == annotation["image_id"] == k + 1


def test_images_of_coco_have_the_names_of_their_files(place, done, tmp_path):
    coco = json.loads((done[0] / "pose_coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]][:2] == ["1_16bit.png", "6_16bit.png"]
    folder = tmp_path / "in"
    folder.mkdir()
    for k, image in enumerate(DEPTH[:4]):
        assert cv2.imwrite(str(folder / f"bed.{k:03d}.tiff"), image)
    assert run(place, tmp_path / "out", "--rate=6", "--no-video", recording=folder) == 0
    coco = json.loads((tmp_path / "out" / "pose_coco.json").read_text())
    names = [image["file_name"] for image in coco["images"]]
    assert names == ["bed.000.tiff", "bed.001.tiff", "bed.002.tiff", "bed.003.tiff"]
    assert all((folder / name).exists() for name in names)


def test_quality_json_says_what_can_be_used(place, done, expected):
    quality = json.loads((done[0] / "quality.json").read_text())
    assert quality["model"] == jaxpose.Model.load(place / "model.safetensors").digest
    assert (quality["frames"], quality["frames_absent"], quality["frames_unreadable"]) == (24, 0, 0)
    share = (expected.state != "missing").mean(axis=0)
    np.testing.assert_allclose([quality["coverage"][j] for j in JOINTS], share, atol=1e-4)
    assert quality["clips"] == {"middle": 22, "end": 2, "incomplete": 0, "missing": 0}
    assert quality["confidence"] == "uncalibrated"
    for limb in quality["limbs"].values():
        assert limb["include"] == (limb["share"] >= 0.7) and limb["include"] == (
            "reason" not in limb
        )
    line = done[1]
    assert line["frames"] == 24 and line["recordings"][0]["out"] == str(done[0])
    assert line["missing_share"] == pytest.approx((expected.state == "missing").mean(), abs=1e-4)
    assert sorted(p.name for p in done[0].iterdir()) == [
        "job.json", "kinematics.csv", "overlay.mp4", "pose.csv", "pose_coco.json",
        "pose_long.csv", "quality.json", "report.html",
    ]  # fmt: skip


def test_the_video_has_every_frame_at_the_recordings_rate(done):
    video = cv2.VideoCapture(str(done[0] / "overlay.mp4"))
    images = []
    while (read := video.read())[0]:
        images.append(read[1])
    assert len(images) == 24 and video.get(cv2.CAP_PROP_FPS) == pytest.approx(6, abs=0.1)
    assert images[0].shape[1] in (48, 96)  # VP9 at half the size, or H.264


class Page(HTMLParser):
    """Checks that tags are closed; collects tags and what they load."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.sources, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_report_is_one_file_that_loads_nothing_but_the_video(place, done):
    page = Page()
    page.feed((done[0] / "report.html").read_text())
    assert page.open == [] and "script" not in page.seen
    assert [s for s in page.sources if not s.startswith("data:image/jpeg;base64,")] == [
        "overlay.mp4"
    ]
    assert 4 <= page.seen.count("img") <= 8 and "polyline" in page.seen
    assert "no diagnosis" in page.text and str(place / "ward1") in page.text
    quality = json.loads((done[0] / "quality.json").read_text())
    for limb in quality["limbs"].values():
        assert limb.get("reason", "yes") in page.text


def test_the_report_has_large_numbers_without_exponents_and_small_ones_with_three_digits(
    done, tmp_path
):
    quality = json.loads((done[0] / "quality.json").read_text())
    values = {"path_length": "1034.56", "speed_median": "99.5", "time_moving": "0.12345"}
    lines = [",".join(Row._fields)]
    for part in ("right_wrist", "left_wrist"):
        lines += [f"whole,0,9,{part},{name},{value},mm,1," for name, value in values.items()]
    (tmp_path / "kinematics.csv").write_text("\n".join(lines))
    made = np.zeros(3, RECORD)
    made["time_s"], made["state"] = np.arange(3), STATES.index(MISSING)
    write_report(tmp_path, made, quality, [])
    text = (tmp_path / "report.html").read_text()
    assert "path length, mm</td><td>1035</td><td>1035</td>" in text
    assert "time moving, mm</td><td>0.123</td>" in text
    assert "speed median, mm</td><td>99.5</td>" in text


def test_the_opacity_of_a_limb_is_its_confidence():
    one = np.zeros((), RECORD)
    one["xy"][[0, 1]] = (100, 200), (500, 200)
    one["state"] = 2
    one["state"][[0, 1]] = 0
    drawn = {}
    for confidence in (0.0, 0.5, 1.0):
        one["confidence"] = confidence
        drawn[confidence] = np.full((400, 600, 3), 100, np.uint8)
        draw(drawn[confidence], one[()], 1.0)
    assert (drawn[0.0] == 100).all()
    np.testing.assert_array_equal(drawn[1.0][200, 300], COLOURS["right_arm"])
    half = (np.array(COLOURS["right_arm"]) + 100) / 2
    np.testing.assert_allclose(drawn[0.5][200, 300], half, atol=1)
    assert (drawn[1.0][220] == 100).all()


def colours_of_limbs():
    """The colour (blue, green, red) that each limb is drawn in, by the limb's name for people."""
    colours = {}
    for limb, joints in LIMBS.items():
        one = np.zeros((), RECORD)
        one["state"] = STATES.index("missing")
        one["state"][list(joints)], one["confidence"] = 0, 1
        one["xy"][list(joints)] = (100, 200), (300, 200), (500, 200)
        image = np.zeros((400, 600, 3), np.uint8)
        draw(image, one[()], 1.0)
        colours[limb.replace("_", " ")] = tuple(image[200, 200].tolist())
    assert len(set(colours.values())) == 4
    return colours


def test_the_words_under_the_pictures_have_the_colours_of_the_limbs_that_they_name(done):
    page = (done[0] / "report.html").read_text()
    words = re.findall(r'<span style="color:#(..)(..)(..)">([a-z ]+)</span>', page)
    assert {w: (int(b, 16), int(g, 16), int(r, 16)) for r, g, b, w in words} == colours_of_limbs()
    assert page.index("<figure>") < page.index('class="key"') < page.index("What can be used")


def test_the_video_begins_with_such_words_for_a_second(monkeypatch):
    written, put_text = {}, cv2.putText

    def put(image, text, place, font, scale, colour, *rest):
        written[text] = colour
        return put_text(image, text, place, font, scale, colour, *rest)

    monkeypatch.setattr(cv2, "putText", put)
    bed = np.linspace(600, 900, 640)[None].repeat(480, axis=0)
    later = drawn(bed, time_s=1.0)
    assert {text: c for text, c in written.items() if "frame" not in text} == colours_of_limbs()
    early = drawn(bed, time_s=0.9)
    rows, columns = np.nonzero((early != later).any(axis=-1) & (np.arange(480)[:, None] > 40))
    assert rows.max() < 0.26 * 480 and columns.max() < 0.45 * 640  # a corner
    for colour in colours_of_limbs().values():
        assert (early == colour).all(axis=-1).sum() > 100 and not (later == colour).all(-1).any()


def test_words_that_would_cover_half_of_a_small_image_are_left_out():
    for rows, kept in ((64, True), (144, False)):
        bed = np.linspace(600, 900, 4 * rows // 3)[None].repeat(rows, axis=0)
        same = (drawn(bed, time_s=0.9)[20:] == drawn(bed, time_s=1.0)[20:]).all()
        assert same == kept


def drawn(depth, number=30, time_s=5.0):
    """The picture of a frame without any joint, with the recording's size and without a key."""
    one = np.zeros((), RECORD)
    one["state"] = 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "_av", lambda: True)
        video = overlay.Overlay(Path("unused.mp4"))
        for one["number"], one["time_s"] in ((0, 0.0), (number, time_s)):
            video.add(depth.astype(np.uint16), one[()])
    return video.pictures[-1][1]


def test_the_frame_and_its_time_are_as_legible_on_a_bright_bed_as_on_a_dark_floor():
    boxes = {}
    for rows in (240, 480, 960):
        bed = np.linspace(600, 900, 4 * rows // 3)[None].repeat(rows, axis=0)
        bright, dark = drawn(bed), drawn(bed[:, ::-1])  # the text is on the left
        same = (bright == dark).all(axis=-1)
        width = int(np.flatnonzero(~same[0])[0])
        height = int(np.flatnonzero(~same[:, 0])[0])
        box = bright[:height, :width]
        assert same[:height, :width].all() and (box == 0).mean() > 0.5 and box.max() == 255
        assert (box[0] == 0).all() and (box[-1] == 0).all() and (box[:, :2] == 0).all()
        written = np.flatnonzero((box > 128).any(axis=(1, 2)))
        boxes[rows] = np.ptp(written) / rows
        assert (drawn(bed, number=20) != bright)[:height, :width].any()
    assert all(share == pytest.approx(1 / 28, rel=0.15) for share in boxes.values())


def test_an_infant_stands_out_from_the_bed_that_it_lies_on():
    with np.load(demo.sample(), allow_pickle=False) as stored:
        depth, joints, visible = (stored[k][30] for k in ("depth", "joints_px", "visible"))
    x, y = np.rint(joints[visible]).astype(int).T
    bed = np.abs(depth - np.median(depth[depth > 0])) < 5
    picture = drawn(depth)[..., 0].astype(float)
    assert np.median(picture[y, x]) - np.median(picture[bed]) > 30
    low = np.arange(480)[:, None] > 60  # below the text
    assert (picture[(depth == 0) & low] == 0).all()


def test_kinematics_csv_is_about_the_joints_that_were_found(done, expected):
    with open(done[0] / "kinematics.csv", newline="") as file:
        table = {(r["part"], r["measure"]): r for r in csv.DictReader(file)}
    quality = json.loads((done[0] / "quality.json").read_text())
    unit = quality["kinematics"]["unit"]
    for k, name in enumerate(JOINTS):
        row = table[name, "speed_median"]
        assert row["unit"] == f"{unit}/s" and row["window"] == "whole"
        assert (row["value"] != "") == (float(row["coverage"]) >= 0.7)
        if unit == "px" and (expected.state[:, k] == "found").all():
            assert float(row["coverage"]) == 1


def test_done_work_is_not_done_again_and_other_options_are_refused(
    place, done, capsys, monkeypatch
):
    before = (done[0] / "pose.csv").stat().st_mtime_ns
    assert run(place, done[0]) == 0
    assert (done[0] / "pose.csv").stat().st_mtime_ns == before
    monkeypatch.chdir(place)
    assert run(Path(), done[0]) == 0
    assert (done[0] / "pose.csv").stat().st_mtime_ns == before
    assert run(place, done[0], "--rotate=180") == 2
    assert "holds a prediction with another view; choose another --out" in capsys.readouterr().err
    assert run(place, done[0], "--rate=15") == 2
    assert "holds a prediction with another format" in capsys.readouterr().err


def test_gaps_and_damaged_frames_are_rows_without_joints_and_named(place, tmp_path, capsys):
    folder = tmp_path / "gaps"
    shutil.copytree(place / "ward1", folder)
    (folder / "51_16bit.png").unlink()
    damaged = folder / "81_16bit.png"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert run(place, tmp_path / "out", recording=folder) == 0
    number, xy, likelihood = wide(tmp_path / "out" / "pose.csv")
    np.testing.assert_array_equal(number, 1 + 5 * np.arange(24))  # a regular time base
    for index in (10, 16):
        assert np.isnan(xy[index]).all() and not likelihood[index].any()
    quality = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert (quality["frames"], quality["frames_absent"], quality["frames_unreadable"]) == (23, 1, 1)
    (problem,) = quality["unreadable"]
    assert problem["frame"] == 81 and "81_16bit.png: not a complete PNG" in problem["why"]
    (warning,) = [text for text in quality["warnings"] if "cannot be used" in text]
    assert "1 of 23 frames" in warning and "the first is frame 81: " in warning
    assert warning in capsys.readouterr().err
    # frames whose own clip is complete are as before
    whole = wide_of(place, tmp_path)
    np.testing.assert_array_equal(xy[:9], whole[:9])


def wide_of(place, tmp_path):
    assert run(place, tmp_path / "whole") == 0
    return wide(tmp_path / "whole" / "pose.csv")[1]


SLOW = """
import itertools, os, sys
from jaxpose import cli, predict
append = predict.Journal.append
counter = itertools.count()
def slow(self, record):
    append(self, record)
    if next(counter) == 13:
        self._file.write(b"half a record")
        self._file.flush()
        print("now", flush=True)
        sys.stdin.read()
predict.Journal.append = slow
sys.exit(cli.main(sys.argv[1:]))
"""


def begun(place, out):
    """A process that stands still in the middle of a prediction."""
    command = ["predict", str(place / "ward1"), f"--out={out}", "--quiet"]
    command.append(f"--model={place / 'model.safetensors'}")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *command], stdin=-1, stdout=-1, text=True, env=os.environ
    )
    assert process.stdout.readline() == "now\n"
    return process


def test_a_killed_prediction_goes_on_to_the_same_files(place, done, tmp_path, capsys):
    out = tmp_path / "out"
    process = begun(place, out)
    before = (out / "poses.part").read_bytes()
    assert run(place, out) == 2  # while it still writes
    assert f"{out}: another process writes into this folder" in capsys.readouterr().err
    assert (out / "poses.part").read_bytes() == before
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "pose.csv").exists()
    assert run(place, out) == 0
    for name in ("pose.csv", "pose_long.csv", "pose_coco.json"):
        assert (out / name).read_bytes() == (done[0] / name).read_bytes(), name
    assert not list(out.glob("*.part"))


def test_results_of_which_a_file_is_missing_are_written_again(place, done, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    (out / "pose.csv").unlink()
    assert run(place, out) == 0
    assert "lacks pose.csv; all is computed again" in capsys.readouterr().err
    assert (out / "pose.csv").read_bytes() == (done[0] / "pose.csv").read_bytes()
    assert run(place, out) == 0
    assert "is complete, nothing was computed" in capsys.readouterr().err
    assert not list(out.glob("*.part"))


def test_a_recording_that_cannot_be_used_does_not_stop_the_others(place, tmp_path, capsys):
    np.save(tmp_path / "empty.npy", DEPTH[:5] * 0)
    np.save(tmp_path / "last.npy", DEPTH[:5])
    names = [place / "ward1", tmp_path / "empty.npy", tmp_path / "last.npy"]
    arguments = ["predict", *map(str, names), "--quiet", f"--out={tmp_path / 'out'}"]
    assert cli.main([*arguments, f"--model={place / 'model.safetensors'}"]) == 2
    printed = capsys.readouterr()
    line = json.loads(printed.out.splitlines()[-1])
    assert [row["frames"] for row in line["recordings"]] == [24, 5]
    (failed,) = line["failed"]
    assert failed["recording"] == str(tmp_path / "empty.npy") and "no frame can" in failed["why"]
    assert "empty.npy: no frame can be read" in printed.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["last", "ward1"]


def several(place, tmp_path, *recordings, options=()):
    """Predicts several recordings in one call; returns the exit code."""
    arguments = ["predict", *map(str, recordings), *options, "--quiet", "--no-video"]
    return cli.main(
        [*arguments, f"--out={tmp_path / 'out'}", f"--model={place / 'model.safetensors'}"]
    )


def test_recordings_that_cannot_be_opened_do_not_stop_the_others(place, tmp_path, capsys):
    np.savez(tmp_path / "cut.npz", depth=DEPTH)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:5000])
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "last.npy", DEPTH[:5])
    bad = [tmp_path / name for name in ("cut.npz", "empty", "none.npy")]
    assert several(place, tmp_path, *bad[:2], place / "ward1", bad[2], tmp_path / "last.npy") == 2
    printed = capsys.readouterr()
    line = json.loads(printed.out.splitlines()[-1])
    assert [row["frames"] for row in line["recordings"]] == [24, 5]
    assert [row["recording"] for row in line["failed"]] == [str(path) for path in bad]
    for row, words in zip(line["failed"], ("cannot be read", "no depth", "no such"), strict=True):
        assert words in row["why"] and row["why"] in printed.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["last", "ward1"]


def test_a_folder_that_may_not_be_read_is_a_recording_that_cannot_be_used(
    place, tmp_path, capsys, monkeypatch
):
    def forbidden(folder, **_):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("jaxpose.recordings.opening.open_images", forbidden)
    np.save(tmp_path / "last.npy", DEPTH[:5])
    assert several(place, tmp_path, place / "ward1", tmp_path / "last.npy") == 2
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["frames"] for row in line["recordings"]] == [5]
    assert line["failed"][0]["why"] == f"{place / 'ward1'}: cannot be read (Permission denied)"


def test_one_recording_at_a_time_is_open(place, tmp_path, monkeypatch):
    """Its arrays are freed before the next one is opened, also where it fails."""
    opened = []
    open_source = task.open_source

    def watched(where, how):
        assert [source() for source in opened] == [None] * len(opened)
        source = open_source(where, how)
        opened.append(weakref.ref(source))
        return source

    monkeypatch.setattr(task, "open_source", watched)
    names = [tmp_path / name for name in ("a.npz", "b.npz", "c.npz")]
    for name, depth in zip(names, (DEPTH[:5], DEPTH[:5] * 0, DEPTH[:5]), strict=True):
        np.savez(name, depth=depth)
    assert several(place, tmp_path, *names) == 2
    assert len(opened) == 3


@pytest.mark.parametrize(
    "options, words",
    [
        (["--rotate=45"], "turn by 45 degrees"),
        (["--crop=0,0,0,5"], "--crop=0,0,0,5: the width is 0; expected at least 1 px"),
        (["--crop=0,0,5,-1"], "--crop=0,0,5,-1: the height is -1; expected at least 1 px"),
        (["--mm_per_unit=0"], "--mm_per_unit=0: expected"),
        (["--farthest=0"], "--farthest=0: expected"),
        (["--size=96x64"], "--size=96x64 is for raw frames on stdin"),
        (["-"], "raw frames need --size"),
        (["--session_start=now"], "expected a time with its zone"),
    ],
)
def test_impossible_options_are_refused_before_any_work(
    place, tmp_path, capsys, monkeypatch, options, words
):
    monkeypatch.setattr("jaxpose.runtime.load_model", lambda *_, **__: pytest.fail("loaded"))
    assert several(place, tmp_path, place / "ward1", tmp_path / "none", options=options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("reason", ["time", "depth"])
def test_an_error_in_the_middle_of_a_recording_leaves_the_poses_that_are_there(
    place, tmp_path, capsys, monkeypatch, reason
):
    """A source yields what none should; the folder goes on once that is mended."""
    np.save(tmp_path / "a.npy", DEPTH)
    open_source, broken = task.open_source, True

    def opened(where, how):
        source = open_source(where, how)

        def read():
            for one in source.read():
                frame = one.frame
                if broken and frame.number == 20 and reason == "time":
                    frame = frame._replace(time_s=0.0)
                elif broken and frame.number == 20:
                    frame = frame._replace(depth_mm=frame.depth_mm + np.uint16(60000))
                yield one._replace(frame=frame)

        return dataclasses.replace(source, read=read)

    monkeypatch.setattr(task, "open_source", opened)
    out, options = tmp_path / "out", ["--rate=6", "--no-video"]
    assert run(place, out, *options, recording=tmp_path / "a.npy") == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'a.npy'}: frame 20: " in error
    before = (out / "poses.part").read_bytes()
    assert len(before) >= 8 * RECORD.itemsize
    broken = False
    assert run(place, out, *options, recording=tmp_path / "a.npy") == 0
    assert len(wide(out / "pose.csv")[0]) == 24


def test_several_recordings_get_a_folder_each(place, tmp_path, capsys):
    np.save(tmp_path / "b.npy", DEPTH[:5])
    arguments = ["predict", str(place / "ward1"), str(tmp_path / "b.npy"), "--quiet"]
    arguments += [f"--out={tmp_path / 'out'}", f"--model={place / 'model.safetensors'}"]
    assert cli.main(arguments) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["frames"] == 29 and [r["frames"] for r in line["recordings"]] == [24, 5]
    assert (tmp_path / "out" / "b" / "pose.csv").exists()
    assert (tmp_path / "out" / "ward1" / "pose.csv").exists()
    arguments[2] = arguments[1]
    arguments[-2] = f"--out={tmp_path / 'other'}"
    assert cli.main(arguments) == 2
    assert "_ward1; predict them in two calls" in capsys.readouterr().err


def test_raw_frames_on_stdin(place, tmp_path, monkeypatch):
    data = DEPTH[:6].astype("<u2").tobytes()[:-100]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert cli.main(
        ["predict", "-", "--size=96x64", "--rate=6", f"--out={tmp_path / 'out'}", "--quiet"]
        + [f"--model={place / 'model.safetensors'}"]
    ) == 0  # fmt: skip
    number, xy, _ = wide(tmp_path / "out" / "pose.csv")
    assert number.tolist() == [0, 1, 2, 3, 4, 5] and np.isnan(xy[5]).all()
    quality = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert "the stream ends inside frame 5" in quality["unreadable"][0]["why"]


@pytest.mark.parametrize(
    "bytes_, words",
    [
        (100, "1 frame; expected at least 3, one clip; the first that cannot be used: "
              "the stream ends inside frame 0: 100 of 12288 bytes"),
        (12388, "2 frames; expected at least 3, one clip; the first that cannot be used: "
                "the stream ends inside frame 1: 100 of 12288 bytes"),
    ],
)  # fmt: skip
def test_a_stream_that_is_too_short_says_where_it_ends(
    place, tmp_path, monkeypatch, capsys, bytes_, words
):
    data = DEPTH[:6].astype("<u2").tobytes()[:bytes_]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert cli.main(
        ["predict", "-", "--size=96x64", f"--out={tmp_path / 'out'}", "--quiet"]
        + [f"--model={place / 'model.safetensors'}"]
    ) == 2  # fmt: skip
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def hidden_from_a_crop(folder):
    """24 frames, of which 8 to 15 have depth in the first rows alone."""
    depth = DEPTH.copy()
    depth[8:16, 10:] = 0
    return write(folder, depth)


def test_frames_without_depth_inside_of_the_crop_are_named_as_those_without_any(
    place, tmp_path, capsys
):
    ward = hidden_from_a_crop(tmp_path / "ward")
    assert run(place, tmp_path / "out", "--crop=0,10,96,54", "--no-video", recording=ward) == 0
    number, xy, _ = wide(tmp_path / "out" / "pose.csv")
    quality = json.loads((tmp_path / "out" / "quality.json").read_text())
    lost = [1 + 5 * k for k in range(8, 16)]
    expected = [{"frame": n, "why": "no depth inside of the crop"} for n in lost]
    assert quality["unreadable"] == expected and quality["frames_unreadable"] == 8
    assert np.isnan(xy[np.isin(number, lost)]).all()
    said = "8 of 24 frames cannot be used, see `unreadable` in quality.json; the first is frame 41"
    assert said in capsys.readouterr().err and any(said in t for t in quality["warnings"])


def holes(folder):
    return write(folder, np.zeros((4, 8, 8), np.uint16))


@pytest.mark.parametrize(
    "make, options, words",
    [
        (lambda f: write(f, DEPTH[:2]), [], "2 frames; expected at least 3, one clip"),
        (lambda f: write(f, DEPTH[:1]), [], "1 frame; expected at least 3, one clip"),
        (holes, [], "no frame can be read; the first: .*every pixel is 0"),
        (
            lambda f: write(f, DEPTH[:4] * (np.arange(96) < 40).astype(np.uint16)),
            ["--crop=48,0,48,64"],
            "no frame can be read; the first: no depth inside of the crop",
        ),
        (lambda f: write(f, (DEPTH[:4] // 8).astype(np.uint8)), [], "uint8; .*--mm_per_unit"),
        (lambda f: f.mkdir(), [], "no depth images"),
        (lambda f: None, [], "no such file or folder"),
        (lambda f: write(f, DEPTH[:4]), ["--rotate=45"], "turn by 45 degrees; expected one of 0"),
        (lambda f: write(f, DEPTH[:4]), ["--crop=1,2,3"], "in the form X,Y,WIDTH,HEIGHT"),
        (lambda f: write(f, DEPTH[:4]), ["--intrinsics=1,2,3"], "in the form FX,FY,CX,CY"),
        (lambda f: write(f, DEPTH[:4]), ["--size=96"], "in the form WIDTHxHEIGHT"),
        (lambda f: write(f, DEPTH[:4]), ["--intrinsics=0,1,2,3"], "expected fx, fy above 0"),
        (lambda f: write(f, DEPTH[:4]), ["--rate=0"], "--rate=0.0: expected frames per second"),
    ],
)
def test_what_cannot_be_predicted_is_refused_and_leaves_nothing(
    place, tmp_path, capsys, make, options, words
):
    make(tmp_path / "in")
    assert run(place, tmp_path / "out", *options, recording=tmp_path / "in") == 2
    error = capsys.readouterr().err
    assert re.search(words, error.replace("\n", " ")), error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_output_folders_that_cannot_be_used(place, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    assert run(place, tmp_path / "full") == 2
    assert "full: the folder is not empty; choose another --out" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(place, tmp_path / "file") == 2
    assert "file: cannot be written" in capsys.readouterr().err


def test_model_files_that_cannot_be_used(place, tmp_path, capsys):
    whole = (place / "model.safetensors").read_bytes()
    for content in (whole[:-10], b"foreign", None):
        path = tmp_path / "m.safetensors"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        out = f"--out={tmp_path / 'out'}"
        assert cli.main(["predict", str(place / "ward1"), out, f"--model={path}"]) == 2
        assert "m.safetensors: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "predict.md").read_text()
COMMANDS = re.findall(r"^    (jaxpose .*)$", GUIDE, re.MULTILINE)


def test_the_guide_has_commands():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_guide_runs(place, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    shutil.copy(place / "model.safetensors", ".")
    monkeypatch.setattr("jaxpose.estimator.shipped_model", lambda: Path("model.safetensors"))
    shutil.copytree(place / "ward1", "ward1")
    np.savez("stack.npz", depth=DEPTH)
    if "--crop=" in command:  # of images of 640x480
        for path in map(str, Path("ward1").glob("*.png")):
            image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
            cv2.imwrite(path, cv2.resize(image, (640, 480), interpolation=cv2.INTER_NEAREST))
    words, _, stdin = command.partition(" < ")
    if stdin:
        data = io.BytesIO(DEPTH.astype("<u2").tobytes())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    assert cli.main(shlex.split(words)[1:]) == 0
    (out,) = re.findall(r"--out=(\S+)", command) or ["jaxpose-demo"]
    assert list(Path(out).rglob("pose.csv"))


def test_with_the_spacing_and_stride_of_the_evaluation_the_errors_are_the_evaluations(tmp_path):
    root = write_folder(tmp_path / "in", {"1": 11, "2": 6, "3": 6}, size=(64, 96), deepest_mm=2000)
    for k, image in enumerate(sorted(root.glob("pz1/*.png"))):
        assert cv2.imwrite(str(image), DEPTH[k])
    make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=20.0)).save(
        tmp_path / "model.safetensors"
    )
    # With the lowering that the command chooses: untrained nets have peaks of almost equal height,
    # and rounding decides between them.
    model = jaxpose.Model.load(tmp_path / "model.safetensors")
    data = load_frames("babypose", root, SPECIFICATION.grid, tmp_path / "cache")
    split = split_frames(data, "by_infant", {"train": ("3",), "val": ("2",), "test": ("1",)})
    tested = evaluation.test_model(model, data, split)
    expected = evaluation.limb_errors(model, data, split, tested)

    compare_errors(tmp_path, root / "pz1", data, tested, expected)


def compare_errors(place, recording, data, tested, expected):
    """Asserts that a prediction's table has the evaluation's errors in a test of one sequence.

    The nets see the part of the image that they see in the evaluation."""
    index, scale = tested.index, evaluation.to_paper_px(data)
    for option, name in (("--no-overlap", "default"), ("--overlap", "overlapping")):
        out, crop = place / name, "--crop=" + ",".join(map(str, data.crop[index[0]]))
        assert run(place, out, option, crop, recording=recording) == 0
        number, xy, likelihood = wide(out / "pose.csv")
        row = np.searchsorted(number, data.frame[index])
        grid = joints_to_grid(xy[row], data.crop[index][:, None], data.grid) * scale
        found = data.visible[index] & (likelihood[row] > 0)
        grid = np.where(found[..., None], grid, 0).astype(np.float32)
        errors = limb_rmsd(grid, data.xy[index] * scale, found)
        assert len(errors) >= 9 and np.isfinite(errors).any()
        np.testing.assert_allclose(errors, expected[f"{name}_found"], atol=0.01)


def test_so_they_are_on_real_depth_of_adults(real_data, tmp_path):
    for kind in ("Depth", "Skeleton"):
        (tmp_path / "in" / kind).mkdir(parents=True)
        for person in (1, 2, 3):
            name = f"a10_s{person}_t1_{kind.lower()}.mat"
            (tmp_path / "in" / kind / name).symlink_to(real_data / "utd_mhad" / kind / name)
    utd = DATASETS["utd_mhad"]
    specification = dataclasses.replace(
        SPECIFICATION,
        grid=(48, 64),  # 4:3, as the data set's own crops
        depth_scale_mm=utd.scale_mm,
        background_mm=utd.background_mm,
    )
    make_model(specification).save(tmp_path / "model.safetensors")
    model = jaxpose.Model.load(tmp_path / "model.safetensors")
    data = load_frames("utd_mhad", tmp_path / "in", specification.grid, tmp_path / "cache")
    split = split_frames(data, "by_infant", {"train": ("3",), "val": ("2",), "test": ("1",)})
    tested = evaluation.test_model(model, data, split)
    expected = evaluation.limb_errors(model, data, split, tested)
    recording = tmp_path / "in" / "Depth" / "a10_s1_t1_depth.mat"
    compare_errors(tmp_path, recording, data, tested, expected)
