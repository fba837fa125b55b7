"""A graph of operations -> the library's primitives that compute it, in the order to run them.

Where the library has a preference it chooses an activation's layout; the next operation reads it as
it is, if it can. Kernels are brought into the library's layouts here, once.
"""

import dataclasses
from collections.abc import Sequence
from ctypes import c_float, c_int, c_void_p
from typing import NamedTuple

import numpy as np

from jaxpose.lowering.onednn import dnnl
from jaxpose.lowering.onednn.graph import Concatenation, Convolution, Node, Sigmoid, in_order
from jaxpose.lowering.onednn.library import library
from jaxpose.lowering.onednn.primitives import (
    describe_reorder,
    geometry,
    kernel_layout,
    relu_attributes,
    reorder,
)

# Constants of oneDNN 3's dnnl_types.h.
_INFERENCE, _CONVOLUTION, _DECONVOLUTION, _LOGISTIC = 96, 1, 10, 41
_WEIGHTS, _BIAS, _SCRATCHPAD, _FIRST_OF_MANY = 33, 41, 80, 1024
_QUERY_SRC, _QUERY_WEIGHTS, _QUERY_DST, _QUERY_SCRATCHPAD = 129, 131, 133, 136
_CHANNELS_SECOND = (0, 4, 1, 2, 3)
_CHANNEL_AXIS = 1
_ALIGNMENT = 64


@dataclasses.dataclass(eq=False)
class Array:
    """Memory that steps read or write: an activation, a constant or a scratchpad.

    Attributes:
      layout: the library's memory descriptor.
      owner: object that the descriptor belongs to, and lives as long as.
      dtype: type of an activation's elements.
      values: the bytes of a constant, from its `address` on; None for an array that is computed.
    """

    layout: c_void_p
    owner: object = None
    dtype: str = "float32"
    values: np.ndarray | None = None

    @property
    def bytes(self) -> int:
        """Size of the array."""
        return dnnl.size_of(self.layout)

    @property
    def address(self) -> int | None:
        """Aligned address of a constant's values."""
        if self.values is None:
            return None
        start = self.values.ctypes.data
        return start + -start % _ALIGNMENT


class Step(NamedTuple):
    """One primitive: its description, and its arguments by the library's numbers."""

    description: dnnl.Handle
    arguments: list[tuple[int, Array]]


class Steps:
    """The steps that compute the outputs, float32 and channels-last, from such inputs.

    `dtype` is the type of activations and kernels in between; biases, and what the sigmoid reads,
    are float32.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], dtype: str):
        self.dtype, self.steps = dtype, []
        order = in_order(outputs)
        exact = {*outputs, *(node.inputs[0] for node in order if isinstance(node, Sigmoid))}
        arrays = {node: Array(_float32(node)) for node in inputs}
        for node in order:
            if node not in arrays:
                sources = [arrays[each] for each in node.inputs]
                arrays[node] = self._compute(node, sources, exact=node in exact)
        self.inputs = [arrays[node] for node in inputs]
        self.outputs = [arrays[node] for node in outputs]

    def _compute(self, node: Node, sources: list[Array], exact: bool) -> Array:
        """Adds the steps of a node. Its array is float32 and channels-last where `exact`."""
        if isinstance(node, Convolution):
            return self._convolution(node, sources[0], exact)
        if isinstance(node, Sigmoid):
            return self._sigmoid(sources[0])
        y = self._concatenation(node, sources)
        layout = _float32(node)
        return self._reordered(y, layout, layout, "float32") if exact else y

    def _convolution(self, node: Convolution, x: Array, exact: bool) -> Array:
        bias = dnnl.layout(node.bias.shape, (0,), "float32")
        description = self._describe_convolution(node, bias, exact)
        x = self._reordered(x, dnnl.query(description, _QUERY_SRC), description, self.dtype)
        dtype = "float32" if exact else self.dtype
        plain = kernel_layout(node.kernel.shape, node.groups, "float32")
        preferred = dnnl.query(description, _QUERY_WEIGHTS)
        weights = _constant(node.kernel, plain, preferred, description)
        y = Array(dnnl.query(description, _QUERY_DST), description, dtype)
        biases = _constant(node.bias, bias, bias, bias)
        self._add(description, [(dnnl.SRC, x), (_WEIGHTS, weights), (_BIAS, biases), (dnnl.DST, y)])
        return y

    def _describe_convolution(self, node: Convolution, bias: dnnl.Handle, exact: bool):
        before, after, kernel = node.inputs[0].shape, node.shape, node.kernel.shape
        transposed = after[2] > before[2]
        name = "deconvolution" if transposed else "convolution"
        # With groups the library would choose channels-first, for which its code is slow (LOG.md).
        layout = dnnl.any_layout if node.groups == 1 else dnnl.layout
        return dnnl.create(
            f"dnnl_{name}_forward_primitive_desc_create",
            dnnl.engine(),
            c_int(_INFERENCE),
            c_int(_DECONVOLUTION if transposed else _CONVOLUTION),
            layout(before, _CHANNELS_SECOND, self.dtype),
            kernel_layout(kernel, node.groups, self.dtype, chosen_by_library=True),
            bias,
            _float32(node) if exact else layout(after, _CHANNELS_SECOND, self.dtype),
            *(geometry(after, kernel, before) if transposed else geometry(before, kernel, after)),
            relu_attributes() if node.relu else dnnl.attributes(),
        )

    def _sigmoid(self, x: Array) -> Array:
        description = dnnl.create(
            "dnnl_eltwise_forward_primitive_desc_create",
            dnnl.engine(),
            c_int(_INFERENCE),
            c_int(_LOGISTIC),
            x.layout,
            x.layout,
            c_float(0),
            c_float(0),
            dnnl.attributes(),
        )
        y = Array(x.layout, x.owner)
        self._add(description, [(dnnl.SRC, x), (dnnl.DST, y)])
        return y

    def _concatenation(self, node: Concatenation, parts: list[Array]) -> Array:
        parts = [self._converted(*pair) for pair in zip(node.inputs, parts, strict=True)]
        layouts = (c_void_p * len(parts))(*(part.layout.value for part in parts))
        description = dnnl.create(
            "dnnl_concat_primitive_desc_create",
            dnnl.engine(),
            None,  # the library chooses the result's layout
            c_int(len(parts)),
            c_int(_CHANNEL_AXIS),
            layouts,
            dnnl.attributes(),
        )
        y = Array(dnnl.query(description, _QUERY_DST), description, self.dtype)
        sources = [(_FIRST_OF_MANY + k, part) for k, part in enumerate(parts)]
        self._add(description, [*sources, (dnnl.DST, y)])
        return y

    def _converted(self, node: Node, x: Array) -> Array:
        """x itself if it has the type of activations, else a channels-last copy that has it."""
        if x.dtype == self.dtype:
            return x
        layout = dnnl.layout(node.shape, _CHANNELS_SECOND, self.dtype)
        return self._reordered(x, layout, layout, self.dtype)

    def _reordered(self, x: Array, layout: c_void_p, owner: object, dtype: str) -> Array:
        """x itself if it has this layout, else a copy that has it."""
        if library().dnnl_memory_desc_equal(x.layout, layout):
            return x
        y = Array(layout, owner, dtype)
        self._add(describe_reorder(x.layout, layout), [(dnnl.SRC, x), (dnnl.DST, y)])
        return y

    def _add(self, description: dnnl.Handle, arguments: list[tuple[int, Array]]) -> None:
        scratchpad = Array(dnnl.query(description, _QUERY_SCRATCHPAD), description)
        if scratchpad.bytes:
            arguments = [*arguments, (_SCRATCHPAD, scratchpad)]
        self.steps.append(Step(description, arguments))


def _float32(node: Node) -> dnnl.Handle:
    return dnnl.layout(node.shape, _CHANNELS_SECOND, "float32")


def _constant(array: np.ndarray, plain: c_void_p, layout: c_void_p, owner: object) -> Array:
    """A copy of the array, which is float32 in the layout `plain`, in another layout."""
    array = np.ascontiguousarray(array, np.float32)
    values = np.zeros(dnnl.size_of(layout) + _ALIGNMENT, np.uint8)
    constant = Array(layout, owner, values=values)
    copy = reorder(plain, layout)
    with dnnl.one_at_a_time:
        workspace = dnnl.workspace(copy.scratchpad_bytes)
        copy.run((array.ctypes.data, constant.address), workspace)
    return constant
