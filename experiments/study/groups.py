"""Result files -> trainings that belong together, and what forbids to compare two of them."""

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.recipe import Recipe, flat_options, short_hash
from experiments.study.jobs import Job
from jaxpose.body.skeleton import LIMBS

ERROR = "rmsd_fallback_px"
"""Column of the primary endpoint: RMSD per infant, missing joints at their map's maximum."""
COLUMNS = ("all", *LIMBS)
"""The mean over limbs, then every limb."""
SAME_IN_PAIR = {
    "data_hash": "data",
    "numerics": "NUMERICS",
    "lowering": "lowering",
    "split_hash": "split",
    "device": "device",
    "cpu": "CPU",
    "instruction_set": "instruction set",
    "micro_batches": "micro-batches",
    "detector_hash": "detection net",
}
"""Key that the two trainings of a pair share -> its name."""
OF_ORDER = ("data_hash", "split_hash", "detector_hash")
"""Keys that differ where an arm's own option `builder` changes the order of the frames."""

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

    Returns the groups, and a message for each result that is not used: it is not of the plan, has
    another recipe, or differs from most others of its group in what a table must not mix.
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
    used: list[tuple[Job, dict]] = []
    for job in jobs:
        if (result := results.get(job.name)) is None:
            continue
        if why := _contradiction(job, result):
            problems.append(f"{job.name}: not of this plan: {why}")
        else:
            used.append((job, result))
    used = _agreeing(used, "NUMERICS", _any, lambda one: str(one["numerics"]), problems)
    # The hash of the data is also of the order of its frames, which the builder decides.
    used = _agreeing(used, "data", _builder, lambda one: str(one["data_hash"]), problems)
    used = _agreeing(used, "lowering", _any, lambda one: str(one.get("lowering")), problems)
    used = _agreeing(used, "infants or frames", _tested, _infants, problems)
    arms: dict[str, dict[Training, dict]] = {}
    expected: dict[str, tuple[Training, ...]] = {}
    for job in jobs:
        expected[job.arm] = (*expected.get(job.arm, ()), (job.seed, job.recipe.fold))
    for job, result in used:
        arms.setdefault(job.arm, {})[job.seed, job.recipe.fold] = result
    return Group(arms, expected)


def _contradiction(job: Job, result: dict) -> str | None:
    """Says in what a result differs from its job; None if in nothing.

    An option that its recipe lacks is newer than the result, which had the default.
    """
    expected = job.facts() | {"recipe_hash": short_hash(result["recipe"])}
    recipe = flat_options(Recipe().as_json()) | flat_options(result["recipe"])
    wrong = _other(flat_options(job.recipe.as_json()), recipe)
    wrong += [text for name in expected for text in _other(*_only(name, expected, result))]
    return "; ".join(wrong) or None


def _only(name: str, *values: dict) -> list[dict]:
    return [{name: value.get(name)} for value in values]


def _any(job: Job) -> None:
    """Returns what all jobs have in common."""


def _builder(job: Job) -> str | None:
    return job.recipe.builder


def _tested(job: Job) -> tuple:
    """Returns what decides which infants are tested."""
    return (job.recipe.split, job.recipe.folds, job.recipe.fold)


def _infants(result: dict) -> str:
    """Returns ids and numbers of frames of the tested infants."""
    return json.dumps([result["infants"]["id"], result["infants"]["frames"]])


def _agreeing(
    used: list[tuple[Job, dict]],
    what: str,
    same: Callable[[Job], object],
    value: Callable[[dict], str],
    problems: list[str],
) -> list[tuple[Job, dict]]:
    """Returns the results that have the commonest value among the jobs of which `same` is equal.

    The other ones are added to `problems`. If two values are equally common, the first one counts.
    """
    values: dict[object, collections.Counter] = {}
    for job, result in used:
        values.setdefault(same(job), collections.Counter())[value(result)] += 1
    agreeing = []
    for job, result in used:
        ((usual, _),) = values[same(job)].most_common(1)
        if value(result) == usual:
            agreeing.append((job, result))
        else:
            problems.append(
                f"{job.name}: not used: another {what} ({_short(value(result))} instead of "
                f"{_short(usual)}) than others of its group"
            )
    return agreeing


def _other(expected: Mapping, actual: Mapping) -> list[str]:
    """Names the values that differ."""
    return [
        f"another {name} ({_short(actual.get(name))} instead of {_short(expected.get(name))})"
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]


def pair_differences(a: dict, b: dict) -> str | None:
    """Says in what the two trainings of a pair differ that must be the same; None if in nothing.

    Options of the recipe that either arm changes on purpose may differ; the detection net may
    differ if such an option concerns it. An option `builder` changes the order of the frames, and
    with it the hashes of data and split, and the detection net: then the ids of the infants and
    their numbers of frames have to do.
    """
    if a["infants"]["id"] != b["infants"]["id"]:
        return "other infants"
    own = (*a["own_options"], *b["own_options"])
    same = dict(SAME_IN_PAIR)
    if any(name.startswith("detection.") for name in own):
        del same["detector_hash"]
    if "builder" in own:
        same = {key: what for key, what in same.items() if key not in OF_ORDER}
        if a["infants"]["frames"] != b["infants"]["frames"]:
            return "other numbers of frames"
    facts = ({what: one.get(key) for key, what in same.items()} for one in (a, b))
    options = (flat_options(one["recipe"], own) for one in (a, b))
    return "; ".join([*_other(*facts), *_other(*options)]) or None


def partners(
    reference: Mapping[Training, dict],
    arms: Iterable[Mapping[Training, dict]],
    problems: list[str],
) -> dict[Training, dict]:
    """Returns the trainings of a reference that pair with those of every arm of the same training.

    What does not is left out, and added to `problems`: a margin must not be a share of the error
    of another split or detection net.
    """
    paired = dict(reference)
    for training, one in reference.items():
        for other in (arm[training] for arm in arms if training in arm):
            if why := pair_differences(one, other):
                problems.append(f"{other['job']} has no margin by {one['job']}: {why}")
                paired.pop(training, None)
    return paired


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
