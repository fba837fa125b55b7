"""A data set's own files -> its annotated frames, one by one.

The TFDS builders and `data_pipeline.load` both read through the functions of this module.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt16
from tqdm import tqdm

from data_pipeline.babypose.rules import Findings, FolderError, read_folder
from data_pipeline.errors import DataError
from data_pipeline.utd_mhad import recordings as utd
from jaxpose.recordings.ahead import THREADS, map_ahead
from jaxpose.recordings.recording import Recording


class AnnotatedFrame(NamedTuple):
    """One annotated frame; `data_pipeline.schema` describes how it is stored.

    Attributes:
      recording: identity, image size and crop of the recording that the frame belongs to.
      number: number of the raw frame within the recording.
      depth_mm: mm at the sensor's size, 0 = no return (grey levels where there are only 8 bits).
      joints: (x, y) px of that image, (-1, -1) where not visible.
      visible: whether each joint is annotated and inside the image.
      image: PNG file with exactly this depth; None where there is none.
    """

    recording: Recording
    number: int
    depth_mm: UInt16[np.ndarray, "h w"]
    joints: Float[np.ndarray, "12 2"]
    visible: Bool[np.ndarray, "12"]
    image: Path | None = None


Source = Callable[[Path, str], Iterator[AnnotatedFrame]]
"""(folder, configuration) -> frames in order; each file is read once. Raises `DataError`."""


def babypose(folder: Path, config: str) -> Iterator[AnnotatedFrame]:
    """Yields the frames of a folder in babyPose's layout (`data_pipeline.babypose.frames`).

    `config` is time_order or row_order. Remarks are printed to stderr after the last frame.

    Raises:
      FolderError: the folder has problems. It is raised after every image was read, with all of
        them.
    """
    findings = Findings()
    for infant, index, depth in read_folder(folder, findings, row_order=config == "row_order"):
        if depth is None or findings.problems:
            continue
        joints, visible = infant.joints
        yield AnnotatedFrame(
            recording=infant.recording,
            number=infant.recording.numbers[index],
            depth_mm=depth,
            joints=joints[index],
            visible=visible[index],
            image=infant.images[index] if infant.bits == 16 else None,
        )
    findings.print_remarks()
    if findings.problems:
        raise FolderError(findings)


def utd_mhad(folder: Path, config: str) -> Iterator[AnnotatedFrame]:
    """Yields the frames of a folder with UTD-MHAD's Depth/ and Skeleton/.

    `config` is every5 or every1: the raw frames that are used. Frames are sorted by subject,
    action, trial and number. A recording that is too short is left out with a warning.

    Raises:
      DataError: files are missing or damaged, or no recording is long enough.
    """
    every = int(config.removeprefix("every"))
    pairs = utd.find_recordings(folder)
    results = map_ahead(functools.partial(_read_pair, every=every), pairs, THREADS)
    used = 0
    for result in tqdm(results, f"reading {folder}", total=len(pairs), unit="file", leave=False):
        if isinstance(result, utd.TooShort):
            warnings.warn(f"left out: {result}", stacklevel=2)
            continue
        used += 1
        frames = zip(result.recording.frames(), result.joints, result.visible, strict=True)
        for frame, joints, visible in frames:
            yield AnnotatedFrame(result.recording, frame.number, frame.depth_mm, joints, visible)
    if not used:
        raise DataError(
            f"none of the {len(pairs)} recordings has {utd.MIN_FRAMES} frames at every={every}; "
            "use frames more often or add longer recordings"
        )


def _read_pair(pair: utd.Pair, every: int) -> utd.Annotated | utd.TooShort:
    try:
        return utd.read(pair, every)
    except utd.TooShort as error:
        return error


SOURCES: dict[str, Source] = {
    "simulated": babypose,
    "utd_mhad": utd_mhad,
    "babypose": babypose,
}
"""Name of a data set -> the function that reads it."""
