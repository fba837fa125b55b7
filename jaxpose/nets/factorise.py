"""Factorisations of a 3x3x3 convolution, as data.

A factorisation turns (input channels, output channels) into the cascade of convolutions that
replaces one 3x3x3 convolution. Nets are built from it, weights and MACs are counted from it,
tables are printed from it. A new one is one line in `FACTORISATIONS` and one golden number in
`tests/test_factorise.py`.
"""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Stage:
    """One convolution of a cascade.

    Attributes:
      kernel: extent (t, y, x) in frames, pixels, pixels.
      features: number of output channels.
      groups: number of channel groups.
      norm: whether batch norm follows.
      relu: whether ReLU follows; False keeps a cascade linear.
      shift: whether an eighth of the input channels is taken from the next frame, and another
        eighth from the previous one, before the convolution.
    """

    kernel: tuple[int, int, int]
    features: int
    groups: int = 1
    norm: bool = True
    relu: bool = True
    shift: bool = False


Factorisation = Callable[[int, int], tuple[Stage, ...]]
"""(input channels, output channels) -> the convolutions that replace one 3x3x3 convolution."""


def cascade(*kernels: tuple[int, int, int]) -> Factorisation:
    """Returns a factorisation with one convolution per kernel (t, y, x), in this order.

    The first convolution changes the number of channels.
    """
    return lambda cin, cout: tuple(Stage(kernel, cout) for kernel in kernels)


ROWS, COLUMNS, TIME = (1, 3, 1), (1, 1, 3), (3, 1, 1)
"""The three kernels that span one axis each."""


def asy_linear(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns the kernels of asy with one batch norm and one ReLU, after the last of them."""
    return (
        Stage(ROWS, cout, norm=False, relu=False),
        Stage(COLUMNS, cout, norm=False, relu=False),
        Stage(TIME, cout),
    )


def r2plus1d(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns 1x3x3, then 3x1x1: space, then time (Tran et al. 2018).

    The number of channels between them gives as many weights as the 3x3x3 convolution has.
    """
    return _space_then_time(cin, cout, weights=27 * cin * cout)


def r2plus1d_asy(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns the kernels of r2plus1d with as many weights as asy has."""
    return _space_then_time(cin, cout, weights=3 * cin * cout + 6 * cout**2)


def _space_then_time(cin: int, cout: int, weights: int) -> tuple[Stage, ...]:
    """Returns 1x3x3, then 3x1x1, with at most `weights` weights, but one channel between them."""
    between = max(1, weights // (9 * cin + 3 * cout))
    return Stage((1, 3, 3), between), Stage(TIME, cout)


def planar_shift(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns 1x3x3 after a shift of channels in time, which has no weights (Lin et al. 2019)."""
    return (Stage((1, 3, 3), cout, shift=True),)


def dwsep(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns 3x3x3 depth-wise, then 1x1x1: MobileNet's separable convolution, with time."""
    return Stage((3, 3, 3), cin, groups=cin), Stage((1, 1, 1), cout)


def bottleneck(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns 1x1x1 to a quarter of the output channels, 3x3x3 on these, 1x1x1 back."""
    between = max(1, cout // 4)
    return Stage((1, 1, 1), between), Stage((3, 3, 3), between), Stage((1, 1, 1), cout)


FACTORISATIONS: dict[str, Factorisation] = {
    "full": cascade((3, 3, 3)),
    "asy": cascade(ROWS, COLUMNS, TIME),  # the paper's Table I
    "r2plus1d": r2plus1d,
    "dwsep": dwsep,
    # The other orders of the paper's three kernels, named after their axes: x goes along a row.
    "asy_xyt": cascade(COLUMNS, ROWS, TIME),
    "asy_ytx": cascade(ROWS, TIME, COLUMNS),
    "asy_xty": cascade(COLUMNS, TIME, ROWS),
    "asy_tyx": cascade(TIME, ROWS, COLUMNS),
    "asy_txy": cascade(TIME, COLUMNS, ROWS),
    "asy_linear": asy_linear,
    "r2plus1d_asy": r2plus1d_asy,
    "planar": cascade((1, 3, 3)),  # each frame alone
    "planar_shift": planar_shift,
    "bottleneck": bottleneck,
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A regression net of the study.

    Attributes:
      factorise: what replaces the 3x3x3 convolutions of layers 1 to 4.
      widths: channels of layers 1 to 5 at width multiplier 1; layer 5 is 1x1x1.
    """

    factorise: Factorisation
    widths: tuple[int, int, int, int, int] = (64, 128, 256, 256, 256)


VARIANTS: dict[str, Variant] = {
    name: Variant(factorise) for name, factorise in FACTORISATIONS.items()
} | {
    # The control: 3x3x3 kernels with the weights and MACs of asy (within 3 % from a width
    # multiplier of 1/4 up; below that, rounding to whole channels takes it further away).
    "thin": Variant(FACTORISATIONS["full"], (42, 84, 169, 169, 169)),
}


def scaled(widths: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Returns the channel counts times the width multiplier, rounded, at least 1 each."""
    return tuple(max(1, round(w * width)) for w in widths)
