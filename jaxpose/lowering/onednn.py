"""3-D convolutions by oneDNN, the library behind PyTorch's on a CPU, called from inside XLA.

    x [b t h w ci], kernel [kt kh kw ci/g co], bias [co] -> [b t h w co], and all gradients

Reached through `dnnl` and `ffi`: nothing is compiled. Activations stay in XLA's
channels-last layout; kernels are brought into the library's own blocked layout at every call, which
is cheap. Bias and ReLU are applied to a result before it goes to memory.
"""

import functools
from ctypes import c_float, c_int, c_void_p

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxpose.lowering import dnnl, ffi, onednn_norm, onednn_products

FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS = (
    f"jaxpose_onednn_{part}"
    for part in ("forward", "forward_relu", "backward_data", "backward_weights")
)
"""What can be computed; also the names by which XLA calls them."""

# Constants of oneDNN 3's dnnl_types.h.
_DIRECT, _RELU, _ANY_LAYOUT, _ALLOCATE = 1, 32, 1, c_void_p(-1)
_WEIGHTS, _BIAS, _DIFF_WEIGHTS = 33, 41, 161
_QUERY_WEIGHTS, _QUERY_DIFF_WEIGHTS = 131, 132


def can(dtype: str) -> bool:
    """Whether the library is here and can convolve in this precision on this CPU, forward and
    backward: bfloat16 needs AVX-512 or more."""
    if not dnnl.available():
        return False
    x, kernel = (1, 3, 4, 4, 8), (3, 3, 3, 8, 8)
    try:
        for operation in (FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS):
            _prepared(operation, dtype, x, kernel, x, False)
        onednn_norm.prepared(dtype, x, 1e-3, True)
    except NotImplementedError:
        return False
    return True


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None,
    stride: tuple[int, int, int],
    relu: bool,
) -> Float[Array, "b t2 h2 w2 co"]:
    """As `jaxpose.lowering.convolution.convolve`; groups follow from the channels. What the CPU
    cannot do in x's precision (`can`) is a `NotImplementedError`."""
    dnnl.check_dtypes(x, kernel, *([] if bias is None else [bias]), like=x)
    b, *size, ci = x.shape
    *_, cig, co = kernel.shape
    if ci % cig or co % (ci // cig):
        raise ValueError(f"kernel {kernel.shape}: does not go with {ci} channels")
    if bias is not None and bias.shape != (co,):
        raise ValueError(f"bias {bias.shape}: wanted ({co},)")
    shape = (b, *(n // s for n, s in zip(size, stride, strict=True)), co)
    y = jax.ShapeDtypeStruct(shape, x.dtype)
    operation = FORWARD_RELU if relu else FORWARD
    _prepare(operation, x, kernel, y, bias is not None)
    return dnnl.call(operation, y)(x, kernel, *([] if bias is None else [bias]))


def _forward(x, kernel, bias, stride, relu):
    y = convolve(x, kernel, bias, stride, relu)
    return y, (x, kernel, bias, y if relu else None)


def _backward(stride, relu, saved, dy):
    x, kernel, bias, y = saved
    if relu:
        dy = jnp.where(y > 0, dy, 0)
    _prepare(BACKWARD_DATA, x, kernel, dy, False)
    if not onednn_products.faster(str(x.dtype), x.shape, kernel.shape, dy.shape):
        _prepare(BACKWARD_WEIGHTS, x, kernel, dy, False)
    dx, dkernel = (
        dnnl.call(BACKWARD_DATA, x)(dy, kernel),
        dnnl.call(BACKWARD_WEIGHTS, kernel)(x, dy),
    )
    return dx, dkernel, None if bias is None else dy.sum((0, 1, 2, 3))


convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def upsample(
    x: Float[Array, "b t h w ci"], kernel: Float[Array, "1 kh kw ci co"]
) -> Float[Array, "b t h2 w2 co"]:
    """As `convolution.upsample`: what takes gradients back through a convolution that
    tiles its input, from co to ci channels."""
    dnnl.check_dtypes(x, kernel, like=x)
    b, t, h, w, ci = x.shape
    kt, kh, kw, of, co = kernel.shape
    if of != ci or kt != 1:
        raise ValueError(f"kernel {kernel.shape}: wanted (1, rows, columns, {ci}, channels)")
    y = jax.ShapeDtypeStruct((b, t, h * kh, w * kw, co), x.dtype)
    tiling = kernel.swapaxes(3, 4)
    _prepare(BACKWARD_DATA, y, tiling, x, False)
    return dnnl.call(BACKWARD_DATA, y)(x, tiling)


def _upsample_forward(x, kernel):
    return upsample(x, kernel), (x, kernel)


def _upsample_backward(saved, dy):
    x, kernel = saved
    tiling = kernel.swapaxes(3, 4)
    _prepare(FORWARD, dy, tiling, x, False)
    _prepare(BACKWARD_WEIGHTS, dy, tiling, x, False)
    return (
        dnnl.call(FORWARD, x)(dy, tiling),
        dnnl.call(BACKWARD_WEIGHTS, tiling)(dy, x).swapaxes(3, 4),
    )


upsample.defvjp(_upsample_forward, _upsample_backward)


def _prepare(operation: str, x, kernel, y, biased: bool) -> None:
    """While JAX traces, so that what the library cannot do is an error of that line and not of a
    running program."""
    _prepared(operation, str(x.dtype), x.shape, kernel.shape, y.shape, biased)


# ---- from here on inside XLA: addresses instead of arrays ----


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
        if operation == BACKWARD_WEIGHTS and onednn_products.faster(x.dtype, *shapes):
            onednn_products.weight_gradient(x.address, y.address, kernel.address, *shapes[:2])
            return
        _prepared(operation, x.dtype, *shapes, bias is not None).run(
            x.address, kernel.address, y.address, bias and bias.address
        )


def _offer() -> None:
    """Arguments and results in the order of `convolve` and its gradients above."""

    def forward(operation):
        return lambda given, made: _compute(operation, *given[:2], *made, *given[2:])

    ffi.offer(FORWARD, forward(FORWARD))
    ffi.offer(FORWARD_RELU, forward(FORWARD_RELU))
    ffi.offer(
        BACKWARD_DATA,
        lambda given, made: _compute(BACKWARD_DATA, made[0], given[1], given[0]),
    )
    ffi.offer(
        BACKWARD_WEIGHTS,
        lambda given, made: _compute(BACKWARD_WEIGHTS, given[0], made[0], given[1]),
    )


_offer()


class _Convolution:
    """One operation on one geometry: prepared once, run often."""

    def __init__(self, operation: str, dtype: str, x, kernel, y, biased: bool):
        """Shapes of x [b t h w ci], kernel [kt kh kw ci/g co] and y [b t h w co]."""
        engine, self.operation = dnnl.engine(), operation
        groups = x[4] // kernel[3]
        strides = [n // m for n, m in zip(x[1:4], y[1:4], strict=True)]
        padded = [k if s == 1 else 1 for k, s in zip(kernel[:3], strides, strict=True)]
        before, after = [(k - 1) // 2 for k in padded], [k // 2 for k in padded]
        self.x, self.y = (dnnl.layout(s, (0, 4, 1, 2, 3), dtype) for s in (x, y))
        self.bias = dnnl.layout(kernel[4:], (0,), dtype) if biased else None
        # oneDNN wants output channels, then input channels, and groups first
        grouped = (*kernel[:4], groups, kernel[4] // groups)
        order = (4, 5, 3, 0, 1, 2) if groups > 1 else (5, 3, 0, 1, 2)
        self.kernel = dnnl.layout(grouped, order, dtype)
        free = dnnl.made(
            "dnnl_memory_desc_create_with_tag",
            *(c_int(len(order)), dnnl.Dims(*(grouped[a] for a in order))),
            *(c_int(dnnl.DTYPES[dtype]), c_int(_ANY_LAYOUT)),
        )
        geometry = [dnnl.Dims(*v) for v in (strides, (0, 0, 0), before, after)]
        forward = dnnl.made(
            "dnnl_convolution_forward_primitive_desc_create",
            *(engine, c_int(dnnl.TRAINING), c_int(_DIRECT), self.x, free, self.bias, self.y),
            *(
                *geometry,
                _followed_by_relu() if operation == FORWARD_RELU else dnnl.plain_attributes(),
            ),
        )
        if operation == BACKWARD_DATA:
            described = dnnl.made(
                "dnnl_convolution_backward_data_primitive_desc_create",
                *(
                    engine,
                    c_int(_DIRECT),
                    self.x,
                    free,
                    self.y,
                    *geometry,
                    forward,
                    dnnl.plain_attributes(),
                ),
            )
        elif operation == BACKWARD_WEIGHTS:
            described = dnnl.made(
                "dnnl_convolution_backward_weights_primitive_desc_create",
                *(
                    engine,
                    c_int(_DIRECT),
                    self.x,
                    free,
                    None,
                    self.y,
                    *geometry,
                    forward,
                    dnnl.plain_attributes(),
                ),
            )
        else:
            described = forward
        query = dnnl.library().dnnl_primitive_desc_query_md
        query.restype = c_void_p
        what = _QUERY_DIFF_WEIGHTS if operation == BACKWARD_WEIGHTS else _QUERY_WEIGHTS
        self.blocked = c_void_p(query(described, c_int(what), c_int(0)))
        self.primitive = dnnl.made("dnnl_primitive_create", described)
        self.pad = dnnl.scratchpad_of(described)
        self.reorder = None
        if not dnnl.library().dnnl_memory_desc_equal(self.kernel, self.blocked):
            ends = (self.kernel, self.blocked)
            source, target = ends[::-1] if operation == BACKWARD_WEIGHTS else ends
            reordering = dnnl.made(
                "dnnl_reorder_primitive_desc_create",
                source,
                engine,
                target,
                engine,
                dnnl.plain_attributes(),
            )
            self.reorder_pad = dnnl.scratchpad_of(reordering)
            self.reorder = dnnl.made("dnnl_primitive_create", reordering)

    def run(self, x: int, kernel: int, y: int, bias: int | None) -> None:
        """Takes addresses."""
        with dnnl.computing() as (stream, memory):
            xs, ys = memory(self.x, c_void_p(x)), memory(self.y, c_void_p(y))
            pad = (dnnl.SCRATCHPAD, memory(self.pad, _ALLOCATE))
            inside = plain = memory(self.kernel, c_void_p(kernel))
            if self.reorder is not None:
                inside = memory(self.blocked, _ALLOCATE)
                reorder_pad = (dnnl.SCRATCHPAD, memory(self.reorder_pad, _ALLOCATE))
            if self.operation == BACKWARD_WEIGHTS:
                arguments = [(dnnl.SRC, xs), (dnnl.DIFF_DST, ys), (_DIFF_WEIGHTS, inside)]
                dnnl.execute(self.primitive, stream, *arguments, pad)
                if self.reorder is not None:
                    dnnl.execute(
                        self.reorder, stream, (dnnl.SRC, inside), (dnnl.DST, plain), reorder_pad
                    )
            else:
                if self.reorder is not None:
                    dnnl.execute(
                        self.reorder, stream, (dnnl.SRC, plain), (dnnl.DST, inside), reorder_pad
                    )
                if self.operation == BACKWARD_DATA:
                    arguments = [(dnnl.DIFF_DST, ys), (_WEIGHTS, inside), (dnnl.DIFF_SRC, xs)]
                else:
                    arguments = [(dnnl.SRC, xs), (_WEIGHTS, inside), (dnnl.DST, ys)]
                if bias is not None:
                    arguments.append((_BIAS, memory(self.bias, c_void_p(bias))))
                dnnl.execute(self.primitive, stream, *arguments, pad)


_prepared = functools.cache(_Convolution)


def _followed_by_relu() -> c_void_p:
    after, attributes = dnnl.made("dnnl_post_ops_create"), dnnl.made("dnnl_primitive_attr_create")
    dnnl.do("dnnl_post_ops_append_eltwise", after, c_int(_RELU), c_float(0), c_float(0))
    dnnl.do("dnnl_primitive_attr_set_post_ops", attributes, after)
    dnnl.do("dnnl_primitive_attr_set_scratchpad_mode", attributes, c_int(1))
    return attributes
