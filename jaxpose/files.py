"""Files that are written whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; the file is renamed to `path` when the block ends.

    A reader never sees half a file. If the block raises, `path` is as it was before and the file
    beside it is removed; a process that is killed leaves only `.NAME.PID.part`.

    Raises:
      OSError: the file cannot be written; the error names `path`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:  # the error of a full disk names no file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def remove_parts(path: Path) -> None:
    """Removes what killed processes left of writing `path`; no other process may be writing it."""
    for part in path.parent.iterdir():
        if part.name.startswith(f".{path.name}.") and part.suffix == ".part":
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as `written_whole` does.

    Raises:
      OSError: the file cannot be written.
    """
    with written_whole(path) as beside:
        beside.write_text(text)


def write_json(path: Path, value) -> None:
    """Writes a value as JSON as `written_whole` does.

    Raises:
      OSError: the file cannot be written.
    """
    write_text(path, json.dumps(value, indent=2) + "\n")
