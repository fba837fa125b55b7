"""Both nets' maps -> one set of maps to decode."""

import numpy as np
from jaxtyping import Float


def combine(
    detection: Float[np.ndarray, "*n h w maps"], regression: Float[np.ndarray, "*n h w maps"]
) -> Float[np.ndarray, "*n h w maps"]:
    """Returns the geometric mean of detection probabilities and confidence maps.

    A place that either net excludes is excluded, so a regression map without a peak no longer
    falls back to a maximum far from the limb. A perfect peak is about 1 in both.
    """
    return np.sqrt(detection * np.maximum(regression, 0))
