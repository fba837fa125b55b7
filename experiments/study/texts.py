"""Evidence -> the tables of the study in Markdown: progress, errors, comparisons, predictions."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from experiments.study import comparisons, groups
from experiments.study.compared import Compared
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


DETECTION = "detector_fallback_px"
"""Column of the errors of poses from the detection net's maps alone."""
BASELINES = {
    "mean_pose_px": "no net: mean pose of the training frames",
    "infant_mean_px": "no net: mean pose of the same infant's training frames",
    DETECTION: "detection alone",
}
"""Column of a result -> title of its row."""


def _baselines(group: Group) -> Iterator[list[str]]:
    """Yields rows of predictions without a regression net.

    Those without any net are of the first arm that has them. Those of the detection net are of the
    first arm with each detection net: arms with the same recipe of it share it.
    """
    for name, title in BASELINES.items():
        shown = set()
        for arm, trainings in group.arms.items():
            detection = next(iter(trainings.values()))["recipe"]["detection"]
            kind = json.dumps(detection, sort_keys=True) if name == DETECTION else ""
            if kind in shown or not all(name in one["infants"] for one in trainings.values()):
                continue
            shown.add(kind)
            means = [baseline_px(trainings, name, limb) for limb in COLUMNS]
            cells = ["-" if mean is None else f"{mean:.2f}" for mean in means]
            infants = len(
                {(fold, i) for (_, fold), one in trainings.items() for i in one["infants"]["id"]}
            )
            done = f"{len(trainings)} of {len(group.expected[arm])}"
            yield [f"{title} (as for {arm})", *cells, "", done, str(infants)]


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
    names = comparisons.margin_names(margins)
    header = ["ours minus theirs, px of 128x96", "all limbs", "all limbs, corrected", *LIMB_TITLES]
    header += ["ratio", "p", *(f"within {name}" for name in names), "missed", "pairs", "infants"]
    rows = [_comparison(one, names) for one in evidence.compared]
    return table(header, rows) + (
        "\nNegative: ours has the lower error. Intervals are 95 % intervals, not corrected for the "
        "number of comparisons. Corrected: for training infants that folds "
        "share, by the method of Nadeau and Bengio (`experiments/study/statistics.py`), which the "
        "plan does not have. p: two-sided, of the mean over limbs; corrected by Holm's method for "
        "all comparisons that the plan has for the data set and setting, unless the comparison is "
        "confirmatory (bold). Within a margin: shown to be non-inferior by that share of the error "
        f"of {margins.reference}, for the mean and every limb; in brackets what it is with the "
        "correction, where that differs. *: an interval over the infants of a single fold, which "
        "says nothing about other trainings, so that p and verdicts are blank (-). Regression "
        "maps: one of the arms decodes the maps of its regression net alone, so the other arm's "
        "errors are of these, too.\n"
    )


def p_value(p: float) -> str:
    """Formats a p-value; "-" for NaN."""
    if math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


WORDS = {True: "yes", False: "no", None: "-"}


def _within(one: Compared, name: str) -> str:
    """Says whether ours is within a margin, and, where it differs, with the correction."""
    plain, widened = (WORDS[one.non_inferior(name, widened=widened)] for widened in (False, True))
    return plain if plain == widened else f"{plain} ({widened})"


def _comparison(one: Compared, names: list[str]) -> list[str]:
    title = f"**{one.title}**" if one.confirmatory else one.title
    p = p_value(one.p_holm)
    if one.sign_flip is not None:
        p += f" (sign flips {one.sign_flip:.3f})"
    widened = one.widened["all"]
    cells = {
        limb: interval(one.differences[limb]) if limb in one.differences else "-"
        for limb in COLUMNS
    }
    return [
        f"{title}, {place(one.data, one.setting)}",
        cells.pop("all"),
        f"[{widened.low:.2f} to {widened.high:.2f}]" if one.over_trainings else "-",
        *cells.values(),
        f"{one.ratio:.3f}",
        p,
        *(_within(one, name) for name in names),
        "-" if math.isnan(one.missed[1]) else " / ".join(percent(share) for share in one.missed),
        f"{one.pairs} of {one.expected}",
        str(one.differences["all"].infants),
    ]


def outcome(one: Compared, low: float, high: float) -> str:
    """Says whether a ratio of mean errors is between two numbers, by its interval."""
    if not one.decidable:
        return "not decided"
    least, most = one.ratio_interval
    if low <= least and most <= high:
        return "inside"
    return "outside" if most < low or least > high else "straddles"


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
            maps = "" if c.error == groups.ERROR else ", regression maps of both"
            ratio = f"{c.ratio:.3f}"
            if c.over_trainings and all(map(math.isfinite, c.ratio_interval)):
                ratio += f" [{c.ratio_interval[0]:.3f} to {c.ratio_interval[1]:.3f}]"
            rows.append(
                [title, expected, one.why, place(c.data, c.setting) + maps]
                + [f"{ratio} ({c.pairs} of {c.expected})", outcome(c, one.low, one.high)]
            )
    header = ["ratio of mean errors", "expected", "why", "measured on", "ratio (pairs)"]
    return table(header + ["the interval is"], rows) + (
        "\nAn interval is inside of the expected range, outside, or straddles one of its ends. Not "
        "decided: trainings are missing, or all are of one fold.\n"
    )
