"""Numbers about a right and a left series of the same kind."""

import numpy as np
from jaxtyping import Float

LONGEST_LAG_S = 1.0
FEWEST = 10
"""Smallest number of samples that a correlation or an asymmetry is computed from."""


def correlation(right: Float[np.ndarray, " n"], left: Float[np.ndarray, " n"]) -> float:
    """Returns Pearson's correlation over samples that both have; NaN where either is constant."""
    both = np.isfinite(right) & np.isfinite(left)
    if both.sum() < FEWEST or np.ptp(right[both]) == 0 or np.ptp(left[both]) == 0:
        return float("nan")
    return float(np.corrcoef(right[both], left[both])[0, 1])


def lagged_correlation(
    right: Float[np.ndarray, " n"], left: Float[np.ndarray, " n"], rate_hz: float
) -> tuple[float, float]:
    """Returns the correlation of largest size within `LONGEST_LAG_S`, and its lag in seconds.

    The lag is positive if the left side follows the right one.
    """
    best, best_lag = float("nan"), float("nan")
    longest = min(round(LONGEST_LAG_S * rate_hz), len(right) - FEWEST)
    for lag in sorted(range(-longest, longest + 1), key=abs):
        first, second = (right[: len(right) - lag], left[lag:]) if lag >= 0 else (
            right[-lag:], left[: len(left) + lag]
        )  # fmt: skip
        value = correlation(first, second)
        if np.isfinite(value) and not abs(value) <= abs(best):
            best, best_lag = value, lag / rate_hz
    return best, best_lag


def asymmetry(right: Float[np.ndarray, " n"], left: Float[np.ndarray, " n"]) -> float:
    """Returns (right - left) / (right + left) of the paths, given both sides' speeds.

    1 if only the right side moves; NaN if neither does. A path is the sum over the samples at which
    both sides have a speed, so that a side that is seen less does not seem to move less.
    """
    both = np.isfinite(right) & np.isfinite(left)
    total = float((right + left)[both].sum())
    if both.sum() < FEWEST or total <= 0:
        return float("nan")
    return float((right - left)[both].sum()) / total
