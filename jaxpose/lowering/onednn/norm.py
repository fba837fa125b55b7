"""Batch norm in training mode, then ReLU, by oneDNN as JAX functions with gradients.

    x [b t h w c], scale [c], shift [c] -> y [b t h w c], mean [c], variance [c], and gradients

XLA's own batch norm makes several more passes over memory, and runs concurrently with convolutions
that use all cores (LOG.md). It computes the numbers of channels for which oneDNN has no vectorised
code.
"""

import functools
from ctypes import c_float, c_int, c_uint, c_void_p

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxpose.lowering.onednn import dnnl, ffi

NORM_FORWARD, NORM_FORWARD_RELU, NORM_BACKWARD, NORM_BACKWARD_RELU = (
    f"jaxpose_onednn_norm_{part}"
    for part in ("forward", "forward_relu", "backward", "backward_relu")
)
"""The operations, by the names under which XLA calls them. `epsilon` is an attribute of each."""

# Constants of oneDNN 3's dnnl_types.h.
_MEAN, _VARIANCE, _SCALE, _SHIFT, _WORKSPACE = 49, 50, 51, 52, 64
_DIFF_SCALE, _DIFF_SHIFT = 255, 256
_BACKWARD, _USE_SCALE, _USE_SHIFT, _NORM_RELU, _QUERY_WORKSPACE = 128, 2, 4, 8, 135

VECTOR = 16
"""oneDNN's code is vectorised for multiples of so many channels. With 42, a batch norm took 40
times as long as XLA's."""


def norm_relu(
    x: Float[Array, "b t h w c"],
    scale: Float[Array, "c"],
    shift: Float[Array, "c"],
    epsilon: float,
    relu: bool,
) -> tuple[Float[Array, "b t h w c"], Float[Array, "c"], Float[Array, "c"]]:
    """Computes batch norm in training mode, then ReLU if `relu`.

    Returns the result and the batch's mean and variance (divided by N, not N - 1), which have no
    gradient. `scale` and `shift` are float32. ReLU may turn NaN into 0; in mean and variance it
    remains.
    """
    compute = _by_xla if x.shape[4] % VECTOR else _by_onednn
    return compute(x, scale, shift, epsilon, relu)


def _by_xla(x, scale, shift, epsilon, relu):
    """Computes `norm_relu` by XLA, in float32."""
    _check(x, scale, shift)
    pixels = (0, 1, 2, 3)
    wide = x.astype(jnp.float32)
    mean = wide.mean(pixels, keepdims=True)
    centred = wide - mean
    variance = (centred * centred).mean(pixels, keepdims=True)
    factor = scale[None, None, None, None] * jax.lax.rsqrt(variance + np.float32(epsilon))
    y = centred * factor + shift[None, None, None, None]
    if relu:
        y = jax.nn.relu(y)
    statistics = (jax.lax.stop_gradient(value.reshape(-1)) for value in (mean, variance))
    return y.astype(x.dtype), *statistics


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _by_onednn(x, scale, shift, epsilon, relu):
    """Computes `norm_relu` by oneDNN."""
    return _forward(x, scale, shift, epsilon, relu)[0]


def _check(x, scale, shift) -> None:
    dnnl.check_dtypes(x, like=x)
    dnnl.check_dtypes(scale, shift, like=np.zeros(0, np.float32))
    if not scale.shape == shift.shape == x.shape[4:]:
        raise ValueError(f"scale {scale.shape}, shift {shift.shape}: expected {x.shape[4:]}")


def _forward(x, scale, shift, epsilon, relu):
    _check(x, scale, shift)
    epsilon = np.float32(epsilon)
    norm = prepared(str(x.dtype), x.shape, float(epsilon), relu)
    channel = jax.ShapeDtypeStruct(scale.shape, jnp.float32)
    results = [jax.ShapeDtypeStruct(x.shape, x.dtype), channel, channel]
    if relu:
        results.append(jax.ShapeDtypeStruct((norm.signs_bytes,), jnp.uint8))
    operation = NORM_FORWARD_RELU if relu else NORM_FORWARD
    forward = ffi.call(operation, results, vmap_method="sequential")
    y, mean, variance, *signs = forward(x, scale, shift, epsilon=epsilon)
    return (y, mean, variance), (x, scale, mean, variance, *signs)


def _backward(epsilon, relu, residuals, gradients):
    x, scale, mean, variance, *signs = residuals
    channel = jax.ShapeDtypeStruct(scale.shape, jnp.float32)
    results = [jax.ShapeDtypeStruct(x.shape, x.dtype), channel, channel]
    operation = NORM_BACKWARD_RELU if relu else NORM_BACKWARD
    backward = ffi.call(operation, results, vmap_method="sequential")
    dy = gradients[0]
    return tuple(backward(dy, x, scale, mean, variance, *signs, epsilon=np.float32(epsilon)))


_by_onednn.defvjp(_forward, _backward)


# ---- called by XLA: addresses instead of arrays ----


def _define() -> None:
    """Defines the functions that XLA calls; their arguments are those of the calls above."""

    def forward(relu):
        def function(arguments, results, attributes):
            x = arguments[0]
            _compute("forward", x, attributes["epsilon"], relu, [*arguments, *results])

        return function

    def backward(relu):
        def function(arguments, results, attributes):
            dy, x, scale, mean, variance, *signs = arguments
            buffers = [dy, x, scale, mean, variance, *results, *signs]
            _compute("backward", x, attributes["epsilon"], relu, buffers)

        return function

    ffi.define(NORM_FORWARD, forward(relu=False))
    ffi.define(NORM_FORWARD_RELU, forward(relu=True))
    ffi.define(NORM_BACKWARD, backward(relu=False))
    ffi.define(NORM_BACKWARD_RELU, backward(relu=True))


def _compute(
    direction: str, x: ffi.Buffer, epsilon: float, relu: bool, buffers: list[ffi.Buffer]
) -> None:
    with dnnl.one_at_a_time:
        norm = prepared(x.dtype, x.shape, epsilon, relu)
        primitive = norm.forward if direction == "forward" else norm.backward
        scratchpad = dnnl.workspace(primitive.scratchpad_bytes)
        primitive.run([each.address for each in buffers], scratchpad)


_define()


class Norm:
    """Batch norm of one shape [b t h w c], forward and backward.

    Attributes:
      forward: takes x, scale, shift, y, mean and variance, and with ReLU the workspace, which marks
        the elements that ReLU did not set to 0.
      backward: takes the gradient of y, x, scale, mean, variance, the gradients of x, scale and
        shift, and with ReLU the workspace.
      signs_bytes: size of the workspace, in bytes.
    """

    def __init__(self, dtype: str, shape: tuple[int, ...], epsilon: float, relu: bool):
        x = dnnl.layout(shape, (0, 4, 1, 2, 3), dtype)
        channel = dnnl.layout(shape[4:], (0,), "float32")
        forward, backward = _describe(x, epsilon, relu)
        workspace = dnnl.query(forward, _QUERY_WORKSPACE)
        self.signs_bytes = dnnl.size_of(workspace) if relu else 0
        signs = [(_WORKSPACE, workspace)] if relu else []
        outputs = [(dnnl.DST, x), (_MEAN, channel), (_VARIANCE, channel)]
        inputs = [(dnnl.SRC, x), (_SCALE, channel), (_SHIFT, channel)]
        self.forward = dnnl.Primitive(forward, [*inputs, *outputs, *signs])
        inputs = [(dnnl.DIFF_DST, x), (dnnl.SRC, x), (_SCALE, channel), *outputs[1:]]
        outputs = [(dnnl.DIFF_SRC, x), (_DIFF_SCALE, channel), (_DIFF_SHIFT, channel)]
        self.backward = dnnl.Primitive(backward, [*inputs, *outputs, *signs])


prepared = functools.lru_cache(maxsize=dnnl.CACHED)(Norm)
"""Cache of `Norm`. An entry that is dropped destroys its native objects."""


def _describe(x: c_void_p, epsilon: float, relu: bool) -> tuple[dnnl.Handle, dnnl.Handle]:
    """Returns the primitive descriptors of the forward and the backward pass."""
    flags = c_uint(_USE_SCALE | _USE_SHIFT | (_NORM_RELU if relu else 0))
    forward = dnnl.create(
        "dnnl_batch_normalization_forward_primitive_desc_create",
        dnnl.engine(),
        c_int(dnnl.TRAINING),
        x,
        x,
        c_float(epsilon),
        flags,
        dnnl.attributes(),
    )
    backward = dnnl.create(
        "dnnl_batch_normalization_backward_primitive_desc_create",
        dnnl.engine(),
        c_int(_BACKWARD),
        x,
        x,
        x,
        c_float(epsilon),
        flags,
        forward,
        dnnl.attributes(),
    )
    return forward, backward
