"""Visits of timed subjects -> summaries, and ratios of their times with intervals.

A ratio is taken within a block (see `jaxpose.cost.timing`), so that a disturbance of the machine
affects both sides; that of all blocks is their median, so that one slow call does not decide it.
Its interval is the wider one of two: the ranks of the median among the blocks, which are right for
few blocks, and the median of resampled processes and blocks in them, which counts what processes
differ by. With a single process that is unknown, and there is no interval; nor is there one with
fewer than `LEAST_BLOCKS` blocks. The spread of a control against itself is the smallest difference
that can be distinguished from noise.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxpose.cost.timing import Visit

RESAMPLES = 2000
"""Number of resamples from which an interval is computed."""
LEAST_BLOCKS = 6
"""Smallest number of blocks with an interval: the median of five lies outside all of them in 6 % of
cases."""
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

    There is no interval where both were timed in one process alone, or in too few blocks.
    """

    speedup: float
    """t_over / t_of: 2 is twice as fast."""
    interval: tuple[float, float] | None
    reduction: float
    """1 - t_of / t_over: 0.5 is twice as fast."""
    reduction_interval: tuple[float, float] | None
    blocks: int
    processes: int


class Contest(NamedTuple):
    """The ratio of the fastest of several subjects over the fastest of others."""

    of: str
    """The fastest of the first, by all blocks; the ratio may be that of another one."""
    over: str
    """The same of the others."""
    chosen: tuple[tuple[str, str], ...]
    """(of, over) as chosen in even blocks, and compared in odd ones, and the reverse. Empty where
    there was nothing to choose."""
    ratio: Ratio


Subjects = Mapping[str, Sequence[Visit]]
"""Name of a subject -> its visits."""
Logs = dict[int, list[float]]
"""Process -> the logarithm of over / of in each of its blocks."""


def compare(of: Sequence[Visit], over: Sequence[Visit], *, seed: int = 0) -> Ratio | None:
    """Returns the median over blocks of the ratio over / of; a block's is one of medians of calls.

    None if no block has both. `seed` is that of the resampling.
    """
    logs = _log_ratios(of, over)
    return _ratio(logs, seed) if logs else None


def compare_best(of: Subjects, over: Subjects, *, seed: int = 0) -> Contest | None:
    """Compares the fastest of `of` with the fastest of `over`.

    Where there are several, both are chosen in one half of the blocks and compared in the other, so
    that luck in a block does not choose the pair that the block then speaks for. The halves are the
    blocks with even and with odd numbers; each is compared by the choice of the other one, and the
    ratio is the median of all. None if no block can be compared.
    """
    named = _fastest(of, over)
    if named is None:
        return None
    if len(of) == len(over) == 1:
        return Contest(*named, (), _ratio(_log_ratios(of[named[0]], over[named[1]]), seed))
    halves = [[_half(side, odd) for side in (of, over)] for odd in (0, 1)]
    chosen = [_fastest(*half) for half in halves]
    if None in chosen:
        return None
    logs: Logs = {}
    for (mine, theirs), pair in zip(halves, reversed(chosen), strict=True):
        for process, values in _log_ratios(mine[pair[0]], theirs[pair[1]]).items():
            logs.setdefault(process, []).extend(values)
    return Contest(*named, tuple(chosen), _ratio(logs, seed)) if logs else None


def _half(subjects: Subjects, odd: int) -> dict[str, list[Visit]]:
    """Returns the visits in the blocks with even (0) or odd (1) numbers."""
    return {name: [v for v in visits if v.block % 2 == odd] for name, visits in subjects.items()}


def _fastest(of: Subjects, over: Subjects) -> tuple[str, str] | None:
    """Returns the pair whose ratio is that of the fastest of both sides; None without a block.

    The opponent of a subject is the one with the smallest ratio, and the subject with the largest
    of these ratios is the fastest.
    """
    pairs = []
    for mine, visits in of.items():
        ratios = {name: _log_ratios(visits, theirs) for name, theirs in over.items()}
        medians = [(_median(logs.values()), mine, name) for name, logs in ratios.items() if logs]
        if medians:
            pairs.append(min(medians, key=lambda pair: pair[0]))
    return max(pairs, key=lambda pair: pair[0])[1:] if pairs else None


def _median(logs: Iterable[Sequence[float]]) -> float:
    return float(np.median(np.concatenate(list(logs))))


def _ratio(logs: Logs, seed: int) -> Ratio:
    """Returns the median of the blocks, with its interval where there is one."""
    middle = math.exp(_median(logs.values()))
    blocks = sum(map(len, logs.values()))
    interval = None
    if len(logs) > 1 and blocks >= LEAST_BLOCKS:
        arrays = [np.array(values) for values in logs.values()]
        ends = zip(_ranks(np.concatenate(arrays)), _resampled(arrays, seed), strict=True)
        (low, other_low), (high, other_high) = ends
        # The wider of the two; the interval always contains the point.
        interval = (
            min(math.exp(min(low, other_low)), middle),
            max(math.exp(max(high, other_high)), middle),
        )
    return Ratio(
        speedup=middle,
        interval=interval,
        reduction=1 - 1 / middle,
        reduction_interval=interval and (1 - 1 / interval[0], 1 - 1 / interval[1]),
        blocks=blocks,
        processes=len(logs),
    )


def _ranks(values: np.ndarray) -> tuple[float, float]:
    """Returns the pair of values between which the median is in 95 % of cases, by their ranks.

    That follows from the signs of independent values alone, whatever their distribution.
    """
    n, outside, rank = len(values), 0.0, 0
    while 2 * (outside := outside + math.comb(n, rank) / 2**n) <= 0.05:
        rank += 1
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[n - rank])


def _resampled(logs: list[np.ndarray], seed: int) -> tuple[float, float]:
    """Returns the 95 % interval of the median, by resampling processes, then blocks.

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
    valid = np.arange(count.max()) < count[processes][..., None]
    ordered = np.sort(np.where(valid, drawn, np.inf).reshape(RESAMPLES, -1), axis=1)
    number = valid.sum((1, 2))
    each = np.arange(RESAMPLES)
    medians = (ordered[each, (number - 1) // 2] + ordered[each, number // 2]) / 2
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(high)


def control_spread(visits: Sequence[Visit]) -> float | None:
    """Returns the 95th percentile of |ratio - 1| of a control's two visits in a block.

    Smaller differences are noise. None where the visits are not those of a control.
    """
    first, twin = [v for v in visits if not v.twin], [v for v in visits if v.twin]
    logs = _log_ratios(first, twin)
    if not logs:
        return None
    return float(np.exp(np.quantile(np.abs(np.concatenate([*logs.values()])), 0.95)) - 1)


def _log_ratios(of: Sequence[Visit], over: Sequence[Visit]) -> Logs:
    """Returns the logarithm of over / of in every block that has both; empty if none has."""
    medians = [
        {(v.process, v.block): float(np.median(v.seconds)) for v in visits} for visits in (of, over)
    ]
    logs: Logs = {}
    for process, block in sorted(medians[0].keys() & medians[1].keys()):
        ratio = medians[1][process, block] / medians[0][process, block]
        logs.setdefault(process, []).append(math.log(ratio))
    return logs
