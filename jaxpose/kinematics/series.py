"""Positions at irregular times, with gaps -> a regular series and its derivatives."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import savgol_coeffs, savgol_filter
from scipy.stats import chi2

LONGEST_FILLED_S = 0.2
"""Longest time between two known positions, in seconds, that is filled linearly."""
LONGEST_GAP_S = 2.0
"""Longest time without frames, in seconds, that gets samples; of longer ones, the first seconds."""
WINDOW_S = 0.25
"""Length of the window in which a cubic is fitted for derivatives; at least 5 samples."""
_DEGREE = 3
_MOST_WINDOWS = 10_000
"""Largest number of windows, evenly spaced, that noise is computed from."""
_NEIGHBOURS = 1.5
"""Longest time between neighbouring frames, in steps, if times are irregular."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Positions at times one step apart.

    Attributes:
      number: of each sample, which is at `number * step_s` after the first frame. The numbers of
        long gaps are absent.
      positions: NaN where unknown; short gaps are filled.
      found: whether the joint was found at this time; False where a gap was filled.
      step_s: time between samples, in seconds.
    """

    number: Int[np.ndarray, " m"]
    positions: Float[np.ndarray, "m joints axes"]
    found: Bool[np.ndarray, "m joints"]
    step_s: float


@dataclasses.dataclass(frozen=True)
class Series:
    """Values at regular times.

    Attributes:
      values: NaN where unknown.
      found: whether a value was measured; False where it was filled or is unknown.
      rate_hz: samples per second.
    """

    values: Float[np.ndarray, "n *k"]
    found: Bool[np.ndarray, " n"]
    rate_hz: float


def regular(time_s: Float[np.ndarray, " n"], positions: Float[np.ndarray, "n joints axes"]) -> Grid:
    """Returns positions at times one median step apart.

    Between two positions of a joint that are neighbours in time, or at most `LONGEST_FILLED_S`
    apart, samples are interpolated linearly; longer gaps are NaN. Where there are no frames for
    more than `LONGEST_GAP_S`, only that much of the gap gets samples, so that their number follows
    from that of the frames.
    """
    step = float(np.median(np.diff(time_s)))
    nearest = np.round((time_s - time_s[0]) / step).astype(np.int64)
    number = _numbers(time_s, nearest, step)
    times = time_s[0] + step * number
    positions_there = np.full((len(number), *positions.shape[1:]), np.nan)
    found = np.zeros((len(number), positions.shape[1]), bool)
    for joint in range(positions.shape[1]):
        known = np.isfinite(positions[:, joint]).all(axis=-1)
        at = time_s[known]
        if not len(at):
            continue
        found[np.searchsorted(number, nearest[known]), joint] = True
        after = np.searchsorted(at, times - 1e-6 * step)
        before = np.maximum(np.searchsorted(at, times + 1e-6 * step) - 1, 0)
        inside = (after < len(at)) & (times >= at[0] - 1e-6 * step)
        gap = at[np.minimum(after, len(at) - 1)] - at[before]
        found[inside & (gap <= _NEIGHBOURS * step), joint] = True
        near = inside & (gap <= max(LONGEST_FILLED_S + 1e-6 * step, _NEIGHBOURS * step))
        for axis in range(positions.shape[2]):
            column = positions[known, joint, axis]
            positions_there[near, joint, axis] = np.interp(times[near], at, column)
    return Grid(number, positions_there, found, step)


def _numbers(
    time_s: Float[np.ndarray, " n"], nearest: Int[np.ndarray, " n"], step: float
) -> Int[np.ndarray, " m"]:
    """Returns the numbers of all samples, given those nearest to the frames."""
    longest = max(LONGEST_GAP_S, 3 * step)
    cuts = np.flatnonzero(np.diff(time_s) > longest)
    firsts = nearest[np.concatenate([[0], cuts + 1])]
    ends = nearest[np.concatenate([cuts, [len(time_s) - 1]])] + 1
    ends[:-1] += int(longest / step)
    pieces = [np.arange(first, end) for first, end in zip(firsts, ends, strict=True)]
    return np.unique(np.concatenate(pieces))


def window_samples(rate_hz: float) -> int:
    """Returns the odd number of samples in which derivatives are fitted."""
    return max(5, 2 * round(WINDOW_S * rate_hz / 2) + 1)


def derivative(series: Series, order: int) -> Float[np.ndarray, "n *k"]:
    """Returns the first or second derivative per second, of a cubic fitted around each sample.

    It is exact for cubics. NaN in stretches without a gap that are shorter than the window, and
    where at most half of the window's samples were found.
    """
    size = window_samples(series.rate_hz)
    columns = series.values.reshape(len(series.values), -1)
    slopes = np.full(columns.shape, np.nan)
    known = np.concatenate([[False], np.isfinite(columns).all(axis=1), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first < size:
            continue
        part = savgol_filter(
            columns[first:end], size, _DEGREE, deriv=order, delta=1 / series.rate_hz, axis=0
        )
        window = np.clip(np.arange(end - first) - size // 2, 0, end - first - size)
        count = np.concatenate([[0], np.cumsum(series.found[first:end])])
        enough = 2 * (count[window + size] - count[window]) > size
        slopes[first:end] = np.where(enough[:, None], part, np.nan)
    return slopes.reshape(series.values.shape)


def speed_noise_floor(series: Series) -> float:
    """Returns the median speed that a joint at rest would seem to have; NaN if it is not known.

    The noise of positions is taken to be independent from frame to frame. That of each axis is the
    median, over all windows of a derivative, of the variance around the fitted cubic, of samples
    that were found. Smooth movements are cubics, and a window of positions in whole mm is seldom
    constant where the speed is not 0.
    """
    variance = _noise_variance(series)
    if variance is None:
        return float("nan")
    total = variance.sum()
    if total == 0:
        return 0.0
    weights = savgol_coeffs(window_samples(series.rate_hz), _DEGREE, deriv=1)
    gain = series.rate_hz * np.sqrt((weights**2).sum())
    axes = total**2 / (variance**2).sum()  # 1 if one axis has all noise
    return float(gain * np.sqrt(total / axes * chi2.ppf(0.5, axes)))


def _noise_variance(series: Series) -> Float[np.ndarray, " axes"] | None:
    """Returns the variance of each axis's noise; None where no window has enough found samples."""
    size = window_samples(series.rate_hz)
    if len(series.values) < size:
        return None
    known = np.isfinite(series.values).all(axis=1)
    whole = sliding_window_view(known, size).all(axis=1)
    found = sliding_window_view(series.found, size)
    used = np.flatnonzero(whole & (found.sum(axis=1) > _DEGREE + 1))
    if not len(used):
        return None
    used = used[:: -(-len(used) // _MOST_WINDOWS)]
    powers = np.linspace(-1, 1, size)[:, None] ** np.arange(_DEGREE + 1)
    values = sliding_window_view(series.values, size, axis=0)[used].swapaxes(1, 2)
    weight = found[used].astype(float)
    weighted = weight[:, None] * powers.T
    cubic = powers @ np.linalg.solve(weighted @ powers, weighted @ values)
    squares = (weight[:, :, None] * (values - cubic) ** 2).sum(axis=1)
    free = weight.sum(axis=1) - (_DEGREE + 1)
    return np.median(squares / chi2.ppf(0.5, free)[:, None], axis=0)
