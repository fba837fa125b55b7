"""A recording's files -> a hash of their names, sizes and times, which tells if they changed."""

import hashlib
import json
from pathlib import Path


def state_of(path: Path, *beside: Path) -> str:
    """Returns a hash, 16 hexadecimal digits, of a file, or of the files in a folder.

    `beside` are further files that belong to the recording; those that do not exist do not count.
    Reading the contents would take as long as predicting without a net does.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    states = []
    for file in (*files, *beside):
        if file.is_file():
            state = file.stat()
            states.append((file.name, state.st_size, state.st_mtime_ns))
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]
