"""Images that are turned, and sides that are exchanged, are noticed and said."""

import json
import types

import numpy as np
import pytest
from models import SPECIFICATION, make_model
from test_estimator import frames
from test_predict import write

import jaxpose
from jaxpose import cli, demo
from jaxpose.body.skeleton import MIRROR
from jaxpose.estimator import Estimator, shipped_model
from jaxpose.outputs.anatomy import LONGEST, anatomy, head_direction, trained_direction
from jaxpose.prediction.journal import RECORD
from jaxpose.prediction.planner import Planner
from jaxpose.prediction.upright import Upright
from jaxpose.prediction.view import View
from jaxpose.recordings.orientation import TURNS, side_of, turn, turn_back, turn_direction
from jaxpose.recordings.recording import Frame

ONE = np.full((6, 8), 700, np.uint16)


@pytest.fixture(scope="module")
def estimator():
    return Estimator(make_model())


def collected(estimator, times, absent=()) -> Upright:
    upright = Upright(estimator, View())
    for k, time_s in enumerate(times):
        upright.add(Frame(k, float(time_s), None if k in absent else ONE + np.uint16(k)))
    return upright


def chosen(upright) -> list[int]:
    """The numbers of the frames that were collected."""
    return [int(frame.depth_mm[0, 0]) - 700 for frame in upright._frames]


# ---------------------------------------------------------------- which clips are compared


def test_clips_have_the_spacing_of_the_training_and_begin_2_s_apart(estimator):
    upright = collected(estimator, np.arange(130) / 30)
    assert chosen(upright) == [0, 5, 10, 60, 65, 70]
    assert upright.clips == 2  # the last one, 120 and 125, lacks a frame
    assert not upright.full


def test_8_clips_are_enough_and_no_more_frames_are_stored(estimator):
    upright = collected(estimator, np.arange(300) / 6)
    assert upright.full and upright.clips == 8 and len(chosen(upright)) == 24
    assert chosen(upright)[-3:] == [84, 85, 86]


def test_gaps_and_frames_that_cannot_be_read_begin_a_new_clip(estimator):
    times = np.array([0, 1, 2, 3, 4, 9, 10, 11]) / 6
    assert chosen(collected(estimator, times, absent=[1])) == [2, 3, 4]
    assert chosen(collected(estimator, times[[0, 1, 5, 6, 7]])) == [2, 3, 4]
    upright = collected(estimator, times[:5], absent=range(5))
    upright.compare()
    assert upright.confidence == {}
    assert "not checked: no 3 frames are 0.167 s apart" in upright.warning()


@pytest.mark.parametrize("jitter_s", [0.0, 0.003])
@pytest.mark.parametrize("rate", range(3, 61))
def test_clips_are_found_at_every_rate_at_which_poses_have_neighbours(estimator, rate, jitter_s):
    shifts = np.random.default_rng(rate).uniform(-jitter_s, jitter_s, 8 * rate)
    times = np.arange(8 * rate) / rate + shifts
    upright = collected(estimator, times)
    if rate < 5:  # neighbours would be the frame itself, or nearly twice as far as in training
        assert upright.clips == 0
        return
    assert upright.clips == 4  # from 0, 2, 4 and 6 s on
    clips = times[np.array(chosen(upright)).reshape(4, 3)]
    assert np.abs(clips - clips[:, :1] - np.arange(3) / 6).max() < 0.45 / 6 + 2 * jitter_s
    assert (np.diff(clips[:, 0]) >= 2.0).all()
    planner = Planner(3, 1 / 6)
    planned = [clip for time_s in times for _, clip in planner.add(float(time_s))]
    first = next(clip for clip in planned if clip.complete)
    assert chosen(upright)[:3] == list(first.frames)


def test_frames_are_stored_until_their_clip_is_known_and_no_longer(estimator):
    upright, most = Upright(estimator, View()), 0
    for k in range(600):
        upright.add(Frame(k, k / 60, ONE))
        most = max(most, len(upright._waiting))
    assert upright.clips == 5 and most <= 21  # a third of a second
    alone = Upright(estimator, View())
    for k in range(600):
        alone.add(Frame(k, k / 3, ONE))
        most = max(most, len(alone._waiting))
    assert alone.clips == 0 and most <= 21


def test_a_clip_that_ends_with_the_recording_is_compared(estimator):
    upright = collected(estimator, [0.0, 0.165, 0.33])
    upright.compare()
    assert upright.clips == 1 and len(upright.confidence) == 4


def test_images_without_depth_in_the_crop_are_in_no_clip(estimator):
    upright = Upright(estimator, View(crop=(0, 0, 4, 3)))
    for k in range(6):
        image = ONE.copy() + np.uint16(k)
        image[:3, :4] *= k != 1
        upright.add(Frame(k, k / 6, image))
    assert [int(frame.depth_mm[-1, -1]) - 700 for frame in upright._frames] == [2, 3, 4]


# ---------------------------------------------------------------- which turn is better


def sees_heads_at(side: str):
    """An estimator that is confident where the brightest edge of the image is at one side."""

    def stream(given, view):
        for frame in given:
            image = turn(frame.depth_mm, view.turn)
            edges = {"top": image[0], "bottom": image[-1], "left": image[:, 0]}
            sure = edges[side].mean() == image.max()
            yield types.SimpleNamespace(confidence=np.full(12, 0.9 if sure else 0.3))

    return types.SimpleNamespace(model=make_model(), stream=stream)


@pytest.mark.parametrize(("actual", "expected"), [(0, 180), (90, 180), (180, None), (270, 180)])
def test_the_turn_that_suits_the_model_is_named_with_its_option(actual, expected):
    image = ONE.copy()
    image[0] = 900  # the head is at the top; the model knows heads at the bottom
    upright = Upright(sees_heads_at("bottom"), View(turn=actual))
    for k in range(5):
        upright.add(Frame(k, k / 6, image))
    upright.compare()
    assert upright.confidence == pytest.approx({t: 0.9 if t == 180 else 0.3 for t in TURNS})
    if expected is None:
        assert upright.warning() == ""
    else:
        assert f"0.30 with --rotate={actual} and 0.90 with --rotate=180" in upright.warning()


def test_a_turn_that_is_hardly_better_is_not_named(estimator):
    upright = Upright(estimator, View())
    upright.confidence = {0: 0.40, 90: 0.1, 180: 0.459, 270: 0.1}
    assert upright.warning() == ""
    upright.confidence[180] = 0.461
    assert "--rotate=180" in upright.warning()


# ---------------------------------------------------------------- anatomy


UPRIGHT = np.array(
    [(60, 70), (70, 60), (80, 50), (40, 70), (30, 60), (20, 50)]
    + [(56, 40), (60, 25), (62, 10), (44, 40), (40, 25), (38, 10)], np.float32
)  # fmt: skip
"""An infant on its back, head at the bottom of an image of 100x80: its right is at the right."""


def records(poses) -> np.ndarray:
    rows = np.zeros(len(poses), RECORD)
    rows["number"], rows["xy"], rows["confidence"] = np.arange(len(poses)), poses, 1
    return rows


def test_a_head_that_points_elsewhere_than_in_training_is_named():
    rows = records(np.repeat(UPRIGHT[None], 5, axis=0))
    assert side_of(head_direction(rows)) == "bottom"
    trained = trained_direction(UPRIGHT, 80, degrees=0)
    found, warnings = anatomy(rows, trained, 100)
    assert (found["head_towards"], found["head_towards_in_training"]) == ("bottom", "bottom")
    upside_down = records(turn_back(rows["xy"], (100, 80), 180))
    found, warnings = anatomy(upside_down, trained, 100)
    assert found["head_towards"] == "top" and "another --rotate" in warnings[0]
    # with images that were turned by 180 degrees for the nets, that is right
    found, warnings = anatomy(upside_down, trained_direction(UPRIGHT, 80, degrees=180), 100)
    assert found["head_towards_in_training"] == "top" and not [w for w in warnings if "head" in w]


def test_a_model_of_heads_at_all_sides_has_no_direction():
    middle = UPRIGHT.copy()
    middle[[0, 3]] = middle[[6, 9]]
    assert trained_direction(middle, 80, degrees=0) is None
    found, warnings = anatomy(records(UPRIGHT[None].repeat(3, 0)), None, 100)
    assert found["head_towards_in_training"] is None and not warnings


@pytest.mark.parametrize("degrees", TURNS)
def test_a_direction_turns_as_its_ends_do(degrees):
    a, b = np.array([10.0, 20.0]), np.array([13.0, 15.0])
    turned = turn_direction(b - a, degrees)
    np.testing.assert_allclose(
        turn_back(np.array([5.0, 5.0]) + turned, (8, 6), degrees)
        - turn_back(np.array([5.0, 5.0]), (8, 6), degrees),
        b - a,
    )


@pytest.mark.parametrize("degrees", TURNS)
def test_mirrored_sides_are_named_whatever_the_turn(degrees):
    plain = turn_back(UPRIGHT, (100, 100), degrees)
    for xy, mirrored in ((plain, False), (plain[list(MIRROR)], True)):
        found, warnings = anatomy(records(np.repeat(xy[None], 5, axis=0)), None, 100)
        assert found["mirrored"] == mirrored
        assert any("right and left look exchanged in most" in w for w in warnings) == mirrored


def test_frames_with_exchanged_sides_are_counted_and_named():
    rows = records(np.repeat(UPRIGHT[None], 2 * LONGEST, axis=0))
    found, warnings = anatomy(rows, None, 100)
    assert found["frames_exchanged"] == 0 and not warnings
    wrong = np.arange(0, 2 * LONGEST, 40)  # 2.5 %, in both parts
    rows["xy"][wrong] = rows["xy"][wrong][:, list(MIRROR)]
    found, warnings = anatomy(rows, None, 100)
    assert found["frames_exchanged"] == len(wrong) and found["exchanged"] == wrong[:100].tolist()
    assert "exchanged in 2 % of the frames, the first is 0" in warnings[0]
    rows["xy"][wrong[::2]] = UPRIGHT
    assert anatomy(rows, None, 100)[1] == []  # 1.3 %


# ---------------------------------------------------------------- the command


def test_a_warning_is_printed_and_in_the_report_and_the_poses_are_the_same(
    tmp_path, monkeypatch, capsys
):
    make_model(SPECIFICATION).save(tmp_path / "model.safetensors")
    write(tmp_path / "ward", frames(12))
    command = ["predict", str(tmp_path / "ward"), f"--model={tmp_path / 'model.safetensors'}"]
    assert cli.main([*command, "--quiet", f"--out={tmp_path / 'a'}"]) == 0
    before = json.loads((tmp_path / "a" / "quality.json").read_text())
    assert before["orientation"]["clips_compared"] == 1
    assert set(before["orientation"]["mean_confidence_by_turn"]) == {"0", "90", "180", "270"}
    turns = {0: 0.2, 90: 0.1, 180: 0.1, 270: 0.6}
    monkeypatch.setattr(Upright, "compare", lambda self: self.confidence.update(turns))
    capsys.readouterr()
    assert cli.main([*command, "--quiet", f"--out={tmp_path / 'b'}"]) == 0
    captured = capsys.readouterr()
    assert f"warning: {tmp_path / 'ward'}: the images look turned" in captured.err
    after = json.loads((tmp_path / "b" / "quality.json").read_text())
    assert "0.20 with --rotate=0 and 0.60 with --rotate=270" in after["warnings"][0]
    assert after["warnings"][0] in (tmp_path / "b" / "report.html").read_text()
    line = json.loads(captured.out.splitlines()[-1])
    assert line["recordings"][0]["warnings"] == after["warnings"]
    for name in ("pose.csv", "pose_long.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_that_the_turns_were_not_compared_is_said_and_written(tmp_path, capsys):
    make_model(SPECIFICATION).save(tmp_path / "model.safetensors")
    np.save(tmp_path / "a.npy", frames(6))
    command = ["predict", str(tmp_path / "a.npy"), f"--model={tmp_path / 'model.safetensors'}"]
    command += ["--no-video", "--quiet"]
    for rate, compared in ((4, 0), (15, 1)):
        out = tmp_path / str(rate)
        assert cli.main([*command, f"--rate={rate}", f"--out={out}"]) == 0
        said = "whether the images are turned was not checked" in capsys.readouterr().err
        result = json.loads((out / "quality.json").read_text())
        assert result["orientation"]["clips_compared"] == compared
        assert said == any("was not checked" in text for text in result["warnings"])
        assert said == (compared == 0)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_model_that_is_shipped_notices_a_turned_recording(degrees, tmp_path, capsys):
    try:
        shipped_model()
    except jaxpose.ModelError:
        pytest.skip("this version ships no model")
    with np.load(demo.sample()) as stored:
        depth = stored["depth"][:18]
    turned = np.stack([turn(image, (360 - degrees) % 360) for image in depth])
    np.save(tmp_path / "a.npy", turned)
    command = ["predict", str(tmp_path / "a.npy"), "--rate=6", "--no-video", "--quiet"]
    assert cli.main([*command, f"--out={tmp_path / 'a'}"]) == 0
    assert f"compare with --rotate={degrees}" in capsys.readouterr().err
    assert cli.main([*command, f"--rotate={degrees}", f"--out={tmp_path / 'b'}"]) == 0
    assert "look turned" not in capsys.readouterr().err
    found = json.loads((tmp_path / "b" / "quality.json").read_text())["orientation"]
    assert found["head_towards"] == side_of(
        turn_direction(np.array([0.0, 1.0]), (360 - degrees) % 360)
    )
