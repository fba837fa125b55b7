"""Models -> errors on the same infants, and the time from a live camera's frame to its pose.

    python -m experiments.light MODEL MODEL ... --data_dir=data/tested --out=FILE.json

The first model is what the others are compared with, infant by infant. The camera's frames are
those of the sample that jaxpose ships, 640x480, forwards and backwards, in memory. A time is that
of all work between a frame's arrival and the pose that it completes: the grid, both nets, decoding,
confidence. The models take turns on all cores that this process may use, whose number is in the
result (`taskset` limits them). A result is marked if other programs used the machine.
"""

import dataclasses
import itertools
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import UInt16

from data_pipeline.outputs import written_too
from experiments import machines, paired
from experiments.bench.__main__ import warn
from experiments.bench.machine import LOADED, environment, load, settings
from experiments.config import ConfigError
from jaxpose import demo
from jaxpose.commands import run_command
from jaxpose.cost.accounting import net_cost
from jaxpose.estimator import Estimator
from jaxpose.model import Model
from jaxpose.options import parse_options
from jaxpose.recordings.recording import Frame
from jaxpose.runtime import load_model

VISIT = 50
"""Number of frames of one model before it is the next one's turn; the first is not counted."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Compares the accuracy and the pace of models. The last line of stdout is the result."""

    models: tyro.conf.Positional[tuple[Path, ...]]
    """Model files. The others are compared with the first."""
    data_dir: Path
    """Folder of simulated infants. Those that a model was trained on are left out."""
    frames: int = 1000
    """Number of frames of which the time is taken."""
    seed: int = 0
    """Seed of the order of turns."""
    cache_dir: Path = Path("data/cache")
    """Folder for frames on the grid."""
    choose_within: float | None = None
    """Longest time of a frame at the 99th percentile, in ms. The result then names the choice: of
    the models that keep to it, the first one aside, that with the lowest mean error."""
    out: Path | None = None
    """File to which the result is also written, FILE.json."""


class Camera:
    """A live camera and a model that estimates the pose of each of its frames.

    `arrived` is the time at which the last frame was there.
    """

    def __init__(self, model: Model, depth_mm: UInt16[np.ndarray, "n rows columns"]):
        self.depth_mm, self.arrived = depth_mm, 0.0
        self.interval_s = model.specification.frame_interval_s or 1.0
        self.poses = Estimator(model, batch_size=1).stream(self.frames())
        for _ in range(VISIT):
            next(self.poses)

    def frames(self) -> Iterator[Frame]:
        """Yields frames without end, as far apart as those that the model was trained on."""
        there = range(len(self.depth_mm))
        for count, index in enumerate(itertools.cycle([*there, *there[-2:0:-1]])):
            self.arrived = time.perf_counter()
            yield Frame(count, count * self.interval_s, self.depth_mm[index])

    def visit(self, count: int) -> list[float]:
        """Returns the seconds from the arrival of each of the next frames to the pose."""
        next(self.poses)
        seconds = []
        for _ in range(count):
            next(self.poses)
            seconds.append(time.perf_counter() - self.arrived)
        return seconds


def measure(options: Options) -> dict:
    """Tests all models, then times them in turn.

    Raises:
      ConfigError: an option cannot be used.
      UserError: a model or the data cannot be used.
    """
    if options.frames < VISIT:
        raise ConfigError(f"--frames={options.frames}: expected {VISIT} or more")
    if options.choose_within is not None and len(options.models) < 2:
        raise ConfigError(f"--choose_within={options.choose_within:g}: expected two or more models")
    models = [load_model(path) for path in options.models]
    rows = accuracies(models, options)
    warn(before := load())
    for row, seconds in zip(rows, paces(models, options), strict=True):
        ms = 1e3 * np.array(seconds)
        row["frame_ms"] = {"median": float(np.median(ms)), "n": len(ms)}
        row["frame_ms"] |= {f"p{p}": float(np.percentile(ms, p)) for p in (90, 99)}
    warn(after := load())
    within = options.choose_within
    return {
        "rows": rows,
        "choice": None if within is None else {"within_ms": within, "model": chosen(rows, within)},
        "load": {"before": before, "after": after},
        "loaded": max(each["busy_cores"] for each in (before, after)) > LOADED,
        "settings": settings(),
        **machines.described(),
        **environment(),
    }


def chosen(rows: list[dict], within_ms: float) -> str | None:
    """Returns the digest of the model with the lowest mean error of those that are fast enough.

    The first row is what the others are compared with, and is no candidate. None: no model has its
    99th percentile within `within_ms`.
    """
    fast = [row for row in rows[1:] if row["frame_ms"]["p99"] <= within_ms]
    best = min(fast, key=lambda row: row["rmsd_fallback_px"]["all"]["mean"], default=None)
    return best and best["model"]


def accuracies(models: list[Model], options: Options) -> list[dict]:
    """Returns the description and the errors of every model."""
    rows, reference = [], None
    for model in models:
        frames = paired.frames_in(options.data_dir, model, options.cache_dir)
        row, infants = paired.errors(model, frames)
        reference = infants if reference is None else reference
        change = paired.change(infants, reference)
        mean = sum(reference.values()) / len(reference)
        low, high = (one / mean for one in change["interval"])
        rows.append(
            {
                **described(model),
                "infants": len(infants),
                "data": frames.digest(),
                **row,
                "change": {"mean": change["mean"] / mean, "interval": [low, high]},
            }
        )
    return rows


def described(model: Model) -> dict:
    """Returns what a model is: nets, size, and how many products a frame takes."""
    specification = model.specification
    clip = (specification.clip_frames, *specification.grid)
    costs = [net_cost(net.layers, clip) for net in specification.nets().values()]
    return {
        "model": model.digest,
        "variant": specification.variant,
        "detection": specification.detection_factorise,
        "widths": [specification.detection_width, specification.regression_width],
        "grid": [*specification.grid],
        "clip_frames": specification.clip_frames,
        "frame_interval_s": specification.frame_interval_s,
        "parameters": sum(cost.parameters for cost in costs),
        "macs_nominal": sum(cost.macs_nominal for cost in costs),
    }


def paces(models: list[Model], options: Options) -> list[list[float]]:
    """Returns the seconds of each frame of every model."""
    with np.load(demo.sample(), allow_pickle=False) as stored:
        cameras = [Camera(model, stored["depth"]) for model in models]
    seconds: list[list[float]] = [[] for _ in models]
    order = random.Random(options.seed)
    while len(seconds[0]) < options.frames:
        count = min(VISIT, options.frames - len(seconds[0]))
        for k in order.sample(range(len(models)), len(models)):
            seconds[k] += cameras[k].visit(count)
    return seconds


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.light")
    return run_command(lambda: written_too(lambda: measure(options), options.out))


if __name__ == "__main__":
    sys.exit(main())
