"""Everything to run on a GPU machine, in under eight minutes: are the lowerings right there, how
long does everything take, does training work.

    python -m experiments.gpu --data=utd.npz        # a file written by `data_pipeline.prepare`

    check    every lowering against JAX's own 3-D convolution, values and gradients
    bench    the grid of variant x lowering x precision, batch 1 and 16, and training steps
    train    a few hundred steps of both nets from the prepared file

Each part is a process of its own with a time limit; what it leaves lies in --out. Needs JAX for
the GPU and no TensorFlow. --device=cpu does the same at tiny size, to see that it works.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.commands import parse_options
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import load
from experiments.config import ConfigError
from experiments.rundir import claim, write_json
from jaxpose.lowering import LOWERINGS, convolve, upsample

BENCH_S, TRAIN_S = 240, 150
"""Time limits of the two long parts."""
EQUAL = 1e-5
"""Deviation that float32 sums in another order may have."""
KERNELS = ((3, 3, 3), (1, 3, 1), (1, 1, 3), (3, 1, 1), (1, 3, 3), (1, 1, 1))


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
    """Of the regression net; the detection net gets as many."""


def check(lowering: str) -> dict[str, float]:
    """Largest deviation of output and both gradients from JAX's own 3-D convolution, as a share of
    the largest value, by kernel; all products in IEEE float32."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    def deviations(function, *arguments):
        def all_of(how):
            def loss(*a):
                return jnp.sum(jnp.sin(function(*a, lowering=LOWERINGS[how])))

            value = jax.jit(lambda *a: function(*a, lowering=LOWERINGS[how]))(*arguments)
            return [value, *jax.jit(jax.grad(loss, argnums=(0, 1)))(*arguments)]

        pairs = zip(all_of(lowering), all_of("conv3d"), strict=True)
        return float(max(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)) for a, b in pairs))

    result = {}
    with jax.default_matmul_precision("highest"):
        for kernel in KERNELS:
            arrays = draw(2, 3, 12, 20, 16), draw(*kernel, 16, 24)
            result["x".join(map(str, kernel))] = deviations(convolve, *arrays)
        halve, double = draw(1, 2, 2, 16, 24), draw(1, 2, 2, 16, 24)
        result["1x2x2 strided"] = deviations(
            lambda x, k, lowering: convolve(x, k, stride=(1, 2, 2), lowering=lowering),
            *(draw(2, 3, 12, 20, 16), halve),
        )
        result["1x2x2 transposed"] = deviations(upsample, draw(2, 3, 6, 10, 16), double)
        depthwise = draw(2, 3, 12, 20, 16), draw(3, 3, 3, 1, 16)
        result["3x3x3 depthwise"] = deviations(
            lambda x, k, lowering: convolve(x, k, groups=16, lowering=lowering), *depthwise
        )
    return result


def part(name: str, command: list[str], limit_s: float) -> dict:
    """The last line of another process, and how long it took; what went wrong, where it did."""
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
    """Everything, in order; what fails is noted, and the rest goes on."""
    began = time.perf_counter()
    # this process only checks; what it reserved, its children could not have
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    try:
        device = jax.devices(options.device)[0]
    except RuntimeError:
        existing = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise ConfigError(f"--device={options.device}: not there; JAX sees: {existing}") from None
    del os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"]
    if options.steps < 1:
        raise ConfigError(f"--steps={options.steps}: expected 1 or more")
    frames = load(Path(options.data))  # a missing file is told before anything is timed
    grid = f"{frames.grid[1]}x{frames.grid[0]}"
    on_gpu, out = options.device == "gpu", Path(options.out)
    claim(out, 50_000_000)
    result = {"device": device.device_kind, "jax": jax.__version__}

    # ---- check ----
    result["lowerings"] = {}
    for lowering in LOWERINGS:
        try:
            result["lowerings"][lowering] = check(lowering)
        except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
            result["lowerings"][lowering] = {"error": str(error).splitlines()[0]}
    write_json(out / "gpu.json", result)

    # ---- bench ----
    bench = ["experiments.bench", f"--device={options.device}", f"--out={out}"]
    if on_gpu:
        bench += ["--size=paper", "--batches=1,16", "--precisions=float32,tf32,bfloat16"]
        bench += ["--variants=asy,full", f"--minutes={0.6 * BENCH_S / 60:.1f}"]
    else:
        bench += ["--size=tiny", "--protocol=smoke", "--batches=1", "--precisions=float32"]
        bench += ["--variants=asy", "--whats=forward", "--lowerings=folded"]
    result["bench"] = part("bench", bench, BENCH_S)
    write_json(out / "gpu.json", result)

    # ---- train ----
    train = ["experiments.run", f"--dataset={frames.dataset}", f"--data_dir={options.data}"]
    train += [f"--runs_dir={out / 'runs'}", f"--grid={grid}"]
    per_epoch = min(30, options.steps)
    for stage in ("detection", "regression"):
        train += [f"--{stage}.steps_per_epoch={per_epoch}"]
        train += [f"--{stage}.epochs={max(1, options.steps // per_epoch)}"]
    train += ["--width=1", "--precision=bfloat16"] if on_gpu else ["--width=0.0625"]
    result["train"] = part("train", train, TRAIN_S)
    result["seconds"] = round(time.perf_counter() - began, 1)
    write_json(out / "gpu.json", result)
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "experiments.gpu")
    try:
        result = work(options)
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    failed = [name for name in ("bench", "train") if "error" in result[name]]
    for lowering, checked in result["lowerings"].items():
        # a text says why a lowering is not there, as oneDNN on a GPU
        off = [k for k, v in checked.items() if not isinstance(v, str) and not v < EQUAL]
        failed += [f"{lowering} {kernel} is off by {checked[kernel]:.2g}" for kernel in off]
    if failed:
        print(f"error: {', '.join(failed)}; see the JSON", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
