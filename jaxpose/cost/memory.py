"""Memory that a training step needs, memory of the machine, and the micro-batches that make a step
fit; and a setting that keeps freed memory in the process."""

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
"""Of glibc's malloc.h."""


def keep_freed() -> dict[str, int]:
    """Lets this process keep the memory that it frees, for what it asks for next.

    XLA allocates hundreds of MB in every step, which glibc gives back to the system each time, to
    get them again page by page: 80,000 to 135,000 page faults a step, or 2 MB pages where the
    system has any left. To be called before JAX computes. Returns the options of malloc that were
    set: none where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return {}
    options = (
        ("mmap_max", _MMAP_MAX, 0),  # arrays out of the heap,
        ("trim_threshold", _TRIM_THRESHOLD, -1),  # which does not shrink,
        ("top_pad", _TOP_PAD, 2**28),  # and grows in large steps;
        ("arena_max", _ARENA_MAX, 1),  # one for all threads: only the first can be large
    )
    return {name: value for name, option, value in options if mallopt(option, value)}


def step_bytes(
    layers: Iterable[Layer], clip: tuple[int, int, int], batch: int, lowering: Lowering
) -> float:
    """Estimates the temporary memory of a training step in float32.

    A compiled step keeps every convolution's output, what batch norm and ReLU make of it, and
    gradients on their way: a multiple of the outputs that each lowering states."""
    layers = [*layers]
    costs = layer_costs(layers, clip)
    return batch * sum(
        lowering.memory_factor(layer.kernel) * cost.activation_bytes
        for layer, cost in zip(layers, costs, strict=True)
    )


def machine_bytes() -> int:
    """Memory of the default device; on a CPU the machine's, or the container's limit."""
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
    """Returns the fewest equal parts of a batch of which one fits; single clips if none does."""
    need = step_bytes(layers, clip, batch, lowering)
    parts = (n for n in range(1, batch + 1) if batch % n == 0)
    return next((n for n in parts if need / n <= SHARE * available), batch)
