"""An image of a camera -> the part of it that the nets see, cut and turned."""

import dataclasses

import numpy as np
from jaxtyping import UInt16

from jaxpose.body import geometry
from jaxpose.errors import DataError
from jaxpose.recordings.orientation import TURNS, Box, turn, turn_box, widened


@dataclasses.dataclass(frozen=True)
class View:
    """What the nets see of a recording's images.

    Attributes:
      crop: (x, y, width, height) px of the camera's image, inside of it; None: all of it. It gets
        empty margins where its proportions are not those of the nets' grid.
      turn: degrees clockwise by which images are turned first, one of 0, 90, 180, 270. The infant's
        head must point to the same side as in the model's training.
      stretch: stretch the crop to the grid's proportions instead, as in the training on recordings
        that have a crop of their own.
    """

    crop: Box | None = None
    turn: int = 0
    stretch: bool = False

    def __post_init__(self):
        if self.crop is not None:
            geometry.check_crop(self.crop)
        if self.turn not in TURNS:
            raise DataError(f"a turn by {self.turn} degrees; expected one of 0, 90, 180, 270")

    def within(self, crop: Box | None) -> "View":
        """Returns this view of a recording that has a crop of its own, which another replaces."""
        if crop is None or self.crop is not None:
            return self
        return dataclasses.replace(self, crop=crop, stretch=True)

    def image(self, depth_mm: UInt16[np.ndarray, "h w"]) -> UInt16[np.ndarray, "_ _"]:
        """Returns an image without depth outside of the crop, turned."""
        return turn(cut(depth_mm, self.crop), self.turn)

    def part(self, size: tuple[int, int]) -> Box:
        """Returns the part of the turned image that the crop leaves, all of it without a crop.

        `size` is the (width, height) px of the image before it is turned.

        Raises:
          DataError: the crop is not inside of the image.
        """
        if self.crop is not None:
            check_inside(self.crop, size)
        return turn_box(self.crop or (0, 0, *size), size, self.turn)

    def box(self, size: tuple[int, int], grid: tuple[int, int]) -> Box:
        """Returns what the nets' `grid` (rows, columns) covers: `part` with its margins.

        Arguments and errors are those of `part`.
        """
        box = self.part(size)
        return box if self.stretch else widened(box, grid[1] / grid[0])


def check_inside(crop: Box, size: tuple[int, int]) -> None:
    """Checks that a crop (x, y, width, height) is inside of an image of `size` (width, height).

    Raises:
      DataError: it is not.
    """
    x, y, width, height = crop
    if x < 0 or y < 0 or x + width > size[0] or y + height > size[1]:
        raise DataError(
            f"the crop {x},{y},{width},{height} reaches beyond images of {size[0]}x{size[1]} "
            "pixels; expected X,Y,WIDTH,HEIGHT in px of the image, inside of it"
        )


def cropped(depth_mm: UInt16[np.ndarray, "h w"], crop: Box | None) -> UInt16[np.ndarray, "_ _"]:
    """Returns the part of an image that a crop (x, y, width, height) inside of it leaves."""
    if crop is None:
        return depth_mm
    x, y, width, height = crop
    return depth_mm[y : y + height, x : x + width]


def cut(depth_mm: UInt16[np.ndarray, "h w"], crop: Box | None) -> UInt16[np.ndarray, "h w"]:
    """Returns an image without depth outside of the crop (x, y, width, height)."""
    if crop is None:
        return depth_mm
    alone = np.zeros_like(depth_mm)
    cropped(alone, crop)[:] = cropped(depth_mm, crop)
    return alone
