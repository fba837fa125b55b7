"""3-D convolutions by oneDNN as JAX functions with gradients.

    x [b t h w ci], kernel [kt kh kw ci/g co], bias [co] -> [b t h w co]

Activations stay in XLA's channels-last layout. Bias and ReLU are applied to a result before it is
written to memory.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxpose.lowering.lowering import Extent
from jaxpose.lowering.onednn import dnnl, ffi, products
from jaxpose.lowering.onednn.primitives import (
    BACKWARD_DATA,
    BACKWARD_WEIGHTS,
    FORWARD,
    FORWARD_RELU,
    prepared,
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None,
    stride: Extent,
    groups: int,
    relu: bool,
) -> Float[Array, "b t2 h2 w2 co"]:
    """Computes `jaxpose.lowering.convolve` for arguments that were checked there.

    The number of groups follows from the channels.

    Raises:
      NotImplementedError: the library cannot compute this on this CPU.
    """
    operands = (x, kernel) if bias is None else (x, kernel, bias)
    dnnl.check_dtypes(*operands, like=x)
    size = (n // step for n, step in zip(x.shape[1:4], stride, strict=True))
    y = jax.ShapeDtypeStruct((x.shape[0], *size, kernel.shape[4]), x.dtype)
    operation = FORWARD_RELU if relu else FORWARD
    _prepare(operation, x, kernel, y, biased=bias is not None)
    return _call(operation, like=y)(*operands)


def _forward(x, kernel, bias, stride, groups, relu):
    y = convolve(x, kernel, bias, stride, groups, relu)
    return y, (x, kernel, bias, y if relu else None)


def _backward(stride, groups, relu, residuals, dy):
    x, kernel, bias, y = residuals
    if relu:
        dy = jnp.where(y > 0, dy, jnp.zeros((), dy.dtype))
    _prepare(BACKWARD_DATA, x, kernel, dy)
    dx = _call(BACKWARD_DATA, like=x)(dy, kernel)
    return dx, _weight_gradient(x, kernel, dy), None if bias is None else dy.sum((0, 1, 2, 3))


convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def upsample(
    x: Float[Array, "b t h w ci"], kernel: Float[Array, "1 kh kw ci co"]
) -> Float[Array, "b t h2 w2 co"]:
    """Computes `jaxpose.lowering.upsample` for arguments that were checked there.

    The result is the input gradient of a convolution from co to ci channels whose kernel tiles its
    input.
    """
    dnnl.check_dtypes(x, kernel, like=x)
    b, t, h, w, _ = x.shape
    _, kh, kw, _, co = kernel.shape
    y = jax.ShapeDtypeStruct((b, t, h * kh, w * kw, co), x.dtype)
    tiling = kernel.swapaxes(3, 4)
    _prepare(BACKWARD_DATA, y, tiling, x)
    return _call(BACKWARD_DATA, like=y)(x, tiling)


def _upsample_forward(x, kernel):
    return upsample(x, kernel), (x, kernel)


def _upsample_backward(residuals, dy):
    x, kernel = residuals
    tiling = kernel.swapaxes(3, 4)
    _prepare(FORWARD, dy, tiling, x)
    dx = _call(FORWARD, like=x)(dy, tiling)
    return dx, _weight_gradient(dy, tiling, x).swapaxes(3, 4)


upsample.defvjp(_upsample_forward, _upsample_backward)


def _weight_gradient(x, kernel, dy):
    """Returns the gradient of the kernel; dy is the gradient of the convolution's result."""
    if not products.faster(str(x.dtype), x.shape, kernel.shape, dy.shape):
        _prepare(BACKWARD_WEIGHTS, x, kernel, dy)
    return _call(BACKWARD_WEIGHTS, like=kernel)(x, dy)


def _prepare(operation: str, x, kernel, y, *, biased: bool = False) -> None:
    """Creates the primitive while JAX traces.

    If the library cannot compute it, the error then has the traceback of the call, and is not one
    of a running XLA program.
    """
    prepared(operation, str(x.dtype), x.shape, kernel.shape, y.shape, biased)


def _call(operation: str, *, like):
    """Returns the operation as a function of JAX arrays; its result has the form of `like`."""
    result = jax.ShapeDtypeStruct(like.shape, like.dtype)
    return ffi.call(operation, result, vmap_method="sequential")


# ---- called by XLA: addresses instead of arrays ----


def _compute(
    operation: str,
    x: ffi.Buffer,
    kernel: ffi.Buffer,
    y: ffi.Buffer,
    bias: ffi.Buffer | None = None,
) -> None:
    """Computes y, or the gradient of x or of the kernel, and writes it to that buffer."""
    shapes = (x.shape, kernel.shape, y.shape)
    with dnnl.one_at_a_time:
        if operation == BACKWARD_WEIGHTS and products.faster(x.dtype, *shapes):
            products.weight_gradient(x.address, y.address, kernel.address, *shapes[:2])
            return
        convolution = prepared(operation, x.dtype, *shapes, bias is not None)
        addresses = (each.address for each in (x, kernel, y, bias) if each is not None)
        convolution.run(*addresses)


def _define() -> None:
    """Defines the functions that XLA calls; their arguments are those of the calls above."""

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
