"""The memory that a training step needs, the memory of the machine, and the number of parts in
which a batch fits; and an allocator that keeps freed memory."""

import ctypes
from collections.abc import Iterable
from pathlib import Path

import jax
import psutil

from jaxpose.cost.accounting import layer_costs
from jaxpose.lowering import Lowering
from jaxpose.nets.layers import Layer

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
SHARE = 0.6
"""The part of the machine's memory that a step may use. The rest is for data, weights and other
programs."""

# Constants of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed() -> dict[str, int]:
    """Makes this process keep the memory that it frees, for its next allocations.

    XLA allocates hundreds of MB in every step. By default glibc returns them to the system each
    time and requests them again page by page: 80,000 to 135,000 page faults a step, or 2 MB pages
    where the system has any left. Call it before JAX computes. Returns the options of malloc that
    were set; empty without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return {}
    options = (
        ("mmap_max", _MMAP_MAX, 0),  # arrays come from the heap,
        ("trim_threshold", _TRIM_THRESHOLD, -1),  # which never shrinks
        ("top_pad", _TOP_PAD, 2**28),  # and grows in large steps;
        ("arena_max", _ARENA_MAX, 1),  # one heap for all threads: only the first can be large
    )
    return {name: value for name, option, value in options if mallopt(option, value)}


def step_bytes(
    layers: Iterable[Layer], clip: tuple[int, int, int], batch: int, lowering: Lowering
) -> float:
    """Estimate of the temporary memory of a training step in float32, in bytes.

    A compiled step stores every convolution's output, the results of batch norm and ReLU, and
    gradients for a while: a multiple of each layer's output, which the lowering knows.
    """
    layers = [*layers]
    factors = [lowering.step_factor(layer.kernel) for layer in layers]
    outputs = [cost.activation_bytes for cost in layer_costs(layers, clip)]
    return batch * sum(n * size for n, size in zip(factors, outputs, strict=True))


def machine_bytes() -> int:
    """Memory of JAX's default device; on a CPU the machine's memory or a container's limit,
    whichever is less."""
    if jax.default_backend() != "cpu":
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
    """The smallest number of equal parts of a batch of which one fits in `available` bytes; as many
    as there are clips where none does."""
    need = step_bytes(layers, clip, batch, lowering)
    parts = (n for n in range(1, batch + 1) if batch % n == 0)
    return next((n for n in parts if need / n <= SHARE * available), batch)
