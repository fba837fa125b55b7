"""Numbers of frames -> the rows of a table with a regular time base."""

from collections.abc import Iterator

import numpy as np

from jaxpose.recordings.numbering import absent_before

WIDEST = 1.5
"""Longest time between neighbouring frames, in median times; where it is longer, frames lack."""


def interval_s(records: np.ndarray) -> float | None:
    """Returns the usual time between frames; None for a single frame.

    It is the mean time between neighbours: the median of times that were rounded, such as 33, 33
    and 34 ms, is off.
    """
    steps = np.diff(records["time_s"].astype(np.float64))
    return float(steps[steps < WIDEST * np.median(steps)].mean()) if len(steps) else None


def rate_hz(records: np.ndarray) -> float | None:
    """Returns the usual number of frames per second; None for a single frame."""
    step_s = interval_s(records)
    return None if step_s is None else round(1 / step_s, 4)


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
