"""Images turned by multiples of 90 degrees, and points and boxes turned with them.

(0, 0) is the centre of the top-left pixel; sizes are (width, height) px.
"""

import numpy as np
from jaxtyping import Float, Shaped

TURNS = (0, 90, 180, 270)
"""Angles by which images can be turned, degrees clockwise."""

Size = tuple[int, int]
Box = tuple[int, int, int, int]


def turn(image: Shaped[np.ndarray, "h w"], degrees: int) -> Shaped[np.ndarray, "_ _"]:
    """Turns an image clockwise."""
    return np.ascontiguousarray(np.rot90(image, -degrees // 90))


def turn_back(xy: Float[np.ndarray, "*n 2"], size: Size, degrees: int) -> Float[np.ndarray, "*n 2"]:
    """Maps points of the turned image to the original one, whose size is `size`."""
    x, y = xy[..., 0], xy[..., 1]
    width, height = size
    back = {
        0: (x, y),
        90: (y, height - 1 - x),
        180: (width - 1 - x, height - 1 - y),
        270: (width - 1 - y, x),
    }
    return np.stack(back[degrees], axis=-1)


def turn_direction(xy: Float[np.ndarray, " 2"], degrees: int) -> Float[np.ndarray, " 2"]:
    """Turns a direction in the image clockwise."""
    x, y = xy
    return np.array({0: (x, y), 90: (-y, x), 180: (-x, -y), 270: (y, -x)}[degrees])


def side_of(xy: Float[np.ndarray, " 2"]) -> str:
    """Returns the side of the image to which a direction points most: top, bottom, left, right."""
    x, y = xy
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "bottom" if y > 0 else "top"


def turn_box(box: Box, size: Size, degrees: int) -> Box:
    """Maps a box (x, y, width, height) of an image of `size` to the turned image."""
    x, y, width, height = box
    return {
        0: box,
        90: (size[1] - y - height, x, height, width),
        180: (size[0] - x - width, size[1] - y - height, width, height),
        270: (y, size[0] - x - width, height, width),
    }[degrees]


def widened(box: Box, ratio: float) -> Box:
    """Returns the smallest box of width / height = `ratio` around a box, with the same centre.

    It may reach beyond the image, where there is no depth. Sides are rounded to whole pixels.
    """
    x, y, width, height = box
    new_width, new_height = max(width, round(height * ratio)), max(height, round(width / ratio))
    return x - (new_width - width) // 2, y - (new_height - height) // 2, new_width, new_height
