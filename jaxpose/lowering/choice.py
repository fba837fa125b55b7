"""All lowerings by name, and which one to choose. A new lowering is one file and one line here."""

import jax

from jaxpose.lowering.conv3d import CONV3D
from jaxpose.lowering.folded import FOLDED
from jaxpose.lowering.lowering import Lowering
from jaxpose.lowering.onednn.lowering import ONEDNN

LOWERINGS: dict[str, Lowering] = {each.name: each for each in (CONV3D, FOLDED, ONEDNN)}
"""The first one is XLA's own convolution, the measure of the others."""

FASTEST_FIRST = {"cpu": ("onednn", "folded")}
"""Kind of device -> the lowerings to try. `onednn` was the fastest of the three in every forward
pass and step of `experiments/results/bench-{default,paper}-cpu-float32-*.json` (asy, full and
detection), so the net and its size play no part."""
ELSEWHERE = ("conv3d",)
"""On a GPU, where XLA's own is cuDNN's, nothing was measured yet."""


def lowering_named(name: str) -> Lowering:
    """Raises `ValueError` for an unknown name."""
    if name not in LOWERINGS:
        raise ValueError(f"unknown lowering {name!r}; one of: {', '.join(LOWERINGS)}")
    return LOWERINGS[name]


def fastest(dtype: str) -> Lowering:
    """The lowering that is the fastest by measurement on JAX's default device, among those that can
    compute in this dtype there. `dtype` is "float32" or "bfloat16"."""
    names = FASTEST_FIRST.get(jax.default_backend(), ELSEWHERE)
    usable = (LOWERINGS[name] for name in names if LOWERINGS[name].unavailable(dtype) is None)
    return next(usable)
