"""Joints of validation infants become a calibration; what it is worth is counted."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from models import SPECIFICATION, make_model
from test_resume import made_up

from data_pipeline.errors import DataError
from data_pipeline.examples.frames import load, save
from experiments import calibrate, calibration, evaluate, judged, reliability
from experiments.config import ConfigError
from experiments.judged import Judged
from experiments.models import with_calibration_of
from jaxpose.decoding.confidence import judge
from jaxpose.decoding.evidence import FEATURES
from jaxpose.decoding.linking import Poses
from jaxpose.model import Model


@pytest.fixture
def sklearn(monkeypatch):
    """scikit-learn fits a calibration; nothing else needs it. One penalty takes a third of the
    time."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr(calibration, "PENALTIES", (3.0,))


def made_up_joints(infants: int = 6, count: int = 40, seed: int = 0) -> Judged:
    """Joints that are right with probability sigmoid(3 score - x), and hidden if not."""
    random = np.random.default_rng(seed)
    n = infants * count
    evidence = {name: random.normal(size=(n, 12)).astype(np.float32) for name in FEATURES}
    chance = 1 / (1 + np.exp(evidence["x"] - 3 * evidence["score"]))
    right = random.uniform(size=chance.shape) < chance
    xy = np.zeros((n, 12, 2), np.float32)
    poses = Poses(xy, evidence["score"], np.ones((n, 12), bool))
    subject = np.repeat([str(k) for k in range(infants)], count)
    return Judged(np.arange(n), poses, evidence, right, right, subject)


def test_a_calibration_recovers_how_often_joints_are_right_from_the_features_that_tell_it(sklearn):
    fitted, choice, outside = calibration.fit(made_up_joints())
    fitted.check()
    test = made_up_joints(seed=1)
    confidence = fitted.confidence(test.evidence)
    true = 1 / (1 + np.exp(test.evidence["x"] - 3 * test.evidence["score"]))
    best = reliability.auroc(true, test.right)
    assert best > 0.9  # what nobody can surpass
    assert reliability.auroc(confidence, test.right) > best - 0.03
    assert reliability.auroc(outside, made_up_joints().right) > best - 0.05
    curve = reliability.reliability(confidence, test.right)
    assert curve["expected_calibration_error"] < 0.05
    assert np.abs(confidence - true).mean() < 0.1
    _, state = judge(test.poses, fitted, test.evidence)
    assert (state == "missing")[test.visible].mean() == pytest.approx(choice.missed, abs=0.04)
    assert test.right[state == "found"].mean() == pytest.approx(choice.right_of_found, abs=0.04)
    assert choice.right_of_found >= calibration.LEAST_RIGHT - 1e-9


def test_a_fit_repeats_exactly_and_every_infant_is_judged_by_a_net_that_has_not_seen_it(sklearn):
    joints = made_up_joints(infants=6, count=20)
    fitted, choice, outside = calibration.fit(joints)
    again = calibration.fit(joints)
    assert (fitted, choice) == again[:2]
    # wrong labels of one infant hardly change what is said of it, by a net that has not seen them
    first = joints.subject == "0"
    right = joints.right.copy()
    right[first] = ~right[first]
    changed = calibration.fit(joints._replace(right=right))[2]
    order = [reliability.auroc(c[first], joints.right[first]) for c in (outside, changed)]
    assert order[1] == pytest.approx(order[0], abs=1e-9) and order[0] > 0.7


def test_too_little_to_calibrate_on_is_refused(sklearn):
    joints = made_up_joints(infants=1)
    with pytest.raises(DataError, match="1 validation infant; expected 2 or more"):
        calibration.fit(joints)
    joints = made_up_joints(infants=3)
    with pytest.raises(DataError, match="are right, or none; train longer"):
        calibration.fit(joints._replace(right=np.zeros_like(joints.right)))


def test_the_threshold_is_between_both_bars_or_at_the_one_of_missed_joints():
    visible = np.arange(200).reshape(-1, 2) % 2 == 0
    confidence = np.zeros((100, 2))
    confidence[visible] = np.linspace(0.505, 1, 100)  # 4 % are at 0.52 or below
    confidence[~visible] = np.linspace(0.005, 0.5, 100)  # 30 % are at 0.355 or above
    assert calibration.missing_below(confidence, visible) == pytest.approx(
        (0.52 + 0.355) / 2, abs=0.01
    )
    confidence[~visible] += 0.3  # 30 % are at 0.655 or above
    weak_from = calibration.missing_below(confidence, visible)
    assert weak_from == pytest.approx(0.52, abs=0.006)
    assert (confidence < weak_from)[visible].mean() <= calibration.MOST_MISSED


def test_found_joints_are_those_of_which_enough_are_right():
    confidence = np.arange(1, 101).reshape(-1, 2) / 100
    right = confidence > 0.2  # 80 right ones, then 4 wrong ones are 95 %
    assert calibration.right_from(confidence, right) == pytest.approx(0.17)
    assert calibration.right_from(confidence, np.zeros_like(right)) == 1.0


def test_auroc_counts_pairs_and_equal_scores_half():
    score = np.array([0.1, 0.4, 0.4, 0.8])
    positive = np.array([False, True, False, True])
    assert reliability.auroc(score, positive) == (1 + 0.5 + 1 + 1) / 4
    assert reliability.auroc(score, positive | True) is None


def test_the_expected_calibration_error_is_the_mean_difference_over_joints():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.35])
    right = np.array([True, True, True, False, True])
    curve = reliability.reliability(confidence, right)
    assert curve["joints"] == [1, 4] and curve["right"] == [1.0, 0.75]
    assert curve["expected_calibration_error"] == pytest.approx((4 * 0.2 + 0.65) / 5)


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A folder with the untrained model of a run, its data, and further infants."""
    monkeypatch.setattr(judged, "NEAR_PX", 40.0)
    folder = tmp_path / "run"
    for name, seed in (("frames", 0), ("more", 1)):
        random = np.random.default_rng(seed)
        frames = made_up(seed=seed)
        depth = random.uniform(600, 900, (len(frames), 32, 48)).astype(np.float32)
        visible = random.uniform(size=frames.visible.shape) < 0.8
        save(dataclasses.replace(frames, depth_mm=depth, visible=visible), tmp_path / f"{name}.npz")
    facts = {
        "dataset": "simulated",
        "data": load(tmp_path / "frames.npz").digest(),
        "split_kind": "by_infant",
        "subjects": {"train": ["1", "2", "3", "4"], "val": ["5"], "test": ["6"]},
    }
    folder.mkdir()
    model = make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=20.0, provenance=facts))
    model.save(folder / "model.safetensors")
    (folder / "result.json").write_text("{}")
    return calibrate.Options(
        folder,
        data_dir=tmp_path / "frames.npz",
        more_dir=tmp_path / "more.npz",
        lowering="folded",
    )


def test_the_command_calibrates_the_model_of_a_run_and_leaves_all_else(sklearn, options):
    folder = options.run
    before = Model.load(folder / "model.safetensors")
    result = calibrate.calibrate(options)
    model = Model.load(folder / "model.safetensors")
    fitted = model.specification.calibration
    assert result["thresholds"] == {"weak_from": fitted.weak_from, "found_from": fitted.found_from}
    assert (result["model"], result["uncalibrated"]) == (model.digest, before.digest)
    assert result["validation"]["infants"] == 7  # one of the run, six further ones
    assert (result["test"]["infants"], result["test"]["frames"]) == (1, 12)
    assert json.loads((folder / "calibration.json").read_text()) == result
    assert cv2.imread(str(folder / "figures" / "reliability.png")).shape[0] > 300
    assert (folder / "result.json").read_text() == "{}"
    assert model.specification.provenance["subjects"] == before.specification.provenance["subjects"]
    assert calibrate.without_calibration(model).digest == before.digest
    # once more, from the calibrated model: the same file
    assert calibrate.calibrate(options)["model"] == result["model"]
    # a run that is repeated assembles its model without the calibration, and keeps that of the file
    again = before.with_provenance(commit="later")
    kept = with_calibration_of(folder / "model.safetensors", again).specification
    assert kept.calibration == fitted and kept.provenance["commit"] == "later"
    assert kept.provenance["calibration"] == model.specification.provenance["calibration"]
    other = make_model(dataclasses.replace(before.specification, depth_scale_mm=10.0))
    assert with_calibration_of(folder / "model.safetensors", other) is other
    assert with_calibration_of(folder / "none.safetensors", again) is again
    # the evaluation says the same of the model
    curve = folder.parent / "curve.png"
    tested = evaluate.Options(
        folder / "model.safetensors", data_dir=options.data_dir, curve=curve, lowering="folded"
    )
    assert evaluate.evaluate(tested)["confidence"] == result["test"]
    assert curve.exists()


def test_a_run_or_data_that_cannot_be_used_is_refused(sklearn, options):
    with pytest.raises(ConfigError, match="no such folder; expected that of a finished run"):
        calibrate.calibrate(dataclasses.replace(options, run=options.run / "other"))
    with pytest.raises(ConfigError, match="is not what this model was trained on"):
        calibrate.calibrate(dataclasses.replace(options, data_dir=options.more_dir))


def test_the_curve_of_a_model_without_a_calibration_is_refused(options, tmp_path):
    model = Model.load(options.run / "model.safetensors")
    calibrate.without_calibration(model).save(tmp_path / "m.safetensors")
    plain = evaluate.Options(
        tmp_path / "m.safetensors", data_dir=options.data_dir, lowering="folded"
    )
    assert evaluate.evaluate(plain)["confidence"] is None
    with pytest.raises(ConfigError, match="the model has no calibration; run `python -m"):
        evaluate.evaluate(dataclasses.replace(plain, curve=tmp_path / "curve.png"))
