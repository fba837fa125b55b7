"""A data set's own files -> its annotated frames, one by one: the only reader of each data set.

The TFDS builders and `data_pipeline.load` both take their frames from here.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt16

from data_pipeline.babypose.frames import Infant, hide_outside, read_frames, read_infants
from data_pipeline.utd_mhad import recordings as utd


class AnnotatedFrame(NamedTuple):
    """One annotated frame, as `data_pipeline.schema` describes it.

    Attributes:
      subject: the infant's or the person's id.
      sequence: the recording within the subject.
      number: number of the raw frame within the recording.
      depth_mm: mm at the sensor's size, 0 = no return (grey levels where there are only 8 bits).
      joints: (x, y) px of that image, (-1, -1) where not visible.
      visible: whether each joint is annotated and inside the image.
      crop: (x, y, width, height) px of the image: the part that the nets see.
    """

    subject: str
    sequence: str
    number: int
    depth_mm: UInt16[np.ndarray, "h w"]
    joints: Float[np.ndarray, "12 2"]
    visible: Bool[np.ndarray, "12"]
    crop: tuple[int, int, int, int]


class Source(NamedTuple):
    """The frames of a data set.

    Attributes:
      count: number of frames.
      frames: yields them in order, reading each file once. Raises `DataError` for a damaged file.
    """

    count: int
    frames: Callable[[], Iterator[AnnotatedFrame]]


def babypose(folder: Path, config: str) -> Source:
    """A folder in babyPose's layout, see `data_pipeline.babypose.frames`.

    Raises:
      DataError: sheets or images that cannot be used.
    """
    infants = read_infants(folder, row_order=config == "row_order")
    for infant in infants:
        if infant.bits == 8:
            warnings.warn(
                f"{infant.images[0].parent} has no 16-bit images: the depth of infant "
                f"{infant.sheet.subject} will be grey levels (0-255), not millimetres",
                stacklevel=2,
            )
    return Source(
        count=sum(len(infant.images) for infant in infants),
        frames=lambda: _babypose_frames(infants),
    )


def _babypose_frames(infants: list[Infant]) -> Iterator[AnnotatedFrame]:
    for infant, index, depth in read_frames(infants):
        rows, columns = depth.shape
        joints, visible = hide_outside(infant.sheet.joints[index], (rows, columns))
        yield AnnotatedFrame(
            subject=infant.sheet.subject,
            sequence="",
            number=int(infant.sheet.frames[index]),
            depth_mm=depth.astype(np.uint16),
            joints=joints,
            visible=visible,
            crop=(0, 0, columns, rows),
        )


def utd_mhad(folder: Path, config: str) -> Source:
    """A folder with UTD-MHAD's Depth/ and Skeleton/; `config` is every5 or every1.

    Raises:
      DataError: files that are missing or cannot be used.
    """
    every = int(config.removeprefix("every"))
    recordings = utd.usable(utd.find_recordings(folder), every)
    return Source(
        count=sum(recordings.values()),
        frames=lambda: _utd_frames(list(recordings), every),
    )


def _utd_frames(recordings: list[utd.Recording], every: int) -> Iterator[AnnotatedFrame]:
    for recording in recordings:
        frames = utd.read(recording, every)
        for depth, joints, visible, number in zip(*frames[:4], strict=True):
            yield AnnotatedFrame(
                subject=str(recording.subject),
                sequence=recording.sequence,
                number=int(number),
                depth_mm=depth,
                joints=joints,
                visible=visible,
                crop=tuple(int(v) for v in frames.crop),
            )


SOURCES: dict[str, Callable[[Path, str], Source]] = {
    "simulated": babypose,
    "utd_mhad": utd_mhad,
    "babypose": babypose,
}
"""Data set -> its reader: (folder, configuration) -> frames."""
