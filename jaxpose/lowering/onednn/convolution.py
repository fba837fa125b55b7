"""3-D convolutions by oneDNN, called from inside XLA.

    x [b t h w ci], kernel [kt kh kw ci/g co], bias [co] -> [b t h w co], and all gradients

Activations stay in XLA's channels-last layout; kernels are reordered into the library's own blocked
layout at every call, which is cheap. Bias and ReLU are applied before a result goes to memory.
"""

import functools
from ctypes import c_float, c_int, c_void_p

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxpose.lowering.onednn import dnnl, ffi, products

FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS = (
    f"jaxpose_onednn_{part}"
    for part in ("forward", "forward_relu", "backward_data", "backward_weights")
)
"""The operations; also the names by which XLA calls them."""

_DIRECT, _RELU, _ANY_LAYOUT = 1, 32, 1
_WEIGHTS, _BIAS, _DIFF_WEIGHTS = 33, 41, 161
_QUERY_WEIGHTS, _QUERY_DIFF_WEIGHTS = 131, 132


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None,
    stride: tuple[int, int, int],
    groups: int,
    relu: bool,
) -> Float[Array, "b t2 h2 w2 co"]:
    """As `jaxpose.lowering.convolve`, whose checks it relies on.

    Raises:
      NotImplementedError: this CPU cannot do it in x's type; while tracing, not while running.
    """
    dnnl.check_dtypes(x, kernel, *([] if bias is None else [bias]), like=x)
    b, *size, _ = x.shape
    shape = (b, *(n // s for n, s in zip(size, stride, strict=True)), kernel.shape[4])
    y = jax.ShapeDtypeStruct(shape, x.dtype)
    operation = FORWARD_RELU if relu else FORWARD
    _prepare(operation, x, kernel, y, biased=bias is not None)
    return dnnl.call(operation, y)(x, kernel, *([] if bias is None else [bias]))


def _forward(x, kernel, bias, stride, groups, relu):
    y = convolve(x, kernel, bias, stride, groups, relu)
    return y, (x, kernel, bias, y if relu else None)


def _backward(stride, groups, relu, residuals, dy):
    x, kernel, bias, y = residuals
    if relu:
        dy = jnp.where(y > 0, dy, 0)
    _prepare(BACKWARD_DATA, x, kernel, dy)
    dx = dnnl.call(BACKWARD_DATA, x)(dy, kernel)
    dbias = None if bias is None else dy.sum((0, 1, 2, 3))
    return dx, _weight_gradient(x, kernel, dy), dbias


def _weight_gradient(x, kernel, dy):
    if pointwise_by_xla(str(x.dtype), kernel.shape, x.shape[4]):
        rows, gradients = x.reshape(-1, x.shape[4]), dy.reshape(-1, dy.shape[4])
        product = jax.lax.dot_general(
            rows, gradients, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32
        )
        return product.astype(kernel.dtype).reshape(kernel.shape)
    if not products.faster(str(x.dtype), x.shape, kernel.shape, dy.shape):
        _prepare(BACKWARD_WEIGHTS, x, kernel, dy)
    return dnnl.call(BACKWARD_WEIGHTS, kernel)(x, dy)


def pointwise_by_xla(dtype: str, kernel: tuple[int, ...], channels: int) -> bool:
    """Whether the weight gradient of a 1x1x1 kernel is left to XLA's matrix product.

    On a CPU with AMX, oneDNN 3.2's bfloat16 weight gradient of 1x1x1 never returned for 256 -> 20
    channels on 3x48x64 and larger. The choice is by instruction set; it was not run on such a CPU.
    """
    pointwise = kernel[:3] == (1, 1, 1) and kernel[3] == channels
    return pointwise and dtype == "bfloat16" and "AMX" in (dnnl.instruction_set() or "")


convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def upsample(
    x: Float[Array, "b t h w ci"], kernel: Float[Array, "1 kh kw ci co"]
) -> Float[Array, "b t h2 w2 co"]:
    """As `jaxpose.lowering.upsample`: the gradient of a convolution that tiles its input, from co
    to ci channels."""
    dnnl.check_dtypes(x, kernel, like=x)
    b, t, h, w, _ = x.shape
    _, kh, kw, _, co = kernel.shape
    y = jax.ShapeDtypeStruct((b, t, h * kh, w * kw, co), x.dtype)
    tiling = kernel.swapaxes(3, 4)
    _prepare(BACKWARD_DATA, y, tiling, x)
    return dnnl.call(BACKWARD_DATA, y)(x, tiling)


def _upsample_forward(x, kernel):
    return upsample(x, kernel), (x, kernel)


def _upsample_backward(residuals, dy):
    x, kernel = residuals
    tiling = kernel.swapaxes(3, 4)
    _prepare(FORWARD, dy, tiling, x)
    _prepare(BACKWARD_WEIGHTS, dy, tiling, x)
    return (
        dnnl.call(FORWARD, x)(dy, tiling),
        dnnl.call(BACKWARD_WEIGHTS, tiling)(dy, x).swapaxes(3, 4),
    )


upsample.defvjp(_upsample_forward, _upsample_backward)


def _prepare(operation: str, x, kernel, y, biased: bool = False) -> None:
    """Creates the primitive while JAX traces, so that what the library cannot do is an error of
    that line and not of a running program."""
    prepared(operation, str(x.dtype), x.shape, kernel.shape, y.shape, biased)


# ---- inside XLA: addresses instead of arrays ----


def _compute(
    operation: str,
    x: ffi.Buffer,
    kernel: ffi.Buffer,
    y: ffi.Buffer,
    bias: ffi.Buffer | None = None,
) -> None:
    """Writes y, or x or the kernel where the operation computes their gradient."""
    shapes = (x.shape, kernel.shape, y.shape)
    with dnnl.one_at_a_time:
        if operation == BACKWARD_WEIGHTS and products.faster(x.dtype, *shapes):
            products.weight_gradient(x.address, y.address, kernel.address, *shapes[:2])
            return
        prepared(operation, x.dtype, *shapes, bias is not None).run(
            x.address, kernel.address, y.address, bias and bias.address
        )


def _define() -> None:
    """Arguments and results in the order of `convolve` and its gradients above."""

    def forward(operation):
        def function(arguments, results, attributes):
            x, kernel, *bias = arguments
            _compute(operation, x, kernel, results[0], *bias)

        return function

    def backward_data(arguments, results, attributes):
        dy, kernel = arguments
        _compute(BACKWARD_DATA, results[0], kernel, dy)

    def backward_weights(arguments, results, attributes):
        x, dy = arguments
        _compute(BACKWARD_WEIGHTS, x, results[0], dy)

    ffi.define(FORWARD, forward(FORWARD))
    ffi.define(FORWARD_RELU, forward(FORWARD_RELU))
    ffi.define(BACKWARD_DATA, backward_data)
    ffi.define(BACKWARD_WEIGHTS, backward_weights)


_define()


class _Convolution:
    """One operation on one geometry: created once, run often."""

    def __init__(self, operation: str, dtype: str, x, kernel, y, biased: bool):
        """Shapes of x [b t h w ci], kernel [kt kh kw ci/g co] and y [b t h w co]."""
        self.operation, self.handles = operation, dnnl.Handles()
        groups = x[4] // kernel[3]
        self.x, self.y = (self.handles.layout(s, (0, 4, 1, 2, 3), dtype) for s in (x, y))
        self.bias = self.handles.layout(kernel[4:], (0,), dtype) if biased else None
        # oneDNN expects output channels, then input channels, and groups first.
        grouped = (*kernel[:4], groups, kernel[4] // groups)
        order = (4, 5, 3, 0, 1, 2) if groups > 1 else (5, 3, 0, 1, 2)
        self.kernel = self.handles.layout(grouped, order, dtype)
        any_layout = self.handles.create(
            "dnnl_memory_desc_create_with_tag",
            c_int(len(order)),
            dnnl.Dims(*(grouped[a] for a in order)),
            c_int(dnnl.DTYPES[dtype]),
            c_int(_ANY_LAYOUT),
        )
        description = self._describe(any_layout, _geometry(x, kernel, y))
        what = _QUERY_DIFF_WEIGHTS if operation == BACKWARD_WEIGHTS else _QUERY_WEIGHTS
        self.blocked = dnnl.query_layout(description, what)
        self.primitive = dnnl.Primitive(self.handles, description)
        self.reorder = None
        if not dnnl.library().dnnl_memory_desc_equal(self.kernel, self.blocked):
            ends = (self.kernel, self.blocked)
            source, target = ends[::-1] if operation == BACKWARD_WEIGHTS else ends
            self.reorder = self._reorder(source, target)

    def _describe(self, any_layout: c_void_p, geometry: list) -> c_void_p:
        """Descriptor of the operation's primitive; gradients take the forward one as a hint."""
        engine, create = dnnl.engine(), self.handles.create
        relu = self.operation == FORWARD_RELU
        forward = create(
            "dnnl_convolution_forward_primitive_desc_create",
            engine,
            c_int(dnnl.FORWARD_TRAINING),
            c_int(_DIRECT),
            self.x,
            any_layout,
            self.bias,
            self.y,
            *geometry,
            _relu_attributes() if relu else dnnl.attributes(),
        )
        if self.operation == BACKWARD_DATA:
            return create(
                "dnnl_convolution_backward_data_primitive_desc_create",
                engine,
                c_int(_DIRECT),
                self.x,
                any_layout,
                self.y,
                *geometry,
                forward,
                dnnl.attributes(),
            )
        if self.operation == BACKWARD_WEIGHTS:
            return create(
                "dnnl_convolution_backward_weights_primitive_desc_create",
                engine,
                c_int(_DIRECT),
                self.x,
                any_layout,
                None,
                self.y,
                *geometry,
                forward,
                dnnl.attributes(),
            )
        return forward

    def _reorder(self, source: c_void_p, target: c_void_p) -> dnnl.Primitive:
        engine = dnnl.engine()
        description = self.handles.create(
            "dnnl_reorder_primitive_desc_create", source, engine, target, engine, dnnl.attributes()
        )
        return dnnl.Primitive(self.handles, description)

    def run(self, x: int, kernel: int, y: int, bias: int | None) -> None:
        """Takes addresses."""
        with dnnl.computing() as (stream, memory):
            xs, ys = memory(self.x, c_void_p(x)), memory(self.y, c_void_p(y))
            inner = plain = memory(self.kernel, c_void_p(kernel))
            if self.reorder is not None:
                inner = memory(self.blocked, dnnl.ALLOCATE)
            if self.operation == BACKWARD_WEIGHTS:
                arguments = [(dnnl.SRC, xs), (dnnl.DIFF_DST, ys), (_DIFF_WEIGHTS, inner)]
                self.primitive.execute(stream, memory, *arguments)
                if self.reorder is not None:
                    self.reorder.execute(stream, memory, (dnnl.SRC, inner), (dnnl.DST, plain))
                return
            if self.reorder is not None:
                self.reorder.execute(stream, memory, (dnnl.SRC, plain), (dnnl.DST, inner))
            if self.operation == BACKWARD_DATA:
                arguments = [(dnnl.DIFF_DST, ys), (_WEIGHTS, inner), (dnnl.DIFF_SRC, xs)]
            else:
                arguments = [(dnnl.SRC, xs), (_WEIGHTS, inner), (dnnl.DST, ys)]
            if bias is not None:
                arguments.append((_BIAS, memory(self.bias, c_void_p(bias))))
            self.primitive.execute(stream, memory, *arguments)


prepared = functools.lru_cache(maxsize=dnnl.CACHED)(_Convolution)


def _geometry(x, kernel, y) -> list:
    """Strides, dilations and padding before and after, of shapes as in `_Convolution`."""
    strides = [n // m for n, m in zip(x[1:4], y[1:4], strict=True)]
    padded = [k if s == 1 else 1 for k, s in zip(kernel[:3], strides, strict=True)]
    before, after = [(k - 1) // 2 for k in padded], [k // 2 for k in padded]
    return [dnnl.Dims(*values) for values in (strides, (0, 0, 0), before, after)]


@functools.cache
def _relu_attributes() -> c_void_p:
    operations, attributes = dnnl.create("dnnl_post_ops_create"), dnnl.create_attributes()
    dnnl.check("dnnl_post_ops_append_eltwise", operations, c_int(_RELU), c_float(0), c_float(0))
    dnnl.check("dnnl_primitive_attr_set_post_ops", attributes, operations)
    return attributes
