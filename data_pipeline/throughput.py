"""A prepared file -> clips per second of each feed, after a warm-up.

    python -m data_pipeline.throughput FILE.npz --batch_size=16 --seconds=5

The table goes to stderr, the last line of stdout is one JSON object; `n` is the number of blocks.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.datasets import DATASETS
from data_pipeline.errors import DataError
from data_pipeline.examples.clips import clip_starts, order
from data_pipeline.examples.feed import Feed, feed
from data_pipeline.examples.frames import load
from jaxpose.body.masks import Target
from jaxpose.commands import run_command
from jaxpose.options import parse_options

WARM_UP = 10
"""Number of first batches that are not timed: tracing, and filling of the prefetch queue."""
BLOCK_S = 0.25
"""Least seconds of a block of batches, of which a rate is computed."""


def clips_per_s(make: Feed, starts: np.ndarray, batch_size: int, seconds: float) -> np.ndarray:
    """Returns the rate of each block of at least `BLOCK_S` seconds, for `seconds` in total."""
    endless = (
        batch
        for epoch in range(sys.maxsize)
        for batch in make(order(starts, (0, epoch), 1000 * batch_size), batch_size)
    )
    for _ in range(WARM_UP):
        next(endless)
    rates = []
    end = time.perf_counter() + seconds
    while not rates or time.perf_counter() < end:
        clips, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < BLOCK_S:
            clips += len(next(endless)["xy"])
        rates.append(clips / elapsed)
    return np.array(rates)


def measure(path: Path, batch_size: int, seconds: float) -> list[dict]:
    """Returns one row per feed and kind of mask. The radius is the paper's, 6 px of 128 columns.

    Raises:
      DataError: the file is no prepared one, or has no clip.
    """
    frames = load(path)
    starts = clip_starts(frames, np.ones(len(frames), bool), 1)
    if not len(starts):
        raise DataError(f"{path}: no three consecutive frames; expected at least one clip")
    from data_pipeline.examples import batches  # TensorFlow, only where it is needed

    scale_mm = float(DATASETS[frames.dataset].scale_mm)
    radius = 6 * frames.grid[1] / 128
    rows = []
    for name, make in (("tf.data", batches.feed), ("numpy", feed)):
        for masks, std in (("binary", None), ("gaussian", radius / 3)):
            built = make(frames, scale_mm, Target(radius, std))
            rates = clips_per_s(built, starts, batch_size, seconds)
            p5, median, p95 = (round(float(v), 1) for v in np.percentile(rates, (5, 50, 95)))
            row = {"feed": name, "masks": masks, "batch": batch_size, "clips_per_s_median": median}
            rows.append(row | {"p5": p5, "p95": p95, "n": len(rates)})
            spread = f"{median:8.1f} clips/s ({p5:.1f} ... {p95:.1f}, n {len(rates)})"
            print(f"{name:8} {masks:9} batch {batch_size:3} {spread}", file=sys.stderr)
    return rows


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures how many clips per second the input pipelines prepare from a prepared file."""

    file: tyro.conf.Positional[Path]
    """A file written by `python -m data_pipeline.prepare`."""
    batch_size: int = 16
    """Clips per batch."""
    seconds: float = 5.0
    """Duration of each row."""


def run(options: Options) -> dict:
    """Checks the options, then measures."""
    if options.batch_size < 1:
        raise DataError(f"--batch_size={options.batch_size}: expected 1 or more")
    rows = measure(options.file, options.batch_size, options.seconds)
    return {"rows": rows, "load": os.getloadavg()[0]}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "data_pipeline.throughput")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
