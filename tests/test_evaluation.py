"""Numbers about predicted poses, from poses written by hand."""

import dataclasses

import cv2
import numpy as np
import pytest
from babypose_folder import write_folder
from models import SPECIFICATION, make_model
from test_resume import made_up

from data_pipeline.examples.splits import split_frames
from data_pipeline.load import load_frames
from data_pipeline.sources import babypose
from experiments import choices, evaluation, prediction
from experiments.config import Config, Machine
from experiments.models import assemble
from experiments.recipe import Recipe, settle
from jaxpose.body.geometry import joints_from_grid
from jaxpose.decoding.linking import Poses
from jaxpose.nets.compute import LayerWeights
from jaxpose.nets.layers import Net


def test_every_decoding_has_its_own_share_of_missed_joints():
    frames = made_up()
    split = split_frames(frames, "by_infant", {"train": None, "val": None, "test": None})
    index = np.flatnonzero(split.used["test"])
    missed = {name: number for number, name in enumerate(evaluation.DECODED)}
    poses = {}
    for name, number in missed.items():
        actual = np.ones((len(index), 12), bool)
        actual[:, :number] = False
        poses[name] = Poses(frames.xy[index], actual.astype(np.float32), actual)
    counts = np.ones((3, 20), np.int64)
    tested = evaluation.Tested(index, poses, counts, predict_ms=1.0, decode_ms=1.0)
    errors = {}
    for name in poses:
        errors[f"{name}_found"] = errors[f"{name}_fallback"] = np.zeros((len(index), 4))
    errors |= {"mean_pose": errors["default_found"], "previous_frame": errors["default_found"]}
    report = evaluation.report(frames, tested, errors)
    assert missed["default"] == 0
    assert report.pop("missed_rate") == 0
    for name, number in list(missed.items())[1:]:
        assert report[f"{name}_missed_rate"] == pytest.approx(number / 12), name


def test_a_model_answers_for_a_recording_what_the_evaluation_says_of_its_frames(tmp_path):
    """The nets see the same depth, from camera images and from the cache of the training data."""
    infants = {"1": 9, "2": 6, "3": 6}
    size = tuple(7 * cells for cells in SPECIFICATION.grid)  # means of 49 pixels, never whole mm
    root = write_folder(tmp_path / "in", infants, size=size)
    rng = np.random.default_rng(0)
    for image in root.glob("pz*/*.png"):  # a relief so flat that tenths of a millimetre count
        assert cv2.imwrite(str(image), rng.integers(1000, 1020, size, np.uint16))
    model = make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=1.0))
    frames = load_frames("babypose", root, SPECIFICATION.grid, tmp_path / "cache")
    parts = {"train": ("3",), "val": ("2",), "test": ("1",)}
    tested = evaluation.test_model(model, frames, split_frames(frames, "by_infant", parts))
    depth = np.stack([f.depth_mm for f in babypose(root, "") if f.recording.subject == "1"])
    poses = model.poses(depth, stride=3)
    expected = joints_from_grid(
        tested.poses["default"].xy, frames.crop[tested.index, None], SPECIFICATION.grid
    )
    assert len(poses.xy) == 9
    np.testing.assert_allclose(poses.xy, expected, atol=1e-3)
    np.testing.assert_array_equal(poses.found, tested.poses["default"].found)


@pytest.mark.parametrize("step, interval_s", [(5, 1 / 6), (1, 1 / 30), (0, None)])
def test_a_model_says_how_far_apart_the_frames_of_its_clips_are(step, interval_s):
    frames = dataclasses.replace(made_up(), step=step)
    split = split_frames(frames, "by_infant")
    config = Config(recipe=settle(Recipe(dataset="utd_mhad", grid="48x32")))
    weights = {name: zeros(net) for name, net in choices.nets(config.recipe).items()}
    config = dataclasses.replace(config, machine=Machine(lowering="folded"))
    specification = assemble(config, frames, split, weights).specification
    assert specification.frame_interval_s == (interval_s and pytest.approx(interval_s))


def zeros(net: Net) -> dict[str, LayerWeights]:
    """Weights of the right shapes."""
    return {
        layer.name: LayerWeights(
            np.zeros(layer.kernel_shape, np.float32),
            *(np.zeros(layer.cout, np.float32) for _ in range(5 if layer.norm else 1)),
        )
        for layer in net.layers
    }


def test_every_way_to_decode_is_computed_once(monkeypatch):
    frames, model = made_up(), make_model()
    frames = dataclasses.replace(frames, depth_mm=np.full((len(frames), 32, 48), 700, np.float32))
    split = split_frames(frames, "by_infant")
    ways = []
    decode = evaluation.decode
    monkeypatch.setattr(evaluation, "decode", lambda *a: ways.append(a[2:]) or decode(*a))
    tested = evaluation.test_model(model, frames, split)
    assert len(ways) == len(set(ways)) + 1 == 6  # overlapping clips are decoded as the default
    assert ways.count(("regression", "chain")) == 2
    np.testing.assert_array_equal(tested.poses["default"].xy, tested.poses["regression"].xy)


def test_overlapping_clips_of_the_evaluation_are_those_of_a_recording():
    """A recording of 9 frames, with a gap in its numbers after 3 of them."""
    rng = np.random.default_rng(0)
    frames = made_up(subjects=3, count=9)
    own = frames.subject == "3"
    numbers = np.where(own, np.tile([1, 6, 11, 21, 26, 31, 36, 41, 46], 3), frames.frame)
    depth = rng.uniform(600, 900, (len(frames), 32, 48)).astype(np.float32)
    frames = dataclasses.replace(frames, depth_mm=depth, frame=numbers.astype(np.int32), step=5)
    split = split_frames(frames, "by_infant", {"train": ("1",), "val": ("2",), "test": ("3",)})
    model, index = make_model(), np.flatnonzero(own)
    predict = prediction.predictor(model, frames)
    used = split.used["test"]
    batches = list(prediction.overlapping_maps(predict, model, frames, used, index))
    actual = np.concatenate([maps.regression for maps in batches])
    for part in (index[:3], index[3:]):
        for k, frame in enumerate(part):
            first = min(max(k - 1, 0), len(part) - 3)
            clip = depth[part[first : first + 3]]
            expected = model.maps(model.clips(clip[None])).regression[0, k - first]
            np.testing.assert_allclose(actual[frame - index[0]], expected, atol=1e-6)
