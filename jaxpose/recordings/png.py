"""One depth image <-> a PNG, bit for bit."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt

from jaxpose.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY = 0  # colour type in a PNG's header


def read_depth(path: Path, bits: int = 16) -> UInt[np.ndarray, "h w"]:
    """Reads a single-channel PNG bit for bit: uint16 (mm, 0 = no return), or uint8 for `bits=8`.

    Raises:
      DataError: anything but a complete PNG of that kind with some value above 0.
    """
    remedy = "copy it again from the recording, or remove its row"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    # cv2 silently fills what a truncated PNG lacks, so its chunks are checked first.
    header = _png_header(data)
    if header is None:
        raise DataError(f"{path}: not a complete PNG (truncated or damaged); {remedy}")
    depth_bits, colour = header
    if (depth_bits, colour) != (bits, _GREY):
        kind = "one channel" if colour == _GREY else "colour or a palette"
        raise DataError(
            f"{path}: PNG of {depth_bits} bits with {kind}; expected {bits} bits, one channel. "
            "Export the raw depth"
        )
    try:
        depth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a header that asks for more pixels than cv2 takes
        depth = None
    if depth is None or depth.dtype != (np.uint16 if bits == 16 else np.uint8) or depth.ndim != 2:
        raise DataError(f"{path}: not a complete PNG (its pixels do not decode); {remedy}")
    if not depth.any():
        raise DataError(f"{path}: every pixel is 0, there is no depth in it; {remedy}")
    return depth


def _png_header(data: bytes) -> tuple[int, int] | None:
    """(bits, colour type) of a PNG whose chunks are complete and undamaged, else None."""
    if not data.startswith(_PNG):
        return None
    header, at = None, len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[at + 4 : end])):
            return None
        if kind == b"IHDR" and length == 13:
            header = data[at + 16], data[at + 17]
        if kind == b"IEND":
            return header
        at = end + 4
    return None
