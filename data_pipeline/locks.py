"""One process at a time works in a folder: two runs started together do not undo each other."""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Waits for the process that works in `folder`, or goes on when that one ends or dies.

    The lock lies beside the folder, so that it is no part of what the folder holds.
    """
    folder = Path(folder).absolute()  # `.` has no name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f".{folder.name}.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for the process that is working in {folder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
