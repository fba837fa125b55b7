"""How a convolution is computed.

Weights are always stored as [kt kh kw ci/groups co]. A *lowering* is a separate, exact choice: it
changes the time more than the factorisation of a net does, so the two are never mixed, and by test
every lowering gives the same values and gradients.

    conv3d    XLA's own 3-D convolution
    folded    2-D convolutions and matrix products by XLA
    onednn    the library behind PyTorch's convolutions on a CPU

    lowering = lowering_named("folded")    # or fastest("float32")
    y = convolve(x, kernel, bias, relu=True, lowering=lowering)

Nets take the object in `Numerics.lowering`.
"""

from jaxpose.lowering.choice import LOWERINGS, fastest, lowering_named
from jaxpose.lowering.lowering import Lowering, convolve, upsample

__all__ = ["LOWERINGS", "Lowering", "convolve", "fastest", "lowering_named", "upsample"]
