"""Cases -> visits of them, made by fresh processes, in blocks across all of these."""

import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.bench.cases import Case, Size
from experiments.bench.machine import cores, load
from experiments.bench.prepared import Reference
from jaxpose.cost.timing import Pace, Visit, run_block


class WorkerDied(RuntimeError):
    """A worker ended without an answer; says how."""


class Refused(RuntimeError):
    """A worker could not do what it was asked."""


class Worker:
    """A process that prepares cases and times them when asked."""

    def __init__(self, kind: str, log: Path):
        self.kind, self.log = kind, log
        command = [sys.executable, "-m", "experiments.bench.worker", kind]
        with open(log, "w") as errors:
            self.process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=errors, text=True)

    def ask(self, do: str, **options) -> dict:
        try:
            self.process.stdin.write(json.dumps({"do": do, **options}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):  # nothing, or the beginning of an answer
            raise WorkerDied(self.last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def last_words(self) -> str:
        """How a process that closed its end of the pipe ended."""
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if code == -signal.SIGKILL:  # nobody asked it: it said nothing of this
            return "was killed by SIGKILL, as the system does where memory runs out"
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        output_text = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return f"{how}: {output_text[0]}" if output_text else how

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How much is measured."""

    processes: int
    minutes: float
    """What all of it should take; blocks fill it."""
    least_blocks: int
    most_blocks: int
    """Per process."""
    warm_s: float
    """At most, per case and process."""
    pace: Pace
    slow_once_s: float
    """Of our own lowerings, one whose call takes longer than this and 1.3 times the best one's is
    timed in the first process alone."""


PROTOCOLS = {
    "default": Protocol(3, 20, 2, 12, 1.0, Pace(0.4), 1.0),
    "full": Protocol(5, 240, 30, 60, 20.0, Pace(2.0, most_calls=20), float("inf")),
    "smoke": Protocol(2, 1, 2, 2, 0.0, Pace(0.0), float("inf")),
}


@dataclasses.dataclass(frozen=True)
class Death:
    """A worker that ended in the middle. What it had measured is kept; the next process starts
    with a new one."""

    kind: str
    process: int
    at: str
    """The case that it worked at, which is not tried again; "" before there was one."""
    how: str
    lost: tuple[str, ...]
    """Its cases that were still to be prepared or timed in this process, without `at`."""

    def __str__(self) -> str:
        at = f"at {self.at}, which was not tried again" if self.at else "before it timed"
        others = f"; {len(self.lost)} other cases were left out" if self.lost else ""
        return f"the {self.kind} worker of process {self.process + 1} {self.how}, {at}{others}"


@dataclasses.dataclass
class Measured:
    """All that was found, added to as it goes on."""

    visits: list[Visit] = dataclasses.field(default_factory=list)
    facts: dict[str, dict] = dataclasses.field(default_factory=dict)
    """By case; of its first process."""
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    """Case -> why it was not timed, or not in later processes."""
    deaths: list[Death] = dataclasses.field(default_factory=list)
    ceilings: dict[str, float] = dataclasses.field(default_factory=dict)
    loads: list[dict] = dataclasses.field(default_factory=list)
    """Before each process, and after the last."""
    device: dict = dataclasses.field(default_factory=dict)
    settings: dict[str, dict] = dataclasses.field(default_factory=dict)
    """By kind of worker: the environment that it saw, and the options of malloc."""
    processes: int = 0


def measure(
    cases: Sequence[Case],
    protocol: Protocol,
    *,
    size: Size,
    device: str,
    seed: int,
    say: Callable[[str], None],
    on_process: Callable[[Measured], None],
) -> Measured:
    """Times every case that can be prepared; `on_process` is given all so far after each process.

    Raises `Refused` where the device is not there, and `WorkerDied` where JAX's first worker ends
    before it says what the machine can do; another worker's end costs its cases of that process.
    """
    result, rng = Measured(), np.random.default_rng(seed)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for process in range(protocol.processes):
            result.loads.append(load(0.1 if protocol.minutes <= 1 else 2.0))
            chosen = [c for c in cases if c.name not in result.notes]
            if process:
                chosen = _without_slow(chosen, result, protocol)
            ends = began + 60 * protocol.minutes * (process + 1) / protocol.processes
            run = _Process(chosen, protocol, Path(folder), result, process, say)
            try:
                run.start(size, device)
                run.prepare()
                run.settings()
                run.blocks(rng, ends)
            finally:
                run.end()
            result.processes = process + 1
            on_process(result)
        result.loads.append(load(0.1 if protocol.minutes <= 1 else 2.0))
    return result


def _without_slow(cases: list[Case], result: Measured, protocol: Protocol) -> list[Case]:
    """Without our lowerings that were timed and were much slower than the best of them."""
    best: dict[tuple, float] = {}
    timed = {visit.subject for visit in result.visits}
    for case in cases:
        if case.lowering and case.name in timed:
            key = (*case.task, case.dtype)
            seconds = result.facts[case.name]["call_s"]
            best[key] = min(best.get(key, seconds), seconds)

    def fast(case: Case) -> bool:
        if not case.lowering or case.name not in timed:
            return True
        least = best[(*case.task, case.dtype)]
        return result.facts[case.name]["call_s"] <= max(protocol.slow_once_s, 1.3 * least)

    return [case for case in cases if fast(case)]


class _Process:
    """One process of every kind that is needed, side by side; one call at a time."""

    def __init__(self, cases, protocol, folder, result, number, say):
        self.cases, self.protocol, self.folder = cases, protocol, folder
        self.found, self.number, self.say = result, number, say
        self.workers: dict[str, Worker] = {}
        self.call_s: dict[str, float] = {}
        self.where: dict[str, str] = {}

    def start(self, size: Size, device: str) -> None:
        kinds = list(dict.fromkeys(["jax", *(case.worker for case in self.cases)]))
        for kind in kinds:
            worker = Worker(kind, self.folder / f"{kind}.log")
            self.workers[kind] = worker
            options = {"size": dataclasses.asdict(size), "threads": cores(), "device": device}
            try:
                answer = worker.ask("start", **options, reference=str(self.folder))
                if kind == "jax":
                    self.found.device = answer
                    self.say(f"process {self.number + 1}/{self.protocol.processes}: ceilings")
                    for name, value in worker.ask("ceilings")["ceilings"].items():
                        self.found.ceilings[name] = max(value, self.found.ceilings.get(name, 0.0))
            except WorkerDied as error:
                if not self.found.ceilings:
                    raise WorkerDied(f"the {kind} worker {error}") from None
                self.bury(kind, "", str(error))
            except Refused as error:
                if kind == "jax":
                    raise
                self.workers.pop(kind).end()
                for case in self.cases:
                    if case.worker == kind:
                        self.found.notes[case.name] = str(error)

    def prepare(self) -> None:
        for number, case in enumerate(self.cases, 1):
            self.say(
                f"process {self.number + 1}/{self.protocol.processes}: "
                f"preparing {number}/{len(self.cases)} {case.name}"
            )
            described = dataclasses.asdict(case)
            stored = Reference(self.folder).path(case)
            if case.worker != "jax" and case.worker in self.workers and not stored.exists():
                self.ask("jax", case.name, "reference", case=described)
            answer = None
            if case.worker == "jax" or stored.exists():
                asked = {"case": described, "warm_s": self.protocol.warm_s}
                answer = self.ask(case.worker, case.name, "prepare", **asked)
            if answer is None:
                continue
            self.call_s[case.name] = answer["call_s"]
            self.where[case.name] = case.worker
            facts = answer["facts"] | {"call_s": answer["call_s"]}
            self.found.facts.setdefault(case.name, facts)

    def settings(self) -> None:
        """What the workers run under, now that their libraries are loaded."""
        for kind in [*self.workers]:
            try:
                self.found.settings[kind] = self.workers[kind].ask("settings")
            except WorkerDied as error:
                self.bury(kind, "", str(error))

    def blocks(self, rng: np.random.Generator, ends: float) -> None:
        """At least `least_blocks`, then as many as are likely to end in time."""
        controls = {}
        for name, kind in self.where.items():
            controls.setdefault(kind, name)  # the first of each kind is its control
        longest = 0.0
        for block in range(self.protocol.most_blocks):
            if block >= self.protocol.least_blocks and time.perf_counter() + longest > ends:
                break
            began = time.perf_counter()
            alive = [n for n in controls.values() if n in self.call_s]
            options = {"process": self.number, "block": block, "pace": self.protocol.pace}
            for visit in run_block(self.visit, dict(self.call_s), alive, **options, rng=rng):
                if visit.seconds:
                    self.found.visits.append(visit)
                self.say(
                    f"process {self.number + 1}/{self.protocol.processes}: block {block + 1}, "
                    f"{visit.position + 1}/{len(self.call_s) + len(alive)} {visit.subject}"
                )
            longest = max(longest, time.perf_counter() - began)

    def visit(self, name: str, calls: int) -> list[float]:
        """No seconds from a worker that died."""
        answer = self.ask(self.where[name], name, "visit", name=name, calls=calls)
        if answer is None:
            self.call_s.pop(name, None)
            return []
        return answer["seconds"]

    def ask(self, kind: str, name: str, do: str, /, **options) -> dict | None:
        """Asks for something that the case `name` needs. None where no answer came, which is noted,
        or the worker is no more."""
        if kind not in self.workers:
            return None
        try:
            return self.workers[kind].ask(do, **options)
        except Refused as error:
            self.found.notes[name] = str(error)
        except WorkerDied as error:
            self.bury(kind, name, str(error))
        return None

    def bury(self, kind: str, at: str, how: str) -> None:
        """Nothing more of this worker in this process."""
        self.workers.pop(kind).end()
        mine = [c.name for c in self.cases if c.worker == kind and c.name not in self.found.notes]
        left = [n for n in mine if n != at and (n in self.call_s or n not in self.where)]
        for name in mine:
            self.call_s.pop(name, None)
        death = Death(kind, self.number, at, how, tuple(left))
        self.found.deaths.append(death)
        if at:
            self.found.notes[at] = f"its {kind} worker {how}, in process {self.number + 1}"

    def end(self) -> None:
        for worker in self.workers.values():
            worker.end()
