"""Depth -> an 8-bit picture in which a person sees an infant's limbs."""

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

from jaxpose.outputs.overlay import grey

PERCENTILES = (1, 99)
"""Of the depth of an image: what becomes bright and dark."""


def stretched(depth_mm: UInt16[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Returns grey levels with the contrast stretched, in the whole image and in each part of it.

    Near is bright, holes are black. Limbs lie a few mm to some cm above a mattress, so the range of
    the whole image alone would leave them a few grey levels.
    """
    near, far = np.percentile(depth_mm[depth_mm > 0], PERCENTILES)
    levels = grey(depth_mm, float(near), float(far))
    local = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(3, 4)).apply(levels)
    return np.where(depth_mm > 0, local, 0).astype(np.uint8)
