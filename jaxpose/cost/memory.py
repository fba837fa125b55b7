"""How much memory a training step needs, how much there is, and the parts that make it fit; and
that what was once had is kept."""

import ctypes
from collections.abc import Iterable
from pathlib import Path

import jax
import psutil

from jaxpose.cost.accounting import layer_costs
from jaxpose.lowering.convolution import Lowering
from jaxpose.nets.layers import Layer

STEP_OVER_OUTPUTS = {"conv3d": 4.0, "folded": 3.5, "onednn": 2.6}
"""A compiled step keeps every convolution's output, what batch norm and ReLU make of it, and
gradients on their way. Measured on a CPU, all nets, width 1/4 and 1, times the outputs: conv3d 3.1
to 3.9, onednn 2.1 to 2.5, folded 3.1 where no kernel spans time and space at once."""
FOLDED_SPACE_TIME = 7.8
"""The same of a layer whose kernel does, under folded, which sums it up tap by tap. Measured of
whole nets: 4.2 (dwsep), 4.6 to 5.1 (detection), 5.2 to 5.4 (full and thin)."""
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
SHARE = 0.6
"""Of the machine's memory that a step may take. The rest is data, weights and other programs."""

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
    """Temporary memory of a training step in float32, about."""
    layers = [*layers]
    outputs = [cost.activation_bytes for cost in layer_costs(layers, clip)]
    times = [_over_output(layer, lowering) for layer in layers]
    return batch * sum(n * size for n, size in zip(times, outputs, strict=True))


def _over_output(layer: Layer, lowering: Lowering) -> float:
    space_time = layer.kernel[0] > 1 and max(layer.kernel[1:]) > 1
    folded = lowering == "folded" and space_time
    return FOLDED_SPACE_TIME if folded else STEP_OVER_OUTPUTS[lowering]


def machine_bytes() -> int:
    """Of the default device; on a CPU what the machine has, or what a container may take of it."""
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
    """The fewest equal parts of a batch of which one fits; single clips where none does."""
    need = step_bytes(layers, clip, batch, lowering)
    parts = (n for n in range(1, batch + 1) if batch % n == 0)
    return next((n for n in parts if need / n <= SHARE * available), batch)
