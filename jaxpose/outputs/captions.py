"""An image -> the same with text in its corner: the frame's number, and which colour is which limb.

Text is on black boxes, and its size grows with the image.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from jaxpose.body.skeleton import LIMBS
from jaxpose.outputs.colours import COLOURS, words

_FONT = cv2.FONT_HERSHEY_SIMPLEX


class _Type(NamedTuple):
    """How text is written in an image, in px."""

    scale: float
    thick: int
    width: int
    height: int
    below: int
    margin: int


def _type(image: UInt8[np.ndarray, "h w 3"], text: str) -> _Type:
    height = max(9, round(image.shape[0] / 20))
    thick = max(1, round(height / 9))
    scale = cv2.getFontScaleFromHeight(_FONT, height, thick)
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thick)
    return _Type(scale, thick, width, height, below, height // 3)


def write_text(image: UInt8[np.ndarray, "h w 3"], text: str) -> None:
    """Writes white text on a black box into the image's corner."""
    t = _type(image, text)
    box = t.width + 2 * t.margin, t.height + t.below + t.margin
    cv2.rectangle(image, (0, 0), box, (0, 0, 0), -1)
    place = t.margin, t.height + t.margin
    cv2.putText(image, text, place, _FONT, t.scale, (255, 255, 255), t.thick, cv2.LINE_AA)


def write_key(image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Writes the limbs' names in their colours, below a free line that `write_text` then fills.

    An image of which they would cover more than half of the height is left as it is.
    """
    t = _type(image, words("right_arm"))
    line, column = t.height + t.below + t.margin, t.width + 2 * t.margin
    if 3 * line > image.shape[0] / 2:
        return
    cv2.rectangle(image, (0, 0), (2 * column, 3 * line), (0, 0, 0), -1)
    for k, limb in enumerate(LIMBS):  # arms in a line, legs below them
        place = t.margin + k % 2 * column, (k // 2 + 2) * line - t.below
        cv2.putText(image, words(limb), place, _FONT, t.scale, COLOURS[limb], t.thick, cv2.LINE_AA)
