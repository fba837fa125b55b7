"""Scores become confidences and states, by a calibration in the model file."""

import dataclasses

import numpy as np
import pytest
from models import SPECIFICATION, make_model

from jaxpose.decoding.confidence import Calibration, judge
from jaxpose.decoding.linking import Poses
from jaxpose.errors import ModelError
from jaxpose.model import Model
from jaxpose.specification import Specification

CALIBRATION = Calibration(
    bias=(-2.0,) * 12, weights={"score": (4.0,) * 11 + (0.0,)}, weak_from=0.3, found_from=0.6
)


def poses(scores, found=True):
    score = np.tile(np.array(scores, np.float32)[:, None], 12)
    return Poses(np.zeros((*score.shape, 2), np.float32), score, np.full(score.shape, found))


def test_without_a_calibration_the_confidence_is_the_clipped_score_and_no_joint_is_weak():
    confidence, state = judge(poses([0.2, 0.7, 1.3]), None)
    np.testing.assert_allclose(confidence[:, 0], [0.2, 0.7, 1.0])
    assert set(state.ravel()) == {"found"}
    confidence, state = judge(poses([0.7], found=False), None)
    assert set(state.ravel()) == {"missing"} and not confidence.any()


def test_a_calibration_is_a_logistic_regression_with_two_thresholds():
    confidence, state = judge(poses([0.0, 0.5, 1.0]), CALIBRATION)
    # sigmoid(-2) = 0.119, sigmoid(0) = 0.5, sigmoid(2) = 0.881; the last joint is always 0.119
    np.testing.assert_allclose(confidence[:, 0], [0, 0.5, 0.8808], atol=1e-4)
    assert state[:, 0].tolist() == ["missing", "weak", "found"]
    assert set(state[:, 11]) == {"missing"} and not confidence[:, 11].any()
    confidence, state = judge(poses([1.0], found=False), CALIBRATION)
    assert set(state.ravel()) == {"missing"} and not confidence.any()


def test_a_calibration_is_part_of_the_file_and_one_that_is_absent_changes_nothing(tmp_path):
    assert "calibration" not in SPECIFICATION.as_json()
    calibrated = dataclasses.replace(SPECIFICATION, calibration=CALIBRATION)
    make_model(calibrated).save(tmp_path / "m.safetensors")
    assert Model.load(tmp_path / "m.safetensors").specification == calibrated
    assert Specification.from_json(SPECIFICATION.as_json()) == SPECIFICATION


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bias": (0.0,)}, "bias is .*expected 12 finite numbers"),
        ({"weights": {"score": (float("nan"),) * 12}}, "score is .*expected 12 finite numbers"),
        ({"weights": {"eval": (1.0,) * 12}}, "unknown feature 'eval', expected: score"),
        ({"weak_from": 0.7}, "expected 0 < weak_from <= found_from <= 1"),
        ({"found_from": 2.0}, "found_from 2.0"),
    ],
)
def test_numbers_that_no_calibration_can_have_are_refused(change, words):
    values = {**dataclasses.asdict(CALIBRATION), **change}
    with pytest.raises(ModelError, match=words):
        Specification.from_json({**SPECIFICATION.as_json(), "calibration": values})
    with pytest.raises(ModelError, match="calibration is 3, which no model has"):
        Specification.from_json({**SPECIFICATION.as_json(), "calibration": 3})
