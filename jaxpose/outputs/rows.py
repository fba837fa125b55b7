"""Numbers of frames -> the rows of a table with a regular time base."""

from collections.abc import Iterator

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


def interval_s(records: np.ndarray) -> float | None:
    """Returns the usual time between frames; None for a single frame."""
    times = records["time_s"].astype(np.float64)
    return float(np.median(np.diff(times))) if len(times) > 1 else None


def rows(records: np.ndarray) -> Iterator[tuple[int, float, np.void | None]]:
    """Yields number, time and record of each row; the record of an absent frame is None.

    Numbers and times of absent frames are spread evenly over the gap.
    """
    absent = absent_before(records["number"].astype(np.int64))
    for index, record in enumerate(records):
        if absent[index]:
            before, count = records[index - 1], int(absent[index]) + 1
            for k in range(1, count):
                number = before["number"] + round(k * (record["number"] - before["number"]) / count)
                time_s = before["time_s"] + k * (record["time_s"] - before["time_s"]) / count
                yield int(number), float(time_s), None
        yield int(record["number"]), float(record["time_s"]), record
