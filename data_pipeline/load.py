"""A data set's own files -> `Frames` on the net's grid.

    files -> annotated frames, one by one -> depth by area mean, joints through the crop -> one file

The result is stored in the cache folder. Its name has a hash of all that it depends on, so a second
run starts at once, and a changed source is read again.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipeline.datasets import DATASETS
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import (
    FORMAT,
    Frames,
    load,
    save,
    usual_step,
)
from data_pipeline.locks import locked
from data_pipeline.sources import SOURCES, AnnotatedFrame
from jaxpose.body.geometry import depth_to_grid, inside, joints_to_grid
from jaxpose.files import remove_parts
from jaxpose.recordings.orientation import Box, widened
from jaxpose.recordings.recording import Recording

LOADER = 4
"""Version of what this module computes from the same files. Raise it when that changes."""
SUFFIXES = (".mat", ".png", ".csv", ".xlsx")
"""Suffixes of the files that data sets consist of."""


def load_frames(
    dataset: str, data_dir: Path, grid: tuple[int, int], cache_dir: Path, config: str | None = None
) -> Frames:
    """Returns a data set on a grid (rows, columns), from `cache_dir` where it was read before.

    `config` is one of the data set's configurations, by default its first. One process at a time
    reads; others wait for it.

    Raises:
      DataError: the data set is unknown, or its files cannot be used.
    """
    if dataset not in DATASETS:
        raise DataError(f"unknown data set {dataset!r}; one of: {', '.join(DATASETS)}")
    config = config or DATASETS[dataset].configs[0]
    key = fingerprint(dataset, data_dir, config)
    stored = cache_dir / f"{dataset}-{key}-{grid[1]}x{grid[0]}.npz"
    with locked(stored):
        frames = _cached(stored)
        if frames is None:
            remove_parts(stored)
            save(read(dataset, data_dir, grid, config), stored)
            frames = load(stored)
    return frames


def _cached(stored: Path) -> Frames | None:
    """Reads a file of the cache; None if it is missing or damaged."""
    try:
        return load(stored)
    except DataError:
        return None


def fingerprint(dataset: str, data_dir: Path, config: str) -> str:
    """Returns a hash of all that a loaded data set depends on, 12 hexadecimal digits.

    Of the files it covers names, sizes and times: reading their contents would take as long as
    loading them. It covers the version of the loader, too.

    Raises:
      DataError: the folder does not exist, or has none of the data set's files.
    """
    expected = f"expected the files of {dataset}: {DATASETS[dataset].layout}"
    if not os.path.isdir(data_dir):  # Path.is_dir raises where a name is too long
        raise DataError(f"{data_dir}: no such folder; {expected}")
    files = sorted(p for p in walk(data_dir) if p.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{data_dir}: no data in this folder; {expected}")
    listed = []
    for path in files:
        state = path.stat()
        times = state.st_mtime_ns, state.st_ctime_ns  # a copy may have its original's mtime
        listed.append((str(path.relative_to(data_dir)), state.st_size, *times))
    background = DATASETS[dataset].background_mm
    facts = [dataset, LOADER, FORMAT, background, config, str(data_dir.resolve()), listed]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def walk(folder: Path) -> Iterator[Path]:
    """Yields every file below a folder. Links are followed; each real folder is visited once."""
    visited = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        visited.add(os.path.realpath(path))
        folders[:] = [f for f in folders if os.path.realpath(os.path.join(path, f)) not in visited]
        for name in files:
            file = Path(path) / name
            if file.exists():  # not a broken link
                yield file


def read(dataset: str, data_dir: Path, grid: tuple[int, int], config: str) -> Frames:
    """Reads a data set from its own files, with a few images at a time in memory.

    Errors as in `load_frames`.
    """
    print(f"reading {dataset} from {data_dir}", file=sys.stderr)
    background = DATASETS[dataset].background_mm
    depth, annotated = [], []
    for frame in SOURCES[dataset](data_dir, config):
        area = area_of(frame.recording, grid)
        depth.append(depth_to_grid(frame.depth_mm[None], area, grid, background)[0])
        annotated.append(frame._replace(depth_mm=None))
    return _frames(dataset, np.stack(depth), annotated, in_time=config != "row_order")


def area_of(recording: Recording, grid: tuple[int, int]) -> Box:
    """Returns the part of a recording's images that becomes the grid, as in prediction.

    That is the recording's own crop, or else the whole image with margins where its proportions are
    not those of the grid.
    """
    whole = (0, 0, *recording.size)
    return widened(whole, grid[1] / grid[0]) if recording.crop == whole else recording.crop


def _frames(
    dataset: str, depth_mm: np.ndarray, annotated: list[AnnotatedFrame], *, in_time: bool
) -> Frames:
    """Joins depth [n rows cols] and the frames' annotations; maps joints from camera to grid.

    `in_time`: the frames are in time order, so that gaps in their numbers count.
    """
    grid = depth_mm.shape[1:]
    crop = np.array([area_of(a.recording, grid) for a in annotated], np.int32)
    xy = joints_to_grid(np.array([a.joints for a in annotated], np.float32), crop[:, None], grid)
    visible = np.array([a.visible for a in annotated]) & inside(xy, grid)
    number = np.array([a.number for a in annotated], np.int32)
    return Frames(
        dataset=dataset,
        depth_mm=depth_mm,
        xy=np.where(visible[..., None], xy, np.float32(-1)),
        visible=visible,
        subject=np.array([a.recording.subject for a in annotated]),
        sequence=np.array([a.recording.sequence for a in annotated]),
        frame=number,
        crop=crop,
        step=usual_step(number) if in_time else 0,
    )
