"""The header of a TIFF -> the size of its image, without its pixels."""

import struct
from pathlib import Path
from typing import IO

_WIDTH, _HEIGHT = 256, 257  # tags
_FORMS = {3: "H", 4: "I", 16: "Q"}  # type of a number -> its form
_MOST_ENTRIES = 4096


def image_size(path: Path) -> tuple[int, int] | None:
    """Reads (width, height) px of a TIFF or a BigTIFF; None where the header is damaged."""
    try:
        with path.open("rb") as file:
            return _size(file)
    except (OSError, struct.error, ValueError, OverflowError):
        return None


def _size(file: IO[bytes]) -> tuple[int, int] | None:
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None:
        return None
    (version,) = struct.unpack_from(order + "H", start, 2)
    if version not in (42, 43):
        return None
    big = version == 43
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)
    file.seek(at)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    length, values = (20, {}) if big else (12, {})
    entries = file.read(length * min(count, _MOST_ENTRIES))
    for first in range(0, len(entries) - length + 1, length):
        tag, kind = struct.unpack_from(order + "HH", entries, first)
        if tag in (_WIDTH, _HEIGHT) and kind in _FORMS:
            place = first + (12 if big else 8)
            (values[tag],) = struct.unpack_from(order + _FORMS[kind], entries, place)
    return (values[_WIDTH], values[_HEIGHT]) if len(values) == 2 else None
