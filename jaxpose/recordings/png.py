"""One depth image <-> a PNG, bit for bit."""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt

from jaxpose.errors import DataError
from jaxpose.recordings.decode import decoded
from jaxpose.recordings.recording import check_depth

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY = 0  # colour type in a PNG's header
_HEADER_BYTES = len(_PNG) + 25


class _Header(NamedTuple):
    width: int
    height: int
    bits: int
    colour: int


def read_depth(path: Path, bits: int = 16, *, in_units: bool = False) -> UInt[np.ndarray, "h w"]:
    """Reads a single-channel PNG bit for bit: uint16 (mm, 0 = no return), or uint8 for `bits=8`.

    With `in_units`, values may be other units than mm, and are not compared with `DEEPEST_MM`.

    Raises:
      DataError: the file cannot be read, or is not a complete PNG of that kind; all values are 0,
        or a 16-bit one is above `DEEPEST_MM`.
    """
    remedy = "copy it again from the recording, or leave it out"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    # cv2 silently fills what a truncated PNG lacks, so its chunks are checked first.
    header = _complete_header(data)
    if header is None:
        raise DataError(f"{path}: not a complete PNG (truncated or damaged); {remedy}")
    if (header.bits, header.colour) != (bits, _GREY):
        kind = "one channel" if header.colour == _GREY else "colour or a palette"
        raise DataError(
            f"{path}: PNG of {header.bits} bits with {kind}; expected {bits} bits, one channel. "
            "Export the raw depth"
        )
    depth = decoded(data)
    if depth is None or depth.dtype != (np.uint16 if bits == 16 else np.uint8) or depth.ndim != 2:
        raise DataError(f"{path}: not a complete PNG (its pixels do not decode); {remedy}")
    if not depth.any():
        raise DataError(f"{path}: every pixel is 0, which means no depth; {remedy}")
    if bits == 16 and not in_units:
        check_depth(depth, str(path))
    return depth


def image_size(path: Path) -> tuple[int, int] | None:
    """Reads (width, height) px from a PNG's header alone; None where the header is damaged."""
    try:
        with path.open("rb") as file:
            header = _header(file.read(_HEADER_BYTES))
    except OSError:
        return None
    return None if header is None else (header.width, header.height)


def _header(data: bytes) -> _Header | None:
    """Reads the first chunk of a PNG; None where it is absent or damaged."""
    start = len(_PNG)
    if not data.startswith(_PNG) or len(data) < _HEADER_BYTES:
        return None
    length, kind = struct.unpack_from(">I4s", data, start)
    (checksum,) = struct.unpack_from(">I", data, start + 21)
    if (length, kind) != (13, b"IHDR") or checksum != zlib.crc32(data[start + 4 : start + 21]):
        return None
    return _Header(*struct.unpack_from(">IIBB", data, start + 8))


def _complete_header(data: bytes) -> _Header | None:
    """Returns the header of a PNG if all its chunks are complete and undamaged, else None."""
    header, at = _header(data), len(_PNG)
    while header is not None and at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[at + 4 : end])):
            return None
        if kind == b"IEND":
            return header
        at = end + 4
    return None
