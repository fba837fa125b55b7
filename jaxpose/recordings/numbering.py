"""Numbers of frames -> how many are absent between them."""

import numpy as np
from jaxtyping import Int

from jaxpose.errors import DataError

MOST_ABSENT = 10_000_000
"""Largest number of rows that stand for frames that are absent."""


def usual_step(numbers: Int[np.ndarray, " n"]) -> int:
    """Returns the most common difference of successive numbers; 1 if there is none."""
    if len(numbers) < 2:
        return 1
    values, counts = np.unique(np.diff(numbers), return_counts=True)
    return int(values[counts.argmax()])


def absent_before(numbers: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Returns how many frames are absent before each frame.

    Raises:
      DataError: there are more than `MOST_ABSENT`.
    """
    step = usual_step(numbers)
    absent = np.maximum(np.round(np.diff(numbers) / step).astype(np.int64) - 1, 0)
    if absent.sum() > MOST_ABSENT:
        at = int(absent.argmax())
        raise DataError(
            f"{absent[at]} frames are absent between frames {numbers[at]} and {numbers[at + 1]}; "
            "predict the parts of the recording one by one"
        )
    return np.concatenate([[0], absent]).astype(np.int64)
