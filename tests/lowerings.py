"""The lowerings as parameters of tests; the one that has to be installed is skipped without it."""

import dataclasses

import pytest

from jaxpose.lowering import LOWERINGS as BY_NAME
from jaxpose.lowering.onednn import library

CONV3D, FOLDED, ONEDNN = (BY_NAME[name] for name in ("conv3d", "folded", "onednn"))
NEEDS_ONEDNN = pytest.mark.skipif(library.missing() is not None, reason=str(library.missing()))
LOWERINGS = [
    pytest.param(each, id=each.name, marks=[NEEDS_ONEDNN] if each is ONEDNN else [])
    for each in BY_NAME.values()
]
EXACT = LOWERINGS[1:]
"""All but the first, XLA's own convolution, which they are compared with."""


def replace_onednn(monkeypatch, unavailable) -> None:
    """Makes `unavailable(dtype)` decide whether the lowering `onednn` can be used, for one test."""
    monkeypatch.setitem(BY_NAME, "onednn", dataclasses.replace(ONEDNN, unavailable=unavailable))
