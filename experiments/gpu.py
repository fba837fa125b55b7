"""Checks, times and trains on a GPU machine in under eight minutes.

    python -m experiments.gpu --data=utd.npz        # a file written by `data_pipeline.prepare`

    check    every lowering against JAX's own 3-D convolution, values and gradients
    bench    variants x lowerings x precisions, batch 1 and 16, and training steps
    train    a few hundred steps of both nets from the prepared file

`bench` and `train` are separate processes with time limits. All results are in --out. The command
needs JAX for the GPU and no TensorFlow. --device=cpu does the same at tiny size, as a test.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.commands import expand, parse_options, run_command
from data_pipeline.examples.frames import Frames, load
from experiments.config import ConfigError
from experiments.rundir import claim
from jaxpose.files import write_json
from jaxpose.lowering import LOWERINGS, Lowering, convolve, upsample

BENCH_S, TRAIN_S = 240, 150
"""Time limits of the two long parts, in seconds."""
EQUAL = 1e-5
"""Largest relative deviation of float32 sums in another order."""
KERNELS = ((3, 3, 3), (1, 3, 1), (1, 1, 3), (3, 1, 1), (1, 3, 3), (1, 1, 1))
"""Extents (t, y, x) of the kernels that are checked."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Checks, times and trains on a GPU; the last line of stdout is the result as JSON."""

    data: str
    """A file written by `python -m data_pipeline.prepare`."""
    out: str = "gpu"
    """Folder for all results."""
    device: Literal["gpu", "cpu"] = "gpu"
    """cpu: the same at tiny size."""
    steps: int = 300
    """Training steps of each net."""
    dirty: bool = False
    """Time although files differ from the commit; the result is marked."""


# ---- check ----


def check(lowering: str) -> dict[str, float]:
    """Compares a lowering with JAX's own 3-D convolution, with all products in IEEE float32.

    Returns, by kernel, the largest deviation of the output and of both gradients, as a share of the
    largest value.
    """
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    def strided(x, kernel, lowering):
        return convolve(x, kernel, stride=(1, 2, 2), lowering=lowering)

    def depthwise(x, kernel, lowering):
        return convolve(x, kernel, groups=16, lowering=lowering)

    measured = {}
    with jax.default_matmul_precision("highest"):
        for kernel in KERNELS:
            x, weights = draw(2, 3, 12, 20, 16), draw(*kernel, 16, 24)
            name = "x".join(map(str, kernel))
            measured[name] = deviation(convolve, x, weights, LOWERINGS[lowering])
        for name, function, x_shape, kernel_shape in (
            ("1x2x2 strided", strided, (2, 3, 12, 20, 16), (1, 2, 2, 16, 24)),
            ("1x2x2 transposed", upsample, (2, 3, 6, 10, 16), (1, 2, 2, 16, 24)),
            ("3x3x3 depthwise", depthwise, (2, 3, 12, 20, 16), (3, 3, 3, 1, 16)),
        ):
            x, weights = draw(*x_shape), draw(*kernel_shape)
            measured[name] = deviation(function, x, weights, LOWERINGS[lowering])
    return measured


def deviation(function: Callable, x: jax.Array, kernel: jax.Array, lowering: Lowering) -> float:
    """Returns the largest deviation of a lowering from conv3d, in the output and both gradients."""

    def outputs(lowering: Lowering) -> list[jax.Array]:
        """Computes the output and both gradients."""

        def loss(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel, lowering=lowering)))

        value = jax.jit(lambda x, kernel: function(x, kernel, lowering=lowering))(x, kernel)
        return [value, *jax.jit(jax.grad(loss, argnums=(0, 1)))(x, kernel)]

    pairs = zip(outputs(lowering), outputs(LOWERINGS["conv3d"]), strict=True)
    return float(max(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)) for a, b in pairs))


def check_all() -> dict[str, dict]:
    """Checks every lowering; the result of one that cannot be used is the reason, under `error`."""
    checked = {}
    for lowering in LOWERINGS:
        try:
            checked[lowering] = check(lowering)
        except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
            checked[lowering] = {"error": str(error).splitlines()[0]}
    return checked


# ---- the other parts ----


def bench_command(options: Options, out: Path) -> list[str]:
    """Returns module and options of the benchmark."""
    command = ["experiments.bench", f"--device={options.device}", f"--out={out}"]
    command += ["--dirty"] * options.dirty
    if options.device == "gpu":
        command += ["--size=paper", "--batches=1,16", "--precisions=float32,tf32,bfloat16"]
        return [*command, "--variants=asy,full,thin", f"--minutes={0.6 * BENCH_S / 60:.1f}"]
    command += ["--size=tiny", "--protocol=smoke", "--batches=1", "--precisions=float32"]
    return [*command, "--variants=asy", "--whats=forward", "--lowerings=folded"]


def train_command(options: Options, out: Path, frames: Frames) -> list[str]:
    """Returns module and options of the training."""
    command = ["experiments.run", f"--dataset={frames.dataset}", f"--data_dir={options.data}"]
    command += [f"--runs_dir={out / 'runs'}", f"--grid={frames.grid[1]}x{frames.grid[0]}"]
    per_epoch = min(30, options.steps)
    for stage in ("detection", "regression"):
        command += [f"--{stage}.steps_per_epoch={per_epoch}"]
        command += [f"--{stage}.epochs={max(1, options.steps // per_epoch)}"]
    if options.device == "gpu":
        return [*command, "--width=1", "--precision=bfloat16"]
    return [*command, "--width=0.0625"]


def part(name: str, command: list[str], limit_s: float) -> dict:
    """Runs a command in another process, for at most `limit_s` seconds.

    Returns its `seconds`, and the JSON of its last line (`result`) or the failure (`error`).
    """
    print(f"{name}: {' '.join(command)}", file=sys.stderr)
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command], stdout=-1, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {limit_s:.0f} s", "seconds": limit_s}
    seconds = round(time.perf_counter() - began, 1)
    if done.returncode:
        return {"error": f"ended with code {done.returncode}", "seconds": seconds}
    return {"seconds": seconds, "result": json.loads(done.stdout.splitlines()[-1])}


def work(options: Options) -> dict:
    """Runs all parts in order. If one fails, that is recorded, and the others run.

    Raises:
      ConfigError: an option cannot be used.
      DataError: the prepared file cannot be used.
    """
    began = time.perf_counter()
    # This process only checks. Memory that it reserved would not be available to the other parts.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    try:
        device = jax.devices(options.device)[0]
    except RuntimeError:
        known = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise ConfigError(
            f"--device={options.device}: JAX has no such device, only: {known}; install JAX for "
            "it, or pass --device=cpu"
        ) from None
    del os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"]
    if options.steps < 1:
        raise ConfigError(f"--steps={options.steps}: expected 1 or more")
    frames = load(expand(options.data))  # a missing file is reported before anything is timed
    out = expand(options.out)
    claim(out, 50_000_000)
    result = {"device": device.device_kind, "jax": jax.__version__, "lowerings": check_all()}
    write_json(out / "gpu.json", result)
    result["bench"] = part("bench", bench_command(options, out), BENCH_S)
    write_json(out / "gpu.json", result)
    result["train"] = part("train", train_command(options, out, frames), TRAIN_S)
    result["seconds"] = round(time.perf_counter() - began, 1)
    write_json(out / "gpu.json", result)
    return result


def failures(result: dict) -> list[str]:
    """Lists the parts that failed, and the kernels for which a lowering deviates."""
    failed = [name for name in ("bench", "train") if "error" in result[name]]
    for lowering, checked in result["lowerings"].items():
        # A text is the reason why a lowering cannot be used, such as oneDNN on a GPU.
        off = [k for k, v in checked.items() if not isinstance(v, str) and not v < EQUAL]
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
