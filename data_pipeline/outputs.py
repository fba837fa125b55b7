"""A file to be written at the end of long work -> whether it can be, before the work."""

from collections.abc import Sequence
from pathlib import Path

from data_pipeline.errors import DataError


def check_output(path: Path, suffixes: Sequence[str]) -> None:
    """`suffixes` have no dot.

    Raises:
      DataError: another suffix, a folder that does not exist, or the name of a folder.
    """
    if path.suffix.removeprefix(".") not in suffixes:
        *rest, last = (f".{suffix}" for suffix in suffixes)
        either = f"{', '.join(rest)} or {last}" if rest else last
        raise DataError(f"{path}: expected a name in {either}")
    if not path.parent.is_dir():
        raise DataError(f"{path}: no such folder: {path.parent}; make it, or name another")
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected the name of a file")
