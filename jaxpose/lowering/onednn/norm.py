"""Batch norm in training mode, and ReLU, by oneDNN, called from inside XLA.

    x [b t h w c], scale [c], shift [c] -> y [b t h w c], mean [c], variance [c], and gradients

XLA's own passes over memory several times more, beside convolutions that need all cores (LOG.md).
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
"""The operations; also the names by which XLA calls them."""

# Constants of oneDNN 3's dnnl_types.h.
_MEAN, _VARIANCE, _SCALE, _SHIFT, _WORKSPACE = 49, 50, 51, 52, 64
_DIFF_SCALE, _DIFF_SHIFT = 255, 256
_BACKWARD, _USE_SCALE, _USE_SHIFT, _NORM_RELU, _QUERY_WORKSPACE = 128, 2, 4, 8, 135


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def norm_relu(
    x: Float[Array, "b t h w c"],
    scale: Float[Array, "c"],
    shift: Float[Array, "c"],
    epsilon: float,
    relu: bool,
) -> tuple[Float[Array, "b t h w c"], Float[Array, "c"], Float[Array, "c"]]:
    """Batch norm in training mode, then ReLU if `relu`.

    Also returns the batch's mean and variance (that of N, not N - 1), for running statistics: no
    gradient flows back through these two. ReLU turns NaN into 0; mean and variance keep it.
    """
    return _forward(x, scale, shift, epsilon, relu)[0]


def _forward(x, scale, shift, epsilon, relu):
    dnnl.check_dtypes(x, like=x)
    dnnl.check_dtypes(scale, shift, like=jnp.zeros(0, jnp.float32))
    if not scale.shape == shift.shape == x.shape[4:]:
        raise ValueError(f"scale {scale.shape}, shift {shift.shape}: expected {x.shape[4:]}")
    norm = prepared(str(x.dtype), x.shape, float(np.float32(epsilon)), relu)
    channel = jax.ShapeDtypeStruct(scale.shape, jnp.float32)
    results = [jax.ShapeDtypeStruct(x.shape, x.dtype), channel, channel]
    if relu:
        results.append(jax.ShapeDtypeStruct((norm.mask_bytes,), jnp.uint8))
    forward = dnnl.call(NORM_FORWARD_RELU if relu else NORM_FORWARD, *results)
    y, mean, variance, *mask = forward(x, scale, shift, epsilon=np.float32(epsilon))
    return (y, mean, variance), (x, scale, mean, variance, *mask)


def _backward(epsilon, relu, residuals, gradients):
    x, scale, mean, variance, *mask = residuals
    backward = dnnl.call(NORM_BACKWARD_RELU if relu else NORM_BACKWARD, x, scale, scale)
    arguments = (gradients[0], x, scale, mean, variance, *mask)
    return tuple(backward(*arguments, epsilon=np.float32(epsilon)))


norm_relu.defvjp(_forward, _backward)


# ---- inside XLA: addresses instead of arrays ----


def _define() -> None:
    """Arguments and results in the order of `norm_relu` and its gradients above."""

    def forward(relu):
        def function(arguments, results, attributes):
            x, scale, shift = arguments
            with dnnl.one_at_a_time:
                norm = prepared(x.dtype, x.shape, attributes["epsilon"], relu)
                norm.forward([x, scale, shift, *results])

        return function

    def backward(relu):
        def function(arguments, results, attributes):
            dy, x, scale, mean, variance, *mask = arguments
            with dnnl.one_at_a_time:
                norm = prepared(x.dtype, x.shape, attributes["epsilon"], relu)
                norm.backward([dy, x, scale, mean, variance, *results, *mask])

        return function

    ffi.define(NORM_FORWARD, forward(relu=False))
    ffi.define(NORM_FORWARD_RELU, forward(relu=True))
    ffi.define(NORM_BACKWARD, backward(relu=False))
    ffi.define(NORM_BACKWARD_RELU, backward(relu=True))


_define()


class _Norm:
    """Batch norm of one shape [b t h w c], forward and backward."""

    def __init__(self, dtype: str, shape: tuple[int, ...], epsilon: float, relu: bool):
        engine, self.handles = dnnl.engine(), dnnl.Handles()
        self.x = self.handles.layout(shape, (0, 4, 1, 2, 3), dtype)
        self.channel = self.handles.layout(shape[4:], (0,), "float32")
        flags = c_uint(_USE_SCALE | _USE_SHIFT | (_NORM_RELU if relu else 0))
        forward = self.handles.create(
            "dnnl_batch_normalization_forward_primitive_desc_create",
            engine,
            c_int(dnnl.FORWARD_TRAINING),
            self.x,
            self.x,
            c_float(epsilon),
            flags,
            dnnl.attributes(),
        )
        backward = self.handles.create(
            "dnnl_batch_normalization_backward_primitive_desc_create",
            engine,
            c_int(_BACKWARD),
            self.x,
            self.x,
            self.x,
            c_float(epsilon),
            flags,
            forward,
            dnnl.attributes(),
        )
        self._forward = dnnl.Primitive(self.handles, forward)
        self._backward = dnnl.Primitive(self.handles, backward)
        self.mask = dnnl.query_layout(forward, _QUERY_WORKSPACE)
        self.mask_bytes = dnnl.layout_bytes(self.mask) if relu else 0
        """Of the workspace in which the library stores which elements ReLU passed."""

    def forward(self, buffers: list[ffi.Buffer]) -> None:
        """Buffers: x, scale, shift, y, mean, variance, and with ReLU its mask."""
        roles = (dnnl.SRC, _SCALE, _SHIFT, dnnl.DST, _MEAN, _VARIANCE, _WORKSPACE)
        self._run(self._forward, roles, buffers)

    def backward(self, buffers: list[ffi.Buffer]) -> None:
        """Buffers: dy, x, scale, mean, variance, dx, dscale, dshift, and with ReLU its mask."""
        roles = (
            dnnl.DIFF_DST,
            dnnl.SRC,
            _SCALE,
            _MEAN,
            _VARIANCE,
            dnnl.DIFF_SRC,
            _DIFF_SCALE,
            _DIFF_SHIFT,
            _WORKSPACE,
        )
        self._run(self._backward, roles, buffers)

    def _run(
        self, primitive: dnnl.Primitive, roles: tuple[int, ...], buffers: list[ffi.Buffer]
    ) -> None:
        """The workspace comes last, where there is one."""
        whole = (dnnl.SRC, dnnl.DST, dnnl.DIFF_SRC, dnnl.DIFF_DST)
        with dnnl.computing() as (stream, memory):
            arguments = []
            for role, buffer in zip(roles, buffers, strict=False):
                layout = self.x if role in whole else self.channel
                layout = self.mask if role == _WORKSPACE else layout
                arguments.append((role, memory(layout, c_void_p(buffer.address))))
            primitive.execute(stream, memory, *arguments)


prepared = functools.lru_cache(maxsize=dnnl.CACHED)(_Norm)
