"""The operations of a net as a graph: what is computed from what, before the library sees it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

Shape = tuple[int, int, int, int, int]
"""[b t h w c]."""


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """An array that a program receives, or, in the classes below, computes from others."""

    shape: Shape
    inputs: tuple["Node", ...] = ()


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Node):
    """A convolution of its input, the bias added, then ReLU if `relu`.

    Strides follow from the shapes: kernel = stride where the output's size differs from the
    input's, and the convolution is transposed where it is larger.
    """

    kernel: Any
    """numpy, float32 [kt kh kw ci/groups co]."""
    bias: Any
    """numpy, float32 [co]."""
    groups: int
    relu: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Concatenation(Node):
    """Its inputs, joined along their channels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sigmoid(Node):
    """The logistic function of its input."""


def in_order(outputs: Sequence[Node]) -> list[Node]:
    """Returns all nodes that the outputs need, each after its inputs."""
    order: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in order:
            for each in node.inputs:
                visit(each)
            order[node] = None

    for output in outputs:
        visit(output)
    return list(order)
