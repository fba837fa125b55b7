"""Lowerings: several exact ways to compute a 3-D convolution, and the choice of one.

    conv3d    XLA's own 3-D convolution, forward and backward
    folded    axes that the kernel does not span become batch, so that XLA sees 2-D convolutions
    onednn    the library behind PyTorch's convolutions on a CPU, called from inside XLA

Weights always have the shape [kt kh kw ci/groups co]. Every lowering gives the same values and
gradients, by test. The lowering changes time more than the factorisation does, so the two are
never mixed. A new lowering is one module that defines a `LOWERING`, and its name in `MODULES`.
"""

import importlib
import sys

from jaxpose.lowering import conv3d, folded
from jaxpose.lowering.instructions import missing_instructions
from jaxpose.lowering.lowering import (
    Lowering,
    ProgramRecorder,
    Recorder,
    add_bias,
    convolve,
    platform,
    upsample,
)
from jaxpose.lowering.onednn import lowering as onednn
from jaxpose.lowering.onednn.library import instruction_set

__all__ = [
    "LOWERINGS",
    "Lowering",
    "ProgramRecorder",
    "Recorder",
    "add_bias",
    "convolve",
    "fastest",
    "instruction_set",
    "lowering_named",
    "missing_instructions",
    "platform",
    "upsample",
]

MODULES = ("conv3d", "folded", "onednn.lowering")
"""The modules of this package that define a `LOWERING`."""

LOWERINGS: dict[str, Lowering] = {
    module.LOWERING.name: module.LOWERING
    for module in (importlib.import_module(f"{__name__}.{name}") for name in MODULES)
}


def lowering_named(name: str) -> Lowering:
    """Returns the lowering that a configuration or a command line names.

    Raises:
      ValueError: no lowering has this name.
    """
    if name not in LOWERINGS:
        raise ValueError(f"unknown lowering {name!r}; one of: {', '.join(LOWERINGS)}")
    return LOWERINGS[name]


def fastest(dtype: str) -> Lowering:
    """Returns the fastest lowering on JAX's default device.

    On a CPU it is onednn where the library is installed and can compute `dtype`, and folded
    elsewhere. On a GPU it is conv3d, which is cuDNN there; no other was measured yet. It does not
    depend on shapes: onednn was the fastest of the three in every forward pass and training step
    of experiments/results/bench-*.json. Where the library is installed but does not work, a warning
    is printed to stderr.
    """
    if platform() != "cpu":
        return conv3d.LOWERING
    if not onednn.LOWERING.unavailable(dtype):
        return onednn.LOWERING
    if reason := onednn.failure():
        print(f"warning: oneDNN is not used: {reason}", file=sys.stderr)
    return folded.LOWERING
