"""The plan, its results and the benchmark's -> what the study's tables and claims are made of."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

from experiments.machines import ROOT
from experiments.rundir import read_json
from experiments.study import results, speeds
from experiments.study.compared import Compared
from experiments.study.comparisons import compare_all
from experiments.study.groups import Group, Key, group
from experiments.study.jobs import Job, jobs_of
from experiments.study.plan import Plan, read_plan

PLAN = ROOT / "experiments" / "study" / "plan.toml"
RESULTS = ROOT / "experiments" / "results"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All that is known.

    Attributes:
      plan: the plan.
      jobs: its jobs.
      groups: its results by data set and setting.
      compared: its comparisons, where both arms have results.
      benchmarks: name of a file -> a result of the benchmark.
      reach: variant -> frames, rows and columns that one output of its regression net depends on,
        as `experiments.study.reach` measured them.
      problems: results that are not used, and why.
    """

    plan: Plan
    jobs: list[Job]
    groups: Mapping[Key, Group]
    compared: list[Compared]
    benchmarks: Mapping[str, dict]
    reach: Mapping[str, list[int]]
    problems: list[str]

    def comparison(self, ours: str, theirs: str, data: str, setting: str = "") -> Compared | None:
        """Returns one comparison; None if it has no results."""
        for one in self.compared:
            names = (one.comparison.ours, one.comparison.theirs, one.data, one.setting)
            if names == (ours, theirs, data, setting):
                return one
        return None


def gather(plan_path: Path = PLAN, folder: Path = RESULTS) -> Evidence:
    """Reads a plan, the results in `folder`/study, and the benchmark's results in `folder`.

    A damaged result of a job is a problem that is named; the others are used all the same.

    Raises:
      ConfigError: the plan, or a result of the benchmark, cannot be used.
    """
    plan = read_plan(plan_path)
    jobs = jobs_of(plan)
    values, damaged = results.read_all(folder / "study")
    groups, unused = group(jobs, values)
    compared = compare_all(plan, groups)
    problems = [*damaged, *unused, *(text for one in compared for text in one.problems)]
    problems = [text.replace(f"{ROOT}/", "") for text in problems]
    return Evidence(
        plan=plan,
        jobs=jobs,
        groups=groups,
        compared=compared,
        benchmarks=speeds.load(folder),
        reach=read_json(folder / "receptive-field.json") or {},
        problems=problems,
    )


@functools.cache
def committed() -> Evidence:
    """Returns the evidence in the repository, read once."""
    return gather()
