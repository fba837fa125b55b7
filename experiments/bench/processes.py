"""A plan -> visits of its cases, timed in fresh processes, in blocks that span all of these."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.bench.cases import Case
from experiments.bench.client import Refused, Worker, WorkerDied, start_worker
from experiments.bench.machine import Watch
from experiments.bench.measured import Death, Measured
from experiments.bench.protocol import Plan, Protocol
from experiments.bench.references import write_references
from jaxpose.cost.timing import run_block

Say = Callable[[str], None]
"""Shows the user what is being done."""


def measure(plan: Plan, *, say: Say, on_process: Callable[[Measured], None]) -> Measured:
    """Times every case that can be prepared.

    `on_process` receives the results so far after each process. If a worker ends, its cases of that
    process are lost.

    Raises:
      Refused: the device does not exist.
      WorkerDied: JAX's first worker ended before it had measured the ceilings.
    """
    protocol = plan.protocol
    measured, rng = Measured(), np.random.default_rng(plan.seed)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_references(plan, Path(folder), measured, say)
        for number in range(protocol.processes):
            watch = Watch()
            cases = [case for case in plan.cases if case.name not in measured.notes]
            if number:
                cases = without_slow(cases, measured, protocol)
            deadline = began + 60 * protocol.minutes * (number + 1) / protocol.processes
            process = _Process(plan, cases, Path(folder), measured, number, say)
            try:
                process.start()
                process.prepare()
                process.settings()
                process.blocks(rng, deadline)
                measured.loads.append(watch.load())
            finally:
                process.end()
            measured.processes = number + 1
            on_process(measured)
    return measured


def without_slow(cases: list[Case], measured: Measured, protocol: Protocol) -> list[Case]:
    """Returns the cases without those of our lowerings that were much slower than the fastest."""
    best: dict[tuple, float] = {}
    timed = {visit.subject for visit in measured.visits}
    for case in cases:
        if case.lowering and case.name in timed:
            key = (*case.task, case.dtype)
            seconds = measured.facts[case.name]["call_s"]
            best[key] = min(best.get(key, seconds), seconds)

    def fast(case: Case) -> bool:
        if not case.lowering or case.name not in timed:
            return True
        least = best[(*case.task, case.dtype)]
        return measured.facts[case.name]["call_s"] <= max(protocol.slow_once_s, 1.3 * least)

    return [case for case in cases if fast(case)]


class _Process:
    """One worker of every kind that the cases need; only one of them computes at a time.

    Attributes:
      workers: kind -> its worker, while that is alive.
      call_s: name of a case that is ready -> approximate seconds of a call.
      kind_of: name of a prepared case -> kind of its worker.
      case_of: name of a case -> the case.
    """

    def __init__(
        self,
        plan: Plan,
        cases: list[Case],
        folder: Path,
        measured: Measured,
        number: int,
        say: Say,
    ):
        self.plan, self.cases, self.folder = plan, cases, folder
        self.measured, self.number = measured, number
        self.workers: dict[str, Worker] = {}
        self.call_s: dict[str, float] = {}
        self.kind_of: dict[str, str] = {}
        self.case_of = {case.name: case for case in cases}
        self._say = say

    def say(self, text: str) -> None:
        """Shows what is being done, and in which process."""
        self._say(f"process {self.number + 1}/{self.plan.protocol.processes}: {text}")

    def start(self) -> None:
        """Starts the workers, and measures the machine's ceilings with JAX's and PyTorch's."""
        for kind in dict.fromkeys(["jax", *(case.worker for case in self.cases)]):
            try:
                self.workers[kind] = start_worker(self.plan, kind, self.folder)
                self.say(f"ceilings by {kind}")
                answer = self.workers[kind].ask("ceilings")
                self.measured.add_ceilings(answer["products"], answer["bytes_per_s"])
                if kind == "jax":  # the others follow JAX's choice of a device
                    self.measured.device = self.workers[kind].device
                    device = self.measured.device["platform"]
                    self.plan = dataclasses.replace(self.plan, device=device)
            except WorkerDied as error:
                if not self.measured.products:
                    raise WorkerDied(f"the {kind} worker {error}") from None
                self.drop(kind, at="", how=str(error))
            except Refused as error:
                if kind == "jax":
                    raise
                if kind in self.workers:
                    self.workers.pop(kind).end()
                for case in self.cases:
                    if case.worker == kind:
                        self.measured.notes[case.name] = str(error)

    def prepare(self) -> None:
        """Has every case compiled, checked and warmed up."""
        warm_s = self.plan.protocol.warm_s
        for number, case in enumerate(self.cases, 1):
            self.say(f"preparing {number}/{len(self.cases)} {case.name}")
            answer = self.ask(
                case.worker, case.name, "prepare", case=dataclasses.asdict(case), warm_s=warm_s
            )
            if answer is None:
                continue
            self.call_s[case.name] = answer["call_s"]
            self.kind_of[case.name] = case.worker
            facts = answer["facts"] | {"call_s": answer["call_s"]}
            self.measured.facts.setdefault(case.name, facts)

    def settings(self) -> None:
        """Records the workers' environment, now that their libraries are loaded."""
        for kind in [*self.workers]:
            try:
                self.measured.settings[kind] = self.workers[kind].ask("settings")
            except WorkerDied as error:
                self.drop(kind, at="", how=str(error))

    def blocks(self, rng: np.random.Generator, deadline: float) -> None:
        """Times at least `least_blocks` blocks, then as many as probably end before `deadline`."""
        protocol = self.plan.protocol
        controls: dict[str, str] = {}
        for name, kind in self.kind_of.items():
            controls.setdefault(kind, name)  # the first case of each kind
        longest = 0.0
        for block in range(protocol.most_blocks):
            if block >= protocol.least_blocks and time.perf_counter() + longest > deadline:
                break
            began = time.perf_counter()
            alive = [name for name in controls.values() if name in self.call_s]
            visits = run_block(
                self.visit,
                {name: protocol.calls(self.case_of[name], s) for name, s in self.call_s.items()},
                alive,
                process=self.number,
                block=block,
                rng=rng,
            )
            total = len(self.call_s) + len(alive)
            for visit in visits:
                if visit.seconds:
                    self.measured.visits.append(visit)
                self.say(f"block {block + 1}, {visit.position + 1}/{total} {visit.subject}")
            longest = max(longest, time.perf_counter() - began)

    def visit(self, name: str, calls: int) -> list[float]:
        """Has a case called; returns the seconds of each call, none if the worker ended."""
        answer = self.ask(self.kind_of[name], name, "visit", name=name, calls=calls)
        if answer is None:
            self.call_s.pop(name, None)
            return []
        return answer["seconds"]

    def ask(self, kind: str, at: str, do: str, /, **options) -> dict | None:
        """Sends the request `do` for the case `at`; returns the answer.

        None if the worker has ended, or ends, or refuses. The reason is in the notes.
        """
        if kind not in self.workers:
            return None
        try:
            return self.workers[kind].ask(do, **options)
        except Refused as error:
            self.measured.notes[at] = str(error)
        except WorkerDied as error:
            self.drop(kind, at=at, how=str(error))
        return None

    def drop(self, kind: str, *, at: str, how: str) -> None:
        """Removes a worker that ended, and its cases, from this process.

        `at` is the case that it computed, `how` describes its end.
        """
        if kind in self.workers:
            self.workers.pop(kind).end()
        notes = self.measured.notes
        names = [c.name for c in self.cases if c.worker == kind and c.name not in notes]
        lost = [n for n in names if n != at and (n in self.call_s or n not in self.kind_of)]
        for name in names:
            self.call_s.pop(name, None)
        self.measured.deaths.append(Death(kind, self.number, at, how, tuple(lost)))
        if at:
            notes[at] = f"its {kind} worker {how}, in process {self.number + 1}"

    def end(self) -> None:
        """Ends all workers."""
        for worker in self.workers.values():
            worker.end()
