"""A net's layers -> weights, parameters, MACs and bytes, all counted from shapes.

A MAC is one multiplication and one addition. *Nominal* MACs count every kernel tap at every
output pixel, as fvcore, ptflops and torchinfo do; *useful* ones exclude the taps that only
multiply zero padding, as XLA's `cost_analysis` does. With three frames and kernels that span
three frames the two differ by a quarter. The tests compare both with XLA's count.
"""

import dataclasses
import math
from collections.abc import Iterable

from jaxpose.nets.layers import Layer

CONVENTION = (
    "1 MAC = 2 FLOP. XLA's cost_analysis counts 2 x useful MACs, PyTorch's FlopCounterMode 2 x "
    'nominal; fvcore, ptflops, thop ("FLOPs") and torchinfo ("mult-adds") count nominal MACs.'
)
"""The note under every table of costs."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one layer, or of a net, for one clip in float32."""

    kernel_weights: int
    """Numbers in the kernels of the convolutions."""
    parameters: int
    """Trained numbers: kernel weights, biases, scale and shift of batch norm."""
    biases: int
    """Biases of the convolutions."""
    norm_parameters: int
    """Scale and shift of batch norm."""
    running_statistics: int
    """Running mean and variance: stored with the net, not trained, not in `parameters`."""
    macs_nominal: int
    macs_useful: int
    bytes: int
    """Bytes that the convolutions read and write: input, kernel and output once each."""
    activation_bytes: int
    """Bytes of the convolutions' outputs."""
    train_macs_nominal: int
    """MACs of the forward convolution and of the gradients of its input and kernel; the net's own
    input needs no gradient."""
    train_macs_useful: int
    train_bytes: int
    """Bytes of the same three convolutions; batch norm and ReLU pass over `activation_bytes`
    again."""
    train_stored_bytes: int
    """Bytes stored for the backward pass: the convolutions' outputs, and again after batch norm."""

    @property
    def intensity(self) -> float:
        """Nominal FLOP per byte of the forward convolution."""
        return 2 * self.macs_nominal / self.bytes

    def __add__(self, other: "Cost") -> "Cost":
        both = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Cost(*(a + b for a, b in both))


def layer_cost(layer: Layer, clip: tuple[int, int, int], *, first: bool = False) -> Cost:
    """Counts one layer.

    `clip` is (frames, rows, columns) of the net's input. `first` says that the layer reads that
    input, whose gradient is not computed.
    """
    source = (clip[0], clip[1] // layer.shrink, clip[2] // layer.shrink)
    up = layer.transposed
    target = tuple(n * s if up else n // s for n, s in zip(source, layer.stride, strict=True))
    strided = layer.stride != (1, 1, 1)
    weights = math.prod(layer.kernel) * layer.cin // layer.groups * layer.cout
    # With a strided kernel every pixel of the coarse side uses every tap, none of them on padding.
    coarse = source if up else target
    nominal = weights * math.prod(coarse)
    useful = weights // math.prod(layer.kernel)
    for size, extent in zip(coarse, layer.kernel, strict=True):
        useful *= size * extent if strided else _taps_inside(size, extent)
    input_size, output_size = layer.cin * math.prod(source), layer.cout * math.prod(target)
    moved = 4 * (input_size + weights + output_size)
    norm = layer.cout if layer.norm else 0
    convolutions = 2 if first else 3  # all with the same products, operands and results
    return Cost(
        kernel_weights=weights,
        parameters=weights + layer.cout + 2 * norm,
        biases=layer.cout,
        norm_parameters=2 * norm,
        running_statistics=2 * norm,
        macs_nominal=nominal,
        macs_useful=useful,
        bytes=moved,
        activation_bytes=4 * output_size,
        train_macs_nominal=convolutions * nominal,
        train_macs_useful=convolutions * useful,
        train_bytes=convolutions * moved,
        train_stored_bytes=4 * output_size * (2 if layer.norm else 1),
    )


def _taps_inside(size: int, extent: int) -> int:
    """Counts the pairs (output position, tap) along one axis whose input is not padding."""
    return sum(max(0, size - abs(tap - (extent - 1) // 2)) for tap in range(extent))


def layer_costs(layers: Iterable[Layer], clip: tuple[int, int, int]) -> list[Cost]:
    """Counts each layer, in the order in which they run: the first reads the net's input."""
    return [layer_cost(layer, clip, first=n == 0) for n, layer in enumerate(layers)]


def net_cost(layers: Iterable[Layer], clip: tuple[int, int, int]) -> Cost:
    """Counts all layers together."""
    zero = Cost(*[0] * len(dataclasses.fields(Cost)))
    return sum(layer_costs(layers, clip), zero)
