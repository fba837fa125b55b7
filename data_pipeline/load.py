"""A data set's own files -> `Frames` on the net's grid.

    files -> annotated frames, one by one -> depth by area mean, joints through the crop -> one file

The result is stored in the cache folder under a name that covers all that it depends on, so a
second run starts at once and a changed source is read again.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_pipeline.datasets import DATASETS
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import Frames, load, save, usual_step
from data_pipeline.locks import locked
from data_pipeline.sources import SOURCES, AnnotatedFrame
from jaxpose.body.geometry import depth_to_grid, inside, joints_to_grid

LOADER = 2
"""Version of what this module makes of the same files. Raise it when that changes."""
SUFFIXES = (".mat", ".png", ".csv", ".xlsx")
"""Files that a data set is made from; a README beside them is not."""


def load_frames(
    dataset: str, data_dir: Path, grid: tuple[int, int], cache_dir: Path, config: str | None = None
) -> Frames:
    """Reads a data set on a grid (rows, columns), or what an earlier call stored of it.

    `config` is one of the data set's configurations, by default its first.

    Raises:
      DataError: an unknown data set, or files that cannot be used.
    """
    if dataset not in DATASETS:
        raise DataError(f"unknown data set {dataset!r}; one of: {', '.join(DATASETS)}")
    config = config or DATASETS[dataset].configs[0]
    key = fingerprint(dataset, data_dir, config)
    stored = cache_dir / f"{dataset}-{key}-{grid[1]}x{grid[0]}.npz"
    with locked(stored):
        if not stored.exists():
            save(read(dataset, data_dir, grid, config), stored)
    return load(stored)


def fingerprint(dataset: str, data_dir: Path, config: str) -> str:
    """Hash of what a data set is made from: names, sizes and times of its files, and the loader's
    version. Reading the files themselves would take as long as loading them.

    Raises:
      DataError: no such folder, or none of the data set's files in it.
    """
    expected = f"expected the files of {dataset}: {DATASETS[dataset].layout}"
    if not data_dir.is_dir():
        raise DataError(f"{data_dir}: no such folder; {expected}")
    files = sorted(p for p in walk(data_dir) if p.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{data_dir}: no data in this folder; {expected}")
    listed = [(str(p.relative_to(data_dir)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    facts = json.dumps([dataset, LOADER, config, str(data_dir.resolve()), listed])
    return hashlib.sha256(facts.encode()).hexdigest()[:12]


def walk(folder: Path) -> Iterator[Path]:
    """Yields every file below a folder. Links are followed, each real folder once."""
    visited = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        visited.add(os.path.realpath(path))
        folders[:] = [f for f in folders if os.path.realpath(os.path.join(path, f)) not in visited]
        for name in files:
            file = Path(path) / name
            if file.exists():  # a link may lead nowhere
                yield file


def read(dataset: str, data_dir: Path, grid: tuple[int, int], config: str) -> Frames:
    """Reads every file once. Errors as in `load_frames`."""
    source = SOURCES[dataset](data_dir, config)
    background = DATASETS[dataset].background_mm
    columns: dict[str, list] = {name: [] for name in AnnotatedFrame._fields}
    depth = np.empty((source.count, *grid), np.float32)
    bar = tqdm(
        source.frames(), total=source.count, desc=f"{dataset} on {grid[1]}x{grid[0]}", unit="frame"
    )
    for index, frame in enumerate(bar):
        depth[index] = depth_to_grid(frame.depth_mm[None], frame.crop, grid, background)[0]
        for name, value in frame._replace(depth_mm=None)._asdict().items():
            columns[name].append(value)
    crop = np.array(columns["crop"], np.int32)
    xy = joints_to_grid(np.array(columns["joints"], np.float32), crop[:, None], grid)
    visible = np.array(columns["visible"]) & inside(xy, grid)
    number = np.array(columns["number"], np.int32)
    return Frames(
        dataset=dataset,
        depth_mm=depth,
        xy=np.where(visible[..., None], xy, np.float32(-1)),
        visible=visible,
        subject=np.array(columns["subject"]),
        sequence=np.array(columns["sequence"]),
        frame=number,
        crop=crop,
        step=0 if config == "row_order" else usual_step(number),
    )
