"""Memory of a training step and of the machine, and the micro-batches that make a step fit.

`keep_freed` is a setting of the process: memory that it frees stays with it.
"""

import ctypes
from collections.abc import Iterable
from pathlib import Path

import jax
import psutil

from jaxpose.cost.accounting import layer_costs
from jaxpose.lowering import Lowering, platform
from jaxpose.nets.layers import Layer

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
SHARE = 0.6
"""Share of the machine's memory that a step may take. The rest is data, weights, other programs."""

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""Numbers of malloc's options in glibc's malloc.h."""


def keep_freed() -> dict[str, int]:
    """Lets this process keep the memory that it frees, for its next allocations.

    XLA allocates hundreds of MB in every step. By default glibc returns them to the system each
    time and gets them back page by page, with 80,000 to 135,000 page faults a step. Call this
    before JAX computes. Returns the options of malloc that were set: none without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return {}
    options = (
        ("mmap_max", _MMAP_MAX, 0),  # arrays are allocated in the heap
        ("trim_threshold", _TRIM_THRESHOLD, -1),  # the heap does not shrink
        ("top_pad", _TOP_PAD, 2**28),  # it grows in large steps
        ("arena_max", _ARENA_MAX, 1),  # one heap for all threads: only the first can be large
    )
    return {name: value for name, option, value in options if mallopt(option, value)}


def step_bytes(
    layers: Iterable[Layer], clip: tuple[int, int, int], batch: int, lowering: Lowering
) -> float:
    """Estimates the temporary memory of a training step in float32, in bytes.

    A compiled step stores the output of every convolution, that of batch norm and ReLU, and
    gradients: a multiple of the convolutions' outputs, which each lowering states.
    """
    layers = [*layers]
    costs = layer_costs(layers, clip)
    return batch * sum(
        lowering.memory_factor(layer.kernel) * cost.activation_bytes
        for layer, cost in zip(layers, costs, strict=True)
    )


def machine_bytes() -> int:
    """Returns the default device's memory in bytes; on a CPU the machine's, or a container's."""
    if platform() != "cpu":
        return jax.devices()[0].memory_stats()["bytes_limit"]
    allowed = CONTAINER_LIMIT.read_text().strip() if CONTAINER_LIMIT.exists() else "max"
    total = psutil.virtual_memory().total
    return total if allowed == "max" else min(total, int(allowed))


def micro_batches(
    layers: Iterable[Layer],
    clip: tuple[int, int, int],
    batch: int,
    lowering: Lowering,
    available: int,
) -> int:
    """Returns the smallest number of equal parts of a batch of which one fits into `available`
    bytes, times `SHARE`; `batch`, that is single clips, if none fits."""
    need = step_bytes(layers, clip, batch, lowering)
    parts = (n for n in range(1, batch + 1) if batch % n == 0)
    return next((n for n in parts if need / n <= SHARE * available), batch)
