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
    """One convolution of a cascade; batch norm follows it.

    Attributes:
      kernel: extent (t, y, x) in frames, pixels, pixels.
      features: number of output channels.
      groups: number of channel groups.
      relu: whether ReLU follows; False keeps a cascade linear.
    """

    kernel: tuple[int, int, int]
    features: int
    groups: int = 1
    relu: bool = True


Factorisation = Callable[[int, int], tuple[Stage, ...]]
"""(input channels, output channels) -> the convolutions that replace one 3x3x3 convolution."""


def cascade(*kernels: tuple[int, int, int]) -> Factorisation:
    """Returns a factorisation with one convolution per kernel (t, y, x), in this order.

    The first convolution changes the number of channels.
    """
    return lambda cin, cout: tuple(Stage(kernel, cout) for kernel in kernels)


def r2plus1d(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns 1x3x3, then 3x1x1: space, then time (Tran et al. 2018).

    The number of channels between them gives as many weights as the 3x3x3 convolution has.
    """
    between = 27 * cin * cout // (9 * cin + 3 * cout)
    return Stage((1, 3, 3), between), Stage((3, 1, 1), cout)


def dwsep(cin: int, cout: int) -> tuple[Stage, ...]:
    """Returns 3x3x3 depth-wise, then 1x1x1: MobileNet's separable convolution, with time."""
    return Stage((3, 3, 3), cin, groups=cin), Stage((1, 1, 1), cout)


FACTORISATIONS: dict[str, Factorisation] = {
    "full": cascade((3, 3, 3)),
    "asy": cascade((1, 3, 1), (1, 1, 3), (3, 1, 1)),  # the paper's Table I
    "r2plus1d": r2plus1d,
    "dwsep": dwsep,
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
