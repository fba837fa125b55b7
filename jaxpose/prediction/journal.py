"""Poses of a recording, appended to a file as they come, so that a killed prediction goes on.

One record per frame, of fixed size. The file is mapped into memory, not read: a recording may be
longer than memory.
"""

import os
from pathlib import Path
from typing import IO

import numpy as np

from jaxpose.decoding.confidence import STATES
from jaxpose.errors import DataError
from jaxpose.prediction.pose import Pose

try:
    import fcntl
except ModuleNotFoundError:  # not Unix
    fcntl = None

RECORD = np.dtype(
    [
        ("number", "<i8"),
        ("time_s", "<f8"),
        ("readable", "?"),
        ("xy", "<f4", (12, 2)),
        ("confidence", "<f4", 12),
        ("state", "u1", 12),
        ("mm", "<f4", (12, 3)),
    ]
)
"""A frame: `state` is an index into `STATES`; `mm` is NaN without intrinsics."""


def record(pose: Pose, readable: bool, mm: np.ndarray | None) -> np.ndarray:
    """Returns the record of one frame."""
    one = np.zeros((), RECORD)
    one["number"], one["time_s"], one["readable"] = pose.number, pose.time_s, readable
    one["xy"], one["confidence"] = pose.xy, pose.confidence
    one["state"] = [STATES.index(state) for state in pose.state]
    one["mm"] = np.nan if mm is None else mm
    return one


def lock(file: IO) -> None:
    """Locks a file until it is closed, or its process ends; does nothing where there is no flock.

    Raises:
      BlockingIOError: another process has locked it.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Journal:
    """A file of records that is appended to."""

    def __init__(self, path: Path):
        """Opens the file; half a record at its end, of a killed process, is cut off.

        Raises:
          DataError: another process writes it.
        """
        self.path = path
        self._file = open(path, "ab")  # noqa: SIM115
        try:
            lock(self._file)
        except BlockingIOError:
            self._file.close()
            raise DataError(
                f"{path.parent}: another process writes into this folder; wait for it, or choose "
                "another --out"
            ) from None
        self.count = path.stat().st_size // RECORD.itemsize
        os.truncate(path, self.count * RECORD.itemsize)

    def append(self, record: np.void) -> None:
        """Appends one record."""
        self._file.write(record.tobytes())
        self.count += 1

    def records(self) -> np.ndarray:
        """Returns all records [n], mapped from the file."""
        self._file.flush()
        return read(self.path)

    def remove(self) -> None:
        """Closes the file and deletes it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._file.close()


def read(path: Path) -> np.ndarray:
    """Returns the records [n] of a file, mapped into memory; an empty file has none."""
    if not path.stat().st_size:
        return np.zeros(0, RECORD)
    return np.memmap(path, RECORD, mode="r")
