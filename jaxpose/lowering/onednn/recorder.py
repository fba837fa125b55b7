"""The operations that a net asks for, recorded first and then run as one program."""

from collections.abc import Sequence

import numpy as np

from jaxpose.lowering.lowering import check_convolution, check_upsampling
from jaxpose.lowering.onednn.graph import Concatenation, Convolution, Node, Shape, Sigmoid
from jaxpose.lowering.onednn.program import Program


class Recorder:
    """Records operations on nodes, which stand for arrays [b t h w c]; see
    `jaxpose.lowering.lowering.ProgramRecorder`."""

    def __init__(self, dtype: str):
        self.dtype, self.inputs = dtype, []

    def input(self, shape: Shape) -> Node:
        """Returns the next input of the program."""
        self.inputs.append(Node(tuple(shape)))
        return self.inputs[-1]

    def convolve(
        self,
        x: Node,
        kernel: np.ndarray,
        bias: np.ndarray,
        *,
        stride: tuple[int, int, int],
        groups: int,
        relu: bool,
        transposed: bool,
    ) -> Node:
        """Records a convolution, or a transposed one, with bias and ReLU.

        Raises:
          ValueError: shapes, groups or strides do not fit together.
        """
        if transposed:
            check_upsampling(x.shape, kernel.shape)
        else:
            check_convolution(x.shape, kernel.shape, stride, groups)
        b, *size, _ = x.shape
        scaled = (n * s if transposed else n // s for n, s in zip(size, stride, strict=True))
        shape = (b, *scaled, kernel.shape[4])
        return Convolution(shape, (x,), kernel=kernel, bias=bias, groups=groups, relu=relu)

    def concatenate(self, parts: Sequence[Node]) -> Node:
        """Records the concatenation of the parts' channels."""
        channels = sum(part.shape[4] for part in parts)
        return Concatenation((*parts[0].shape[:4], channels), tuple(parts))

    def sigmoid(self, x: Node) -> Node:
        """Records the logistic function of x."""
        return Sigmoid(x.shape, (x,))

    def finish(self, *outputs: Node) -> Program:
        """Returns the program (arrays in the order of `input`) -> outputs."""
        return Program(self.inputs, outputs, self.dtype)
