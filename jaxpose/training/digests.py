"""A checkpoint's files <-> their digests, stored beside them: damage is seen before it is read."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxpose.files import write_text

NAME = "sha256.json"
"""File in a checkpoint's folder: path of each other file in it -> its SHA-256."""


def write(folder: Path) -> None:
    """Writes the digests of all files in a folder, whole or not at all."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {str(path.relative_to(folder)): _sha256(path) for path in files}
    write_text(folder / NAME, json.dumps(digests))


def problem(folder: Path) -> str | None:
    """Describes what is wrong with the first file that is not as it was written, or returns None.

    A folder without digests has no problem: a process that was killed before it wrote them has
    completed all other files.
    """
    if not folder.is_dir():
        return "it is missing"
    if not (folder / NAME).exists():
        return None
    try:
        digests = json.loads((folder / NAME).read_bytes())
        for name, expected in digests.items():
            if _sha256(folder / name) != expected:
                return f"{name} is not as it was written"
    except OSError as error:
        return f"{Path(error.filename or folder).name}: {error.strerror}"
    except (ValueError, AttributeError):
        return f"{NAME} is not as it was written"
    return None


def of_arrays(tree: Any) -> str:
    """Returns a hash of all arrays of a tree with their names, types and shapes, 64 digits."""
    hashed = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        name = jax.tree_util.keystr(path)
        hashed.update(f"{name} {array.dtype} {array.shape}\n".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
