"""One process at a time writes a file or a folder: two runs started together do not collide."""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock of `path`, a file or a folder, and holds it.

    A process that ends or dies releases its lock. The lock is a file beside `path`, so that it is
    no part of what a folder holds.
    """
    path = Path(path).absolute()  # `.` has no name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for the process that writes {path}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
