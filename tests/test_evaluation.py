"""Numbers about predicted poses, from poses written by hand."""

import numpy as np
import pytest
from test_resume import made_up

from data_pipeline.examples.splits import split_frames
from experiments import evaluation
from jaxpose.decoding.linking import Poses


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
