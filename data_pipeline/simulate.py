"""A seed -> a folder of simulated recordings in babyPose's own layout.

    python -m data_pipeline.simulate --infants=16 --frames=100 --seed=0 --size=320,240 --out=DIR

Infant k depends on the seed and on k alone, so more infants can be added later with the same
command, and the same command continues a run that was stopped.
"""

import dataclasses
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated

from tqdm import tqdm
from tyro.conf import arg

from data_pipeline.errors import DataError
from data_pipeline.examples.clips import CLIP
from data_pipeline.locks import locked
from data_pipeline.simulated import folder
from data_pipeline.simulated.parameters import DEFAULT, Parameters, read_parameters
from data_pipeline.simulated.workers import spread
from data_pipeline.simulated.writing import sheet_path, write_recording
from jaxpose.commands import run_command
from jaxpose.options import parse_options

LEAST_WIDTH, MOST_WIDTH = 160, 640
"""Widths of an image, px. The largest is the one that the sensor's matching window is meant for."""

VERSION = 5
"""Version of the simulation. Raise it when the same command writes other bytes."""


def simulate(
    out: Path,
    *,
    infants: int,
    frames: int,
    seed: int,
    size: tuple[int, int],
    processes: int | None = None,
    parameters: Parameters = DEFAULT,
    images: bool = True,
) -> None:
    """Writes `infants` recordings of `frames` annotated frames of `size` (width, height) to `out`.

    Complete infants of the same settings that `out` already contains are not simulated again.
    `processes` is one per core by default; it does not change the result. Without `images`, sheets
    and truth are the same, and take a twentieth of the time.

    Raises:
      DataError: a value is out of range, or `out` contains something else.
    """
    check(infants, frames, seed, size, processes)
    common = {"seed": seed, "size": size, "frames": frames, "images": images}
    settings = {"version": VERSION, **common, "parameters": dataclasses.asdict(parameters)}
    with locked(out):
        folder.claim(out, settings, infants)
        todo = [k for k in range(1, infants + 1) if not sheet_path(out, k).exists()]
        jobs = [(out, k, common | {"parameters": parameters}) for k in todo]
        if not jobs and folder.described(out):
            return
        done = frames * (infants - len(todo))
        with tqdm(total=frames * infants, initial=done, unit="frame") as bar:
            if processes == 1 or len(jobs) < 2:
                for job in jobs:
                    _write(job, bar.update)
            else:
                spread(_write, jobs, processes, bar)
        folder.describe(out, settings, infants)


def _write(job, tick) -> None:
    out, infant, common = job
    write_recording(out, infant, tick=tick, **common)


def check(infants: int, frames: int, seed: int, size=(640, 480), processes=None) -> None:
    """Raises `DataError` for an option that is out of range."""
    for option, value, least in (
        ("infants", infants, 1),
        ("frames", frames, CLIP),  # a shorter sheet cannot be used
        ("seed", seed, 0),
        ("processes", 1 if processes is None else processes, 1),
    ):
        if value < least:
            raise DataError(f"--{option}={value}: expected {least} or more")
    width, height = size
    if not LEAST_WIDTH <= width <= MOST_WIDTH or 3 * width != 4 * height:
        raise DataError(
            f"--size={width},{height}: expected a 4:3 image that is {LEAST_WIDTH} to {MOST_WIDTH} "
            "px wide, such as 640,480"
        )


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.split(","))
    except ValueError:
        raise DataError(f"--size={text}: expected WIDTH,HEIGHT, such as 640,480") from None
    return width, height


@dataclasses.dataclass(frozen=True)
class Options:
    """Simulates depth video of infants, in the layout of the babyPose data set. The same command
    continues a simulation that was stopped."""

    out: Path
    """Folder to write, which is new, empty, or contains a part of the same simulation."""
    infants: int = 16
    """Number of recordings, one infant each."""
    frames: int = 1000
    """Annotated frames per infant, 1/6 s apart."""
    seed: int = 0
    """Seed of all random numbers."""
    size: str = "640,480"
    """Width and height of an image, px."""
    processes: int | None = None
    """Number of processes. None: one per core."""
    parameters: Annotated[
        Path | None,
        arg(
            help="FILE.json with parameters of the model that differ from the default, such as "
            '{"movement": {"burst_s": [1, 4]}}. data_pipeline/simulated/parameters.py lists them.'
        ),
    ] = None
    sheets_only: bool = False
    """Write the same sheets without images, which is 20 times faster."""


def run(options: Options) -> dict | int:
    start, out = time.perf_counter(), options.out
    parameters = DEFAULT
    if options.parameters is not None:
        parameters = read_parameters(options.parameters)
    try:
        simulate(
            out,
            infants=options.infants,
            frames=options.frames,
            seed=options.seed,
            size=_size(options.size),
            processes=options.processes,
            parameters=parameters,
            images=not options.sheets_only,
        )
    except BrokenProcessPool:
        print("error: a process was killed (memory?); the same command goes on", file=sys.stderr)
        return 1
    summary = {"infants": options.infants, "frames": options.infants * options.frames}
    return {**summary, "seconds": round(time.perf_counter() - start, 2), "out": str(out)}


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.simulate")
    return run_command(lambda: run(options), resume="the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
