"""A recording as it is predicted: its readings, one after the other, whatever they come from.

Every reading has a number and a time. An image that cannot be read is a reading without depth, with
the reason, so that the rest of the recording goes on.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt16

from jaxpose.errors import DataError
from jaxpose.recordings.ahead import THREADS, map_ahead
from jaxpose.recordings.orientation import Box
from jaxpose.recordings.recording import Frame, Recording, check_depth


class Reading(NamedTuple):
    """A frame, and why it has no depth; "" if it has."""

    frame: Frame
    problem: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A recording of known or unknown length.

    Attributes:
      name: the folder's or file's name; results are named after it.
      path: where it comes from, for messages.
      count: number of frames; None if that is unknown until the end.
      read: begins again at the first frame and yields all readings.
      crop: (x, y, width, height) px of the part that the nets see; None: the whole image.
      intrinsics_file: file with the camera's intrinsics beside the frames, if there is one.
      image_name: number of a frame -> the name of its file; None where a file holds all frames.
      state: hash of the files' names, sizes and times; None for a stream.
      times: where the times of frames are from; "" if from their numbers and the rate that was
        passed.
    """

    name: str
    path: str
    count: int | None
    read: Callable[[], Iterator[Reading]]
    crop: Box | None = None
    intrinsics_file: Path | None = None
    image_name: Callable[[int], str] | None = None
    state: str | None = None
    times: str = ""


@dataclasses.dataclass(frozen=True)
class Units:
    """What the values of depth images mean.

    Attributes:
      mm_per_unit: millimetres of one unit; None: uint16 in mm.
      farthest_mm: larger depth counts as no depth; None: it makes an image unusable above
        `DEEPEST_MM`.
    """

    mm_per_unit: float | None = None
    farthest_mm: float | None = None


MILLIMETRES = Units()
"""uint16 in mm."""


def of_recording(recording: Recording, name: str, crop: Box | None = None) -> Source:
    """Returns a recording as a source; images are read by a few threads ahead."""

    def attempt(index: int) -> UInt16[np.ndarray, "h w"] | DataError:
        try:
            return recording.read(index)
        except DataError as error:
            return error

    def read() -> Iterator[Reading]:
        depths = map_ahead(attempt, range(len(recording)), THREADS)
        for index, depth in enumerate(depths):
            number = recording.numbers[index]
            yield reading(number, number / recording.rate_hz, depth)

    camera = recording.source / "camera.json"
    return Source(
        name=name,
        path=str(recording.source),
        count=len(recording),
        read=read,
        crop=crop,
        intrinsics_file=camera if camera.is_file() else None,
    )


def of_one_size(source: Source) -> Source:
    """Returns the source with frames of another size than the first as readings without depth."""

    def read() -> Iterator[Reading]:
        size = None
        for one in source.read():
            number, time_s, depth = one.frame
            if depth is not None:
                size = size or depth.shape
                if depth.shape != size:
                    one = reading(number, time_s, DataError(_other_size(number, depth.shape, size)))
            yield one

    return dataclasses.replace(source, read=read)


def _other_size(number: int, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    given, before = ("x".join(map(str, reversed(sides))) for sides in (shape, expected))
    return (
        f"frame {number}: {given} pixels; expected {before} as in the first frame; use one size "
        "for all frames of a recording"
    )


def reading(number: int, time_s: float, depth: np.ndarray | DataError) -> Reading:
    """Returns one reading: of a depth image, or of the error that came instead."""
    if isinstance(depth, DataError):
        return Reading(Frame(number, time_s, None), str(depth))
    if not depth.any():
        return Reading(Frame(number, time_s, None), "every pixel is 0, which means no depth")
    return Reading(Frame(number, time_s, depth))


def reading_in_mm(number: int, time_s: float, image: np.ndarray, units: Units) -> Reading:
    """Returns the reading of an image of these units."""
    try:
        return reading(number, time_s, in_mm(image, units, f"frame {number}"))
    except DataError as error:
        return reading(number, time_s, error)


def in_mm(
    image: Shaped[np.ndarray, "*n h w"], units: Units, name: str
) -> UInt16[np.ndarray, "*n h w"]:
    """Converts an image to whole millimetres, 0 where there is no depth.

    Any byte order is accepted. What is not finite or negative is no depth.

    Raises:
      DataError: another type than uint16 without a scale, or depth above `DEEPEST_MM`.
    """
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if units.mm_per_unit is None:
        if image.dtype != np.uint16:
            raise DataError(
                f"{name}: {image.dtype}; expected uint16 depth in mm; say what one unit is: "
                "--mm_per_unit=1000 for metres, --mm_per_unit=X for grey levels of X mm each"
            )
        depth = image
    else:
        values = np.nan_to_num(image.astype(np.float64), nan=0, posinf=0, neginf=0)
        depth = np.clip(np.round(values * units.mm_per_unit), 0, 65535).astype(np.uint16)
    if units.farthest_mm is not None:
        depth = np.where(depth > units.farthest_mm, np.uint16(0), depth)
    check_depth(depth, name, "; or let depth beyond MM count as none: --farthest=MM")
    return depth
