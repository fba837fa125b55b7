"""Any folder of depth images, PNG or TIFF, whose names hold numbers -> a source.

The last number in a name is the frame's; a decimal number, such as a time, is refused. In a
sequence cam1.0001, cam1.0002 the digits after the point are the number. A gap in the
numbers is a gap in time. timestamps.csv, with the columns `frame` and `time_s`, replaces the times
that follow from the rate.
"""

import csv
import dataclasses
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16
from PIL import Image

from jaxpose.errors import DataError
from jaxpose.recordings import png
from jaxpose.recordings.decode import decoded
from jaxpose.recordings.folder import IMAGE_NAME
from jaxpose.recordings.numbering import absent_before
from jaxpose.recordings.recording import RATE_HZ, Recording
from jaxpose.recordings.source import MILLIMETRES, Reading, Source, Units, in_mm, of_recording

SUFFIXES = (".png", ".tif", ".tiff")
TIMES = "timestamps.csv"
DECIMAL = re.compile(r"(([0-9]+)\.([0-9]+))[^0-9]*$")
"""A decimal number, such as a time in seconds, at the end of a name: all of it, and both parts."""
LONGEST_STEP = 10
"""Median step of digits after a point below which they count images, see `_is_sequence`."""
LARGEST = 2**53
"""Largest number in a name; of larger ones, neighbours have the same time."""


def open_images(folder: Path, *, rate_hz: float = RATE_HZ, units: Units = MILLIMETRES) -> Source:
    """Opens a folder: all its `<n>_16bit.png`, or else all its PNGs or TIFFs.

    Raises:
      DataError: no images, a name without a number or with a decimal one, two with one number,
        images of several sizes, a file of several pages, an image of another kind without a scale,
        too large a gap in the numbers, or an unusable timestamps.csv.
    """
    images = _numbered(folder)
    numbers = sorted(images)
    try:
        absent_before(np.array(numbers))
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None
    sizes = {n: s for n in numbers if (s := _size(images[n])) is not None}
    first = next((n for n in numbers if n in sizes), numbers[0])
    for number, size in sizes.items():
        if size != sizes[first]:
            raise DataError(
                f"{images[number]}: {size[0]}x{size[1]} pixels; {images[first].name} has "
                f"{sizes[first][0]}x{sizes[first][1]}; use one size for all frames of a recording"
            )
    for path in images.values():
        _check_pages(path)
    files, bits = [images[n] for n in numbers], _bits(images[first], units)
    width, height = sizes.get(first, (0, 0))
    recording = Recording(
        subject=folder.name,
        sequence="",
        source=folder,
        size=(width, height),
        crop=(0, 0, width, height),
        numbers=tuple(numbers),
        read=lambda index: _read(files[index], bits, units),
        rate_hz=rate_hz,
    )
    source = of_recording(recording, folder.resolve().name)
    source = dataclasses.replace(source, image_name=lambda number: images[number].name)
    if not (folder / TIMES).exists():
        _check_rate(folder, numbers, rate_hz)
        return source
    times = _times(folder / TIMES, numbers)

    def read() -> Iterator[Reading]:
        for reading in source.read():
            time_s = times[reading.frame.number]
            yield reading._replace(frame=reading.frame._replace(time_s=time_s))

    return dataclasses.replace(source, read=read, times=TIMES)


def image_files(folder: Path) -> list[Path]:
    """Returns the images in a folder by name, without hidden files."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _numbered(folder: Path) -> dict[int, Path]:
    """Returns the images by number."""
    files = image_files(folder)
    chosen = [f for f in files if IMAGE_NAME.fullmatch(f.name)] or files
    if not chosen:
        raise DataError(
            f"{folder}: no depth images; expected 16-bit PNG or TIFF files with numbers in their "
            "names, such as 17_16bit.png or depth_0017.tiff"
        )
    images: dict[int, Path] = {}
    stems = [path.stem.removesuffix("_16bit") for path in chosen]
    sequence = _is_sequence(stems)
    for path, name in zip(chosen, stems, strict=True):
        if not sequence and (decimal := DECIMAL.search(name)):
            raise DataError(
                f"{path}: {decimal[1]} is no number of a frame; name the images 1, 2, 3 ... in the "
                f"order of their times, and write the times into {TIMES} (frame,time_s)"
            )
        found = re.findall(r"[0-9]+", name)
        if not found:
            raise DataError(f"{path}: no number in the name; expected one, such as depth_0017.png")
        number = int(found[-1])
        if number > LARGEST:
            raise DataError(
                f"{path}: {number} is too large for the number of a frame; expected up to {LARGEST}"
            )
        if number in images:
            raise DataError(f"{path}: {images[number].name} has the same number; remove one")
        images[number] = path
    return images


def _is_sequence(stems: list[str]) -> bool:
    """Tells whether names such as cam1.0001, cam1.0002 hold a number after a point, and no decimal.

    What is before the point is equal in all, what follows has equally many digits, 3 or more, and
    counts: as times, the images would be over 100 per second.
    """
    found = [DECIMAL.search(stem) for stem in stems]
    if len(found) < 2 or None in found:
        return False
    digits = sorted(decimal[3] for decimal in found)
    if len({(decimal[2], len(decimal[3])) for decimal in found}) > 1 or len(digits[0]) < 3:
        return False
    return float(np.median(np.diff([int(text) for text in digits]))) < LONGEST_STEP


def _size(path: Path) -> tuple[int, int] | None:
    """Reads (width, height) px from an image's header; None where that is damaged."""
    if path.suffix.lower() == ".png":
        return png.image_size(path)
    return _of_tiff(path, lambda image: image.size)


def _of_tiff(path: Path, read: Callable[[Any], Any]) -> Any:
    """Returns what `read` takes from a TIFF that Pillow opened; None where that is damaged."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return read(image)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises on damage
        return None


def _check_rate(folder: Path, numbers: list[int], rate_hz: float) -> None:
    """Raises `DataError` where two numbers are so large that they have one time."""
    for before, number in zip(numbers, numbers[1:], strict=False):
        if not before / rate_hz < number / rate_hz:
            raise DataError(
                f"{folder}: frames {before} and {number} have one time at --rate={rate_hz:g}; name "
                f"the images 1, 2, 3 ..., and write their times into {TIMES} (frame,time_s)"
            )


def _check_pages(path: Path) -> None:
    """Raises `DataError` for a TIFF of several pages, of which only the first would be read."""
    if path.suffix.lower() == ".png":
        return
    pages = _of_tiff(path, lambda image: image.n_frames)
    if pages is not None and pages > 1:
        raise DataError(
            f"{path}: {pages} pages; expected one image per file; export single images, or all "
            "frames as one .npy [frames rows columns]"
        )


def _bits(path: Path, units: Units) -> int:
    """Returns the bits of a recording's images, by the first that is complete.

    Raises:
      DataError: they are no single-channel images of 16 bits, and there is no scale.
    """
    try:
        image = decoded(path.read_bytes())
    except OSError:
        image = None
    if image is None:
        return 16
    if image.ndim != 2:
        raise DataError(f"{path}: {image.shape[2]} channels; expected one, of raw depth")
    in_mm(np.zeros((1, 1), image.dtype), units, str(path))
    return 8 * image.dtype.itemsize


def _read(path: Path, bits: int, units: Units) -> UInt16[np.ndarray, "h w"]:
    """Reads one image in mm."""
    if path.suffix.lower() == ".png":
        return in_mm(png.read_depth(path, bits, in_units=True), units, str(path))
    try:
        image = decoded(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); copy it again") from error
    if image is None or image.ndim != 2:
        raise DataError(f"{path}: not a complete single-channel TIFF; copy it again")
    return in_mm(image, units, str(path))


def _times(path: Path, numbers: list[int]) -> dict[int, float]:
    """Reads the time of every frame."""
    expected = f"expected the columns frame and time_s, and a row per frame, {len(numbers)} in all"
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            times = {int(row["frame"]): float(row["time_s"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {expected}") from error
    for number in numbers:
        if not math.isfinite(times.get(number, math.nan)):
            raise DataError(f"{path}: no time of frame {number}; {expected}")
    for before, number in zip(numbers, numbers[1:], strict=False):
        if times[number] <= times[before]:
            raise DataError(f"{path}: the time of frame {number} is not after that of {before}")
    return times
