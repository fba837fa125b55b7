"""How much is measured: a protocol's constants, and the plan of one benchmark."""

import dataclasses

from experiments.bench.cases import Case, Size
from jaxpose.cost.timing import Pace


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Numbers of processes and blocks, and times."""

    processes: int
    minutes: float
    """Duration of the whole benchmark; blocks fill it."""
    least_blocks: int
    most_blocks: int
    """Per process."""
    warm_s: float
    """Longest warm-up per case and process."""
    pace: Pace
    slow_once_s: float
    """Of our own lowerings, one whose call takes longer than this and 1.3 times the fastest one's
    is timed in the first process alone."""

    @property
    def load_s(self) -> float:
        """Seconds for which the load of other programs is observed."""
        return 0.1 if self.minutes <= 1 else 2.0


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
    """One benchmark."""

    cases: tuple[Case, ...]
    protocol: Protocol
    size: Size
    device: str = "auto"
    """Where JAX runs: auto, cpu, gpu."""
    seed: int = 0
    """Seed of the order of cases in a block."""
