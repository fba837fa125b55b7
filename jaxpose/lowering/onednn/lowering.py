"""The lowering `onednn` as an object, and whether it can be used on this machine."""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxpose.lowering.lowering import Extent, Lowering
from jaxpose.lowering.onednn import convolution, library, norm
from jaxpose.lowering.onednn.primitives import (
    BACKWARD_DATA,
    BACKWARD_WEIGHTS,
    FORWARD,
    FORWARD_RELU,
    prepared,
)


def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None,
    *,
    stride: Extent,
    groups: int,
    relu: bool,
) -> Float[Array, "b t2 h2 w2 co"]:
    """See `jaxpose.lowering.convolve`; groups follow from the channels."""
    return convolution.convolve(x, kernel, bias, stride, relu)


def step_factor(kernel: Extent) -> float:
    """2.6. Measured on a CPU, all nets, width 1/4 and 1: 2.1 to 2.5."""
    return 2.6


def unavailable(dtype: str) -> str | None:
    """The reason why this lowering cannot compute in this dtype on JAX's default device, and the
    remedy; None where it can."""
    backend = jax.default_backend()
    if backend != "cpu":
        return f"oneDNN needs a CPU and JAX's default device is a {backend}: set JAX_PLATFORMS=cpu"
    return library.missing() or _refused_by_xla() or _unsupported(dtype)


@functools.cache
def _refused_by_xla() -> str | None:
    """One small convolution through XLA, once per process: the structures in `ffi` may not be
    those of the XLA that is installed. A failure is logged in one line."""
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 2, 4, 1)
    try:
        with jax.ensure_compile_time_eval():
            kernel = jnp.full((1, 1, 1, 1, 1), 2, jnp.float32)
            y = np.asarray(convolution.convolve(jnp.asarray(x), kernel, None, (1, 1, 1), False))
    except Exception as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
    else:
        if np.array_equal(y, 2 * x):
            return None
        message = "the result was wrong"
    logging.getLogger(__name__).warning(
        "oneDNN is installed but XLA cannot call it (%s); the slower lowering 'folded' is used "
        "instead",
        message,
    )
    return (
        f"jaxlib {jax.lib.__version__} cannot call oneDNN ({message}): install a version of jaxlib "
        "that jaxpose was tested with"
    )


@functools.cache
def _unsupported(dtype: str) -> str | None:
    """Whether the library has every operation in this dtype on this CPU; bfloat16 needs AVX-512 or
    newer instructions."""
    x, kernel = (1, 3, 4, 4, 8), (3, 3, 3, 8, 8)
    try:
        for operation in (FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS):
            prepared(operation, dtype, x, kernel, x, False)
        norm.prepared(dtype, x, 1e-3, True)
    except NotImplementedError:
        return (
            f"oneDNN cannot compute {dtype} on this CPU ({library.instruction_set()}), expected "
            "AVX-512: choose float32"
        )
    except RuntimeError as error:
        return f"oneDNN cannot be used on this machine ({error}): choose another lowering"
    return None


ONEDNN = Lowering(
    "onednn",
    convolve,
    convolution.upsample,
    step_factor,
    norm_relu=norm.normalise,
    unavailable=unavailable,
)
