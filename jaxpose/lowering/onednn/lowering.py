"""The lowering `onednn`, and whether it can be used on this machine."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose.lowering.instructions import missing_instructions
from jaxpose.lowering.lowering import Lowering, platform
from jaxpose.lowering.onednn import convolution, library, norm
from jaxpose.lowering.onednn.primitives import (
    BACKWARD_DATA,
    BACKWARD_WEIGHTS,
    FORWARD,
    FORWARD_RELU,
    prepared,
)
from jaxpose.lowering.onednn.recorder import Recorder

_REMEDY = "choose the lowering `folded`"


def unavailable(dtype: str) -> str | None:
    """Returns why the library cannot be used for this type on this machine, and what to do.

    The result is None if it can be used: it is installed, has all operations for this CPU and need
    not emulate the type, and XLA accepts its functions.
    """
    if platform() != "cpu":
        return f"it needs a CPU; {_REMEDY}"
    if reason := library.missing():
        return f"{reason}, or {_REMEDY}"
    if reason := missing_instructions(dtype) or _unsupported(dtype):
        return reason
    reason = failure()
    return None if reason is None else f"{reason}; {_REMEDY}"


@functools.cache
def _unsupported(dtype: str) -> str | None:
    shape, kernel = (1, 3, 4, 4, 8), (3, 3, 3, 8, 8)
    try:
        for operation in (FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS):
            prepared(operation, dtype, shape, kernel, shape, False)
        norm.prepared(dtype, shape, 1e-3, True)
    except NotImplementedError:
        return f"it cannot compute {dtype} on this CPU ({library.instruction_set()}); {_REMEDY}"
    except RuntimeError as error:
        return f"it fails on this machine ({error}); {_REMEDY}"
    return None


def failure() -> str | None:
    """Returns the error of an installed library, from loading it or from one tiny call through XLA.

    The result is None without an error, and where the library is not installed or the device is no
    CPU.
    """
    if platform() != "cpu" or not library.installed():
        return None
    return library.missing() or _failed_call()


@functools.cache
def _failed_call() -> str | None:
    try:
        with jax.ensure_compile_time_eval():
            x, kernel = jnp.ones((1, 1, 3, 3, 1)), jnp.ones((1, 3, 1, 1, 1))
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
    recorder=Recorder,
    # Measured on a CPU, all nets, widths 1/4 and 1: 2.1 to 2.5.
    memory_factor=lambda extent: 2.6,
    unavailable=unavailable,
)
