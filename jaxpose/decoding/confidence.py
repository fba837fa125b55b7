"""Evidence about decoded joints -> confidences and states, by a calibration in the model file.

The height of a map says little by itself: how often joints of that height are right depends on the
net. A calibration is a small net whose plain numbers were fitted on validation infants, by
`python -m experiments.calibrate`. Here it is only computed, in NumPy.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from jaxpose.decoding.evidence import FEATURES
from jaxpose.decoding.linking import Poses
from jaxpose.errors import ModelError

FOUND, WEAK, MISSING = "found", "weak", "missing"
STATES = (FOUND, WEAK, MISSING)
"""What a joint can be. A weak joint has a position, but too little confidence for measurements."""

MOST_UNITS = 1024
"""Largest number of units: a damaged file cannot ask for more memory."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The probability that a joint is visible, and its position within 6 px of 128x96 of the truth.

    It is sigmoid(output_bias + output . relu(bias + weights . features)).

    Attributes:
      features: names of the features, each one of `FEATURES`.
      weights: per unit, one number per feature.
      bias: per unit, one number.
      output: per unit, one number.
      output_bias: one number.
      weak_from: confidence from which a joint is weak; below, it is missing.
      found_from: confidence from which a joint is found.
    """

    features: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    output: tuple[float, ...]
    output_bias: float
    weak_from: float
    found_from: float

    @classmethod
    def from_json(cls, values) -> "Calibration":
        """Reads a JSON object with the fields of a calibration.

        Raises:
          TypeError or ValueError: `values` is something else.
        """
        values = dict(values)
        for name in ("features", "bias", "output"):
            values[name] = tuple(values.get(name))
        values["weights"] = tuple(tuple(row) for row in values.get("weights"))
        return cls(**values)

    def check(self) -> None:
        """Raises `ModelError`, which names the value, for numbers that no calibration can have."""
        names = [name for name in self.features if isinstance(name, str)]
        if len(set(names)) != len(self.features) or not names:
            raise ModelError(f"calibration: features are {[*self.features]}, expected names, once")
        if unknown := sorted(set(names) - set(FEATURES)):
            raise ModelError(
                f"calibration: unknown feature {unknown[0]!r}, expected: {', '.join(FEATURES)}; "
                "update jaxpose"
            )
        units = len(self.output)
        if not 1 <= units <= MOST_UNITS or len(self.weights) != units:
            raise ModelError(
                f"calibration: {units} numbers of output and {len(self.weights)} rows of weights, "
                f"expected one per unit, up to {MOST_UNITS}"
            )
        _check_numbers("bias", self.bias, units)
        _check_numbers("output", self.output, units)
        _check_numbers("output_bias", (self.output_bias,), 1)
        for number, row in enumerate(self.weights):
            _check_numbers(f"weights of unit {number}", row, len(names))
        limits = (self.weak_from, self.found_from)
        if not all(map(_finite, limits)) or not 0 < self.weak_from <= self.found_from <= 1:
            raise ModelError(
                f"calibration: weak_from is {self.weak_from!r}, found_from {self.found_from!r}; "
                "expected 0 < weak_from <= found_from <= 1"
            )

    def confidence(self, evidence: dict[str, Float[np.ndarray, "n 12"]]) -> np.ndarray:
        """Returns the probability of each joint, float32 [n 12], from `evidence.evidence`."""
        features = np.stack([evidence[name] for name in self.features], axis=-1).astype(np.float64)
        hidden = np.maximum(features @ np.array(self.weights).T + np.array(self.bias), 0)
        logit = hidden @ np.array(self.output) + self.output_bias
        return (1 / (1 + np.exp(-np.clip(logit, -30, 30)))).astype(np.float32)


def judge(
    poses: Poses,
    calibration: Calibration | None,
    evidence: dict[str, Float[np.ndarray, "n 12"]] | None = None,
) -> tuple[Float[np.ndarray, "n 12"], np.ndarray]:
    """Returns the confidence and the state of each joint; that of a missing one is 0.

    With a calibration, the confidence decides alone, from `evidence`: a joint without a candidate
    is at its map's maximum, and that may be right. Without one, the confidence is the score,
    clipped to [0, 1]: it orders joints, but is no probability; joints without a candidate are
    missing, and none is weak.
    """
    if calibration is None:
        confidence = np.clip(poses.score, 0, 1)
        state = np.where(poses.found, FOUND, MISSING)
    else:
        confidence = calibration.confidence(evidence)
        state = np.where(confidence >= calibration.found_from, FOUND, WEAK)
        state = np.where(confidence >= calibration.weak_from, state, MISSING)
    return np.where(state == MISSING, np.float32(0), confidence).astype(np.float32), state


def _check_numbers(name: str, numbers, count: int) -> None:
    if len(numbers) != count or not all(map(_finite, numbers)):
        raise ModelError(f"calibration: {name} is {[*numbers]}, expected {count} finite numbers")


def _finite(number) -> bool:
    real = isinstance(number, int | float) and not isinstance(number, bool)
    return real and math.isfinite(number)
