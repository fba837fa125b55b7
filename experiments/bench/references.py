"""A plan -> reference results of its tasks, computed apart from everything that is timed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from experiments.bench.cases import Case
from experiments.bench.client import Refused, Worker, WorkerDied, start_worker
from experiments.bench.measured import Measured
from experiments.bench.prepared import Reference
from experiments.bench.protocol import Plan


def write_references(
    plan: Plan, folder: Path, measured: Measured, say: Callable[[str], None]
) -> None:
    """Computes what the cases of every task are compared with, in a process of its own: one that
    needs more memory than there is ends that process, and costs the cases of its task alone."""
    reference = Reference(folder)
    tasks: dict[Path, list[Case]] = {}
    for case in plan.cases:
        if case.net in ("detection", "regression"):
            tasks.setdefault(reference.path(case), []).append(case)
    worker = None
    try:
        for number, cases in enumerate(tasks.values(), 1):
            say(f"reference {number}/{len(tasks)} {cases[0].name}")
            try:
                worker = worker or start_worker(plan, "reference", folder)
                reason = _refusal(worker, cases[0])
            except WorkerDied as error:
                reason = f"the process that computes it {error}"
                if worker is not None:
                    worker.end()
                    worker = None
            if reason is not None:
                measured.notes |= {case.name: f"without a reference: {reason}" for case in cases}
    finally:
        if worker is not None:
            worker.end()


def _refusal(worker: Worker, case: Case) -> str | None:
    """Has a case's reference computed; returns why it was not."""
    try:
        worker.ask("reference", case=dataclasses.asdict(case))
    except Refused as error:
        return str(error)
    return None
