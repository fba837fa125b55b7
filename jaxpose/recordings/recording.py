"""A recording: an iterator of frames, and what holds for all of them."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt16

RATE_HZ = 30.0
"""Raw frames per second of the sensors of babyPose (Orbbec Astra Mini S) and UTD-MHAD (Kinect)."""


class Frame(NamedTuple):
    """One depth image.

    Attributes:
      number: number of the raw frame within the recording.
      time_s: seconds since raw frame 0, from the number and the recording's rate.
      depth_mm: depth in mm at the sensor's size, 0 where there is no return.
    """

    number: int
    time_s: float
    depth_mm: UInt16[np.ndarray, "h w"]


@dataclasses.dataclass(frozen=True)
class Recording:
    """Consecutive depth images of one camera.

    Attributes:
      subject: the infant's or the person's id.
      sequence: the recording within the subject, "" where there is only one.
      source: the file or the folder that it comes from.
      numbers: number of each raw frame, in the order in which `frames` yields them.
      crop: (x, y, width, height) px of the image, the part that the nets see; None: all of it.
      read: index into `numbers` -> depth in mm. Raises `DataError` for an unusable image.
      rate_hz: raw frames per second.
    """

    subject: str
    sequence: str
    source: Path
    numbers: tuple[int, ...]
    crop: tuple[int, int, int, int] | None
    read: Callable[[int], UInt16[np.ndarray, "h w"]]
    rate_hz: float = RATE_HZ

    def __len__(self) -> int:
        return len(self.numbers)

    def frames(self) -> Iterator[Frame]:
        """Yields the frames one by one, one image in memory at a time; anew at every call."""
        for index, number in enumerate(self.numbers):
            yield Frame(number, number / self.rate_hz, self.read(index))
