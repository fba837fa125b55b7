"""Checks, times and trains on a GPU machine in about twelve minutes.

    python -m experiments.gpu --data=utd.npz        # a file written by `data_pipeline.prepare`

    check    every lowering against JAX's own 3-D convolution, values and gradients
    bench    variants x precisions, batch 1 and 16, and training steps
    train    a few hundred steps of both nets from the prepared file

`bench` and `train` are separate processes with time limits; --parts selects some of the three. XLA
needs 5 to 60 s to compile one net for a GPU, so the first process of the benchmark takes most of
its time; the others find its programs in a cache. A benchmark that reaches its limit leaves the
results of the processes that it finished. All results are in --out. The command needs JAX for the
GPU and no TensorFlow. --device=cpu does the same at a tiny size, as a test.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import jax

from data_pipeline.commands import parse_options, run_command
from data_pipeline.examples.frames import Frames, load
from experiments import lowering_check
from experiments.choices import find_device
from experiments.config import ConfigError
from experiments.recipe import STAGES
from experiments.rundir import claim
from jaxpose.files import write_json

PARTS = ("check", "bench", "train")
BENCH_S, TRAIN_S, STOP_S = 500, 120, 20
"""Time limits of the two long parts, and of their end after they were interrupted, in seconds."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Checks the lowerings, times the nets and trains them on a GPU, in about twelve minutes.

    The last line of stdout is the result as JSON."""

    data: Path
    """Data to train on: a file written by `python -m data_pipeline.prepare`."""
    out: Path = Path("gpu")
    """Folder for all results."""
    device: Literal["gpu", "cpu"] = "gpu"
    """Device that JAX computes on. cpu does the same at a tiny size, as a test."""
    parts: str = ",".join(PARTS)
    """List of parts to run, separated by commas."""
    steps: int = 300
    """Training steps of each net."""
    dirty: bool = False
    """Measure although files differ from the commit. The result says so."""


def bench_command(options: Options, out: Path) -> list[str]:
    """Returns module and options of the benchmark."""
    command = ["experiments.bench", f"--device={options.device}", f"--out={out}"]
    command += ["--dirty"] * options.dirty
    if options.device == "gpu":
        command += ["--size=paper", "--batches=1,16", "--precisions=float32,bfloat16"]
        command += ["--nets=detection,regression", "--lowerings=conv3d"]
        return [*command, "--variants=asy,full,thin", f"--minutes={0.9 * BENCH_S / 60:.1f}"]
    command += ["--size=tiny", "--protocol=smoke", "--batches=1", "--precisions=float32"]
    return [*command, "--variants=asy", "--whats=forward", "--lowerings=folded"]


def train_command(options: Options, out: Path, frames: Frames) -> list[str]:
    """Returns module and options of the training."""
    command = ["experiments.run", f"--dataset={frames.dataset}", f"--data_dir={options.data}"]
    command += [f"--runs_dir={out / 'runs'}", f"--grid={frames.grid[1]}x{frames.grid[0]}"]
    per_epoch = min(30, options.steps)
    for stage in STAGES:
        command += [f"--{stage}.steps_per_epoch={per_epoch}"]
        command += [f"--{stage}.epochs={max(1, options.steps // per_epoch)}"]
    if options.device == "gpu":
        return [*command, "--width=1", "--precision=bfloat16"]
    return [*command, "--width=0.0625"]


def part(name: str, command: list[str], limit_s: float, cache: Path) -> dict:
    """Runs a command in another process; after `limit_s` seconds it is interrupted.

    `cache` is the folder of compiled programs. Returns the `seconds`, and the JSON of the last line
    (`result`) or the failure (`error`).
    """
    print(f"{name}: {' '.join(command)}", file=sys.stderr)
    began = time.perf_counter()
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache.absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            printed, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # a benchmark then writes what it finished
            try:
                process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            return {"error": f"took longer than {limit_s:.0f} s", "seconds": limit_s}
    seconds = round(time.perf_counter() - began, 1)
    if process.returncode:
        return {"error": f"ended with code {process.returncode}", "seconds": seconds}
    return {"seconds": seconds, "result": json.loads(printed.splitlines()[-1])}


def work(options: Options) -> dict:
    """Runs all parts in order. The result records a part that failed, and the others run.

    Raises:
      ConfigError: an option cannot be used.
      DataError: the prepared file cannot be used.
    """
    began = time.perf_counter()
    # This process only checks. Memory that it reserved would not be available to the other parts.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    device = find_device(options.device)
    del os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"]
    parts = [name.strip() for name in options.parts.split(",")]
    if unknown := [name for name in parts if name not in PARTS]:
        raise ConfigError(
            f"--parts={options.parts}: unknown part {unknown[0]!r}; one or more of: "
            f"{', '.join(PARTS)}"
        )
    if options.steps < 1:
        raise ConfigError(f"--steps={options.steps}: expected 1 or more")
    frames = load(options.data)  # a missing file is reported before anything is timed
    out = options.out
    claim(out, 50_000_000, option="--out")
    result = {"device": device.device_kind, "jax": jax.__version__}
    work_of = {
        "check": lowering_check.check_all,
        "bench": lambda: part("bench", bench_command(options, out), BENCH_S, out / "cache"),
        "train": lambda: part("train", train_command(options, out, frames), TRAIN_S, out / "cache"),
    }
    for name in PARTS:
        if name in parts:
            result[name] = work_of[name]()
            result["seconds"] = round(time.perf_counter() - began, 1)
            write_json(out / "gpu.json", result)
    return result


def failures(result: dict) -> list[str]:
    """Lists the parts that failed, and the kernels for which a lowering deviates."""
    failed = [name for name in ("bench", "train") if "error" in result.get(name, {})]
    for lowering, checked in result.get("check", {}).items():
        # A text is the reason why a lowering cannot be used, such as oneDNN on a GPU.
        off = [
            k for k, v in checked.items() if not isinstance(v, str) and not v < lowering_check.EQUAL
        ]
        failed += [f"{lowering} {kernel} deviates by {checked[kernel]:.2g}" for kernel in off]
    return failed


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.gpu")

    def body() -> dict | int:
        result = work(options)
        failed = failures(result)
        if not failed:
            return result
        print(json.dumps(result))
        print(f"error: {', '.join(failed)}; see the JSON", file=sys.stderr)
        return 1

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
