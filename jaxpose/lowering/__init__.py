"""How a 3-D convolution is computed: several exact ways, the *lowerings*, and a choice of one.

    conv3d    XLA's own 3-D convolution, forward and backward
    folded    axes that the kernel does not span become batch, so that XLA sees 2-D convolutions
    onednn    the library behind PyTorch's convolutions on a CPU, called from inside XLA

Weights always have the shape [kt kh kw ci/groups co]. Every lowering gives the same values and
gradients, by test: the lowering changes time more than the factorisation does, so the two are
never mixed. A new lowering is one module that defines a `Lowering`, and its name in `LOWERINGS`.
"""

import sys

from jaxpose.lowering import conv3d, folded
from jaxpose.lowering.lowering import Lowering, add_bias, convolve, platform, upsample
from jaxpose.lowering.onednn import lowering as onednn
from jaxpose.lowering.onednn.library import instruction_set

__all__ = [
    "LOWERINGS",
    "Lowering",
    "add_bias",
    "convolve",
    "fastest",
    "instruction_set",
    "lowering_named",
    "platform",
    "upsample",
]

LOWERINGS: dict[str, Lowering] = {
    lowering.name: lowering for lowering in (conv3d.LOWERING, folded.LOWERING, onednn.LOWERING)
}


def lowering_named(name: str) -> Lowering:
    """Returns the lowering of a name in a configuration or on the command line.

    Raises:
      ValueError: an unknown name.
    """
    if name not in LOWERINGS:
        raise ValueError(f"unknown lowering {name!r}; one of: {', '.join(LOWERINGS)}")
    return LOWERINGS[name]


def fastest(dtype: str) -> Lowering:
    """Returns the fastest lowering on JAX's default device: oneDNN on a CPU where it is installed
    and can compute `dtype`, folded on any other CPU. Nothing was measured on a GPU yet: conv3d,
    which is cuDNN there.

    The shape plays no part: oneDNN was the fastest of the three in every forward pass and step of
    experiments/results/bench-*.json. A library that is installed but does not work costs one line
    of warning."""
    if platform() != "cpu":
        return conv3d.LOWERING
    if not onednn.LOWERING.unavailable(dtype):
        return onednn.LOWERING
    if reason := onednn.failure():
        print(f"warning: oneDNN is not used: {reason}", file=sys.stderr)
    return folded.LOWERING
