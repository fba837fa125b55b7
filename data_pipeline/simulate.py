"""A seed -> a folder of simulated recordings in babyPose's own layout.

    python -m data_pipeline.simulate --infants=16 --frames=100 --seed=0 --size=320,240 --out=DIR

Infant k depends on the seed and on k alone, so more infants can be added later with the same
command, and a run that was killed goes on where it stopped.
"""

import dataclasses
import sys
import time
from concurrent import futures
from pathlib import Path

from tqdm import tqdm

from data_pipeline.commands import expand, parse_options, run_command
from data_pipeline.errors import DataError
from data_pipeline.examples.clips import CLIP
from data_pipeline.locks import locked
from data_pipeline.simulated import folder
from data_pipeline.simulated.parameters import DEFAULT, Parameters, read_parameters
from data_pipeline.simulated.workers import spread
from data_pipeline.simulated.writing import sheet_path, write_recording

MOST_WIDTH = 640
"""Of an image, px: what the sensor's matching window was made for."""

VERSION = 4
"""Of what a seed turns into; raised whenever the same command gives other bytes."""


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

    Infants that are already there, whole and from the same settings, are kept. `processes` is the
    number of cores by default; it does not change a byte. Without `images`, sheets and truth are
    the same as with them, at a twentieth of the time.

    Raises:
      DataError: a value out of range, or `out` holds something else.
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
    """Raises `DataError` for a value out of range."""
    for name, value, least in (
        ("infants", infants, 1),
        ("frames", frames, CLIP),  # a shorter sheet cannot be used
        ("seed", seed, 0),
        ("width", size[0], 160),
        ("height", size[1], 120),
        ("processes", 1 if processes is None else processes, 1),
    ):
        if value < least:
            raise DataError(f"{name} is {value}; it must be at least {least}")
    if size[0] > MOST_WIDTH:
        raise DataError(f"width is {size[0]}; it must be at most {MOST_WIDTH}")
    if 3 * size[0] != 4 * size[1]:
        raise DataError(f"size is {size[0]},{size[1]}; the image must be 4:3, such as 640,480")


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.split(","))
    except ValueError:
        raise DataError(f"--size={text}: expected WIDTH,HEIGHT, such as 640,480") from None
    return width, height


@dataclasses.dataclass(frozen=True)
class Options:
    """Simulates depth video of infants, in the layout of the babyPose data set."""

    out: str
    """Folder to create, or to complete."""
    infants: int = 16
    """Number of recordings, one infant each."""
    frames: int = 1000
    """Annotated frames per infant, 1/6 s apart."""
    seed: int = 0
    """Everything random follows from it."""
    size: str = "640,480"
    """WIDTH,HEIGHT of an image, px."""
    processes: int | None = None
    """Number of processes. None: one per core."""
    parameters: str | None = None
    """FILE.json with changes of the model (data_pipeline/simulated/parameters.py)."""
    sheets_only: bool = False
    """No images: the same sheets, 20 times faster."""


def run(options: Options) -> dict | int:
    start, out = time.perf_counter(), expand(options.out)
    parameters = DEFAULT
    if options.parameters is not None:
        parameters = read_parameters(expand(options.parameters))
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
    except futures.process.BrokenProcessPool:
        print("error: a process was killed (memory?); the same command goes on", file=sys.stderr)
        return 1
    summary = {"infants": options.infants, "frames": options.infants * options.frames}
    return {**summary, "seconds": round(time.perf_counter() - start, 2), "out": str(out)}


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.simulate")
    return run_command(lambda: run(options), resume="the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
