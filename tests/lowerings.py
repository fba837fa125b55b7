"""The lowerings as parameters of tests; the one that has to be installed is skipped without."""

from typing import get_args

import pytest

from jaxpose.lowering import dnnl
from jaxpose.lowering.convolution import Lowering

NEEDS_ONEDNN = pytest.mark.skipif(
    not dnnl.available(), reason="oneDNN is not here: pip install -e '.[onednn]'"
)
LOWERINGS = [
    pytest.param(name, marks=NEEDS_ONEDNN) if name == "onednn" else name
    for name in get_args(Lowering)
]
EXACT = LOWERINGS[1:]
"""Those that are held against the first, which is XLA's own convolution."""
