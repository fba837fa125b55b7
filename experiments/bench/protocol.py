"""Protocols, which say how much is measured, and the plan of one benchmark."""

import dataclasses

from experiments.bench.cases import Case, Size
from jaxpose.cost.timing import Pace

STEP_CALLS = 3
"""Least number of timed training steps in a visit: a single step was sometimes two or three times
as slow as the others."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Numbers of processes and blocks, and durations."""

    processes: int
    """Number of fresh processes, one after the other."""
    minutes: float
    """Duration of the whole benchmark, which is filled with blocks."""
    least_blocks: int
    """Smallest number of blocks per process; that many are timed, however long they take."""
    most_blocks: int
    """Largest number of blocks per process."""
    warm_s: float
    """Longest warm-up per case and process, in seconds; a slow case has `WARM_CALLS` calls all the
    same."""
    pace: Pace
    """Number of calls in a visit."""
    slow_once_s: float
    """A lowering of ours is timed in the first process alone if its call takes longer than this,
    in seconds, and longer than 1.3 times the call of the fastest lowering."""

    def calls(self, case: Case, call_s: float) -> int:
        """Returns the number of timed calls in a visit of a case."""
        least = STEP_CALLS if case.what == "train_step" else 1
        return self.pace.calls(call_s, least=least)


PROTOCOLS = {
    "default": Protocol(
        processes=3,
        minutes=20,
        least_blocks=2,
        most_blocks=12,
        warm_s=1.0,
        pace=Pace(0.4),
        slow_once_s=1.0,
    ),
    "full": Protocol(
        processes=5,
        minutes=240,
        least_blocks=30,
        most_blocks=60,
        warm_s=20.0,
        pace=Pace(2.0, most_calls=20),
        slow_once_s=float("inf"),
    ),
    "short": Protocol(
        processes=2,
        minutes=3,
        least_blocks=3,
        most_blocks=12,
        warm_s=1.0,
        pace=Pace(0.1),
        slow_once_s=1.0,
    ),
    "smoke": Protocol(
        processes=2,
        minutes=1,
        least_blocks=2,
        most_blocks=2,
        warm_s=0.0,
        pace=Pace(0.0),
        slow_once_s=float("inf"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that defines one benchmark."""

    cases: tuple[Case, ...]
    protocol: Protocol
    size: Size
    device: str = "auto"
    """Where JAX runs: auto, cpu, gpu."""
    seed: int = 0
    """Seed of the order of cases in a block."""
