"""Evidence becomes confidences and states, by a calibration in the model file."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from models import SPECIFICATION, make_model

from jaxpose import cli
from jaxpose.decoding.confidence import Calibration, judge
from jaxpose.decoding.linking import Poses
from jaxpose.errors import ModelError
from jaxpose.estimator import Estimator
from jaxpose.model import Model
from jaxpose.specification import Specification

CALIBRATION = Calibration(
    features=("score", "x"),
    weights=((1.0, 0.0), (-1.0, 2.0)),
    bias=(0.0, 0.5),
    output=(4.0, -1.0),
    output_bias=-2.0,
    weak_from=0.3,
    found_from=0.6,
)


def poses(scores, found=True):
    score = np.tile(np.array(scores, np.float32)[:, None], 12)
    return Poses(np.zeros((*score.shape, 2), np.float32), score, np.full(score.shape, found))


def evidence(scores, x=0.0):
    score = np.tile(np.array(scores, np.float32)[:, None], 12)
    return {"x": np.full_like(score, x), "score": score}


def test_without_a_calibration_the_confidence_is_the_clipped_score_and_no_joint_is_weak():
    confidence, state = judge(poses([0.2, 0.7, 1.3]), None)
    np.testing.assert_allclose(confidence[:, 0], [0.2, 0.7, 1.0])
    assert set(state.ravel()) == {"found"}
    confidence, state = judge(poses([0.7], found=False), None)
    assert set(state.ravel()) == {"missing"} and not confidence.any()


def test_a_calibration_is_a_small_net_with_two_thresholds():
    confidence, state = judge(poses([0.0, 0.5, 1.0]), CALIBRATION, evidence([0.0, 0.5, 1.0]))
    # unit 0: score; unit 1: relu(0.5 - score); logits 0 - 0.5 - 2 = -2.5, 2 - 0 - 2 = 0, 4 - 2 = 2
    np.testing.assert_allclose(confidence[:, 0], [0, 0.5, 0.8808], atol=1e-4)
    assert state[:, 0].tolist() == ["missing", "weak", "found"]
    actual = CALIBRATION.confidence(evidence([0.0], x=1.0))  # unit 1: 0.5 + 2; logit -4.5
    np.testing.assert_allclose(actual, 0.010987, atol=1e-6)
    assert actual.dtype == np.float32


def test_a_calibrated_confidence_decides_alone_whatever_the_decoding_found():
    confidence, state = judge(poses([1.0], found=False), CALIBRATION, evidence([1.0]))
    assert set(state.ravel()) == {"found"}
    np.testing.assert_allclose(confidence, 0.8808, atol=1e-4)


def test_a_calibration_is_part_of_the_file_and_one_that_is_absent_changes_nothing(tmp_path):
    assert "calibration" not in SPECIFICATION.as_json()
    calibrated = dataclasses.replace(SPECIFICATION, calibration=CALIBRATION)
    make_model(calibrated).save(tmp_path / "m.safetensors")
    assert Model.load(tmp_path / "m.safetensors").specification == calibrated
    assert Specification.from_json(SPECIFICATION.as_json()) == SPECIFICATION


BY_KIND = dataclasses.replace(
    CALIBRATION,
    features=("wrist", "knee"),
    weights=((1.0, 0.0), (0.0, 1.0)),
    bias=(0.0, 0.0),
    output=(-6.0, -3.0),
    output_bias=3.0,
)
"""Logits -3 at wrists (missing), 0 at knees (weak), 3 elsewhere (found)."""
WRISTS, KNEES, OTHERS = [2, 5], [7, 10], [0, 1, 3, 4, 6, 8, 9, 11]


def test_an_estimator_uses_the_calibration_of_its_model():
    frames = np.random.default_rng(0).integers(600, 900, (5, 64, 96), np.uint16)
    plain = Estimator(make_model())(frames)
    pose = Estimator(make_model(dataclasses.replace(SPECIFICATION, calibration=BY_KIND)))(frames)
    assert set(pose.state[:, WRISTS].ravel()) == {"missing"}
    assert np.isnan(pose.xy[:, WRISTS]).all() and not pose.confidence[:, WRISTS].any()
    assert set(pose.state[:, KNEES].ravel()) == {"weak"}
    np.testing.assert_allclose(pose.confidence[:, KNEES], 0.5, atol=1e-6)
    np.testing.assert_allclose(pose.confidence[:, OTHERS], 0.95257, atol=1e-4)
    assert set(pose.state[:, OTHERS].ravel()) == {"found"}
    there = np.isfinite(plain.xy[:, OTHERS])
    np.testing.assert_array_equal(pose.xy[:, OTHERS][there], plain.xy[:, OTHERS][there])


def test_the_files_of_a_prediction_have_the_calibrated_confidence_and_say_so(tmp_path, capsys):
    frames = np.random.default_rng(0).integers(600, 900, (4, 64, 96), np.uint16)
    np.save(tmp_path / "ward.npy", frames)
    make_model(dataclasses.replace(SPECIFICATION, calibration=BY_KIND)).save(tmp_path / "m")
    options = [f"--out={tmp_path / 'out'}", f"--model={tmp_path / 'm'}", "--quiet", "--no-video"]
    assert cli.main(["predict", str(tmp_path / "ward.npy"), *options]) == 0
    with open(tmp_path / "out" / "pose.csv", newline="") as file:
        rows = list(csv.reader(file))[3:]
    likelihood = np.array([[float(cell or "nan") for cell in row[3::3]] for row in rows])
    assert not likelihood[:, WRISTS].any()
    np.testing.assert_allclose(likelihood[:, KNEES], 0.5, atol=1e-4)
    quality = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert quality["confidence"] == "calibrated"
    assert quality["thresholds"]["weak_from"] == 0.3 and quality["thresholds"]["found_from"] == 0.6
    shares = (quality["joints_weak_share"], quality["joints_found_share"])
    assert shares == pytest.approx((2 / 12, 8 / 12), abs=1e-4)
    assert json.loads(capsys.readouterr().out)["missing_share"] == pytest.approx(2 / 12, abs=2e-4)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "a joint below 0.30 is missing, below 0.60 weak; 17 % are weak" in page


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bias": (0.0,)}, r"bias is \[0.0\], expected 2 finite numbers"),
        ({"output_bias": float("inf")}, "output_bias is .*expected 1 finite numbers"),
        ({"weights": ((float("nan"), 0.0), (0.0, 0.0))}, "weights of unit 0 is .*2 finite"),
        ({"weights": ((0.0, 0.0), (0.0,))}, "weights of unit 1 is .*expected 2 finite"),
        ({"weights": ((0.0, 0.0),)}, "2 numbers of output and 1 rows of weights"),
        ({"output": (True, 0.0)}, "output is .*expected 2 finite numbers|which no model has"),
        ({"features": ("eval", "x")}, "unknown feature 'eval', expected: found, score"),
        ({"features": ("x", "x")}, "features are .*expected names, once"),
        ({"features": (1, 2)}, "features are .*expected names, once|which no model has"),
        ({"weak_from": 0.7}, "expected 0 < weak_from <= found_from <= 1"),
        ({"found_from": 2.0}, "found_from 2.0"),
        ({"weights": 3}, "calibration is .*which no model has"),
        ({"more": 3}, "calibration is .*which no model has"),
    ],
)
def test_numbers_that_no_calibration_can_have_are_refused(change, words):
    values = {**dataclasses.asdict(CALIBRATION), **change}
    with pytest.raises(ModelError, match=words):
        Specification.from_json({**SPECIFICATION.as_json(), "calibration": values})


def test_something_that_is_no_calibration_is_refused():
    for value in (3, {"bias": [1.0]}, None):
        with pytest.raises(ModelError, match="calibration is .*, which no model has"):
            Specification.from_json({**SPECIFICATION.as_json(), "calibration": value})
