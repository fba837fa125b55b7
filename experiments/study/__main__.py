"""The plan of the study -> its result files, job by job, on whatever hardware there is.

    python -m experiments.study --dry_run                     # lists the jobs with their costs
    python -m experiments.study --parts a --folders utd_mhad=DIR --workers 2
    python -m experiments.study --plan experiments/study/tuning.toml

The same command goes on where it was stopped, and can be started several times at once; with
--workers it starts itself, each worker with cores of its own. While the file `pause` exists in
--runs_dir, everything stands still.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.config import ConfigError
from experiments.machines import ROOT
from experiments.study import costs, runner, workers
from experiments.study.jobs import Job, jobs_of
from experiments.study.plan import read_plan
from jaxpose.commands import print_result, print_table, run_command
from jaxpose.options import parse_options

PLAN = ROOT / "experiments" / "study" / "plan.toml"


@dataclasses.dataclass(frozen=True)
class Options:
    """Computes the jobs of a plan; the last line of stdout is a summary as JSON."""

    plan: Path = PLAN
    """File with the plan."""
    parts: str | None = None
    """Letters of the parts to compute, such as a,b. None: all."""
    dry_run: bool = False
    """Only list the jobs and their estimated costs."""
    folders: tuple[str, ...] = ()
    """NAME=FOLDER of the data sets of the plan that are not simulated."""
    results: Path | None = None
    """Folder of the result files. None: experiments/results/study, or study-NAME for the plan
    NAME.toml."""
    runs_dir: Path = Path("runs/study")
    """Folder of run folders, detection nets, simulated data, logs and locks."""
    workers: int = 1
    """Number of trainings at a time; each has an equal share of the cores. A training must be
    continued with as many cores as it began with if its result is to be the same bit for bit."""
    machine: tuple[str, ...] = ()
    """Options of experiments.run that are not in the recipe, such as lowering=folded."""


def chosen_jobs(options: Options) -> list[Job]:
    """Returns the jobs of the chosen parts.

    Raises:
      ConfigError: the plan cannot be used, or has no such part.
    """
    jobs = jobs_of(read_plan(options.plan))
    if options.parts is None:
        return jobs
    letters = [letter.strip() for letter in options.parts.split(",")]
    known = sorted({job.part for job in jobs})
    if unknown := [letter for letter in letters if letter not in known]:
        raise ConfigError(f"--parts: no part {unknown[0]!r}; one of: {', '.join(known)}")
    return [job for job in jobs if job.part in letters]


def workspace(options: Options) -> runner.Workspace:
    """Returns where the jobs are computed.

    Raises:
      ConfigError: --folders or --machine have another form.
    """
    stem, runs = options.plan.stem, options.runs_dir
    default = ROOT / "experiments" / "results" / ("study" if stem == "plan" else f"study-{stem}")
    for name, values in (("folders", options.folders), ("machine", options.machine)):
        for value in values:
            if not all(value.partition("=")):
                raise ConfigError(f"--{name} {value}: expected NAME=VALUE")
    pairs = [value.partition("=") for value in options.folders]
    return runner.Workspace(
        results=options.results or default,
        runs=runs,
        folders={name: Path(folder).expanduser() for name, _, folder in pairs},
        machine=tuple(f"--{value}" for value in options.machine),
        pause=runs / "pause",
    )


def dry_run(jobs: Sequence[Job], place: runner.Workspace, estimated: dict[str, float]) -> dict:
    """Lists the jobs, their states and their costs; returns the same as JSON."""
    progress = runner.Progress(estimated)
    rows, left = [], 0.0
    for job in jobs:
        state = "open" if runner.is_open(job, place, progress) else "finished"
        state = "unusable" if job.name in progress.failed else state
        left += estimated[job.name] if state == "open" else 0.0
        rows.append({"job": job.name, "state": state, "seconds": round(estimated[job.name])})
    lines = [f"{row['seconds']:>6} s  {row['state']:<9} {row['job']}" for row in rows]
    lines += [f"error: {why}" for why in progress.failed.values()]
    lines.append(f"{len(jobs)} jobs, {left / 3600:.1f} h left for one worker; {costs.MACHINE}")
    print_table("\n".join(lines))
    return {"jobs": rows, "estimated_seconds": round(left), "machine": costs.MACHINE}


def compute(jobs: Sequence[Job], place: runner.Workspace, estimated: dict[str, float]) -> dict:
    """Computes jobs in this process; returns the names of those computed, and why others failed."""
    progress = runner.work(jobs, place, estimated, say=print_table)
    return {"computed": progress.computed, "failed": progress.failed}


def of_one_worker(options: Options) -> list[str]:
    """Returns the command line of a single worker with the same options."""
    arguments = [f"--plan={options.plan}", f"--runs_dir={options.runs_dir}"]
    for name in ("parts", "results"):
        if (value := getattr(options, name)) is not None:
            arguments.append(f"--{name}={value}")
    for name in ("folders", "machine"):
        if values := getattr(options, name):
            arguments += [f"--{name}", *values]
    return arguments


def together(summaries: Sequence[dict], jobs: Sequence[Job], place: runner.Workspace) -> dict:
    """Returns the summary of all workers. What one failed at, another may have computed."""
    computed = [name for one in summaries for name in one["computed"]]
    failed = {name: why for one in summaries for name, why in one["failed"].items()}
    return {
        "jobs": len(jobs),
        "finished": sum((place.results / f"{job.name}.json").exists() for job in jobs),
        "failed": {name: why for name, why in failed.items() if name not in computed},
        "computed": computed,
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.study")

    def body() -> dict | int:
        jobs, place = chosen_jobs(options), workspace(options)
        estimated = costs.estimates(jobs)
        if options.dry_run:
            return dry_run(jobs, place, estimated)
        if options.workers == 1:
            summaries = [compute(jobs, place, estimated)]
        else:
            summaries = workers.run(of_one_worker(options), options.workers)
        summary = together(summaries, jobs, place)
        for why in summary["failed"].values():
            print_table(f"error: {why}")
        print_result(summary)
        return 0 if summary["finished"] == len(jobs) and not summary["failed"] else 1

    return run_command(body, resume="the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
