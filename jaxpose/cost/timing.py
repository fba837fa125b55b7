"""Several ways of doing a thing -> how long each takes, measured so that they can be compared.

call      one execution, timed from the start to the result being there
visit     a few calls of one subject in a row, with inputs from a pool in turn; the first one, after
          others ran, is kept apart: it takes longer than calls that follow one another
block     one visit of every subject, in random order; a control is visited twice (A/A)
process   blocks in one fresh process: compilation, memory layout and threads are drawn anew

A ratio is taken within a block, so that what the machine does meanwhile hits both sides; its
interval resamples processes, then blocks in them; where there is one process, nothing tells by how
much another would differ, and there is no interval. The spread of a control against itself is the
least difference that means anything.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

POOL = 8
"""Inputs that a subject's calls take in turn, so that no call finds its own in the cache."""
RESAMPLES = 2000


class Timed:
    """A subject in this process. `call(k)` works on input k of the pool and returns when its
    result is there; `clock` counts seconds."""

    def __init__(
        self, call: Callable[[int], object], clock: Callable[[], float] = time.perf_counter
    ):
        self.call, self.clock, self.turn = call, clock, 0

    def visit(self, calls: int) -> list[float]:
        """Seconds of each of `calls` calls."""
        seconds = []
        for _ in range(calls):
            began = self.clock()
            self.call(self.turn % POOL)
            ended = self.clock()
            self.turn += 1
            seconds.append(ended - began)
        return seconds


class Visit(NamedTuple):
    """What one visit found."""

    subject: str
    process: int
    block: int
    position: int
    """In the block, from 0."""
    twin: bool
    """The second visit of a control."""
    seconds: tuple[float, ...]
    after_pause: float = math.nan
    """Seconds of the call before these, the first since others ran."""


Visitor = Callable[[str, int], Sequence[float]]
"""(subject, calls) -> seconds of each call, wherever it is made; none if it cannot be."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How many calls make a visit."""

    visit_s: float = 0.5
    """A visit is as many calls as fit into this."""
    most_calls: int = 10

    def calls(self, call_s: float) -> int:
        return int(min(self.most_calls, max(1, self.visit_s // max(call_s, 1e-9))))


def warm_up(
    visit: Callable[[int], Sequence[float]],
    *,
    most_s: float,
    agree: float = 0.02,
    calls: int = 3,
) -> float:
    """Calls until three successive medians of `calls` calls agree within the share `agree`, or
    `most_s` seconds were spent, at least one call; seconds of a call at the end."""
    medians, spent = [], 0.0
    while True:
        # a slow subject is not kept waiting for a median of several
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
    """Visits every subject of `call_s` (name -> about how many seconds a call takes) once, and
    every control once more, in random order."""
    todo = [(name, False) for name in call_s] + [(name, True) for name in controls]
    for position, chosen in enumerate(rng.permutation(len(todo))):
        name, twin = todo[chosen]
        first, *seconds = visit(name, 1 + pace.calls(call_s[name])) or [math.nan]
        yield Visit(name, process, block, position, twin, tuple(seconds), first)


# ---- what the seconds say ----


class Summary(NamedTuple):
    """Of all timed calls of a subject, in ms."""

    median_ms: float
    p90_ms: float
    p95_ms: float
    iqr_ms: float
    n: int
    """Calls."""
    blocks: int
    processes: int
    after_pause_ms: float
    """Median of the calls that came first in a visit, which are not among the others."""


def summarise(visits: Sequence[Visit]) -> Summary:
    ms = 1e3 * np.concatenate([v.seconds for v in visits])
    low, median, high, p90, p95 = np.quantile(ms, (0.25, 0.5, 0.75, 0.9, 0.95)).tolist()
    blocks = {(v.process, v.block) for v in visits}
    processes = len({v.process for v in visits})
    pause = 1e3 * float(np.median([v.after_pause for v in visits]))
    return Summary(median, p90, p95, high - low, len(ms), len(blocks), processes, pause)


class Ratio(NamedTuple):
    """How much faster `of` is than `over`, said both ways; 95 % intervals, None where both were
    timed in one process alone."""

    speedup: float
    """t_over / t_of: 2 is twice as fast."""
    interval: tuple[float, float] | None
    reduction: float
    """1 - t_of / t_over: 0.5 is twice as fast."""
    reduction_interval: tuple[float, float] | None
    blocks: int
    processes: int


def compare(of: Sequence[Visit], over: Sequence[Visit], *, seed: int = 0) -> Ratio | None:
    """Geometric mean over the blocks that hold both of the ratio of their medians; None if there
    is no such block."""
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


def _interval(logs: list[np.ndarray], seed: int) -> tuple[float, float]:
    """Of the geometric mean, by resampling processes, then blocks."""
    rng, draws = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        processes = [logs[k] for k in rng.integers(len(logs), size=len(logs))]
        drawn = [rng.choice(values, len(values)) for values in processes]
        draws.append(np.concatenate(drawn).mean())
    middle = np.exp(np.concatenate(logs).mean())
    low, high = np.exp(np.quantile(draws, (0.025, 0.975)))
    # a point outside the interval of its own resamples would only confuse
    return float(min(low, middle)), float(max(high, middle))


def control_spread(visits: Sequence[Visit]) -> float | None:
    """The 95th percentile of |ratio - 1| of a control's two visits in a block: differences below
    it are noise. None without a control."""
    first, twin = [v for v in visits if not v.twin], [v for v in visits if v.twin]
    logs = _log_ratios(first, twin)
    return float(np.exp(np.quantile(np.abs(np.concatenate(logs)), 0.95)) - 1) if logs else None


def _log_ratios(of: Sequence[Visit], over: Sequence[Visit]) -> list[np.ndarray]:
    """Per process, the log of over / of in every block that holds both."""
    medians = [
        {(v.process, v.block): float(np.median(v.seconds)) for v in visits} for visits in (of, over)
    ]
    shared = sorted(medians[0].keys() & medians[1].keys())
    logs: dict[int, list[float]] = {}
    for process, block in shared:
        ratio = medians[1][process, block] / medians[0][process, block]
        logs.setdefault(process, []).append(float(np.log(ratio)))
    return [np.array(values) for values in logs.values()]
