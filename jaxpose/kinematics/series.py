"""Positions at irregular times, with gaps -> a regular series and its derivatives."""

import numpy as np
from jaxtyping import Float
from scipy.signal import savgol_coeffs, savgol_filter
from scipy.stats import chi2

LONGEST_FILLED = 5
"""Largest number of missing samples in a row that are filled, linearly."""
WINDOW_S = 0.25
"""Length of the window in which a cubic is fitted for derivatives; at least 5 samples."""
_DEGREE = 3


def regular(
    time_s: Float[np.ndarray, " n"], values: Float[np.ndarray, "n *k"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m *k"]]:
    """Returns times one median step apart, and the values there.

    Up to `LONGEST_FILLED` missing samples in a row are interpolated linearly; longer gaps are NaN.
    """
    step = float(np.median(np.diff(time_s)))
    times = time_s[0] + step * np.arange(round((time_s[-1] - time_s[0]) / step) + 1)
    columns = values.reshape(len(values), -1)
    filled = np.full((len(times), columns.shape[1]), np.nan)
    for k in range(columns.shape[1]):
        known = np.isfinite(columns[:, k])
        at = time_s[known]
        if not len(at):
            continue
        after = np.searchsorted(at, times - 1e-6 * step)
        before = np.maximum(np.searchsorted(at, times + 1e-6 * step) - 1, 0)
        inside = (after < len(at)) & (times >= at[0] - 1e-6 * step)
        gap = at[np.minimum(after, len(at) - 1)] - at[before]
        near = inside & (gap <= (LONGEST_FILLED + 1.5) * step)
        filled[near, k] = np.interp(times[near], at, columns[known, k])
    return times, filled.reshape(len(times), *values.shape[1:])


def window_samples(rate_hz: float) -> int:
    """Returns the odd number of samples in which derivatives are fitted."""
    return max(5, 2 * round(WINDOW_S * rate_hz / 2) + 1)


def derivative(
    values: Float[np.ndarray, "n *k"], rate_hz: float, order: int
) -> Float[np.ndarray, "n *k"]:
    """Returns the first or second derivative per second, of a cubic fitted around each sample.

    It is exact for cubics. NaN in stretches without a gap that are shorter than the window.
    """
    size = window_samples(rate_hz)
    columns = values.reshape(len(values), -1)
    slopes = np.full(columns.shape, np.nan)
    for k in range(columns.shape[1]):
        known = np.concatenate([[False], np.isfinite(columns[:, k]), [False]])
        edges = np.flatnonzero(known[1:] != known[:-1])
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            if end - first >= size:
                slopes[first:end, k] = savgol_filter(
                    columns[first:end, k], size, _DEGREE, deriv=order, delta=1 / rate_hz
                )
    return slopes.reshape(values.shape)


def speed_noise_floor(positions: Float[np.ndarray, "n axes"], rate_hz: float) -> float:
    """Returns the median speed that a joint at rest would seem to have.

    The noise of positions is estimated from their second differences (median absolute deviation),
    which smooth movements hardly change. It is taken to be independent from frame to frame.
    """
    second = np.diff(positions, n=2, axis=0)
    noise = 1.4826 * np.nanmedian(np.abs(second), axis=0) / np.sqrt(6)
    gain = rate_hz * np.sqrt((savgol_coeffs(window_samples(rate_hz), _DEGREE, deriv=1) ** 2).sum())
    axes = positions.shape[1]
    return float(np.sqrt((noise**2).mean()) * gain * np.sqrt(chi2.ppf(0.5, axes)))
