"""Comparisons -> which conclusions stand if training infants that folds share are allowed for."""

from collections.abc import Iterator

from experiments.study import comparisons, texts
from experiments.study.compared import Compared
from experiments.study.evidence import Evidence

NOTHING = "No comparison of these nets is decided yet.\n"


def sentence(evidence: Evidence) -> str:
    """Says which conclusions stand, of the nets that the confirmatory comparisons are about."""
    plan = evidence.plan
    arms = {arm for one in plan.comparisons if one.confirmatory for arm in (one.ours, one.theirs)}
    margin = comparisons.primary(plan.margins)
    found = [
        conclusion
        for one in evidence.compared
        if one.decidable and {one.comparison.ours, one.comparison.theirs} <= arms
        for conclusion in _conclusions(one, margin)
    ]
    if not found:
        return NOTHING
    lists = {
        stands: "; ".join(text for text, s in found if s == stands) for stands in (True, False)
    }
    return (
        "Folds share training infants, and the intervals of the plan treat them as independent. "
        "With the correction of Nadeau and Bengio for that, "
        f"these conclusions stand: {lists[True] or 'none'}. "
        f"These are not shown any more: {lists[False] or 'none'}.\n"
    )


def _conclusions(one: Compared, margin: str) -> Iterator[tuple[str, bool]]:
    """Yields the conclusions of a comparison, and whether each stands with the correction."""
    ours, theirs = one.comparison.ours, one.comparison.theirs
    where, wide = texts.place(one.data, one.setting), one.widened["all"]
    sign = one.sign()
    if sign:
        relation = "higher" if sign > 0 else "lower"
        yield (
            f"{ours}'s error is {relation} than {theirs}'s ({where}: {wide.mean:+.2f} px "
            f"[{wide.low:+.2f} to {wide.high:+.2f}])",
            one.sign(widened=True) == sign,
        )
    if sign >= 0 and one.non_inferior(margin):
        excesses = one.widened_excesses[margin]
        limb = max(excesses, key=lambda name: excesses[name].high)
        name = "the mean over limbs" if limb == "all" else f"the {limb.replace('_', ' ')}"
        end = excesses[limb].high
        yield (
            f"{ours} is non-inferior to {theirs} by {margin} ({where}: the interval of {name} "
            f"ends {abs(end):.2f} px {'below' if end < 0 else 'above'} the margin)",
            bool(one.non_inferior(margin, widened=True)),
        )
