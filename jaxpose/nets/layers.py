"""A net as data: its layers, and the order in which they are connected.

Nets are built, counted, exported and executed from these descriptions. This module imports no
array library.
"""

import dataclasses
from collections.abc import Callable, Mapping
from string import ascii_lowercase
from typing import TypeVar

from jaxpose.nets.factorise import Factorisation

Extent = tuple[int, int, int]
"""(t, y, x) in frames, pixels, pixels."""

X = TypeVar("X")
"""What represents an activation: an array, a tensor, or the name of an edge of a graph."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """One convolution, and the batch norm and ReLU that follow it.

    Attributes:
      name: name of the layer, unique within its net.
      cin: number of input channels.
      cout: number of output channels.
      kernel: extent of the kernel, (t, y, x).
      stride: (t, y, x). It is 1, and the input is zero-padded to keep the size, or it equals the
        kernel's extent, and nothing is padded.
      transposed: the convolution is transposed; its stride enlarges the output.
      groups: number of channel groups.
      norm: batch norm follows. The convolution has a bias nevertheless, as in Keras.
      relu: ReLU follows.
      shrink: rows and columns of the *input* are this factor smaller than the clip's.
      shift: some input channels are taken from the next and the previous frame before the
        convolution, see `jaxpose.nets.compute.shift_in_time`.
    """

    name: str
    cin: int
    cout: int
    kernel: Extent = (1, 1, 1)
    stride: Extent = (1, 1, 1)
    transposed: bool = False
    groups: int = 1
    norm: bool = True
    relu: bool = True
    shrink: int = 1
    shift: bool = False

    @property
    def kernel_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the kernel's weights, [kt kh kw ci/groups co]."""
        return (*self.kernel, self.cin // self.groups, self.cout)


def factorised(
    name: str, cin: int, cout: int, factorise: Factorisation, *, shrink: int = 1
) -> tuple[Layer, ...]:
    """Returns the layers that replace one 3x3x3 convolution, in the order in which they run.

    A single layer has the name `name`, several have `name`/a, `name`/b, ...
    """
    stages = factorise(cin, cout)
    layers = []
    for letter, stage in zip(ascii_lowercase, stages, strict=False):
        layers.append(
            Layer(
                name if len(stages) == 1 else f"{name}/{letter}",
                cin,
                stage.features,
                kernel=stage.kernel,
                groups=stage.groups,
                norm=stage.norm,
                relu=stage.relu,
                shrink=shrink,
                shift=stage.shift,
            )
        )
        cin = stage.features
    return tuple(layers)


Run = Callable[[str, X], X]
"""(name of a block or a layer, input) -> its output."""
Concat = Callable[[list[X]], X]
"""Joins activations along their channels, in order."""


@dataclasses.dataclass(frozen=True)
class Net:
    """A net's layers and its topology.

    Attributes:
      blocks: name of a block -> its layers, in the order in which they run.
      flow: the topology. It is called as `flow(run, concat, *inputs)`, where `run` computes one
        block, and returns the output.
    """

    blocks: Mapping[str, tuple[Layer, ...]] = dataclasses.field(hash=False)  # equal, not hashed
    flow: Callable

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, in the order in which they run."""
        return tuple(layer for block in self.blocks.values() for layer in block)

    @property
    def sees_one_frame(self) -> bool:
        """Whether each frame of the output depends on the same frame of the input alone."""
        return all(layer.kernel[0] == 1 and not layer.shift for layer in self.layers)

    def walk(self, run: Run, concat: Concat, *inputs: X) -> X:
        """Runs the net on `inputs`: `run(name, x)` computes one *layer*, `concat` joins channels.

        The flax modules, prediction, and the benchmark's PyTorch and ONNX nets all call it.
        """

        def run_block(name: str, x: X) -> X:
            for layer in self.blocks[name]:
                x = run(layer.name, x)
            return x

        return self.flow(run_block, concat, *inputs)
