"""The lowering `onednn`, and whether it can be used on this machine."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxpose.lowering.lowering import Lowering, platform
from jaxpose.lowering.onednn import convolution, dnnl, norm
from jaxpose.lowering.onednn.dnnl import instruction_set


@functools.cache
def unavailable(dtype: str) -> str | None:
    """Why the library cannot be used for this type on this machine, and what to do; None if it can:
    it is installed, has all operations for this CPU, and XLA accepts its functions."""
    remedy = "choose the lowering `folded`"
    if platform() != "cpu":
        return f"it needs a CPU; {remedy}"
    if not dnnl.available():
        return f"it is not installed: pip install 'jaxpose[onednn]' on x86-64 Linux, or {remedy}"
    shape, kernel = (1, 3, 4, 4, 8), (3, 3, 3, 8, 8)
    operations = (
        convolution.FORWARD,
        convolution.FORWARD_RELU,
        convolution.BACKWARD_DATA,
        convolution.BACKWARD_WEIGHTS,
    )
    try:
        for operation in operations:
            convolution.prepared(operation, dtype, shape, kernel, shape, False)
        norm.prepared(dtype, shape, 1e-3, True)
    except NotImplementedError:
        return (
            f"it cannot compute {dtype} on this CPU ({instruction_set()}), which takes AVX-512 or "
            f"newer; choose float32, or {remedy}"
        )
    reason = failure()
    return None if reason is None else f"{reason}; {remedy}"


@functools.cache
def failure() -> str | None:
    """What goes wrong in one tiny call through XLA, or None; None also where the library is not
    installed."""
    if not dnnl.available() or platform() != "cpu":
        return None
    x, kernel = jnp.ones((1, 1, 3, 3, 1)), jnp.ones((1, 3, 1, 1, 1))
    try:
        y = np.asarray(convolution.convolve(x, kernel, None, (1, 1, 1), 1, False))
    except Exception as error:  # whatever an incompatible version raises
        return f"XLA does not accept its functions ({str(error).splitlines()[0]})"
    if not np.array_equal(y[0, 0, :, 0, 0], [2, 3, 2]):
        return "its results are wrong on this machine"
    return None


LOWERING = Lowering(
    "onednn",
    convolve=convolution.convolve,
    upsample=convolution.upsample,
    norm_relu=norm.norm_relu,
    # Measured on a CPU, all nets, widths 1/4 and 1: 2.1 to 2.5.
    memory_factor=lambda extent: 2.6,
    unavailable=unavailable,
)
