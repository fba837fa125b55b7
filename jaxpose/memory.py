"""How much memory a training step needs, how much there is, and the parts that make it fit."""

from collections.abc import Iterable
from pathlib import Path

import jax
import psutil

from jaxpose.accounting import net_cost
from jaxpose.layers import Layer

STEP_OVER_OUTPUTS = 3.5
"""A compiled step keeps every convolution's output, what batch norm and ReLU make of it, and
gradients on their way. Measured under `onednn`, width 1: 3.1 times the outputs (asy) to 3.3 (full).
`folded` needs more, up to 5.2 times (full, width 1/4): there a part may be too large."""
SHARE = 0.6
"""Of the machine's memory that a step may take. The rest is data, weights and other programs."""


def step_bytes(layers: Iterable[Layer], clip: tuple[int, int, int], batch: int) -> float:
    """Temporary memory of a training step in float32, about."""
    return STEP_OVER_OUTPUTS * batch * net_cost(layers, clip).activation_bytes


def machine_bytes() -> int:
    """Of the default device; on a CPU what the machine has, or what a container may take of it."""
    if jax.default_backend() != "cpu":
        return jax.devices()[0].memory_stats()["bytes_limit"]
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    total = psutil.virtual_memory().total
    return total if allowed == "max" else min(total, int(allowed))


def micro_batches(
    layers: Iterable[Layer], clip: tuple[int, int, int], batch: int, available: int
) -> int:
    """The fewest equal parts of a batch of which one fits; single clips where none does."""
    need = step_bytes(layers, clip, batch)
    parts = (n for n in range(1, batch + 1) if batch % n == 0)
    return next((n for n in parts if need / n <= SHARE * available), batch)
