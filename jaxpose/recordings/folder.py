"""A folder of numbered depth images -> one recording.

<n>_16bit.png   uint16 depth in mm, n = number of the raw frame
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from jaxpose.errors import DataError
from jaxpose.recordings.png import image_size, read_depth
from jaxpose.recordings.recording import Recording

IMAGE_NAME = re.compile(r"([0-9]+)_16bit\.png")


def open_folder(folder: Path, subject: str | None = None) -> Recording:
    """Opens every `<n>_16bit.png` of `folder` as one recording, in the order of the numbers n.

    `subject` is the folder's name by default.

    Raises:
      DataError: no such folder, no such image in it, two images with one number, or the first
        image is no complete PNG.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder with <n>_16bit.png")
    images: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if match := IMAGE_NAME.fullmatch(path.name):
            number = int(match[1])
            if number in images:
                raise DataError(
                    f"{path}: {images[number]} has the same number; remove one of the two"
                )
            images[number] = path
    if not images:
        raise DataError(
            f"{folder}: no depth images; expected <n>_16bit.png, uint16 depth in mm, n being the "
            "number of the frame"
        )
    numbers = sorted(images)
    first = images[numbers[0]]
    size = image_size(first)
    if size is None:
        raise DataError(f"{first}: not a complete PNG (truncated or damaged); copy it again")
    paths = [images[number] for number in numbers]
    return of_images(
        numbers, paths, subject=subject or folder.resolve().name, size=size, source=folder
    )


def of_images(
    numbers: Sequence[int],
    images: Sequence[Path],
    *,
    subject: str,
    size: tuple[int, int],
    source: Path,
    bits: int = 16,
) -> Recording:
    """Returns the recording of images and their numbers; its crop is the whole image.

    `size` is (width, height) px; `source` is the file or folder that messages name. With 8 bits,
    "depth" is grey levels (0 to 255).
    """
    return Recording(
        subject=subject,
        sequence="",
        source=source,
        size=size,
        crop=(0, 0, *size),
        numbers=tuple(numbers),
        read=functools.partial(_read, tuple(images), bits),
    )


def _read(images: tuple[Path, ...], bits: int, index: int) -> UInt16[np.ndarray, "h w"]:
    return read_depth(images[index], bits).astype(np.uint16, copy=False)
