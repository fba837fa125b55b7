"""Checks, before long work, that its result can be written to a file."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipeline.errors import DataError
from jaxpose.files import write_json

PROBE = 65536
"""Bytes that are written to see whether the disk has room."""


def check_output(path: Path, suffixes: Sequence[str], *, create_folder: bool = False) -> None:
    """Checks that `path` can be written, by creating and removing a small file beside it.

    `suffixes` are the allowed ones, without a dot. With `create_folder`, missing folders are
    created.

    Raises:
      DataError: the suffix is another one, the folder does not exist, `path` is a folder, or it
        cannot be written.
    """
    check_name(path, suffixes)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if create_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.parent.is_dir():
            raise DataError(f"{path}: no such folder: {path.parent}; create it, or name another")
        try:
            beside.write_bytes(bytes(PROBE))
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); choose another place, or change the "
            "permissions of this one"
        ) from error


def written_too(compute: Callable[[], dict], out: Path | None) -> dict:
    """Returns a computed result; where `out` is a path, also writes it there as JSON.

    Raises:
      DataError: `out` cannot be written, which is noticed before anything is computed.
    """
    if out is not None:
        check_output(out, ["json"])
    result = compute()
    if out is not None:
        write_json(out, result)
    return result


def check_name(path: Path, suffixes: Sequence[str]) -> None:
    """Checks only what needs no writing: the suffix, and that `path` is no folder.

    Raises:
      DataError: another suffix, or a folder.
    """
    if path.suffix.removeprefix(".") not in suffixes:
        *rest, last = (f".{suffix}" for suffix in suffixes)
        either = f"{', '.join(rest)} or {last}" if rest else last
        raise DataError(f"{path}: expected a name in {either}")
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise DataError(f"{path}: is a folder; expected the name of a file")
