"""Evidence -> the tables of the study in Markdown: progress, errors, comparisons, predictions."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from experiments.study import comparisons, groups
from experiments.study.comparisons import Compared
from experiments.study.evidence import Evidence
from experiments.study.groups import COLUMNS, Group
from experiments.study.statistics import Estimate
from experiments.study.titles import place
from experiments.table1 import table
from experiments.table2 import percent
from jaxpose.body.skeleton import LIMBS

LIMB_TITLES = [limb.replace("_", " ") for limb in LIMBS]
NOTHING = "No job of this part is finished yet.\n"


def interval(one: Estimate, digits: int = 2) -> str:
    """Formats a mean with its interval, and says where that is about infants alone."""
    if one.infants < 2:
        return f"{one.mean:.{digits}f}"
    text = f"{one.mean:.{digits}f} [{one.low:.{digits}f} to {one.high:.{digits}f}]"
    return text if one.over_trainings else f"{text} *"


def progress(evidence: Evidence) -> str:
    """Returns a table of finished and missing trainings, per data set, setting and arm."""
    rows = []
    for (data, setting), group in evidence.groups.items():
        for arm, expected in group.expected.items():
            missing = group.missing(arm)
            finished = f"{len(expected) - len(missing)} of {len(expected)}"
            rows.append([f"{place(data, setting)}: {arm}", finished, _trainings(missing)])
    text = table(["trainings", "finished", "missing"], rows)
    for problem in evidence.problems:
        text += f"\nNot used: {problem}.\n"
    return text


def _trainings(missing: Iterable[groups.Training]) -> str:
    """Lists seeds and folds, seed by seed."""
    seeds: dict[int, list[str]] = {}
    for seed, fold in missing:
        seeds.setdefault(seed, []).append("whole" if fold is None else str(fold))
    return "; ".join(
        f"seed {seed}" if folds == ["whole"] else f"seed {seed}, folds {' '.join(folds)}"
        for seed, folds in seeds.items()
    )


def errors(evidence: Evidence) -> str:
    """Returns tables of the errors of every arm, one per data set and setting."""
    parts = []
    for (data, setting), group in evidence.groups.items():
        if not group.arms:
            continue
        rows = [_arm(group, arm) for arm in group.expected if arm in group.arms]
        rows += list(_baselines(group))
        header = ["RMSD with fallback, px of 128x96", "all limbs", *LIMB_TITLES]
        header += ["missed", "trainings", "infants"]
        parts.append(f"**{place(data, setting)}**\n\n{table(header, rows)}")
    if not parts:
        return NOTHING
    return "\n".join(parts) + (
        "\nMean over infants of each infant's mean over frames and limbs, with a 95 % interval "
        "over folds; * marks intervals over the infants of a single fold, which say nothing about "
        "other trainings.\n"
    )


def _arm(group: Group, arm: str) -> list[str]:
    estimates = comparisons.arm_errors(group, arm)
    trainings, expected = group.arms[arm], group.expected[arm]
    return [
        arm,
        *(interval(estimates[limb]) if limb in estimates else "-" for limb in COLUMNS),
        percent(groups.missed_rate(trainings.values())),
        f"{len(trainings)} of {len(expected)}",
        str(estimates["all"].infants),
    ]


BASELINES = {
    "mean_pose_px": "no net: mean pose of the training frames",
    "infant_mean_px": "no net: mean pose of the same infant's training frames",
    "detector_fallback_px": "detection alone",
}
"""Column of a result -> title of its row."""


def _baselines(group: Group) -> Iterator[list[str]]:
    """Yields rows of predictions without a regression net, of the first arm that has them."""
    for name, title in BASELINES.items():
        for arm, trainings in group.arms.items():
            if all(name in result["infants"] for result in trainings.values()):
                means = [baseline_px(trainings, name, limb) for limb in COLUMNS]
                cells = ["-" if mean is None else f"{mean:.2f}" for mean in means]
                yield [f"{title} (as for {arm})", *cells, "", "", ""]
                break


def baseline_px(
    trainings: Mapping[groups.Training, dict], name: str, limb: str = "all"
) -> float | None:
    """Returns the mean over infants of a column; None where no joint of the limb counts."""
    values = {t: groups.column(result, limb, name) for t, result in trainings.items()}
    infants = np.concatenate(groups.clusters(values))
    return float(infants.mean()) if len(infants) else None


def compared(evidence: Evidence) -> str:
    """Returns a table of all comparisons with intervals, verdicts and p-values."""
    if not evidence.compared:
        return NOTHING
    margins = evidence.plan.margins
    names = [comparisons.share_name(margins.primary)]
    names += [comparisons.share_name(share) for share in margins.sensitivity]
    names.append(f"{margins.px:g} px")
    header = ["ours minus theirs, px of 128x96", "all limbs", *LIMB_TITLES, "ratio"]
    header += ["p", *(f"within {name}" for name in names), "missed", "pairs", "infants"]
    rows = [_comparison(one, names) for one in evidence.compared]
    return table(header, rows) + (
        "\nNegative: ours has the lower error. p: two-sided, of the mean over limbs; corrected by "
        "Holm's method within a data set and setting unless the comparison is confirmatory (bold). "
        f"Within a margin: non-inferior by that share of the error of {margins.reference}, for the "
        "mean and every limb.\n"
    )


def _comparison(one: Compared, names: list[str]) -> list[str]:
    title = f"{one.comparison.ours} - {one.comparison.theirs}"
    title = f"**{title}**" if one.comparison.confirmatory else title
    p = f"{one.p_holm:.3f}"
    if one.sign_flip is not None:
        p += f" (sign flips {one.sign_flip:.3f})"
    return [
        f"{title}, {place(one.data, one.setting)}",
        *(interval(one.differences[limb]) if limb in one.differences else "-" for limb in COLUMNS),
        f"{one.ratio:.3f}",
        p,
        *({True: "yes", False: "no", None: "-"}[one.non_inferior[name]] for name in names),
        " / ".join(percent(share) for share in one.missed),
        f"{one.pairs} of {one.expected}",
        str(one.differences["all"].infants),
    ]


def predictions(evidence: Evidence) -> str:
    """Returns a table of what was expected before the first job, beside what was measured."""
    rows = []
    for one in evidence.plan.predictions:
        expected = f"{one.low:.2f} to {one.high:.2f}"
        measured = [
            c for c in evidence.compared
            if (c.comparison.ours, c.comparison.theirs) == (one.ours, one.theirs)
        ]  # fmt: skip
        title = f"{one.ours} / {one.theirs}"
        if not measured:
            rows.append([title, expected, one.why, "", "not measured", ""])
        for c in measured:
            inside = "yes" if one.low <= c.ratio <= one.high else "no"
            pairs = f"{c.pairs} of {c.expected}"
            rows.append(
                [title, expected, one.why, place(c.data, c.setting), f"{c.ratio:.3f} ({pairs})"]
                + [inside]
            )
    header = ["ratio of mean errors", "expected", "why", "measured on", "ratio (pairs)", "inside"]
    return table(header, rows)
