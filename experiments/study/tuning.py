"""Results of the tuning plan -> the learning rate of every arm, chosen on validation infants.

    python -m experiments.study --plan experiments/study/tuning.toml
    python -m experiments.study.tuning --arms=full,asy,thin

The rate with the lowest validation error counts: the mean absolute error of the maps in the best
epoch, mean over folds. Test infants are not looked at. Write the rates into the arms of plan.toml,
as "regression.learning_rate", before the first job of a part that has the arm.
"""

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from experiments.config import ConfigError
from experiments.study import results
from experiments.study.evidence import RESULTS
from experiments.study.jobs import Job, jobs_of
from experiments.study.plan import read_plan
from experiments.table1 import table
from jaxpose.commands import print_table, run_command
from jaxpose.options import parse_options

PLAN = Path(__file__).with_name("tuning.toml")
RATE = "regression.learning_rate"


@dataclasses.dataclass(frozen=True)
class Options:
    """Chooses the learning rate of every arm of the tuning plan; prints a table and JSON."""

    plan: Path = PLAN
    """File with the tuning plan."""
    results: Path = RESULTS / "study-tuning"
    """Folder of its result files."""
    arms: str | None = None
    """Names of the arms to choose for, such as full,asy. None: all of the plan."""


def errors(jobs: Iterable[Job], folder: Path) -> dict[str, dict[float, float]]:
    """Returns the mean validation error by arm and learning rate.

    Raises:
      ConfigError: a result is missing, damaged, of another recipe or of other data: a rate must not
        win because its worst fold is missing, or its infants are easier.
    """
    values: dict[str, dict[float, list[float]]] = {}
    of_data: dict[str, str] = {}
    for job in jobs:
        if not results.stored(folder, job):
            raise ConfigError(f"{folder}: has no {job.name}.json; finish the tuning plan first")
        result = results.read(folder / f"{job.name}.json")
        history = result["history"]["regression"]
        first = of_data.setdefault(result["data_hash"], job.name)
        if len(of_data) > 1:
            raise ConfigError(
                f"{folder}: {first} was trained on other data than {next(iter(of_data.values()))}; "
                "delete the files of one of the two kinds, and compute them again"
            )
        rates = values.setdefault(job.arm, {})
        rates.setdefault(job.recipe.regression.learning_rate, []).append(min(history["val_error"]))
    return {
        arm: {rate: float(np.mean(folds)) for rate, folds in sorted(rates.items())}
        for arm, rates in values.items()
    }


def _of_arms(jobs: list[Job], arms: list[str]) -> list[Job]:
    known = sorted({job.arm for job in jobs})
    for arm in arms:
        if arm not in known:
            raise ConfigError(f"--arms: unknown arm {arm!r}; one of: {', '.join(known)}")
    return [job for job in jobs if job.arm in arms]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.study.tuning")

    def body() -> dict:
        jobs = jobs_of(read_plan(options.plan))
        if options.arms is not None:
            jobs = _of_arms(jobs, options.arms.split(","))
        measured = errors(jobs, options.results)
        chosen = {arm: min(rates, key=rates.get) for arm, rates in measured.items()}
        rates = sorted({rate for arm in measured.values() for rate in arm})
        rows = [
            [arm, *(f"{values[rate]:.5f}" if rate in values else "" for rate in rates)]
            + [f"{chosen[arm]:g}"]
            for arm, values in measured.items()
        ]
        header = ["validation error of the maps", *(f"{rate:g}" for rate in rates), "chosen"]
        print_table(table(header, rows))
        return {"chosen": chosen, "errors": measured}

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
