"""Durations of several ways of doing one task, measured so that they can be compared.

    call      one execution, timed from its start until the result exists
    visit     a few calls of one subject in a row, each with the next input of a pool; the first
              call, after other subjects ran, takes longer than the others and is recorded apart
    block     one visit of every subject, in random order; a control is visited twice (A/A)
    process   blocks in one fresh process: compilation, memory layout and threads start anew

A ratio is taken within a block, so that a disturbance of the machine affects both sides. Its
interval resamples processes, then the blocks in them. With a single process the spread between
processes is unknown, and there is no interval. The spread of a control against itself is the
smallest difference that can be told from noise.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

POOL = 8
"""Number of inputs that a subject's calls use in turn, so that no input is in the cache still."""
RESAMPLES = 2000
"""Number of resamples from which an interval is computed."""
P90_CALLS, P95_CALLS = 20, 40
"""Smallest numbers of calls from which these percentiles are reported: two calls lie above."""


class Timed:
    """A subject whose calls are timed in this process.

    `call(k)` computes with input k of the pool and returns when its result exists. `clock` returns
    seconds.
    """

    def __init__(
        self, call: Callable[[int], object], clock: Callable[[], float] = time.perf_counter
    ):
        self.call, self.clock, self.turn = call, clock, 0

    def visit(self, calls: int) -> list[float]:
        """Calls the subject `calls` times; returns the seconds of each call."""
        seconds = []
        for _ in range(calls):
            began = self.clock()
            self.call(self.turn % POOL)
            ended = self.clock()
            self.turn += 1
            seconds.append(ended - began)
        return seconds


class Visit(NamedTuple):
    """The times of one visit."""

    subject: str
    process: int
    block: int
    position: int
    """Position in the block, from 0."""
    twin: bool
    """True for the second visit of a control."""
    seconds: tuple[float, ...]
    after_pause: float = math.nan
    """Seconds of the call before these, the first since other subjects ran."""


Visitor = Callable[[str, int], Sequence[float]]
"""(subject, calls) -> seconds of each call, or an empty sequence if the subject cannot be called
any more."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """Rule for the number of calls in a visit."""

    visit_s: float = 0.5
    """A visit has as many calls as fit into this time."""
    most_calls: int = 10

    def calls(self, call_s: float) -> int:
        """Returns the number of calls in a visit of a subject whose call takes `call_s` seconds."""
        return int(min(self.most_calls, max(1, self.visit_s // max(call_s, 1e-9))))


def warm_up(
    visit: Callable[[int], Sequence[float]],
    *,
    most_s: float,
    agree: float = 0.02,
    calls: int = 3,
) -> float:
    """Calls a subject until its times are steady; returns the seconds of a call at the end.

    Times are steady when three successive medians of `calls` calls agree within the share `agree`.
    The subject is called at least once, and for at most about `most_s` seconds.
    """
    medians, spent = [], 0.0
    while True:
        # A slow subject makes one call at a time.
        seconds = visit(1 if not medians or medians[-1] * calls > most_s - spent else calls)
        spent += sum(seconds)
        medians.append(statistics.median(seconds))
        last = medians[-3:]
        if len(last) == 3 and max(last) <= (1 + agree) * min(last):
            return medians[-1]
        if spent + medians[-1] > most_s:
            return medians[-1]


def run_block(
    visit: Visitor,
    call_s: dict[str, float],
    controls: Sequence[str],
    *,
    process: int,
    block: int,
    pace: Pace,
    rng: np.random.Generator,
) -> Iterator[Visit]:
    """Visits every subject once, and every control once more, in random order.

    `call_s` maps a subject to the approximate seconds of a call; `process` and `block` number the
    visits.
    """
    todo = [(name, False) for name in call_s] + [(name, True) for name in controls]
    for position, chosen in enumerate(rng.permutation(len(todo))):
        name, twin = todo[chosen]
        first, *seconds = visit(name, 1 + pace.calls(call_s[name])) or [math.nan]
        yield Visit(name, process, block, position, twin, tuple(seconds), first)


# ---- statistics ----


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
