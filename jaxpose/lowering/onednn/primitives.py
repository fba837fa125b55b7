"""The library's convolution primitives on memory addresses of channels-last arrays.

    x [b t h w ci], kernel [kt kh kw ci/g co], bias [co], y [b t h w co], or their gradients

Every call reorders the kernel into the library's own blocked layout, which is cheap.
"""

import functools
from ctypes import c_float, c_int, c_void_p

from jaxpose.lowering.onednn import dnnl
from jaxpose.lowering.onednn.library import library

FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS = (
    f"jaxpose_onednn_{part}"
    for part in ("forward", "forward_relu", "backward_data", "backward_weights")
)
"""The operations, by the names under which XLA calls them."""

# Constants of oneDNN 3's dnnl_types.h.
_DIRECT, _RELU = 1, 32
_WEIGHTS, _BIAS, _DIFF_WEIGHTS = 33, 41, 161
_QUERY_WEIGHTS, _QUERY_DIFF_WEIGHTS = 131, 132
_NUMBERS = {
    FORWARD: (dnnl.SRC, _WEIGHTS, dnnl.DST, _BIAS),
    FORWARD_RELU: (dnnl.SRC, _WEIGHTS, dnnl.DST, _BIAS),
    BACKWARD_DATA: (dnnl.DIFF_SRC, _WEIGHTS, dnnl.DIFF_DST),
    BACKWARD_WEIGHTS: (dnnl.SRC, _DIFF_WEIGHTS, dnnl.DIFF_DST),
}
"""The library's numbers of x, kernel, y and bias, or of their gradients."""
_PAGE = 4096
DEADLOCKS = "brgconv_bwd_w:"
"""Start of the library's names of weight gradients whose threads may deadlock: on CPUs with matrix
units (AMX) in bfloat16, with two threads, for some shapes (LOG.md)."""


class Convolution:
    """One operation on fixed shapes, and the reordering of the kernel before or after it."""

    def __init__(self, operation: str, dtype: str, x, kernel, y, biased: bool):
        """Creates the primitives for the shapes x [b t h w ci], kernel [kt kh kw ci/g co] and
        y [b t h w co]."""
        groups = x[4] // kernel[3]
        plain = kernel_layout(kernel, groups, dtype)
        chosen_by_library = kernel_layout(kernel, groups, dtype, chosen_by_library=True)
        x_layout, y_layout = (dnnl.layout(shape, (0, 4, 1, 2, 3), dtype) for shape in (x, y))
        bias = dnnl.layout(kernel[4:], (0,), dtype) if biased else None
        description = _describe(
            operation, (x_layout, chosen_by_library, y_layout, bias), geometry(x, kernel, y)
        )
        weights = operation == BACKWARD_WEIGHTS
        blocked = dnnl.query(description, _QUERY_DIFF_WEIGHTS if weights else _QUERY_WEIGHTS)
        layouts = [x_layout, blocked, y_layout] + ([bias] if biased else [])
        self._convolution = dnnl.Primitive(
            description, [*zip(_NUMBERS[operation], layouts, strict=False)]
        )
        self._before, self._after, self._blocked_bytes = None, None, 0
        if not library().dnnl_memory_desc_equal(plain, blocked):
            self._blocked_bytes = -(-dnnl.size_of(blocked) // _PAGE) * _PAGE
            if weights:
                self._after = reorder(blocked, plain)
            else:
                self._before = reorder(plain, blocked)
        steps = (self._before, self._convolution, self._after)
        scratchpad = max(step.scratchpad_bytes for step in steps if step is not None)
        self._workspace_bytes = self._blocked_bytes + scratchpad

    def run(self, x: int, kernel: int, y: int, *bias: int) -> None:
        """Runs the operation on addresses; the caller holds `dnnl.one_at_a_time`."""
        blocked = dnnl.workspace(self._workspace_bytes)
        scratchpad = blocked + self._blocked_bytes
        weights = blocked if self._blocked_bytes else kernel
        if self._before is not None:
            self._before.run((kernel, blocked), scratchpad)
        self._convolution.run((x, weights, y, *bias), scratchpad)
        if self._after is not None:
            self._after.run((blocked, kernel), scratchpad)


prepared = functools.lru_cache(maxsize=dnnl.CACHED)(Convolution)
"""Cache of `Convolution`. An entry that is dropped destroys its native objects."""


def kernel_layout(
    kernel: tuple[int, ...], groups: int, dtype: str, *, chosen_by_library: bool = False
) -> dnnl.Handle:
    """Returns the kernel's layout in XLA, or a layout that the library is free to choose."""
    # oneDNN expects the axes groups, output channels, input channels, taps
    grouped = (*kernel[:4], groups, kernel[4] // groups)
    order = (4, 5, 3, 0, 1, 2) if groups > 1 else (5, 3, 0, 1, 2)
    create = dnnl.any_layout if chosen_by_library else dnnl.layout
    return create(grouped, order, dtype)


def geometry(x, kernel, y) -> list:
    """Returns strides, dilations, padding before and padding after of a convolution from shape x to
    shape y, each as (t, y, x)."""
    strides = [n // m for n, m in zip(x[1:4], y[1:4], strict=True)]
    padded = [taps if s == 1 else 1 for taps, s in zip(kernel[:3], strides, strict=True)]
    before, after = [(taps - 1) // 2 for taps in padded], [taps // 2 for taps in padded]
    return [dnnl.Dims(*values) for values in (strides, (0, 0, 0), before, after)]


def _describe(operation: str, layouts: tuple, geometry: list) -> dnnl.Handle:
    """Returns the primitive descriptor of an operation on x, kernel, y and bias."""
    x, kernel, y, bias = layouts
    engine, direct = dnnl.engine(), c_int(_DIRECT)
    attributes = relu_attributes() if operation == FORWARD_RELU else dnnl.attributes()
    name = "dnnl_convolution_forward_primitive_desc_create"
    front = (engine, c_int(dnnl.TRAINING), direct, x, kernel, bias, y)
    forward = dnnl.create(name, *front, *geometry, attributes)
    if operation == BACKWARD_DATA:
        name = "dnnl_convolution_backward_data_primitive_desc_create"
        front = (engine, direct, x, kernel, y)
    elif operation == BACKWARD_WEIGHTS:
        name = "dnnl_convolution_backward_weights_primitive_desc_create"
        front = (engine, direct, x, kernel, None, y)
    else:
        return forward
    description = dnnl.create(name, *front, *geometry, forward, attributes)
    while dnnl.implementation(description).startswith(DEADLOCKS):
        _next_implementation(description)  # needs `forward`, which must still exist
    return description


def _next_implementation(description: dnnl.Handle) -> None:
    """Replaces a description's implementation by the next one in the library's list.

    The description of the forward pass from which this one was created must still exist.

    Raises:
      NotImplementedError: the list has no further implementation.
    """
    if library().dnnl_primitive_desc_next_impl(description):
        raise NotImplementedError(
            "oneDNN has no further implementation of this operation on this CPU; choose the "
            "lowering 'folded'"
        )


def relu_attributes() -> dnnl.Handle:
    """Attributes as `dnnl.attributes`, and ReLU of the result."""
    after = dnnl.create("dnnl_post_ops_create")
    dnnl.check_call("dnnl_post_ops_append_eltwise", after, c_int(_RELU), c_float(0), c_float(0))
    attributes = dnnl.attributes()
    dnnl.check_call("dnnl_primitive_attr_set_post_ops", attributes, after)
    return attributes


def describe_reorder(source: c_void_p, target: c_void_p) -> dnnl.Handle:
    """Primitive descriptor of a copy from one layout or type to another."""
    engine = dnnl.engine()
    name = "dnnl_reorder_primitive_desc_create"
    return dnnl.create(name, source, engine, target, engine, dnnl.attributes())


def reorder(source: c_void_p, target: c_void_p) -> dnnl.Primitive:
    """A copy from one layout or type to another."""
    return dnnl.Primitive(
        describe_reorder(source, target), [(dnnl.SRC, source), (dnnl.DST, target)]
    )
