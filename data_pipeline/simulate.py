"""A seed -> a folder of simulated recordings in babyPose's own layout.

    python -m data_pipeline.simulate --infants=16 --frames=100 --seed=0 --size=320,240 --out=DIR

Infant k depends on the seed and on k alone, so more infants can be added later with the same
command, and a run that was killed goes on where it stopped.
"""

import argparse
import dataclasses
import json
import sys
import time
from concurrent import futures
from pathlib import Path

from tqdm import tqdm

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
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTH,HEIGHT, such as 640,480") from None
    return width, height


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data_pipeline.simulate",
        description="Simulates depth video of infants, in the layout of the babyPose data set.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--infants", type=int, default=16, help="recordings, one infant each")
    add("--frames", type=int, default=1000, help="annotated frames per infant, 1/6 s apart")
    add("--seed", type=int, default=0, help="everything random follows from it")
    add("--size", type=_size, default="640,480", help="WIDTH,HEIGHT of an image, px")
    add("--processes", type=int, default=argparse.SUPPRESS, help="at once (default: one per core)")
    add(
        "--parameters", type=Path, default=argparse.SUPPRESS, metavar="FILE.json",
        help="what to change in the model (data_pipeline/simulated/parameters.py)",
    )  # fmt: skip
    add("--sheets_only", action="store_true", help="no images: the same sheets, 20 times faster")
    add(
        "--out", type=Path, required=True, default=argparse.SUPPRESS,
        help="folder to make, or to complete",
    )  # fmt: skip
    options = parser.parse_args(argv)
    start = time.perf_counter()
    try:
        given = vars(options) | {"images": not options.sheets_only}
        del given["sheets_only"]
        if "parameters" in given:
            given["parameters"] = read_parameters(given["parameters"])
        simulate(**given)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except futures.process.BrokenProcessPool:
        print("error: a process was killed (memory?); run again to go on", file=sys.stderr)
        return 1
    summary = {"infants": options.infants, "frames": options.infants * options.frames}
    summary |= {"seconds": round(time.perf_counter() - start, 2), "out": str(options.out)}
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
