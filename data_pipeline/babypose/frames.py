"""A babyPose folder -> for each infant, its sheet and the depth image of every row, bit for bit.

    pz<ID>/<n>_16bit.png   uint16 depth in mm (or only <n>_8bit.png: grey levels, no millimetres)
    result_pz<ID>.csv      the sheet (or .xlsx), beside the folder pz<ID>/ or inside it

A folder that contains one sheet and its images side by side is read too. Files and folders may be
symbolic links.
"""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt16

from data_pipeline.babypose.layout import find_sheets, image_folder
from data_pipeline.babypose.sheets import Problem, Report, Sheet, ignore, raise_first, read_sheet
from data_pipeline.errors import DataError
from jaxpose.recordings.ahead import THREADS, map_ahead
from jaxpose.recordings.folder import of_images
from jaxpose.recordings.png import image_size, read_depth
from jaxpose.recordings.recording import Recording, check_size

__all__ = ["Infant", "find_sheets", "hide_outside", "read_depth", "read_frames", "read_infants"]


@dataclasses.dataclass(frozen=True, eq=False)
class Infant:
    """One infant's annotated frames.

    Attributes:
      sheet: the annotations of the frames that have an image.
      images: the depth PNG of each frame of the sheet.
      bits: 16 = depth in mm; 8 = grey levels, where the folder has no 16-bit image at all.
      recording: the same images as a recording.
    """

    sheet: Sheet
    images: tuple[Path, ...]
    bits: int
    recording: Recording

    @functools.cached_property
    def joints(self) -> tuple[Float[np.ndarray, "n 12 2"], Bool[np.ndarray, "n 12"]]:
        """Joints (x, y) px, and whether each is visible: annotated, and inside the image."""
        return hide_outside(self.sheet.joints, self.recording.size[::-1])


def read_infants(
    root: Path,
    report: Report = raise_first,
    remark: Report = ignore,
    *,
    row_order: bool = False,
) -> list[Infant]:
    """Reads every sheet below `root` and pairs it with its images, which are not decoded.

    Infants are sorted by number. Their frames are, too, unless `row_order` asks for the order of
    the sheet's rows. `report` is called once per problem, `remark` once per remark.
    """
    infants = []
    for path in find_sheets(root, report, remark):
        sheet = read_sheet(path, report, remark)
        if sheet is not None:
            infant = _pair(sheet if row_order else sheet.in_time_order(), report)
            if infant is not None:
                infants.append(infant)
    return infants


def read_frames(
    infants: list[Infant], report: Report = raise_first, *, threads: int = THREADS
) -> Iterator[tuple[Infant, int, UInt16[np.ndarray, "h w"] | None]]:
    """Yields (infant, index of the frame in its sheet, depth) of every frame.

    All depth images have one size. Depth is in mm, or grey levels of an infant with 8-bit images,
    and never rescaled; it is None where the image is unusable, which is reported.
    """
    for infant in infants:
        size = infants[0].recording.size
        read = functools.partial(_read, infant, size)
        for index, depth in enumerate(map_ahead(read, range(len(infant.images)), threads)):
            if isinstance(depth, DataError):
                sheet = infant.sheet
                report(Problem(str(sheet.path), int(sheet.rows[index]), str(depth)))
                depth = None
            yield infant, index, depth


def hide_outside(
    joints: Float[np.ndarray, "*n 2"], size: tuple[int, int]
) -> tuple[Float[np.ndarray, "*n 2"], Bool[np.ndarray, "*n"]]:
    """Replaces joints (x, y) px outside an image of `size` (h, w) by (-1, -1), which is missing.

    Returns the joints, and whether each is visible. Pixel (0, 0) reaches from -0.5 to 0.5, so the
    image ends at w - 0.5 and h - 0.5.
    """
    h, w = size
    visible = ((joints >= -0.5) & (joints < (w - 0.5, h - 0.5))).all(-1)
    return np.where(visible[..., None], joints, np.float32(-1)), visible


def _read(
    infant: Infant, size: tuple[int, int], index: int
) -> UInt16[np.ndarray, "h w"] | DataError:
    """Reads the depth of one frame; returns the error where it cannot be used."""
    try:
        depth = infant.recording.read(index)
        check_size(depth, size, str(infant.images[index]))
    except DataError as error:
        return error
    return depth


def _pair(sheet: Sheet, report: Report) -> Infant | None:
    """Pairs every frame with its image: 16 bits, or 8 where the sheet has no 16-bit image at all.

    Frames without an image are reported and left out. None where no image is usable.
    """
    folder = image_folder(sheet)
    for bits in (16, 8):
        images = tuple(folder / f"{number}_{bits}bit.png" for number in sheet.numbers)
        present = np.array([image.is_file() for image in images])
        if present.any():
            break
    else:
        what = f"none of its images exists; put <number>_16bit.png into {folder}"
        report(Problem(str(sheet.path), None, what))
        return None
    for k in np.flatnonzero(~present):
        what = f"{images[k]} is missing; copy it to this place or remove the row"
        report(Problem(str(sheet.path), int(sheet.rows[k]), what))
    rows = np.flatnonzero(present)
    sheet, images = sheet.take(rows), tuple(images[k] for k in rows)
    size = next((size for image in images if (size := image_size(image))), None)
    if size is None:
        return _report_damaged(sheet, images, bits, report)
    recording = of_images(
        sheet.frames.tolist(), images, subject=sheet.subject, size=size, source=folder, bits=bits
    )
    return Infant(sheet=sheet, images=images, bits=bits, recording=recording)


def _report_damaged(sheet: Sheet, images: tuple[Path, ...], bits: int, report: Report) -> None:
    """Reports every image of an infant none of whose images has an undamaged header."""
    for image, row in zip(images, sheet.rows, strict=True):
        try:
            read_depth(image, bits)
        except DataError as error:
            report(Problem(str(sheet.path), int(row), str(error)))
