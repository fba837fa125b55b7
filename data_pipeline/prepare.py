"""A data set's own files -> one file of frames on the nets' grid, to train without TensorFlow.

    python -m data_pipeline.prepare --dataset=utd_mhad --data_dir=DIR --out=utd.npz
    python -m experiments.run --dataset=utd_mhad --data_dir=utd.npz

A babyPose folder with problems is refused; the message lists them as `python -m
data_pipeline.check` does. Remarks are printed, and the file is written.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from data_pipeline.datasets import DATASETS, builders_help
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import grid_of, save
from data_pipeline.load import fingerprint, read
from data_pipeline.outputs import check_name, check_output
from jaxpose.commands import run_command
from jaxpose.options import parse_options


def prepare(
    dataset: str, data_dir: Path, grid: tuple[int, int], out: Path, config: str | None = None
) -> dict:
    """Reads a data set on a grid (rows, columns) and writes it to the file `out`.

    Returns what the file contains. All that needs no image is checked before any is read.

    Raises:
      DataError: the data cannot be used, or `out` cannot be written.
    """
    began = time.perf_counter()
    if dataset not in DATASETS:
        raise DataError(f"unknown data set {dataset!r}; one of: {', '.join(DATASETS)}")
    fingerprint(dataset, data_dir, config or "")  # checks that the folder exists and has files
    check_output(out, ["npz"], create_folder=True)
    frames = read(dataset, data_dir, grid, config or DATASETS[dataset].configs[0])
    save(frames, out)
    return {
        "dataset": dataset,
        "frames": len(frames),
        "subjects": len(set(frames.subject.tolist())),
        "grid": list(grid),
        "bytes": out.stat().st_size,
        "seconds": round(time.perf_counter() - began, 1),
        "out": str(out),
    }


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes a data set on the nets' grid to one file. `experiments.run --data_dir=FILE.npz` trains
    from this file without the data set's own files."""

    dataset: Annotated[str, arg(help=f"Data set: {', '.join(DATASETS)}.")]
    data_dir: Path
    """Folder with the data set's own files."""
    out: Path
    """File to write, FILE.npz."""
    grid: str = "64x48"
    """Columns and rows of the nets' input, such as 64x48."""
    builder: Annotated[str | None, arg(help=builders_help())] = None


def run(options: Options) -> dict:
    """Checks the options, then prepares the data set."""
    grid, out = grid_of(options.grid), options.out
    known = DATASETS[options.dataset].configs if options.dataset in DATASETS else ()
    if known and options.builder not in (None, *known):
        raise DataError(f"unknown --builder {options.builder!r}; one of: {', '.join(known)}")
    check_name(out, ["npz"])
    return prepare(options.dataset, options.data_dir, grid, out, options.builder)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "data_pipeline.prepare")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
