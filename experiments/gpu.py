"""Checks, times and trains on a GPU machine in about eleven minutes.

    python -m experiments.gpu --data=utd.npz        # a file written by `data_pipeline.prepare`

    check    every lowering against JAX's own 3-D convolution, values and gradients
    compile  every net in every precision, side by side, into a cache
    bench    variants x precisions, batch 1 and 16, and training steps, beside PyTorch if installed
    train    a few hundred steps of both nets from the prepared file

--parts selects some of the four. All but `check` are processes of their own, with time limits. XLA
needs 5 to 60 s to compile one net for a GPU, so the benchmark takes its programs from the cache. A
benchmark that reaches its limit leaves the results of the processes that it finished. All results
are in --out. The command needs JAX for the GPU and no TensorFlow. --device=cpu does the same at a
tiny size, as a test.
"""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import jax

from data_pipeline.examples.frames import Frames, load
from experiments import lowering_check
from experiments.bench.cases import PRECISIONS
from experiments.choices import find_device
from experiments.config import ConfigError
from experiments.recipe import STAGES
from experiments.rundir import claim
from jaxpose.commands import run_command
from jaxpose.files import write_json
from jaxpose.options import parse_options

PARTS = ("check", "compile", "bench", "train")
COMPILE_S, BENCH_S, TRAIN_S, STOP_S = 220, 280, 120, 20
"""Time limits of the long parts, and of their end after they were interrupted, in seconds."""
ON_GPU = ("--size=paper", "--batches=1,16", "--whats=forward,train_step", "--lowerings=conv3d")
ON_CPU = ("--size=tiny", "--batches=1", "--whats=forward", "--lowerings=folded")
ON_CPU += ("--nets=detection,regression", "--variants=asy")
ON_CPU += ("--precisions=float32", "--protocol=smoke")
"""What is timed on a GPU, and on a CPU as a test."""
ALL_NETS = ("--nets=detection,regression", "--variants=asy,full,thin")
ALL_NETS += (f"--precisions={','.join(PRECISIONS)}",)
EACH_NET = (
    ("--nets=detection",),
    *(("--nets=regression", f"--variants={variant}") for variant in ("asy", "full", "thin")),
)
"""The nets of the benchmark, all together and one by one."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Checks the lowerings, times the nets and trains them on a GPU, in about eleven minutes.

    The last line of stdout is the result as JSON."""

    data: Path | None = None
    """Data to train on: a file written by `python -m data_pipeline.prepare`. The part train needs
    it."""
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
        command += ["--implementations=jax_conv3d,torch_eager"]
        return [*command, *ON_GPU, *ALL_NETS, f"--minutes={0.9 * BENCH_S / 60:.1f}"]
    return [*command, *ON_CPU]


def compile_commands(options: Options, out: Path) -> list[list[str]]:
    """Returns module and options of the processes that compile our programs of the benchmark.

    Each is a short benchmark of one net in one precision. Its times are not used.
    """
    if options.device == "cpu":
        return [bench_command(options, out / "compile")]
    return [
        ["experiments.bench", "--device=gpu", f"--out={out / 'compile'}"]
        + ["--dirty"] * options.dirty
        + ["--implementations=jax_conv3d", *ON_GPU, *nets]
        + [f"--precisions={precision}", "--protocol=smoke"]
        for nets in EACH_NET
        for precision in PRECISIONS
    ]


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


def part(name: str, commands: list[list[str]], limit_s: float, cache: Path) -> dict:
    """Runs commands side by side in other processes; after `limit_s` seconds they are interrupted.

    `cache` is the folder of compiled programs. Returns the `seconds`, and the JSON of the last line
    of the first one (`result`) or a failure (`error`).
    """
    began = time.perf_counter()
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache.absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    if len(commands) > 1:  # they share the memory of the GPU
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    processes = []
    for command in commands:
        print(f"{name}: {' '.join(command)}", file=sys.stderr)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, env=environment
            )
        )
    printed = []
    for process in processes:
        try:
            left = max(0.0, limit_s - (time.perf_counter() - began))
            printed.append(process.communicate(timeout=left)[0])
        except subprocess.TimeoutExpired:
            for late in processes:
                late.send_signal(signal.SIGINT)  # a benchmark then writes what it finished
            for late in processes:
                end(late)
            return {"error": f"took longer than {limit_s:.0f} s", "seconds": limit_s}
    seconds = round(time.perf_counter() - began, 1)
    if codes := [process.returncode for process in processes if process.returncode]:
        return {"error": f"ended with code {codes[0]}", "seconds": seconds}
    return {"seconds": seconds, "result": json.loads(printed[0].splitlines()[-1])}


def end(process: subprocess.Popen) -> None:
    """Waits for a process that was interrupted, and kills it if it does not end."""
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


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
    frames = None
    if "train" in parts:  # a missing file is reported before anything is timed
        if options.data is None:
            raise ConfigError("the part train needs --data=FILE.npz, or omit it from --parts")
        frames = load(options.data)
    out = options.out
    claim(out, 50_000_000, option="--out")
    result = {"device": device.device_kind, "jax": jax.__version__}
    timed = functools.partial(part, cache=out / "cache")
    work_of = {
        "check": lowering_check.check_all,
        "compile": lambda: timed("compile", compile_commands(options, out), COMPILE_S),
        "bench": lambda: timed("bench", [bench_command(options, out)], BENCH_S),
        "train": lambda: timed("train", [train_command(options, out, frames)], TRAIN_S),
    }
    for name in PARTS:
        if name in parts:
            result[name] = work_of[name]()
            result["seconds"] = round(time.perf_counter() - began, 1)
            write_json(out / "gpu.json", result)
    return result


def failures(result: dict) -> list[str]:
    """Lists the parts that failed, and the kernels for which a lowering deviates."""
    failed = [name for name in PARTS if "error" in result.get(name, {})]
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
