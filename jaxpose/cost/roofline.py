"""Costs and a machine's ceilings -> the least time that a net can take there.

Every convolution takes as long as its arithmetic or its data, whichever is more; batch norm and
ReLU, where they are not fused into it, pass over its output once more. A prediction from data
sheets and a bound from measured ceilings are the same formula.
"""

import dataclasses
from collections.abc import Iterable

from jaxpose.cost.accounting import layer_costs
from jaxpose.nets.layers import Layer

FORWARD_PASSES = 2
"""Batch norm and ReLU as one pass of their own: the output is read and written once more."""
TRAIN_PASSES = 9
"""Their traversals of the output forward and backward, statistics included."""


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """What a machine can do at best."""

    flops_per_s: float
    bytes_per_s: float


def least_seconds(
    layers: Iterable[Layer],
    clip: tuple[int, int, int],
    ceilings: Ceilings,
    *,
    batch: int = 1,
    training: bool = False,
    fused: bool = False,
    useful: bool = False,
) -> float:
    """`fused`: batch norm and ReLU cost nothing (never in training); `useful`: taps on padding
    are skipped. Weights are read once per batch, activations once per clip."""
    layers, total = tuple(layers), 0.0
    for layer, cost in zip(layers, layer_costs(layers, clip), strict=True):
        macs = cost.macs_useful if useful else cost.macs_nominal
        weights = 4 * cost.kernel_weights
        moved = weights + batch * (cost.bytes - weights)
        once = max(2 * batch * macs / ceilings.flops_per_s, moved / ceilings.bytes_per_s)
        total += once * (cost.train_macs_nominal // cost.macs_nominal if training else 1)
        if layer.norm and (training or not fused):
            passes = TRAIN_PASSES if training else FORWARD_PASSES
            total += passes * batch * cost.activation_bytes / ceilings.bytes_per_s
    return total
