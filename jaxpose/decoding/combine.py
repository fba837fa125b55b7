"""Both nets' maps -> one set of maps to decode."""

import numpy as np
from jaxtyping import Float


def combine(
    detection: Float[np.ndarray, "*n h w maps"], regression: Float[np.ndarray, "*n h w maps"]
) -> Float[np.ndarray, "*n h w maps"]:
    """Returns the geometric mean of detection probabilities and confidence maps, pixel by pixel.

    It is 0 wherever either net excludes a joint, so a regression map without a peak does not fall
    back to a maximum far from the limb. A perfect peak is about 1 in all three.
    """
    return np.sqrt(detection * np.maximum(regression, 0))
