"""Cases that are ready to be timed, and the check of their results."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.bench.cases import Case
from experiments.bench.weights import deviation

TOLERANCE = {"float32": 1e-4, "tf32": 2e-2, "bfloat16": 1e-1}
"""Largest deviation from JAX's own 3-D convolution in float32, as a share of the largest output."""


class Prepared(NamedTuple):
    """A case that is ready to be timed."""

    call: Callable[[int], object]
    """Works on input k of the pool; returns when the result exists."""
    facts: dict
    """Compile seconds, deviation from the reference, and what the compiler reports."""


class WrongResult(ArithmeticError):
    """The result of a case deviates from the reference, so its time means nothing."""


class Reference(NamedTuple):
    """Results of JAX's own 3-D convolution for the first inputs, in files that all workers read."""

    folder: Path

    def path(self, case: Case) -> Path:
        """Returns the file of a case's task."""
        batch = case.batch if case.what == "train_step" else 1  # a batch begins with the first clip
        return self.folder / f"{case.net}-{case.variant}-{case.what}-{batch}.npy"

    def check(self, case: Case, actual: np.ndarray) -> float:
        """Returns the deviation of a forward pass's output, or of a training step's loss.

        Raises:
          WrongResult: it exceeds the tolerance of the case's type.
        """
        expected = np.load(self.path(case))
        error = deviation(np.asarray(actual, np.float32)[: len(expected)], expected)
        if not error <= TOLERANCE[case.dtype]:
            raise WrongResult(
                f"deviates from JAX's own 3-D convolution by {error:.1e}, expected at most "
                f"{TOLERANCE[case.dtype]:.0e}"
            )
        return error
