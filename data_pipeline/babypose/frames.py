"""A babyPose folder -> per infant, its sheet and the depth image of every row, read exactly.

    pz<ID>/<n>_16bit.png   uint16 depth in mm (or only <n>_8bit.png: grey levels, no millimetres)
    result_pz<ID>.csv      the sheet, beside the folder pz<ID>/ or inside of it; or .xlsx

A folder that holds one sheet and its images side by side is read too.
"""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

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
from jaxpose.recordings.png import read_depth

AHEAD = 32
"""Images that are decoded before the first of them is used."""


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
    for infant, index, depth in _decoded(infants):
        image, sheet = infant.images[index], infant.sheet
        try:
            if isinstance(depth, DataError):
                raise depth
            size = size or depth.shape
            if depth.shape != size:
                expected, actual = (f"{w}x{h}" for h, w in (size, depth.shape))
                raise DataError(
                    f"{image}: {actual} pixels, the images before have {expected}; "
                    "a data set has one size, so resize or remove it"
                )
        except DataError as error:
            report(Problem(str(sheet.path), int(sheet.rows[index]), str(error)))
            depth = None
        yield infant, index, depth


def _decoded(infants: list[Infant]) -> Iterator[tuple[Infant, int, np.ndarray | DataError]]:
    """Every image in order, or what is wrong with it; several are decoded at a time."""

    def decode(item: tuple[Infant, int]) -> np.ndarray | DataError:
        infant, index = item
        try:
            return read_depth(infant.images[index], infant.bits)
        except DataError as error:
            return error

    items = [(infant, index) for infant in infants for index in range(len(infant.images))]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for first in range(0, len(items), AHEAD):
            part = items[first : first + AHEAD]
            for (infant, index), depth in zip(part, pool.map(decode, part), strict=True):
                yield infant, index, depth


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
    for subject, (stored, *others) in by_subject.items():
        for other in others:
            what = f"{stored} is a sheet of the same infant {subject}; remove one of the two"
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
        existing = [image.is_file() for image in images]
        if any(existing):
            break
    else:
        what = f"none of its images is there; put <number>_16bit.png into {folder}"
        report(Problem(str(sheet.path), None, what))
        return None
    for image, is_there, row in zip(images, existing, sheet.rows, strict=True):
        if not is_there:
            what = f"{image} is missing; copy it there or remove the row"
            report(Problem(str(sheet.path), int(row), what))
    stored = np.flatnonzero(existing)
    return Infant(sheet.take(stored), tuple(images[k] for k in stored), bits)
