"""The highest rates of a machine: products by every installed library, and a copy.

A product is one of square matrices, or a dense 3x3x3 convolution by oneDNN, which inside the
library is a product of larger matrices and was faster than all others.
"""

import time
from collections.abc import Callable, Iterator
from ctypes import c_void_p

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose.cost.accounting import layer_cost
from jaxpose.lowering import LOWERINGS, convolve
from jaxpose.lowering.onednn import dnnl
from jaxpose.nets.layers import Layer

Product = tuple[Callable[[], object], float]
"""(function to call, FLOP of a call)."""

NOTHING = {"products": {}, "bytes_per_s": 0.0}
"""What a worker returns that measures no ceilings."""
SIDES = {"cpu": (1024, 2048, 4096), "gpu": (4096, 8192)}
"""Rows and columns of the matrices."""
TINY = (256,)
"""The same for tests."""
TRIES, ENOUGH_S, MOST_S = 5, 1.0, 4.0
"""Largest number of timed calls of one size, the time after which there is no further one, and the
longest call."""
PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
"""Type in the results -> JAX's precision of products."""
_WEIGHTS = 33
"""oneDNN's name for a matrix product's second argument."""


def by_jax(device: jax.Device, *, tiny: bool) -> dict:
    """Measures the rates of JAX, and on a CPU those of NumPy and oneDNN.

    Returns {"products": type -> library -> FLOP/s, "bytes_per_s"}. `tiny` is for tests: small
    matrices, small copies.
    """
    cpu = device.platform == "cpu"
    sides = TINY if tiny else SIDES["cpu" if cpu else "gpu"]
    products: dict[str, dict[str, float]] = {}
    for dtype in ("float32", "bfloat16") if cpu else PRECISIONS:
        products[dtype] = {"jax": fastest(_jax_product(dtype, side) for side in sides)}
    if cpu:
        products["float32"]["numpy"] = fastest(_numpy_product(side) for side in sides)
        for dtype, rates in products.items():
            if not LOWERINGS["onednn"].unavailable(dtype):
                rates["onednn"] = fastest(_onednn_product(dtype, side) for side in sides)
                convolution = _onednn_convolution(dtype, 16 if tiny else 256)
                rates["onednn convolution"] = fastest(iter([convolution]))
    x = jax.random.normal(jax.random.key(1), ((1 if tiny else 64) * 2**20,), jnp.float32)
    copy = jax.jit(lambda x: x + 1).lower(x).compile()
    moved = fastest(iter([(lambda: jax.block_until_ready(copy(x)), 2 * x.nbytes)]))
    return {"products": products, "bytes_per_s": moved}


def by_torch(device, *, tiny: bool) -> dict:
    """Measures PyTorch's matrix product on a `torch.device`; returns the same as `by_jax`."""
    import torch

    def product(dtype: torch.dtype, side: int) -> Product:
        """Returns PyTorch's product of square matrices."""
        a = torch.randn((side, side)).to(device, dtype)

        def call():
            torch.matmul(a, a)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return call, 2 * side**3

    sides = TINY if tiny else SIDES["gpu" if device.type == "cuda" else "cpu"]
    products = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        products[name] = {"torch": fastest(product(dtype, side) for side in sides)}
    return {"products": products, "bytes_per_s": 0.0}


def fastest(products: Iterator[Product]) -> float:
    """Returns the highest rate of some products of growing size, in their unit per second.

    A product whose call would take longer than `MOST_S` is not called.
    """
    best = 0.0
    for call, work in products:
        if best and work / best > MOST_S:
            break
        best = max(best, work / _shortest_s(call))
    return best


def _shortest_s(call: Callable[[], object]) -> float:
    """Returns the shortest duration of a few calls, without a first one that warms up."""
    call()
    times = []
    while len(times) < TRIES and sum(times) < ENOUGH_S:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _jax_product(dtype: str, side: int) -> Product:
    kind = jnp.bfloat16 if dtype == "bfloat16" else jnp.float32
    a = jax.random.normal(jax.random.key(0), (side, side), kind)
    with jax.default_matmul_precision(PRECISIONS[dtype]):
        multiply = jax.jit(jnp.matmul).lower(a, a).compile()
    return lambda: jax.block_until_ready(multiply(a, a)), 2 * side**3


def _numpy_product(side: int) -> Product:
    a = np.random.default_rng(0).standard_normal((side, side), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out), 2 * side**3


def _onednn_product(dtype: str, side: int) -> Product:
    """Returns the library's matrix product itself, without XLA around it."""
    layout = dnnl.layout((side, side), (0, 1), dtype)
    description = dnnl.create(
        "dnnl_matmul_primitive_desc_create",
        dnnl.engine(),
        layout,
        layout,
        c_void_p(None),  # no bias
        layout,
        dnnl.attributes(),
    )
    primitive = dnnl.Primitive(
        description, [(dnnl.SRC, layout), (_WEIGHTS, layout), (dnnl.DST, layout)]
    )
    values = np.random.default_rng(0).standard_normal((3, side, side), np.float32)
    arrays = values.astype(jnp.dtype(dtype))
    addresses = [array.ctypes.data for array in arrays]

    def call() -> np.ndarray:
        with dnnl.one_at_a_time:
            primitive.run(addresses, dnnl.workspace(primitive.scratchpad_bytes))
        return arrays[2]

    return call, 2 * side**3


def _onednn_convolution(dtype: str, channels: int) -> Product:
    """Returns a dense convolution as in the nets; products with padding do not count."""
    clip = (3, 48, 64)
    layer = Layer("convolution", channels, channels, (3, 3, 3))
    x = jnp.ones((1, *clip, channels), dtype)
    kernel = jnp.ones((*layer.kernel, channels, channels), dtype)
    run = jax.jit(lambda x, kernel: convolve(x, kernel, lowering=LOWERINGS["onednn"]))
    compiled = run.lower(x, kernel).compile()
    macs = layer_cost(layer, clip).macs_useful
    return lambda: jax.block_until_ready(compiled(x, kernel)), 2 * macs
