"""Decoded joints of validation infants, beside their truth -> a calibration.

A handful of small nets, each fitted without a fifth of the infants, are averaged. What each says of
the infants that it did not see is used to choose their penalty, to scale them, and to choose the
thresholds.
"""

import dataclasses
import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.errors import DataError
from experiments.judged import Judged
from jaxpose.decoding.confidence import Calibration
from jaxpose.decoding.evidence import FEATURES

FOLDS, UNITS = 5, 64
"""Number of nets, and of units of each."""
PENALTIES, EPOCHS = (0.6, 1.0, 3.0), 25
"""Strengths of the L2 penalty that are tried, and number of passes over many joints."""
BATCH, LEAST_STEPS = 200, 600
"""Joints per step, and least number of steps: few joints are passed over more often."""
MOST_MISSED, MOST_HIDDEN_FOUND = 0.04, 0.30
"""Shares of the visible joints that may be missing, and of the hidden ones that may not be."""
LEAST_RIGHT = 0.95
"""Share of the found joints that are right."""
DIGITS = 6
"""Number of significant digits of the numbers in the file."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen on the validation infants, from nets that had not seen the infant.

    Attributes:
      missed: share of the visible joints that are missing.
      hidden_found: share of the hidden joints that are not missing.
      right_of_found: share of the found joints that are visible and near; None if none is found.
      reached: True if both bars hold on the validation infants.
      penalty: the one of `PENALTIES` with the smallest cross entropy.
    """

    missed: float
    hidden_found: float
    right_of_found: float | None
    reached: bool
    penalty: float


class Trial(NamedTuple):
    """Nets of one penalty, and the logits [n 12] that each gives for the infants left out."""

    penalty: float
    nets: list
    outside: np.ndarray


def fit(joints: Judged, seed: int = 0) -> tuple[Calibration, Choice, Float[np.ndarray, "n 12"]]:
    """Returns a calibration, what was chosen, and each joint's confidence by nets that were fitted
    without its infant.

    Raises:
      DataError: too few infants, or all joints are visible and near, or none is.
    """
    infants = list(dict.fromkeys(joints.subject.tolist()))
    if len(infants) < 2:
        raise DataError(f"{len(infants)} validation infant; expected 2 or more to calibrate on")
    features = np.stack([joints.evidence[name] for name in FEATURES], axis=-1).astype(np.float64)
    folds = min(FOLDS, len(infants))
    fold = np.array([infants.index(s) % folds for s in joints.subject.tolist()])
    trials = [_trial(features, joints.right, fold, penalty, seed) for penalty in PENALTIES]
    best = min(trials, key=lambda trial: _cross_entropy(trial.outside, joints.right))
    slope, shift = _scale(best.outside, joints.right)
    confidence = 1 / (1 + np.exp(-(slope * best.outside + shift)))
    weak_from = missing_below(confidence, joints.visible)
    found_from = max(weak_from, right_from(confidence, joints.right))
    calibration = _average(best.nets, slope, shift, weak_from, found_from)
    return calibration, _choice(confidence, joints, calibration, best.penalty), confidence


def missing_below(confidence: Float[np.ndarray, "n 12"], visible: Bool[np.ndarray, "n 12"]):
    """Returns the confidence below which a joint is missing.

    It is halfway between the largest that keeps `MOST_MISSED` and the smallest that keeps
    `MOST_HIDDEN_FOUND`; the former where one cannot keep both.
    """
    highest = float(np.quantile(confidence[visible], MOST_MISSED, method="lower"))
    hidden = confidence[~visible]
    lowest = (
        float(np.quantile(hidden, 1 - MOST_HIDDEN_FOUND, method="higher")) if hidden.size else 0
    )
    limit = (highest + lowest) / 2 if lowest < highest else highest
    return _rounded(np.clip(limit * (1 - 1e-5), 1e-4, 1))  # rounded up, it could miss one more


def right_from(confidence: Float[np.ndarray, "n 12"], right: Bool[np.ndarray, "n 12"]) -> float:
    """Returns the smallest confidence from which at least `LEAST_RIGHT` of the joints are right."""
    order = np.argsort(-confidence.ravel(), kind="stable")
    share = np.cumsum(right.ravel()[order]) / np.arange(1, right.size + 1)
    enough = np.flatnonzero(share >= LEAST_RIGHT)
    return _rounded(confidence.ravel()[order[enough[-1]]]) if len(enough) else 1.0


def _trial(features, right, fold, penalty: float, seed: int) -> Trial:
    outside, nets = np.zeros(right.shape), []
    for number in range(fold.max() + 1):
        kept = fold != number
        nets.append(_net(features[kept], right[kept], penalty, seed + number))
        outside[~kept] = _logit(nets[-1], features[~kept])
    return Trial(penalty, nets, outside)


def _cross_entropy(logit: Float[np.ndarray, "n 12"], right: Bool[np.ndarray, "n 12"]) -> float:
    return float(np.logaddexp(0, np.where(right, -logit, logit)).mean())


def _net(features, right, penalty: float, seed: int):
    """Fits one net; returns its weights, bias, output and output bias for raw features."""
    from sklearn.exceptions import ConvergenceWarning  # scikit-learn is an extra
    from sklearn.neural_network import MLPClassifier

    flat, target = features.reshape(-1, features.shape[-1]), right.ravel()
    if target.all() or not target.any():
        raise DataError("all joints of the validation infants are right, or none; train longer")
    mean, spread = flat.mean(axis=0), flat.std(axis=0)
    spread = np.where(spread > 1e-6, spread, 1)
    epochs = max(EPOCHS, -(-LEAST_STEPS * BATCH // len(flat)))
    net = MLPClassifier(
        (UNITS,),
        alpha=penalty,
        batch_size=min(BATCH, len(flat)),
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is ours
        net.fit((flat - mean) / spread, target)
    weights = net.coefs_[0] / spread[:, None]
    bias = net.intercepts_[0] - mean @ weights
    return weights, bias, net.coefs_[1][:, 0], float(net.intercepts_[1][0])


def _logit(net, features: Float[np.ndarray, "n 12 f"]) -> Float[np.ndarray, "n 12"]:
    weights, bias, output, output_bias = net
    return np.maximum(features @ weights + bias, 0) @ output + output_bias


def _scale(logit: Float[np.ndarray, "n 12"], right: Bool[np.ndarray, "n 12"]):
    """Returns (slope, shift) by which logits become those of the shares that are right."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6).fit(logit.reshape(-1, 1), right.ravel())
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _average(nets, slope: float, shift: float, weak_from: float, found_from: float) -> Calibration:
    """Joins nets to one whose logit is the mean of theirs, scaled."""
    weights, bias, output, output_bias = zip(*nets, strict=True)
    share = slope / len(nets)
    return Calibration(
        features=FEATURES,
        weights=tuple(_numbers(row) for row in np.concatenate(weights, axis=1).T),
        bias=_numbers(np.concatenate(bias)),
        output=_numbers(share * np.concatenate(output)),
        output_bias=_rounded(share * sum(output_bias) + shift),
        weak_from=weak_from,
        found_from=found_from,
    )


def _choice(confidence, joints: Judged, calibration: Calibration, penalty: float) -> Choice:
    there, found = (confidence >= t for t in (calibration.weak_from, calibration.found_from))
    missed = float((~there)[joints.visible].mean())
    hidden_found = float(there[~joints.visible].mean()) if (~joints.visible).any() else 0.0
    return Choice(
        missed=missed,
        hidden_found=hidden_found,
        right_of_found=float(joints.right[found].mean()) if found.any() else None,
        reached=missed <= MOST_MISSED and hidden_found <= MOST_HIDDEN_FOUND,
        penalty=penalty,
    )


def _rounded(number) -> float:
    return float(f"{float(number):.{DIGITS}g}")


def _numbers(values) -> tuple[float, ...]:
    return tuple(_rounded(value) for value in values)
