"""The lowerings as parameters of tests; those that cannot be used here are skipped."""

import pytest

from jaxpose import lowering
from jaxpose.lowering.onednn import library

NEEDS_ONEDNN = pytest.mark.skipif(library.missing() is not None, reason=str(library.missing()))
CONV3D, FOLDED, ONEDNN = (lowering.LOWERINGS[name] for name in ("conv3d", "folded", "onednn"))
LOWERINGS = [
    pytest.param(one, id=name, marks=[NEEDS_ONEDNN] if one is ONEDNN else [])
    for name, one in lowering.LOWERINGS.items()
]
EXACT = LOWERINGS[1:]
"""Those that are compared with the first, which is XLA's own convolution."""
