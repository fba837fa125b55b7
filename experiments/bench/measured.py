"""The measurements of a benchmark so far."""

import dataclasses

from jaxpose.cost.timing import Visit


@dataclasses.dataclass(frozen=True)
class Death:
    """A worker ended before all its cases were timed in a process.

    Its times up to then count. The next process starts with a new worker.
    """

    kind: str
    """Kind of the worker."""
    process: int
    """Number of the process, from 0."""
    at: str
    """Name of the case that it computed, which is not tried again; "" before the first one."""
    how: str
    """How it ended, as a clause without a subject. Part of result files, as are the others."""
    lost: tuple[str, ...]
    """Its other cases that were still to be prepared or timed in this process."""

    def __str__(self) -> str:
        at = f"at {self.at}, which was not tried again" if self.at else "before its first case"
        others = f"; {len(self.lost)} other cases were lost" if self.lost else ""
        return f"the {self.kind} worker of process {self.process + 1} {self.how}, {at}{others}"


@dataclasses.dataclass
class Measured:
    """All measurements, to which the benchmark adds while it runs.

    Attributes:
      visits: times of the calls.
      facts: case -> what was recorded when its first process prepared it.
      notes: case -> why it was not timed, or not in later processes.
      deaths: workers that ended early.
      products: type -> library -> highest rate of a product, FLOP/s.
      bytes_per_s: highest rate of a copy, bytes read and written.
      loads: load of other programs during each set of fresh processes, from their start on.
      device: JAX's device: its kind and its platform.
      settings: kind of worker -> its environment, and the options of malloc.
      processes: number of finished processes.
    """

    visits: list[Visit] = dataclasses.field(default_factory=list)
    facts: dict[str, dict] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    deaths: list[Death] = dataclasses.field(default_factory=list)
    products: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    bytes_per_s: float = 0.0
    loads: list[dict] = dataclasses.field(default_factory=list)
    device: dict = dataclasses.field(default_factory=dict)
    settings: dict[str, dict] = dataclasses.field(default_factory=dict)
    processes: int = 0

    def add_ceilings(self, products: dict[str, dict[str, float]], bytes_per_s: float) -> None:
        """Replaces recorded rates by new ones that are higher."""
        for dtype, rates in products.items():
            highest = self.products.setdefault(dtype, {})
            for library, rate in rates.items():
                highest[library] = max(rate, highest.get(library, 0.0))
        self.bytes_per_s = max(self.bytes_per_s, bytes_per_s)

    @property
    def ceilings(self) -> dict[str, float]:
        """The fastest product of every type, FLOP/s, and the copy under `bytes`, bytes/s.

        IEEE's float32 bounds the other types from below: a machine that emulates bfloat16 is not
        measured by the emulation.
        """
        fastest = {dtype: max(rates.values()) for dtype, rates in self.products.items() if rates}
        least = fastest.get("float32", 0.0)
        names = ("float32", "tf32", "bfloat16")
        return {name: max(fastest.get(name, 0.0), least) for name in names} | {
            "bytes": self.bytes_per_s
        }
