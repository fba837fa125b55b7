"""Groups of trainings -> paired comparisons of two arms, with intervals and verdicts."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from experiments.study import groups, statistics
from experiments.study.compared import ByLimb, Compared, is_confirmatory
from experiments.study.groups import COLUMNS, ERROR, Group, Key, Training
from experiments.study.plan import Comparison, Margins, Plan
from experiments.study.statistics import Estimate

REGRESSION = "regression_fallback_px"
"""Column of the errors of poses from the regression net's maps alone."""

Arm = Mapping[Training, dict]
"""Results of an arm."""


def primary(margins: Margins) -> str:
    """Returns the name of the primary margin."""
    return share_name(margins.primary)


def share_name(share: float) -> str:
    """Names a margin that is a share of the reference's error."""
    return f"{100 * share:g} %"


def margin_names(margins: Margins) -> list[str]:
    """Returns the names of all margins, the primary one first."""
    return [
        *(share_name(share) for share in (margins.primary, *margins.sensitivity)),
        f"{margins.px:g} px",
    ]


def compare_all(plan: Plan, grouped: Mapping[Key, Group]) -> list[Compared]:
    """Compares the arms of every comparison of the plan wherever both have results.

    The p-values of all exploratory comparisons that the plan has for a data set and setting are
    corrected together. One that is not about trainings yet counts in their number, and has none.
    """
    compared = {
        (comparison, key): one
        for comparison in plan.comparisons
        for key, group in grouped.items()
        if (one := compare(plan.margins, comparison, key, group)) is not None
    }
    for key, group in grouped.items():
        family = [
            (comparison, key)
            for comparison in plan.comparisons
            if {comparison.ours, comparison.theirs} <= group.expected.keys()
            and not is_confirmatory(comparison, key)
        ]
        for field in ("p_holm", "p_holm_widened"):
            known = {
                name: getattr(compared[name], field)
                for name in family
                if name in compared and compared[name].over_trainings
            }
            corrected = statistics.holm(dict.fromkeys(family, 1.0) | known)
            for name in known:
                compared[name] = dataclasses.replace(compared[name], **{field: corrected[name]})
    return [*compared.values()]


def compare(margins: Margins, comparison: Comparison, key: Key, group: Group) -> Compared | None:
    """Compares two arms of a group; None if it has no usable pair of them."""
    ours, theirs = (group.arms.get(arm, {}) for arm in (comparison.ours, comparison.theirs))
    reference = group.arms.get(margins.reference, {})
    used, problems = _pairs(ours, theirs)
    reference = groups.partners(reference, (ours, theirs), problems)
    if not used:
        return None
    error = _error(ours[used[0]], theirs[used[0]])
    pairs = _Pairs(ours, theirs, reference, used, error)
    differences = pairs.estimates(lambda of, over, _: of - over)
    folds = pairs.clusters(lambda of, over, _: of - over, "all")
    of_subjects = len(folds) > 1 and all(len(fold) == 1 for fold in folds)
    values = [
        pairs.clusters(value, "all") for value in (lambda of, *_: of, lambda _, over, __: over)
    ]
    planned = {*group.expected.get(comparison.ours, ())}
    planned &= {*group.expected.get(comparison.theirs, ())}
    missed = [groups.missed_rate(arm[t] for t in used) for arm in (ours, theirs)]
    widened = pairs.estimates(lambda of, over, _: of - over, shared=True)
    over_trainings = differences["all"].over_trainings
    return Compared(
        comparison=comparison,
        data=key[0],
        setting=key[1],
        error=error,
        differences=differences,
        widened=widened,
        excesses=pairs.excesses(margins),
        widened_excesses=pairs.excesses(margins, shared=True),
        ours_px=float(np.concatenate(values[0]).mean()),
        theirs_px=float(np.concatenate(values[1]).mean()),
        ratio_interval=statistics.ratio_interval(*values),
        pairs=len(used),
        expected=len(planned),
        missed=tuple(missed) if error == ERROR else (math.nan, math.nan),
        sign_flip=statistics.sign_flip(folds) if of_subjects else None,
        p_holm=differences["all"].p if over_trainings else math.nan,
        p_holm_widened=widened["all"].p if over_trainings else math.nan,
        problems=tuple(problems),
    )


def _pairs(ours: Arm, theirs: Arm) -> tuple[list[Training], list[str]]:
    """Returns the trainings that both arms have and that can be compared, and the other ones."""
    used, problems = [], []
    for training in sorted(ours.keys() & theirs.keys(), key=str):
        if why := groups.pair_differences(theirs[training], ours[training]):
            names = f"{ours[training]['job']} and {theirs[training]['job']}"
            problems.append(f"{names} are no pair: {why}")
        else:
            used.append(training)
    return used, problems


def _error(ours: dict, theirs: dict) -> str:
    """Returns the column to compare: of poses from the same kind of maps.

    By default poses are from both nets' maps. An arm that decodes the regression net's maps alone
    is compared with the other one's errors by these.
    """
    return ERROR if ours["recipe"]["maps"] == theirs["recipe"]["maps"] else REGRESSION


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Trainings of two arms that are compared, and the reference's."""

    ours: Arm
    theirs: Arm
    reference: Arm
    used: Sequence[Training]
    error: str

    def clusters(self, value: Callable, limb: str) -> list[np.ndarray]:
        """Returns value(ours, theirs, reference) of each infant, fold by fold.

        The reference's error is NaN in a training that it lacks.
        """
        values = {}
        for t in self.used:
            of, over = (groups.column(arm[t], limb, self.error) for arm in (self.ours, self.theirs))
            base = (
                groups.column(self.reference[t], limb, self.error)
                if t in self.reference
                else np.full_like(of, np.nan)
            )
            values[t] = value(of, over, base)
        return groups.clusters(values)

    def estimates(self, value: Callable, *, shared: bool = False) -> ByLimb:
        """Estimates the mean of a value for the mean over limbs and for every limb."""
        first = self.ours[self.used[0]]
        return {
            limb: statistics.estimate(self.clusters(value, limb), shared=shared)
            for limb in COLUMNS
            if _any(first, limb, self.error)
        }

    def excesses(self, margins: Margins, *, shared: bool = False) -> dict[str, ByLimb]:
        """Estimates by how much ours exceeds theirs and each margin; see `Compared.excesses`."""
        known = all(t in self.reference for t in self.used)
        found: dict[str, ByLimb] = {}
        for share in (margins.primary, *margins.sensitivity):
            value = functools.partial(statistics.excess, share=share)
            found[share_name(share)] = self.estimates(value, shared=shared) if known else {}
        found[f"{margins.px:g} px"] = self.estimates(
            lambda of, over, _: statistics.excess(of, over, np.ones_like(of), margins.px),
            shared=shared,
        )
        return found


def _any(result: dict, limb: str, error: str = ERROR) -> bool:
    return bool(np.isfinite(groups.column(result, limb, error)).any())


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
