"""A babyPose folder -> per infant, its sheet and the depth image of every row, read exactly.

    pz<ID>/<n>_16bit.png   uint16 depth in mm (or only <n>_8bit.png: grey levels, no millimetres)
    result_pz<ID>.csv      the sheet, beside the folder pz<ID>/ or inside of it; or .xlsx

A folder that holds one sheet and its images side by side is read too.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt

from data_pipeline.babypose.sheets import (
    SHEET_NAME,
    Problem,
    Report,
    Sheet,
    raise_first,
    read_sheet,
)
from data_pipeline.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY = 0  # colour type in a PNG's header


class Infant(NamedTuple):
    """One infant's annotated frames.

    images: the depth PNG of each frame of the sheet
    bits:   16 = depth in mm; 8 = grey levels, where the folder has no 16-bit image at all
    """

    sheet: Sheet
    images: tuple[Path, ...]
    bits: int


def read_infants(
    root: Path, report: Report = raise_first, *, row_order: bool = False
) -> list[Infant]:
    """Reads every sheet below `root` and finds its images, without opening those.

    Infants come by number. Frames come by number too, or as the sheet has them (`row_order`).
    """
    infants = []
    for path in find_sheets(root, report):
        sheet = read_sheet(path, report)
        if sheet is not None:
            infant = _find_images(sheet if row_order else sheet.in_time_order(), report)
            if infant is not None:
                infants.append(infant)
    return infants


def read_frames(
    infants: list[Infant], report: Report = raise_first
) -> Iterator[tuple[Infant, int, UInt[np.ndarray, "h w"] | None]]:
    """Yields (infant, index of the frame in its sheet, depth), all of one size; None if unusable.

    Depth is uint16 or uint8, as the infant's `bits` say, and never rescaled.
    """
    size = None
    for infant in infants:
        sheet = infant.sheet
        for index, image in enumerate(infant.images):
            depth = None
            try:
                depth = read_depth(image, infant.bits)
                size = size or depth.shape
                if depth.shape != size:
                    wanted, given = (f"{w}x{h}" for h, w in (size, depth.shape))
                    depth = None
                    raise DataError(
                        f"{image}: {given} pixels, the images before have {wanted}; "
                        "a data set has one size, so resize or remove it"
                    )
            except DataError as error:
                report(Problem(str(sheet.path), int(sheet.rows[index]), str(error)))
            yield infant, index, depth


def read_depth(path: Path, bits: int = 16) -> UInt[np.ndarray, "h w"]:
    """Reads a single-channel PNG bit for bit: uint16 (mm, 0 = no return), or uint8 for `bits=8`.

    Raises DataError for anything but a complete PNG of that kind with some value above 0.
    """
    remedy = "copy it again from the recording, or remove its row"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    # cv2 fills what a truncated PNG lacks without a word, so its chunks are checked first.
    header = _png_header(data)
    if header is None:
        raise DataError(f"{path}: not a complete PNG (truncated or damaged); {remedy}")
    given, colour = header
    if (given, colour) != (bits, _GREY):
        kind = "one channel" if colour == _GREY else "colour or a palette"
        raise DataError(
            f"{path}: PNG of {given} bits with {kind}; wanted {bits} bits, one channel. "
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


def hide_outside(
    joints: Float[np.ndarray, "*n 2"], size: tuple[int, int]
) -> tuple[Float[np.ndarray, "*n 2"], Bool[np.ndarray, "*n"]]:
    """Joints (x, y) px and the image's (h, w) -> joints, visible: missing also where outside.

    Pixel (0, 0) reaches from -0.5 to 0.5, so the image ends at w - 0.5 and h - 0.5.
    """
    h, w = size
    visible = ((joints >= -0.5) & (joints < (w - 0.5, h - 0.5))).all(-1)
    return np.where(visible[..., None], joints, np.float32(-1)), visible


def find_sheets(root: Path, report: Report) -> list[Path]:
    """The one sheet of each infant, by the infant's number."""
    by_subject: dict[str, list[Path]] = {}
    for path in sorted([*root.glob("*"), *root.glob("pz*/*")]):
        if path.is_file() and (named := SHEET_NAME.fullmatch(path.name)):
            by_subject.setdefault(named[1], []).append(path)
    for folder in sorted(root.glob("pz*/")):
        if folder.name.endswith(".partial"):
            what = "not finished; run the simulate command that began it again, or delete it"
            report(Problem(str(folder), None, what))
        elif folder.name[2:] not in by_subject and any(folder.glob("*bit.png")):
            what = f"images without a sheet; add result_{folder.name}.csv beside or inside of it"
            report(Problem(str(folder), None, what))
    if not by_subject:
        what = (
            "no sheet result_pz<ID>.csv or .xlsx in it, nor in a folder pz<ID>/ below; "
            "give the folder that holds the sheets and the folders pz<ID>/"
        )
        report(Problem(str(root), None, what))
    for subject, (kept, *others) in by_subject.items():
        for other in others:
            what = f"{kept} is a sheet of the same infant {subject}; remove one of the two"
            report(Problem(str(other), None, what))
    return [by_subject[s][0] for s in sorted(by_subject, key=lambda s: (int(s), s))]


def _find_images(sheet: Sheet, report: Report) -> Infant | None:
    """The image of every frame: 16 bits, or 8 where the folder has no 16-bit image of the sheet.

    Frames without an image are reported and left out.
    """
    beside = sheet.path.parent
    folder = beside / f"pz{sheet.subject}"
    # An infant's depth must never be taken for another's: images beside the sheet count only
    # where no other infant can be meant.
    alone = sum(bool(SHEET_NAME.fullmatch(path.name)) for path in beside.iterdir()) == 1
    others = re.fullmatch("pz[0-9]+", beside.name) and beside.name != folder.name
    if not folder.is_dir() and alone and not others:
        folder = beside
    for bits in (16, 8):
        images = tuple(folder / f"{number}_{bits}bit.png" for number in sheet.numbers)
        there = [image.is_file() for image in images]
        if any(there):
            break
    else:
        what = f"none of its images is there; put <number>_16bit.png into {folder}"
        report(Problem(str(sheet.path), None, what))
        return None
    for image, is_there, row in zip(images, there, sheet.rows, strict=True):
        if not is_there:
            what = f"{image} is missing; copy it there or remove the row"
            report(Problem(str(sheet.path), int(row), what))
    kept = np.flatnonzero(there)
    return Infant(sheet.take(kept), tuple(images[k] for k in kept), bits)


def _png_header(data: bytes) -> tuple[int, int] | None:
    """(bits, colour type) of a PNG whose chunks are all there and undamaged, else None."""
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
