"""A plan -> reference results of its tasks, computed in a process where nothing is timed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from experiments.bench.cases import Case
from experiments.bench.client import Refused, Worker, WorkerDied, start_worker
from experiments.bench.measured import Measured
from experiments.bench.prepared import Reference
from experiments.bench.protocol import Plan
from experiments.recipe import STAGES


def write_references(
    plan: Plan, folder: Path, measured: Measured, say: Callable[[str], None]
) -> None:
    """Writes the results with which the cases of every task are compared.

    They are computed in a process of their own. A reference that needs more memory than the machine
    has ends that process; then only the cases of its task are lost.
    """
    reference = Reference(folder)
    tasks: dict[Path, list[Case]] = {}
    for case in plan.cases:
        if case.net in STAGES:
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
    """Has a case's reference computed; returns the reason if the worker refuses, else None."""
    try:
        worker.ask("reference", case=dataclasses.asdict(case))
    except Refused as error:
        return str(error)
    return None
