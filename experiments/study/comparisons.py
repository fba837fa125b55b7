"""Groups of trainings -> paired comparisons of two arms, with intervals and verdicts."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from experiments.study import groups, statistics
from experiments.study.groups import COLUMNS, Group, Key, Training
from experiments.study.plan import Comparison, Margins, Plan
from experiments.study.statistics import Estimate


@dataclasses.dataclass(frozen=True)
class Compared:
    """A comparison of two arms on one data set in one setting.

    Attributes:
      data, setting: where both were trained.
      differences: limb, or "all" -> estimate of ours minus theirs, px of 128x96.
      ours_px, theirs_px: mean errors over infants.
      non_inferior: name of a margin -> verdict; None where it cannot be said.
      pairs: number of paired trainings.
      expected: number of pairs in the plan.
      missed: shares of joints that ours and theirs missed.
      sign_flip: p-value of a sign-flip test; None unless every fold is one subject.
      p_holm: p-value of the mean over limbs; corrected, if the comparison is exploratory.
      problems: pairs that are not used, and why.
    """

    comparison: Comparison
    data: str
    setting: str
    differences: Mapping[str, Estimate]
    ours_px: float
    theirs_px: float
    non_inferior: Mapping[str, bool | None]
    pairs: int
    expected: int
    missed: tuple[float, float]
    sign_flip: float | None
    p_holm: float
    problems: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Ours over theirs, of the mean errors."""
        return self.ours_px / self.theirs_px

    @property
    def complete(self) -> bool:
        """Whether all pairs of the plan are there."""
        return self.pairs == self.expected


def primary(margins: Margins) -> str:
    """Returns the name of the primary margin."""
    return share_name(margins.primary)


def share_name(share: float) -> str:
    """Names a margin that is a share of the reference's error."""
    return f"{100 * share:g} %"


def compare_all(plan: Plan, grouped: Mapping[Key, Group]) -> list[Compared]:
    """Compares the arms of every comparison of the plan wherever both have results.

    Exploratory p-values of one data set and setting are corrected together.
    """
    compared = [
        one
        for comparison in plan.comparisons
        for key, group in grouped.items()
        if (one := compare(plan.margins, comparison, key, group)) is not None
    ]
    for key in grouped:
        family = {
            index: one.p_holm
            for index, one in enumerate(compared)
            if (one.data, one.setting) == key and not one.comparison.confirmatory
        }
        for index, p in statistics.holm(family).items():
            compared[index] = dataclasses.replace(compared[index], p_holm=p)
    return compared


def compare(margins: Margins, comparison: Comparison, key: Key, group: Group) -> Compared | None:
    """Compares two arms of a group; None if it has no usable pair of them."""
    ours, theirs = (group.arms.get(arm, {}) for arm in (comparison.ours, comparison.theirs))
    reference = group.arms.get(margins.reference, {})
    used, problems = _pairs(ours, theirs)
    reference = groups.partners(reference, (ours, theirs), problems)
    if not used:
        return None
    differences = {
        limb: statistics.estimate(
            groups.clusters({t: _difference(ours[t], theirs[t], limb) for t in used})
        )
        for limb in COLUMNS
        if _any(ours[used[0]], limb)
    }
    folds = groups.clusters({t: _difference(ours[t], theirs[t], "all") for t in used})
    of_subjects = len(folds) > 1 and all(len(fold) == 1 for fold in folds)
    planned = {*group.expected.get(comparison.ours, ())}
    planned &= {*group.expected.get(comparison.theirs, ())}
    return Compared(
        comparison=comparison,
        data=key[0],
        setting=key[1],
        differences=differences,
        ours_px=_mean(ours, used),
        theirs_px=_mean(theirs, used),
        non_inferior={
            **{
                share_name(share): _non_inferior(ours, theirs, reference, used, share)
                for share in (margins.primary, *margins.sensitivity)
            },
            f"{margins.px:g} px": _below(differences, margins.px),
        },
        pairs=len(used),
        expected=len(planned),
        missed=tuple(groups.missed_rate(arm[t] for t in used) for arm in (ours, theirs)),
        sign_flip=statistics.sign_flip(folds) if of_subjects else None,
        p_holm=differences["all"].p,
        problems=tuple(problems),
    )


def _pairs(
    ours: Mapping[Training, dict], theirs: Mapping[Training, dict]
) -> tuple[list[Training], list[str]]:
    """Returns the trainings that both arms have and that can be compared, and the other ones."""
    used, problems = [], []
    for training in sorted(ours.keys() & theirs.keys(), key=str):
        if why := groups.pair_differences(theirs[training], ours[training]):
            names = f"{ours[training]['job']} and {theirs[training]['job']}"
            problems.append(f"{names} are no pair: {why}")
        else:
            used.append(training)
    return used, problems


def _difference(ours: dict, theirs: dict, limb: str) -> np.ndarray:
    return groups.column(ours, limb) - groups.column(theirs, limb)


def _any(result: dict, limb: str) -> bool:
    return bool(np.isfinite(groups.column(result, limb)).any())


def _mean(arm: Mapping[Training, dict], used: list[Training]) -> float:
    values = groups.clusters({t: groups.column(arm[t], "all") for t in used})
    return float(np.concatenate(values).mean())


def _non_inferior(ours, theirs, reference, used: list[Training], share: float) -> bool | None:
    """Tells whether ours is non-inferior by a share of the reference's error of each infant."""
    if any(training not in reference for training in used):
        return None
    excesses = []
    for limb in COLUMNS:
        if not _any(ours[used[0]], limb):
            continue
        values = {
            t: statistics.excess(
                *(groups.column(arm[t], limb) for arm in (ours, theirs, reference)), share
            )
            for t in used
        }
        excesses.append(statistics.estimate(groups.clusters(values)))
    return statistics.is_non_inferior(excesses)


def _below(differences: Mapping[str, Estimate], px: float) -> bool | None:
    """Tells whether every interval is below a margin in px; None if one is infinite."""
    highs = [estimate.high for estimate in differences.values()]
    return all(high < px for high in highs) if np.isfinite(highs).all() else None


def arm_errors(group: Group, arm: str) -> dict[str, Estimate]:
    """Estimates the mean errors of an arm, for the mean over limbs and every limb."""
    trainings = group.arms[arm]
    return {
        limb: statistics.estimate(
            groups.clusters({t: groups.column(result, limb) for t, result in trainings.items()})
        )
        for limb in COLUMNS
        if all(_any(result, limb) for result in trainings.values())
    }
