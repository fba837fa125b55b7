"""A case that can be timed, and the check that it computes what all others do."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.bench.cases import Case
from experiments.bench.weights import deviation

TOLERANCE = {"float32": 1e-4, "tf32": 2e-2, "bfloat16": 1e-1}
"""Largest deviation from JAX's own 3-D convolution in float32, as a share of the largest output."""


class Prepared(NamedTuple):
    """A case that can be timed."""

    call: Callable[[int], object]
    """Works on input k of the pool; returns when the result is there."""
    facts: dict
    """Compile seconds, deviation, memory, and what the compiler made of it."""


class WrongResult(ArithmeticError):
    """It computes something else, so its time means nothing."""


class Reference(NamedTuple):
    """What JAX's own 3-D convolution makes of the first inputs; kept as files, for all workers."""

    folder: Path

    def path(self, case: Case) -> Path:
        batch = case.batch if case.what == "train_step" else 1  # a batch begins with the first clip
        return self.folder / f"{case.net}-{case.variant}-{case.what}-{batch}.npy"

    def check(self, case: Case, result: np.ndarray) -> float:
        """The deviation of a forward pass's output, or of a training step's loss."""
        expected = np.load(self.path(case))
        wrong = deviation(np.asarray(result, np.float32)[: len(expected)], expected)
        if not wrong <= TOLERANCE[case.dtype]:
            raise WrongResult(
                f"deviates from JAX's own 3-D convolution by {wrong:.1e}, expected at most "
                f"{TOLERANCE[case.dtype]:.0e}"
            )
        return wrong
