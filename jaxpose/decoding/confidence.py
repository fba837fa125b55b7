"""Scores of decoded joints -> confidences and states, by a calibration that a model file may hold.

A score is the height of a map at the joint; how often joints of that score are right depends on the
net. A calibration is a logistic regression whose plain numbers were fitted on validation infants.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from jaxpose.body.skeleton import JOINTS
from jaxpose.decoding.linking import Poses
from jaxpose.errors import ModelError

FOUND, WEAK, MISSING = "found", "weak", "missing"
STATES = (FOUND, WEAK, MISSING)
"""What a joint can be. A weak joint has a position, but too little confidence for measurements."""

FEATURES = {"score": lambda poses: poses.score}
"""Name of a feature of a decoded joint -> its values [n 12]."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The probability that a joint is visible and near its position: sigmoid(bias + w . features).

    Attributes:
      bias: one number per joint.
      weights: name of a feature, a key of `FEATURES`, -> its weight, one per joint.
      weak_from: confidence from which a joint is weak; below, it is missing.
      found_from: confidence from which a joint is found.
    """

    bias: tuple[float, ...]
    weights: Mapping[str, tuple[float, ...]]
    weak_from: float
    found_from: float

    @classmethod
    def from_json(cls, values) -> "Calibration":
        """Reads a JSON object with the fields of a calibration.

        Raises:
          TypeError or ValueError: `values` is something else.
        """
        values = dict(values)
        values["bias"] = tuple(values["bias"])
        values["weights"] = {name: tuple(w) for name, w in dict(values["weights"]).items()}
        return cls(**values)

    def check(self) -> None:
        """Raises `ModelError`, which names the value, for numbers that no calibration can have."""
        if unknown := sorted(set(self.weights) - set(FEATURES)):
            raise ModelError(
                f"calibration: unknown feature {unknown[0]!r}, expected: {', '.join(FEATURES)}; "
                "update jaxpose"
            )
        for name, numbers in (("bias", self.bias), *self.weights.items()):
            if len(numbers) != len(JOINTS) or not all(_finite(n) for n in numbers):
                raise ModelError(
                    f"calibration: {name} is {[*numbers]}, expected {len(JOINTS)} finite numbers"
                )
        limits = (self.weak_from, self.found_from)
        if not all(map(_finite, limits)) or not 0 < self.weak_from <= self.found_from <= 1:
            raise ModelError(
                f"calibration: weak_from is {self.weak_from!r}, found_from {self.found_from!r}; "
                "expected 0 < weak_from <= found_from <= 1"
            )

    def confidence(self, poses: Poses) -> Float[np.ndarray, "n 12"]:
        """Returns the probability of each joint, whether the decoding found it or not."""
        logit = np.array(self.bias, np.float32)[None] + np.zeros_like(poses.score)
        for name, weights in self.weights.items():
            logit = logit + np.array(weights, np.float32)[None] * FEATURES[name](poses)
        return (1 / (1 + np.exp(-np.clip(logit, -30, 30)))).astype(np.float32)


def judge(
    poses: Poses, calibration: Calibration | None
) -> tuple[Float[np.ndarray, "n 12"], np.ndarray]:
    """Returns the confidence and the state of each joint.

    A joint that the decoding did not find is missing, and so is one whose confidence is too low;
    its confidence is 0. Without a calibration the confidence is the score, clipped to [0, 1]: it
    orders joints, but is no probability. No joint is weak then.
    """
    if calibration is None:
        confidence = np.clip(poses.score, 0, 1)
        state = np.where(poses.found, FOUND, MISSING)
    else:
        confidence = calibration.confidence(poses)
        state = np.where(confidence >= calibration.found_from, FOUND, WEAK)
        state = np.where(poses.found & (confidence >= calibration.weak_from), state, MISSING)
    return np.where(state == MISSING, np.float32(0), confidence).astype(np.float32), state


def _finite(number) -> bool:
    real = isinstance(number, int | float) and not isinstance(number, bool)
    return real and math.isfinite(number)
