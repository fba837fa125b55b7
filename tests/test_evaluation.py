"""What is said about predicted poses, from poses made by hand."""

import numpy as np
import pytest
from test_resume import made_up

from data_pipeline.examples.splits import split_frames
from experiments import evaluation
from jaxpose.decoding.linking import Poses


def test_every_method_has_its_own_share_of_missed_joints():
    frames = made_up()
    split = split_frames(frames, "by_infant", {"train": None, "val": None, "test": None})
    index = np.flatnonzero(split.used["test"])
    joints_missed = dict(zip(evaluation.DECODED, (0, 1, 3, 6), strict=True))
    poses = {}
    for name, missed in joints_missed.items():
        found = np.ones((len(index), 12), bool)
        found[:, :missed] = False
        poses[name] = Poses(frames.xy[index], found.astype(np.float32), found)
    counts = np.ones((3, 20), np.int64)
    tested = evaluation.Tested(index, poses, counts, predict_ms=1.0, decode_ms=1.0)
    said, _ = evaluation.report(frames, split, tested)
    for key, missed in (
        ("missed_rate", 0),
        ("bipartite_missed_rate", 1),
        ("detector_missed_rate", 3),
        ("detector_bipartite_missed_rate", 6),
    ):
        assert said[key] == pytest.approx(missed / 12), key
