"""A model -> frames per second, time by stage, memory and errors of each runtime.

    python -m experiments.runtimes MODEL --out=experiments/results/runtimes-MACHINE.json

The recording is the sample that jaxpose ships, forwards and backwards, as 16-bit PNG of 640x480, so
every frame has true joints. Every runtime predicts it in processes of its own: poses with all
tables and the report, then with the video, too. `make readme` writes the table into docs/export.md.
Run it on a machine that does nothing else.
"""

import csv
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tyro

from data_pipeline.outputs import written_too
from experiments.bench.machine import environment, load
from experiments.config import ConfigError
from experiments.machines import commit
from experiments.runtimes.worker import RESULTS, Job
from jaxpose.body.skeleton import JOINTS
from jaxpose.commands import run_command
from jaxpose.decoding.metrics import error_table, limb_rmsd
from jaxpose.demo import sample
from jaxpose.estimator import shipped_model
from jaxpose.formats.engines import ENGINES, IN_BFLOAT16
from jaxpose.lowering import LOWERINGS, fastest
from jaxpose.options import parse_options

RATE_HZ = 6.0
"""Frames per second of the sample."""
PAPER_COLUMNS = 128
"""Columns of the images in whose px errors are reported."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures prediction with each runtime that is installed."""

    model: tyro.conf.Positional[Path | None] = None
    """Model file. None: the one that jaxpose ships."""
    frames: int = 1000
    """Number of frames; 10000 shows that memory stays flat."""
    runtimes: str = "all"
    """Comma-separated: jax, jax:folded (the base installation), onnxruntime, openvino; in bfloat16
    jax:bfloat16, openvino:bfloat16. all: bfloat16 where the CPU has it."""
    videos: bool = True
    """Measure with overlay.mp4, too."""
    out: Path | None = None
    """File to which the result is written, too: a name in .json."""


class Chosen(NamedTuple):
    """What computes the nets; `lowering` is None but for the runtime jax."""

    runtime: str
    lowering: str | None = None
    precision: str = "float32"


def write_frames(folder: Path, count: int) -> np.ndarray:
    """Writes the sample forwards and backwards; returns the index of each frame in the sample."""
    with np.load(sample(), allow_pickle=False) as stored:
        depth = stored["depth"]
    there = np.arange(len(depth))
    order = np.resize(np.concatenate([there, there[-2:0:-1]]), count)
    folder.mkdir()
    for number, index in enumerate(order):
        cv2.imwrite(str(folder / f"{number}_16bit.png"), depth[index])
    return order


def errors(table: Path, order: np.ndarray) -> dict:
    """Returns RMSD per limb in px of 128x96, and the positions of a pose.csv in px."""
    with np.load(sample(), allow_pickle=False) as stored:
        scale = PAPER_COLUMNS / stored["depth"].shape[2]
        true_px, visible = stored["joints_px"][order], stored["visible"][order]
    with open(table, newline="", encoding="utf-8") as file:
        rows = [row[1:] for row in list(csv.reader(file))[3:]]
    cells = np.array([[float(cell or "nan") for cell in row] for row in rows])
    xy = cells.reshape(len(rows), len(JOINTS), 3)[..., :2]
    found = visible & np.isfinite(xy).all(axis=-1)
    at = np.where(found[..., None], xy, 0).astype(np.float32)
    rmsd = limb_rmsd(at * np.float32(scale), (true_px * scale).astype(np.float32), found)
    return {
        "rmsd_px": error_table(rmsd),
        "missed_rate": float((visible & ~found).sum() / max(visible.sum(), 1)),
        "xy": xy,
    }


def chosen(names: str) -> list[Chosen]:
    """Returns what the option `--runtimes` names.

    Raises:
      ConfigError: one of them is unknown.
    """
    quickest, of_half = fastest("float32").name, fastest("bfloat16")
    known = {"jax": Chosen("jax", quickest)}
    known |= {f"jax:{name}": Chosen("jax", name) for name in LOWERINGS}
    known |= {name: Chosen(name) for name in ENGINES}
    half = {"jax:bfloat16": Chosen("jax", of_half.name, "bfloat16")}
    half |= {f"{name}:bfloat16": Chosen(name, None, "bfloat16") for name in IN_BFLOAT16}
    known |= half
    if names == "all":
        there = of_half.recorder is not None  # XLA alone would emulate it
        names = ",".join(["jax", "jax:folded", *ENGINES, *(half if there else ())])
    for name in names.split(","):
        if name not in known:
            raise ConfigError(f"--runtimes={names}: unknown {name!r}; some of: {', '.join(known)}")
    return list(dict.fromkeys(known[name] for name in names.split(",")))


def measure(options: Options, say: Callable[[str], None]) -> dict:
    """Runs all processes, one after the other.

    Raises:
      ConfigError: an option cannot be used, or a process failed.
    """
    if options.frames < 60:
        raise ConfigError(f"--frames={options.frames}: expected 60 or more")
    model = options.model or shipped_model()
    before, rows, reference = load(), [], None
    with tempfile.TemporaryDirectory() as place:
        frames = Path(place) / "frames"
        order = write_frames(frames, options.frames)
        for one in chosen(options.runtimes):
            for video in (False, True)[: 1 + options.videos]:
                out = Path(place) / f"{len(rows)}"
                job = Job(
                    frames=str(frames),
                    out=str(out),
                    model=str(model.resolve()),
                    **one._asdict(),
                    video=video,
                    rate_hz=RATE_HZ,
                )
                row = _process(job)
                found = errors(out / RESULTS / "pose.csv", order)
                xy = found.pop("xy")
                reference = xy if reference is None else reference
                row |= found | {"largest_deviation_px": _largest(xy, reference)}
                rows.append(row)
                say(
                    f"{one.runtime:12} {one.lowering or '':8} {one.precision:9} "
                    f"{'video' if video else 'poses'} "
                    f"{row['frames_per_s']:7.1f} frames/s, {max(row['memory_mb']):.0f} MB"
                )
    return {
        "rows": rows,
        "frames": options.frames,
        "model": model.name,
        "commit": commit(),
        "load": before,
        **environment(),
    }


def _process(job: Job) -> dict:
    command = [sys.executable, "-m", "experiments.runtimes.worker"]
    done = subprocess.run(
        [*command, json.dumps(dataclasses.asdict(job))], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise ConfigError(f"the process of {job.runtime} failed; its message is above")
    return json.loads(done.stdout.splitlines()[-1])


def _largest(xy: np.ndarray, reference: np.ndarray) -> float | None:
    """Returns the largest distance of joints that both found; None where they found others."""
    if (np.isnan(xy) != np.isnan(reference)).any():
        return None
    return float(np.nanmax(np.linalg.norm(xy - reference, axis=-1)))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.runtimes")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    return run_command(lambda: written_too(lambda: measure(options, say), options.out))


if __name__ == "__main__":
    sys.exit(main())
