"""Durations of several ways of doing one task, measured so that they can be compared.

    call      one execution, timed from its start until the result exists
    visit     a few calls of one subject in a row, each with the next input of a pool; the first
              call, after other subjects ran, takes longer than the others and is recorded apart
    block     one visit of every subject, in random order; a control is visited twice (A/A)
    process   blocks in one fresh process: compilation, memory layout and threads are new

`jaxpose.cost.ratios` compares the visits of two subjects.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

POOL = 8
"""Number of inputs that the calls use in turn, so that an input is no longer in the cache."""
WARM_CALLS = 4
"""Least number of calls before a subject is timed."""


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

    def calls(self, call_s: float, *, least: int = 1) -> int:
        """Returns the number of calls in a visit of a subject whose call takes `call_s` seconds.

        There are at least `least`, however long they take.
        """
        return int(min(self.most_calls, max(least, self.visit_s // max(call_s, 1e-9))))


def warm_up(
    visit: Callable[[int], Sequence[float]],
    *,
    most_s: float,
    agree: float = 0.02,
    calls: int = 3,
    least: int = WARM_CALLS,
) -> float:
    """Calls a subject until its times are steady; returns the seconds of a call at the end.

    Times are steady when three successive medians of `calls` calls agree within the share `agree`.
    The subject is called for at most about `most_s` seconds, but at least `least` times: the first
    calls of a slow one are slow, too.
    """
    medians, spent, made = [], 0.0, 0
    while True:
        # A slow subject makes one call at a time.
        seconds = visit(1 if not medians or medians[-1] * calls > most_s - spent else calls)
        spent += sum(seconds)
        made += len(seconds)
        medians.append(statistics.median(seconds))
        last = medians[-3:]
        steady = len(last) == 3 and max(last) <= (1 + agree) * min(last)
        if made >= least and (steady or spent + medians[-1] > most_s):
            return medians[-1]


def run_block(
    visit: Visitor,
    calls: dict[str, int],
    controls: Sequence[str],
    *,
    process: int,
    block: int,
    rng: np.random.Generator,
) -> Iterator[Visit]:
    """Visits every subject once, and every control once more, in random order.

    `calls` maps a subject to the number of timed calls in a visit, before which there is one after
    the pause; `process` and `block` number the visits.
    """
    todo = [(name, False) for name in calls] + [(name, True) for name in controls]
    for position, chosen in enumerate(rng.permutation(len(todo))):
        name, twin = todo[chosen]
        first, *seconds = visit(name, 1 + calls[name]) or [math.nan]
        yield Visit(name, process, block, position, twin, tuple(seconds), first)
