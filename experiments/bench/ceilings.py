"""What a machine can do at best: nothing here is faster than its products and its copies."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def ceilings(device: jax.Device, *, tiny: bool = False) -> dict[str, float]:
    """Products of square matrices in FLOP/s by precision, copying in bytes/s read and written: the
    better of XLA and, on a CPU, numpy; best of 5 tries. `tiny`: to see that it works."""
    result = {}
    side = 512 if tiny else 2048 if device.platform == "cpu" else 8192
    for dtype, precision in (
        ("float32", "highest"),
        ("tf32", "tensorfloat32"),
        ("bfloat16",) * 2,
    ):
        kind = jnp.bfloat16 if dtype == "bfloat16" else jnp.float32
        a = jax.random.normal(jax.random.key(0), (side, side), kind)
        with jax.default_matmul_precision(precision):
            multiply = jax.jit(jnp.matmul).lower(a, a).compile()
        result[dtype] = 2 * side**3 / _best_s(lambda: jax.block_until_ready(multiply(a, a)))  # noqa: B023
    x = jax.random.normal(jax.random.key(1), ((1 if tiny else 64) * 2**20,), jnp.float32)
    copy = jax.jit(lambda x: x + 1).lower(x).compile()
    result["bytes"] = 2 * x.nbytes / _best_s(lambda: jax.block_until_ready(copy(x)))
    if device.platform == "cpu":
        a = np.random.default_rng(0).standard_normal((side, side), np.float32)
        out = np.empty_like(a)
        best = 2 * side**3 / _best_s(lambda: np.matmul(a, a, out=out))
        result["float32"] = result["tf32"] = max(best, result["float32"])
    return result


def _best_s(call: Callable[[], object], tries: int = 5) -> float:
    call()
    best = float("inf")
    for _ in range(tries):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best
