"""Batch norm in training, and ReLU, by oneDNN, called from inside XLA.

    x [b t h w c], scale [c], shift [c] -> y [b t h w c], mean [c], variance [c], and gradients

XLA's own goes over memory several times more, beside convolutions that want all cores (LOG.md).
"""

import functools
from ctypes import c_float, c_int, c_size_t, c_uint, c_void_p

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxpose.lowering import dnnl, ffi

NORM_FORWARD, NORM_FORWARD_RELU, NORM_BACKWARD, NORM_BACKWARD_RELU = (
    f"jaxpose_onednn_norm_{part}"
    for part in ("forward", "forward_relu", "backward", "backward_relu")
)
"""What can be computed; also the names by which XLA calls them."""

# Constants of oneDNN 3's dnnl_types.h.
_MEAN, _VARIANCE, _SCALE, _SHIFT, _WORKSPACE = 49, 50, 51, 52, 64
_DIFF_SCALE, _DIFF_SHIFT = 255, 256
_BACKWARD, _USE_SCALE, _USE_SHIFT, _NORM_RELU, _QUERY_WORKSPACE = 128, 2, 4, 8, 135


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalise(
    x: Float[Array, "b t h w c"],
    scale: Float[Array, "c"],
    shift: Float[Array, "c"],
    epsilon: float,
    relu: bool,
) -> tuple[Float[Array, "b t h w c"], Float[Array, "c"], Float[Array, "c"]]:
    """Batch norm in training mode, then ReLU if `relu`; and the batch's mean and variance (that of
    N, not N - 1), for running statistics: no gradient flows back through these two. ReLU makes 0
    of NaN, mean and variance keep it."""
    return _normalise_forward(x, scale, shift, epsilon, relu)[0]


def _normalise_forward(x, scale, shift, epsilon, relu):
    dnnl.check_dtypes(x, like=x)
    dnnl.check_dtypes(scale, shift, like=jnp.zeros(0, jnp.float32))
    if not scale.shape == shift.shape == x.shape[4:]:
        raise ValueError(f"scale {scale.shape}, shift {shift.shape}: wanted {x.shape[4:]}")
    norm = prepared(str(x.dtype), x.shape, float(np.float32(epsilon)), relu)
    channel = jax.ShapeDtypeStruct(scale.shape, jnp.float32)
    made = [jax.ShapeDtypeStruct(x.shape, x.dtype), channel, channel]
    if relu:
        made.append(jax.ShapeDtypeStruct((norm.signs_bytes,), jnp.uint8))
    forward = dnnl.call(NORM_FORWARD_RELU if relu else NORM_FORWARD, *made)
    y, mean, variance, *signs = forward(x, scale, shift, jnp.float32(epsilon))
    return (y, mean, variance), (x, scale, mean, variance, *signs)


def _normalise_backward(epsilon, relu, saved, gradients):
    x, scale, mean, variance, *signs = saved
    backward = dnnl.call(NORM_BACKWARD_RELU if relu else NORM_BACKWARD, x, scale, scale)
    return tuple(backward(gradients[0], x, scale, mean, variance, jnp.float32(epsilon), *signs))


normalise.defvjp(_normalise_forward, _normalise_backward)


# ---- from here on inside XLA: addresses instead of arrays ----


def _offer() -> None:
    for relu, operation in enumerate((NORM_FORWARD, NORM_FORWARD_RELU)):
        ffi.offer(operation, functools.partial(_norm_forward, bool(relu)))
    for relu, operation in enumerate((NORM_BACKWARD, NORM_BACKWARD_RELU)):
        ffi.offer(operation, functools.partial(_norm_backward, bool(relu)))


def _norm_forward(relu: bool, given: list[ffi.Buffer], made: list[ffi.Buffer]) -> None:
    """x, scale, shift, epsilon -> y, mean, variance, with ReLU also which elements it let pass."""
    x, scale, shift, epsilon = given
    with dnnl.one_at_a_time:
        _norm_of(x, epsilon, relu).forward([x, scale, shift, *made])


def _norm_backward(relu: bool, given: list[ffi.Buffer], made: list[ffi.Buffer]) -> None:
    """dy, x, scale, mean, variance, epsilon, what passed -> gradients of x, scale, shift."""
    dy, x, scale, mean, variance, epsilon, *signs = given
    with dnnl.one_at_a_time:
        _norm_of(x, epsilon, relu).backward([dy, x, scale, mean, variance, *made, *signs])


def _norm_of(x: ffi.Buffer, epsilon: ffi.Buffer, relu: bool) -> "_Norm":
    return prepared(x.dtype, x.shape, c_float.from_address(epsilon.address).value, relu)


_offer()


class _Norm:
    """Batch norm of one shape [b t h w c], forward and backward."""

    def __init__(self, dtype: str, shape: tuple[int, ...], epsilon: float, relu: bool):
        engine = dnnl.engine()
        self.x = dnnl.layout(shape, (0, 4, 1, 2, 3), dtype)
        self.channel = dnnl.layout(shape[4:], (0,), "float32")
        flags = c_uint(_USE_SCALE | _USE_SHIFT | (_NORM_RELU if relu else 0))
        forward = dnnl.made(
            "dnnl_batch_normalization_forward_primitive_desc_create",
            *(
                engine,
                c_int(dnnl.TRAINING),
                self.x,
                self.x,
                c_float(epsilon),
                flags,
                dnnl.plain_attributes(),
            ),
        )
        backward = dnnl.made(
            "dnnl_batch_normalization_backward_primitive_desc_create",
            *(engine, c_int(_BACKWARD), self.x, self.x, self.x, c_float(epsilon), flags),
            *(forward, dnnl.plain_attributes()),
        )
        self.pads = [dnnl.scratchpad_of(each) for each in (forward, backward)]
        self.primitives = [dnnl.made("dnnl_primitive_create", each) for each in (forward, backward)]
        query, size = (
            dnnl.library().dnnl_primitive_desc_query_md,
            dnnl.library().dnnl_memory_desc_get_size,
        )
        query.restype, size.restype = c_void_p, c_size_t
        self.signs = c_void_p(query(forward, c_int(_QUERY_WORKSPACE), c_int(0)))
        self.signs_bytes = size(self.signs) if relu else 0

    def forward(self, buffers: list[ffi.Buffer]) -> None:
        roles = (dnnl.SRC, _SCALE, _SHIFT, dnnl.DST, _MEAN, _VARIANCE, _WORKSPACE)
        self._run(self.primitives[0], roles, buffers, self.pads[0])

    def backward(self, buffers: list[ffi.Buffer]) -> None:
        roles = (
            dnnl.DIFF_DST,
            dnnl.SRC,
            _SCALE,
            _MEAN,
            _VARIANCE,
            dnnl.DIFF_SRC,
            _DIFF_SCALE,
            _DIFF_SHIFT,
        )
        self._run(self.primitives[1], (*roles, _WORKSPACE), buffers, self.pads[1])

    def _run(
        self, primitive: c_void_p, roles: tuple[int, ...], buffers: list[ffi.Buffer], pad
    ) -> None:
        """The workspace comes last, where there is one."""
        with dnnl.computing() as (stream, memory):
            arguments = []
            for role, buffer in zip(roles, buffers, strict=False):
                whole = role in (dnnl.SRC, dnnl.DST, dnnl.DIFF_SRC, dnnl.DIFF_DST)
                layout = self.signs if role == _WORKSPACE else self.x if whole else self.channel
                arguments.append((role, memory(layout, c_void_p(buffer.address))))
            arguments.append((dnnl.SCRATCHPAD, memory(pad, c_void_p(-1))))
            dnnl.execute(primitive, stream, *arguments)


prepared = functools.cache(_Norm)
