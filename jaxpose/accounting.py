"""A net's description -> weights, parameters, MACs and bytes, counted by hand, asserted by tests.

A MAC is one multiplication and one addition. *Nominal* MACs count every kernel tap at every
output pixel, as fvcore, ptflops and torchinfo do; *useful* ones leave out the taps that only
multiply zero padding, as XLA's `cost_analysis` does. With three frames and kernels that span
three frames the two differ by a quarter.
"""

import dataclasses
import math
from collections.abc import Iterable

from jaxpose.layers import Layer


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one layer, or of a net, for one clip in float32."""

    kernel_weights: int
    parameters: int
    """With biases and the scale and shift of batch norm, without running statistics."""
    macs_nominal: int
    macs_useful: int
    bytes: int
    """Read and written by the convolutions: input, kernel and output once each."""
    activation_bytes: int
    """Outputs of the convolutions."""

    def __add__(self, other: "Cost") -> "Cost":
        both = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Cost(*(a + b for a, b in both))


def layer_cost(layer: Layer, clip: tuple[int, int, int]) -> Cost:
    """`clip` is (frames, rows, columns) of the net's input."""
    source = (clip[0], clip[1] // layer.shrink, clip[2] // layer.shrink)
    up = layer.transposed
    target = tuple(n * s if up else n // s for n, s in zip(source, layer.stride, strict=True))
    strided = layer.stride != (1, 1, 1)
    weights = math.prod(layer.kernel) * layer.cin // layer.groups * layer.cout
    # Over a strided kernel, every pixel of the coarse side meets every tap, none of them padding.
    coarse = source if up else target
    nominal = weights * math.prod(coarse)
    useful = weights // math.prod(layer.kernel)
    for size, extent in zip(coarse, layer.kernel, strict=True):
        useful *= size * extent if strided else _taps_inside(size, extent)
    inputs, outputs = layer.cin * math.prod(source), layer.cout * math.prod(target)
    return Cost(
        kernel_weights=weights,
        parameters=weights + layer.cout * (3 if layer.norm else 1),
        macs_nominal=nominal,
        macs_useful=useful,
        bytes=4 * (inputs + weights + outputs),
        activation_bytes=4 * outputs,
    )


def _taps_inside(size: int, extent: int) -> int:
    """Pairs (output position, tap) along one axis whose input is not padding."""
    return sum(max(0, size - abs(tap - (extent - 1) // 2)) for tap in range(extent))


def net_cost(layers: Iterable[Layer], clip: tuple[int, int, int]) -> Cost:
    return sum((layer_cost(layer, clip) for layer in layers), Cost(0, 0, 0, 0, 0, 0))
