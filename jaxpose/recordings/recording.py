"""A recording: an iterator of frames, and what holds for all of them."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped, UInt16

from jaxpose.errors import DataError
from jaxpose.recordings.ahead import map_ahead

RATE_HZ = 30.0
"""Raw frames per second of the sensors of babyPose (Orbbec Astra Mini S) and UTD-MHAD (Kinect)."""
DEEPEST_MM = 6553
"""Greatest depth that is accepted: what the 16 bits of a prepared file hold in tenths of 1 mm.

A bed or a person is nearer. Some sensors write 65535 where there is no return; the limit refuses
such images, so that those pixels are never averaged into depth.
"""


class Frame(NamedTuple):
    """One depth image.

    Attributes:
      number: number of the raw frame within the recording.
      time_s: seconds since raw frame 0, from the number and the recording's rate.
      depth_mm: depth in mm at the sensor's size, 0 where there is no return; None if the image
        could not be read (only where a reader says so).
    """

    number: int
    time_s: float
    depth_mm: UInt16[np.ndarray, "h w"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """The depth images of one camera, of which only a few at a time are in memory.

    Attributes:
      subject: the infant's or the person's id; what a split by infant keeps apart.
      sequence: the recording within the subject, "" where there is only one.
      source: the file or the folder that it comes from.
      size: (width, height) px of every image.
      crop: (x, y, width, height) px of the image: the part that the nets see. It covers the pixels
        x ... x + width - 1.
      numbers: number of each raw frame, in the order in which `frames` yields them.
      read: index into `numbers` -> depth in mm. Raises `DataError` for an unusable image. Several
        threads may call it at once.
      rate_hz: raw frames per second.
    """

    subject: str
    sequence: str
    source: Path
    size: tuple[int, int]
    crop: tuple[int, int, int, int]
    numbers: tuple[int, ...]
    read: Callable[[int], UInt16[np.ndarray, "h w"]]
    rate_hz: float = RATE_HZ

    def __len__(self) -> int:
        return len(self.numbers)

    def frames(self, threads: int = 1) -> Iterator[Frame]:
        """Yields the frames one by one, read by `threads` threads a few frames ahead.

        Raises:
          DataError: an image is unusable, or has another size than `size`.
        """
        depths = map_ahead(self.read, range(len(self)), threads)
        for number, depth in zip(self.numbers, depths, strict=True):
            check_size(depth, self.size, f"{self.source}, frame {number}")
            yield Frame(number, number / self.rate_hz, depth)


def check_rate(rate_hz: float) -> None:
    """Raises `ValueError` for a number of frames per second that is not above 0."""
    if not 0 < rate_hz < math.inf:
        raise ValueError(f"rate_hz={rate_hz:g}: expected a number of frames per second above 0")


def as_seconds(times, name: str) -> Float[np.ndarray, " n"]:
    """Returns times in seconds as float64; `name` is their name.

    Raises:
      DataError: they are not [n] numbers, or one of them is not finite.
    """
    times = np.asarray(times)
    if times.ndim != 1 or times.dtype.kind not in "uif":
        raise DataError(f"{name} is {times.dtype} {[*times.shape]}; expected [n] numbers, seconds")
    times = times.astype(np.float64)
    infinite = np.flatnonzero(~np.isfinite(times))
    if infinite.size:
        index = infinite[0]
        raise DataError(f"{name} of frame {index} is {times[index]}; expected a finite number")
    return times


def check_size(depth: Shaped[np.ndarray, "h w"], size: tuple[int, int], name: str) -> None:
    """Checks that an image has the recording's `size` (width, height); `name` is its name.

    Raises:
      DataError: it has another size.
    """
    height, width = depth.shape
    if (width, height) != size:
        raise DataError(
            f"{name}: {width}x{height} pixels; expected {size[0]}x{size[1]} as in the images "
            "before; use one size for all images, or remove this one"
        )


def check_depth(depth: UInt16[np.ndarray, "..."], name: str, remedy: str = "") -> None:
    """Checks that no pixel is deeper than `DEEPEST_MM`.

    `name` is the image's name, `remedy` what else the message says can be done.

    Raises:
      DataError: one is.
    """
    deepest = depth.max(initial=0)
    if deepest > DEEPEST_MM:
        raise DataError(
            f"{name}: depth of up to {deepest} mm; expected at most {DEEPEST_MM} mm; deeper are "
            f"{np.count_nonzero(depth > DEEPEST_MM)} of {depth.size} pixels: store millimetres, "
            f"and 0 where the sensor had no return{remedy}"
        )
