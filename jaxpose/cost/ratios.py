"""Visits of timed subjects -> summaries, and ratios of their times with intervals.

A ratio is taken within a block (see `jaxpose.cost.timing`), so that a disturbance of the machine
affects both sides. Its interval resamples processes, then the blocks in them. With a single process
the spread between processes is unknown, and there is no interval. The spread of a control against
itself is the smallest difference that can be distinguished from noise.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxpose.cost.timing import Visit

RESAMPLES = 2000
"""Number of resamples from which an interval is computed."""
P90_CALLS, P95_CALLS = 20, 40
"""Smallest numbers of calls from which these percentiles are reported: two calls lie above."""


class Summary(NamedTuple):
    """All timed calls of a subject, in ms."""

    median_ms: float
    p90_ms: float | None
    """None from fewer than `P90_CALLS` calls."""
    p95_ms: float | None
    """None from fewer than `P95_CALLS` calls."""
    iqr_ms: float
    n: int
    """Number of calls."""
    blocks: int
    processes: int
    after_pause_ms: float
    """Median of the calls that came first in a visit, which are not among the others."""


def summarise(visits: Sequence[Visit]) -> Summary:
    """Summarises the visits of one subject."""
    ms = 1e3 * np.concatenate([v.seconds for v in visits])
    low, median, high, p90, p95 = np.quantile(ms, (0.25, 0.5, 0.75, 0.9, 0.95)).tolist()
    return Summary(
        median_ms=median,
        p90_ms=p90 if len(ms) >= P90_CALLS else None,
        p95_ms=p95 if len(ms) >= P95_CALLS else None,
        iqr_ms=high - low,
        n=len(ms),
        blocks=len({(v.process, v.block) for v in visits}),
        processes=len({v.process for v in visits}),
        after_pause_ms=1e3 * float(np.median([v.after_pause for v in visits])),
    )


class Ratio(NamedTuple):
    """The time of `over` against the time of `of`, in both usual forms, with 95 % intervals.

    There is no interval where both were timed in one process alone.
    """

    speedup: float
    """t_over / t_of: 2 is twice as fast."""
    interval: tuple[float, float] | None
    reduction: float
    """1 - t_of / t_over: 0.5 is twice as fast."""
    reduction_interval: tuple[float, float] | None
    blocks: int
    processes: int


def compare(of: Sequence[Visit], over: Sequence[Visit], *, seed: int = 0) -> Ratio | None:
    """Returns the geometric mean over blocks of the ratio of medians over / of.

    None if no block has both. `seed` is that of the resampling.
    """
    logs = _log_ratios(of, over)
    if not logs:
        return None
    middle = np.exp(np.concatenate(logs).mean())
    low, high = _interval(logs, seed) if len(logs) > 1 else (None, None)
    return Ratio(
        speedup=float(middle),
        interval=None if low is None else (low, high),
        reduction=float(1 - 1 / middle),
        reduction_interval=None if low is None else (1 - 1 / low, 1 - 1 / high),
        blocks=sum(map(len, logs)),
        processes=len(logs),
    )


def compare_with_better(
    of: Sequence[Visit], others: Mapping[str, Sequence[Visit]], *, seed: int = 0
) -> tuple[str, Ratio] | None:
    """Compares `of` with the better of several others.

    Returns the name of the opponent with the smallest ratio, and that ratio with its own interval.
    None if no block has `of` and one of the others.
    """
    ratios = {name: compare(of, over, seed=seed) for name, over in others.items()}
    ratios = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    return min(ratios.items(), key=lambda item: item[1].speedup, default=None)


def _interval(logs: list[np.ndarray], seed: int) -> tuple[float, float]:
    """Returns the 95 % interval of the geometric mean, by resampling processes, then blocks.

    `logs` has one array of blocks per process.
    """
    rng = np.random.default_rng(seed)
    count = np.array([len(values) for values in logs])
    padded = np.zeros((len(logs), count.max()))
    for values, row in zip(logs, padded, strict=True):
        row[: len(values)] = values
    processes = rng.integers(len(logs), size=(RESAMPLES, len(logs)))
    blocks = rng.random((*processes.shape, count.max())) * count[processes][..., None]
    drawn = padded[processes[..., None], blocks.astype(int)]
    counts = np.arange(count.max()) < count[processes][..., None]
    means = (drawn * counts).sum((1, 2)) / counts.sum((1, 2))
    middle = np.exp(np.concatenate(logs).mean())
    low, high = np.exp(np.quantile(means, (0.025, 0.975)))
    # The interval always contains the point.
    return float(min(low, middle)), float(max(high, middle))


def control_spread(visits: Sequence[Visit]) -> float | None:
    """Returns the 95th percentile of |ratio - 1| of a control's two visits in a block.

    Smaller differences are noise. None where the visits are not those of a control.
    """
    first, twin = [v for v in visits if not v.twin], [v for v in visits if v.twin]
    logs = _log_ratios(first, twin)
    return float(np.exp(np.quantile(np.abs(np.concatenate(logs)), 0.95)) - 1) if logs else None


def _log_ratios(of: Sequence[Visit], over: Sequence[Visit]) -> list[np.ndarray]:
    """Returns, per process, the logarithm of over / of in every block that has both."""
    medians = [
        {(v.process, v.block): float(np.median(v.seconds)) for v in visits} for visits in (of, over)
    ]
    shared = sorted(medians[0].keys() & medians[1].keys())
    logs: dict[int, list[float]] = {}
    for process, block in shared:
        ratio = medians[1][process, block] / medians[0][process, block]
        logs.setdefault(process, []).append(float(np.log(ratio)))
    return [np.array(values) for values in logs.values()]
