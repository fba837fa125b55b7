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
from experiments import evaluation
from jaxpose.body.geometry import joints_from_grid
from jaxpose.decoding.linking import Poses

pytestmark = pytest.mark.usefixtures("strict_types")


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
