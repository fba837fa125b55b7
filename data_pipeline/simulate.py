"""A seed -> a folder of simulated recordings in babyPose's own layout.

    python -m data_pipeline.simulate --infants=16 --frames=100 --seed=0 --size=320,240 --out=DIR

Infant k depends on the seed and on k alone, so more infants can be added later with the same
command, and a run that was killed goes on where it stopped.
"""

import argparse
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import cv2
from tqdm import tqdm

from data_pipeline.errors import DataError
from data_pipeline.locks import locked
from data_pipeline.simulated.recording import sheet_path, write_recording

VERSION = 1
"""Of what a seed turns into; raised whenever the same command gives other bytes."""

README = """# Simulated infants

**Simulated data.** No infant was recorded: MuJoCo moved capsule infants on a mattress and cast
the depth images. The layout is that of the babyPose data set.

    python -m data_pipeline.simulate --infants={infants} --frames={frames} --seed={seed} \\
        --size={width},{height} --out=...

| file | what |
|---|---|
| `pz<ID>/<n>_16bit.png` | depth, uint16 mm, 0 = no return; n = 1, 6, 11, ... of 30 Hz |
| `result_pz<ID>.csv` | clicked joints, integer px, `-1,-1` = hidden or outside the image |
| `pz<ID>/camera.json` | fx, fy, cx, cy, width, height, px; the top-left pixel's centre is (0, 0) |
| `pz<ID>/truth.npz` | exact: joints_mm, joints_px, visible, hidden_by |

Joints in `truth.npz` are in the order of `jaxpose.skeleton.JOINTS`, right and left are the infant's
own; millimetres are in the camera's frame: x right, y down, z away.
"""


def simulate(
    out: Path,
    *,
    infants: int,
    frames: int,
    seed: int,
    size: tuple[int, int],
    processes: int | None = None,
) -> None:
    """Writes `infants` recordings of `frames` annotated frames of `size` (width, height) to `out`.

    Infants that are already there, whole and from the same settings, are kept. `processes` is the
    number of cores by default; it does not change a byte.

    Raises:
      DataError: a value out of range, or `out` holds something else.
    """
    _check(infants, frames, seed, size, processes)
    with locked(out):
        _simulate(out, infants, frames, seed, size, processes)


def _simulate(out, infants, frames, seed, size, processes) -> None:
    settings = {"version": VERSION, "seed": seed, "frames": frames, "size": list(size)}
    _claim(out, settings, infants)
    todo = [k for k in range(1, infants + 1) if not sheet_path(out, k).exists()]
    common = {"seed": seed, "size": size, "frames": frames}
    jobs = [(out, k, common) for k in todo]
    if not jobs:
        return
    with tqdm(total=frames * infants, initial=frames * (infants - len(todo)), unit="frame") as bar:
        if processes == 1 or len(jobs) < 2:
            for job in jobs:
                _write(job, bar.update)
        else:
            _spread(jobs, processes, bar)
    width, height = size
    (out / "README.md").write_text(
        README.format(infants=infants, frames=frames, seed=seed, width=width, height=height)
    )


def _check(infants, frames, seed, size, processes) -> None:
    for name, value, least in (
        ("infants", infants, 1),
        ("frames", frames, 1),
        ("seed", seed, 0),
        ("width", size[0], 64),
        ("height", size[1], 48),
        ("processes", 1 if processes is None else processes, 1),
    ):
        if value < least:
            raise DataError(f"{name} is {value}; it must be at least {least}")
    if 3 * size[0] != 4 * size[1]:
        raise DataError(f"size is {size[0]},{size[1]}; the image must be 4:3, such as 640,480")


def _claim(out: Path, settings: dict, infants: int) -> None:
    """Makes `out` and notes what it holds, unless it holds something else already."""
    note = out / "simulation.json"
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder with --out")
    if note.exists():
        try:
            there = json.loads(note.read_text())
        except json.JSONDecodeError as error:
            raise DataError(f"{note} is damaged ({error}); delete {out} or name another") from None
        if there != settings:
            raise DataError(
                f"{out} holds another simulation: {there}, wanted {settings}; "
                "name another folder with --out, or delete this one"
            )
        more = [p.name for p in out.glob("result_pz*.csv") if int(p.stem[9:]) > infants]
        if more:
            raise DataError(
                f"{out} holds more than the {infants} infants asked for ({', '.join(sorted(more))})"
                "; ask for all of them, or name another folder with --out"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} holds something else; name an empty or a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    beside = note.with_suffix(".json.partial")
    beside.write_text(json.dumps(settings) + "\n")
    beside.rename(note)


def _spread(jobs: list, processes: int | None, bar: tqdm) -> None:
    """Runs the jobs on several processes; the bar follows a counter that they share."""
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    workers = min(processes or _cores(), len(jobs))
    start = bar.n
    with futures.ProcessPoolExecutor(workers, context, _initialise, (done,)) as pool:
        running = [pool.submit(_write_counted, job) for job in jobs]
        try:
            waiting = running
            while waiting:
                finished, waiting = futures.wait(running, 0.2, futures.FIRST_EXCEPTION)
                bar.update(start + done.value - bar.n)
                for future in finished:
                    future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _initialise(done) -> None:
    global _done
    _done = done
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on writing to what the next run is making."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _write_counted(job) -> None:
    def tick() -> None:
        with _done.get_lock():
            _done.value += 1

    _write(job, tick)


def _write(job: tuple[Path, int, dict], tick: Callable[[], None]) -> None:
    out, infant, common = job
    write_recording(out, infant, tick=tick, **common)


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
    parser.add_argument("--infants", type=int, default=16, help="recordings, one infant each")
    parser.add_argument(
        "--frames", type=int, default=1000, help="annotated frames per infant, 1/6 s apart"
    )
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it")
    parser.add_argument(
        "--size", type=_size, default="640,480", help="WIDTH,HEIGHT of an image, px"
    )
    parser.add_argument(
        "--processes", type=int, default=argparse.SUPPRESS, help="at once (default: one per core)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        help="folder to make, or to complete",
    )
    options = parser.parse_args(argv)
    start = time.perf_counter()
    try:
        simulate(**vars(options))
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
