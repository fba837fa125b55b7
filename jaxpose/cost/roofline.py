"""A net's costs and a machine's ceilings -> the shortest time that the net can take there.

Every convolution takes as long as its arithmetic or as moving its data, whichever is longer. Batch
norm and ReLU, where they are not fused into it, pass over its output once more. Ceilings from data
sheets give a prediction; measured ceilings give a bound.
"""

import dataclasses
from collections.abc import Iterable

from jaxpose.cost.accounting import layer_costs
from jaxpose.nets.layers import Layer

FORWARD_PASSES = 2
"""Traversals of the output by batch norm and ReLU as one separate pass: one read, one write."""
TRAIN_PASSES = 9
"""Traversals of the output by batch norm and ReLU forward and backward, with the statistics."""


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """Highest rates of a machine."""

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
    """Returns the shortest time of a forward pass, or of a training step, in seconds.

    Args:
      layers: the net's layers in the order in which they run.
      clip: (frames, rows, columns) of the net's input.
      ceilings: highest rates of the machine.
      batch: number of clips. Weights are moved once per batch, activations once per clip.
      training: the time is that of a training step.
      fused: batch norm and ReLU take no time in a forward pass.
      useful: taps that only multiply padding are skipped.
    """
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
