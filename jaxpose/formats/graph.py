"""Operations of nets on clips -> an ONNX graph of 2-D convolutions.

Frames are channels: an activation [b t h w c] is an array [b t*c h w], whose channels are those of
the first frame, then those of the second. A kernel that spans one frame is a convolution in t
groups. One that spans several is a convolution of all frames at once, whose weights are 0 where
two frames are further apart than the kernel reaches.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from jaxtyping import Float
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
"""Versions of the ONNX format that every runtime of the last years reads."""
BATCH = "batch"
"""Name of the axis of clips."""
_AXES = (3, 2, 0, 1)
"""Order of a 2-D kernel's axes [kh kw ci co] in ONNX."""


@dataclasses.dataclass(frozen=True)
class Node:
    """An activation: its name in the graph, and its shape (t, h, w, c)."""

    name: str
    shape: tuple[int, int, int, int]


class Graph:
    """Records operations on nodes; see `jaxpose.lowering.lowering.Recorder`."""

    def __init__(self):
        """Begins an empty graph."""
        self._nodes: list[onnx.NodeProto] = []
        self._arrays: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, shape: tuple[int, ...], name: str = "clips") -> Node:
        """Returns an input [batch t h w c]; the first number of `shape` is ignored."""
        _, t, h, w, c = shape
        self._inputs.append(_value(name, (t, h, w, c)))
        x = self._add("Transpose", name, perm=[0, 1, 4, 2, 3]) if c > 1 else name
        return self._reshaped(x, (t * c, h, w), (t, h, w, c))

    def output(self, x: Node, name: str) -> None:
        """Makes an activation the output `name`, [batch t h w c]."""
        t, h, w, c = x.shape
        x = self._reshaped(x.name, (t, c, h, w), x.shape)
        self._outputs.append(_value(name, x.shape))
        self._add("Transpose", x.name, name=name, perm=[0, 1, 3, 4, 2])

    def convolve(
        self,
        x: Node,
        kernel: Float[np.ndarray, "kt kh kw cig co"],
        bias: Float[np.ndarray, "co"],
        *,
        stride: tuple[int, int, int],
        groups: int,
        relu: bool,
        transposed: bool,
    ) -> Node:
        """Records a convolution, or a transposed one, with bias and ReLU."""
        if transposed:
            return self._upsample(x, kernel, bias, relu)
        t, h, w, _ = x.shape
        (kt, kh, kw, _, co), (_, *steps) = kernel.shape, stride
        name, mixed = x.name, kt > 1 and groups > 1
        if mixed:
            name = self._swapped(name, (t, groups, -1, h, w))
            kernel = _group_blocks(kernel, groups, t)
            bias = np.tile(bias.reshape(groups, 1, -1), (1, t, 1)).reshape(-1)
        else:
            if kt > 1:
                kernel = _blocks(kernel, t)
            else:
                kernel = np.tile(kernel[0].transpose(_AXES), (t, 1, 1, 1))
                groups *= t
            bias = np.tile(bias, t)
        name = self._add(
            "Conv",
            name,
            self._constant(kernel),
            self._constant(bias),
            kernel_shape=[kh, kw],
            strides=steps,
            pads=[k // 2 if s == 1 else 0 for k, s in zip((kh, kw), steps, strict=True)] * 2,
            group=groups,
        )
        if relu:
            name = self._add("Relu", name)
        h, w = (n // s for n, s in zip((h, w), steps, strict=True))
        if mixed:
            name = self._swapped(name, (groups, t, -1, h, w))
        return Node(name, (t, h, w, co))

    def _upsample(
        self,
        x: Node,
        kernel: Float[np.ndarray, "1 s s ci co"],
        bias: Float[np.ndarray, "co"],
        relu: bool,
    ) -> Node:
        """Records a convolution to the s x s pixels of a tile, which then take their places."""
        _, size, _, ci, co = kernel.shape
        tiles = kernel[0].transpose(2, 3, 0, 1).reshape(1, 1, 1, ci, -1)
        bias = np.repeat(bias, size**2)
        y = self.convolve(x, tiles, bias, stride=(1, 1, 1), groups=1, relu=relu, transposed=False)
        t, h, w, _ = x.shape
        name = self._add("DepthToSpace", y.name, blocksize=size, mode="CRD")
        return Node(name, (t, size * h, size * w, co))

    def concatenate(self, parts: Sequence[Node]) -> Node:
        """Records the concatenation of the parts' channels, frame by frame."""
        t, h, w, _ = parts[0].shape
        channels = sum(part.shape[3] for part in parts)
        frames = [self._reshaped(p.name, (t, p.shape[3], h, w), p.shape).name for p in parts]
        joined = self._add("Concat", *frames, axis=2)
        return self._reshaped(joined, (t * channels, h, w), (t, h, w, channels))

    def sigmoid(self, x: Node) -> Node:
        """Records the logistic function of x."""
        return Node(self._add("Sigmoid", x.name), x.shape)

    def content(self, metadata: Mapping[str, str]) -> bytes:
        """Returns the ONNX file of what was recorded."""
        graph = helper.make_graph(self._nodes, "jaxpose", self._inputs, self._outputs, self._arrays)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="jaxpose",
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString(deterministic=True)

    def _add(self, operation: str, *inputs: str, name: str | None = None, **attributes) -> str:
        name = name or f"{operation}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self._arrays)}"
        self._arrays.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _reshaped(self, name: str, shape: tuple[int, ...], of: tuple[int, int, int, int]) -> Node:
        """Reshapes an activation of the shape `of`, all but the axis of clips."""
        sizes = self._constant(np.array([-1, *shape], np.int64))
        return Node(self._add("Reshape", name, sizes), of)

    def _swapped(self, name: str, shape: tuple[int, int, int, int, int]) -> str:
        """Swaps the two outermost of the axes that channels consist of."""
        a, b, _, h, w = shape
        name = self._add("Reshape", name, self._constant(np.array([0, *shape], np.int64)))
        name = self._add("Transpose", name, perm=[0, 2, 1, 3, 4, 5])
        # Channels are the only size that is not known: 0 copies the clips.
        return self._add("Reshape", name, self._constant(np.array([0, -1, h, w], np.int64)))


def _value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])


def _blocks(kernel: Float[np.ndarray, "kt kh kw ci co"], t: int) -> Float[np.ndarray, "m n kh kw"]:
    """Returns a kernel over all frames at once, [t*co t*ci kh kw]."""
    kt, kh, kw, ci, co = kernel.shape
    blocks = np.zeros((t, co, t, ci, kh, kw), kernel.dtype)
    for after in range(t):
        for before in range(t):
            tap = before - after + kt // 2
            if 0 <= tap < kt:
                blocks[after, :, before] = kernel[tap].transpose(_AXES)
    return blocks.reshape(t * co, t * ci, kh, kw)


def _group_blocks(
    kernel: Float[np.ndarray, "kt kh kw cig co"], groups: int, t: int
) -> Float[np.ndarray, "m n kh kw"]:
    """Returns the kernels of all groups, each over all frames at once, [co*t t*cig kh kw]."""
    per_group = np.split(kernel, groups, axis=4)
    return np.concatenate([_blocks(part, t) for part in per_group])
