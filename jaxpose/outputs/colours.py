"""The colours of limbs, the same in overlay.mp4, in report.html and in tools for labelling."""

from jaxpose.body.skeleton import LIMBS

COLOURS = dict(
    zip(LIMBS, ((60, 120, 255), (80, 220, 255), (80, 220, 80), (255, 160, 60)), strict=True)
)
"""Limb -> colour (blue, green, red)."""


def web_colour(limb: str) -> str:
    """Returns the colour of a limb as web pages write it, such as #ff783c."""
    blue, green, red = COLOURS[limb]
    return f"#{red:02x}{green:02x}{blue:02x}"


def words(limb: str) -> str:
    """Returns the name of a limb for people, such as right arm."""
    return limb.replace("_", " ")
