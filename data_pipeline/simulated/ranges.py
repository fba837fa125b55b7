"""The bounds of every number of the model, written in its field's type, and what a value violates.

    step_s: SecondsRange = (0.3, 0.8)

Within the bounds the model still runs. They are wider than anything seen in an infant, and narrower
than what divides by zero, turns a body inside out or fills the memory.
"""

import typing
from typing import Annotated, NamedTuple

from data_pipeline.errors import DataError

NUMBERS = {2: "two", 3: "three", 6: "six"}


class Bounds(NamedTuple):
    """The smallest and the largest value; both are allowed."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"from {self.low:g} to {self.high:g}"


class Ascending(NamedTuple):
    """Marks a pair whose second number is no smaller than its first: the range of a draw."""


Share = Annotated[float, Bounds(0, 1)]
Degrees = Annotated[float, Bounds(0, 30)]
"""A standard deviation of an angle."""
Seconds = Annotated[float, Bounds(0.0333, 3600)]
"""From one raw frame (1/30 s) to an hour. A shorter step is not seen, and needs a long array."""

ShareRange = Annotated[tuple[Share, Share], Ascending()]
DegreesRange = Annotated[tuple[Degrees, Degrees], Ascending()]
SecondsRange = Annotated[tuple[Seconds, Seconds], Ascending()]


class Checked:
    """Base of a dataclass whose fields say by their types what they may be.

    Raises:
      DataError: when it is made with a value outside of them.
    """

    def __post_init__(self):
        for name, kind in typing.get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            if expected := refusal(kind, value):
                raise DataError(f"{name} is {value!r}; expected {expected}")


def refusal(kind, value) -> str | None:
    """What is expected instead of `value`, a number or a list or tuple of them; None if it fits.

    `kind` is a number with `Bounds`, or a tuple of such, which may have to be `Ascending`.
    """
    if bounds := _bounds(kind):
        return None if _within(value, bounds) else f"a number {bounds}"
    ascending = any(isinstance(mark, Ascending) for mark in getattr(kind, "__metadata__", ()))
    members = typing.get_args(typing.get_args(kind)[0] if ascending else kind)
    limits = [_bounds(member) for member in members]
    if (
        isinstance(value, list | tuple)
        and len(value) == len(limits)
        and all(_within(v, bounds) for v, bounds in zip(value, limits, strict=True))
        and not (ascending and value[0] > value[1])
    ):
        return None
    count = f"{NUMBERS[len(limits)]}{' ascending' if ascending else ''} numbers"
    alike = len(set(limits)) == 1
    return f"{count} " + (str(limits[0]) if alike else ", ".join(map(str, limits)))


def _bounds(kind) -> Bounds | None:
    marks = getattr(kind, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Bounds)), None)


def _within(value, bounds: Bounds) -> bool:
    # NaN is in no interval, and JSON's `true` is no number.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bounds.low <= value <= bounds.high
