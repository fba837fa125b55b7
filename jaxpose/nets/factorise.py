"""What a 3x3x3 convolution may be replaced by, as data.

A factorisation turns (input channels, output channels) into the cascade of convolutions that
stands for one 3x3x3 convolution. Nets are built from it, weights and MACs are counted from it,
tables are printed from it: a new one costs four lines and one golden number.
"""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Stage:
    """One convolution of a cascade; batch norm follows it."""

    kernel: tuple[int, int, int]
    """(t, y, x) extent in frames, pixels, pixels."""
    features: int
    """Output channels."""
    groups: int = 1
    relu: bool = True
    """False keeps a cascade linear."""


Factorisation = Callable[[int, int], tuple[Stage, ...]]


def full(cin: int, cout: int):
    """The 3-D convolution itself."""
    return (Stage((3, 3, 3), cout),)


def asy(cin: int, cout: int):
    """Three cascaded one-directional convolutions, in the order of the paper's Table I."""
    return Stage((1, 3, 1), cout), Stage((1, 1, 3), cout), Stage((3, 1, 1), cout)


def r2plus1d(cin: int, cout: int):
    """Space, then time, through as many channels as 3x3x3 has weights (Tran et al. 2018)."""
    between = 27 * cin * cout // (9 * cin + 3 * cout)
    return Stage((1, 3, 3), between), Stage((3, 1, 1), cout)


def dwsep(cin: int, cout: int):
    """Depth-wise 3x3x3, then point-wise: as in MobileNet, with time."""
    return Stage((3, 3, 3), cin, groups=cin), Stage((1, 1, 1), cout)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A regression net of the study: how its layers 1 to 4 are factorised, and how wide each is."""

    factorise: Factorisation
    widths: tuple[int, ...] = (64, 128, 256, 256, 256)
    """Channels of layers 1 to 5 at width multiplier 1; layer 5 is 1x1x1."""


VARIANTS = {
    "full": Variant(full),
    "asy": Variant(asy),
    "r2plus1d": Variant(r2plus1d),
    "dwsep": Variant(dwsep),
    # The control: 3x3x3 kernels, but only as many weights and MACs as asy (within 3 % from a
    # width multiplier of 1/4 up; below that rounding to whole channels takes it further away).
    "thin": Variant(full, (42, 84, 169, 169, 169)),
}


def scaled(widths: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Channel counts times the width multiplier, rounded, at least one."""
    return tuple(max(1, round(w * width)) for w in widths)
