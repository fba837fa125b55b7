"""Result files -> trainings that belong together, and what forbids to compare two of them."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from experiments.recipe import flat_options
from experiments.study.jobs import Job
from jaxpose.body.skeleton import LIMBS

ERROR = "rmsd_fallback_px"
"""Column of the primary endpoint: RMSD per infant, missing joints at their map's maximum."""
COLUMNS = ("all", *LIMBS)
"""The mean over limbs, then every limb."""
SAME = {
    "data_hash": "data",
    "numerics": "NUMERICS",
    "lowering": "lowering",
}
"""Key that all trainings of one table share -> its name."""
SAME_IN_PAIR = {
    "split_hash": "split",
    "device": "device",
    "cpu": "CPU",
    "instruction_set": "instruction set",
    "micro_batches": "micro-batches",
}
"""Key that the two trainings of a pair share, besides."""

Key = tuple[str, str]
"""(data set, setting): what is compared with each other."""
Training = tuple[int, int | None]
"""(seed, fold)."""


@dataclasses.dataclass(frozen=True)
class Group:
    """All trainings on one data set in one setting.

    Attributes:
      arms: name of an arm -> its results by seed and fold.
      expected: name of an arm -> the trainings that the plan has.
    """

    arms: Mapping[str, Mapping[Training, dict]]
    expected: Mapping[str, tuple[Training, ...]]

    def missing(self, arm: str) -> list[Training]:
        """Returns the trainings of the plan that an arm lacks."""
        return [one for one in self.expected.get(arm, ()) if one not in self.arms.get(arm, {})]


def group(jobs: Iterable[Job], results: Iterable[dict]) -> tuple[dict[Key, Group], list[str]]:
    """Groups results as the plan's jobs.

    Returns the groups, and a message for each result that is not used: it is not of the plan, or
    differs from the first one of its group in what a table must not mix.
    """
    by_name = {result["job"]: result for result in results}
    keys: dict[Key, list[Job]] = {}
    for job in jobs:
        keys.setdefault((job.data.name, job.setting), []).append(job)
    known = {job.name for of_key in keys.values() for job in of_key}
    problems = [f"{name}: not in the plan" for name in sorted(by_name.keys() - known)]
    groups = {key: _group(of_key, by_name, problems) for key, of_key in keys.items()}
    return groups, problems


def _group(jobs: list[Job], results: Mapping[str, dict], problems: list[str]) -> Group:
    """Groups the results of jobs with one key; adds to `problems` what is not used."""
    arms: dict[str, dict[Training, dict]] = {}
    expected: dict[str, tuple[Training, ...]] = {}
    first = None
    for job in jobs:
        training = (job.seed, job.recipe.fold)
        expected[job.arm] = (*expected.get(job.arm, ()), training)
        if (result := results.get(job.name)) is None:
            continue
        first = first or result
        if why := differences(first, result, SAME, across=("seed", "folds", "fold")):
            problems.append(f"{job.name}: not used beside {first['job']}: {why}")
        else:
            arms.setdefault(job.arm, {})[training] = result
    return Group(arms, expected)


def differences(
    a: dict, b: dict, same: Mapping[str, str], across: tuple[str, ...] = ()
) -> str | None:
    """Says in what two results differ that must be the same; None if in nothing.

    Options of the recipe that either arm changes on purpose may differ, and those named by
    `across`; the detection net may differ if such an option concerns it.
    """
    wrong = [
        f"another {what} ({_short(b.get(key))} instead of {_short(a.get(key))})"
        for key, what in same.items()
        if a.get(key) != b.get(key)
    ]
    own = {*a["own_options"], *b["own_options"], *across}
    one, other = (flat_options(result["recipe"], own) for result in (a, b))
    wrong += [
        f"another {name} ({_short(other.get(name))} instead of {_short(one.get(name))})"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
    return "; ".join(wrong) or None


def pair_differences(a: dict, b: dict) -> str | None:
    """Says in what the two trainings of a pair differ that must be the same, as `differences`."""
    same = SAME | SAME_IN_PAIR
    if not any(name.startswith("detection.") for name in (*a["own_options"], *b["own_options"])):
        same |= {"detector_hash": "detection net"}
    if a["infants"]["id"] != b["infants"]["id"]:
        return "other infants"
    return differences(a, b, same)


def _short(value) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def column(result: dict, limb: str, name: str = ERROR) -> np.ndarray:
    """Returns a column of a result, one value per infant; NaN where no joint counts."""
    return np.array(result["infants"][name][limb], np.float64)


def clusters(values: Mapping[Training, np.ndarray]) -> list[np.ndarray]:
    """Averages the values of each infant over the seeds, and returns them fold by fold.

    Infants without a value are left out.
    """
    folds: dict[int | None, list[np.ndarray]] = {}
    for (_, fold), infants in values.items():
        folds.setdefault(fold, []).append(infants)
    means = [np.mean(seeds, axis=0) for seeds in folds.values()]
    return [mean[np.isfinite(mean)] for mean in means]


def missed_rate(trainings: Iterable[dict]) -> float:
    """Returns the share of visible joints that were missed, over all trainings."""
    infants = [result["infants"] for result in trainings]
    missed = sum(sum(one["missed_joints"]) for one in infants)
    return missed / max(1, sum(sum(one["visible_joints"]) for one in infants))
