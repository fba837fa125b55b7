"""Part (c) -> what the paper's split and the order of rows do to one net's errors.

These comparisons were added after the plan. Each net was trained once.
"""

import numpy as np

from experiments.study import groups, statistics
from experiments.study.evidence import Evidence
from experiments.study.groups import ERROR
from experiments.study.texts import baseline_px, interval
from experiments.table1 import table
from experiments.table2 import PAPER_TABLE2

DATA = ("long", "")
"""Data set and setting of the plan."""
ORDERS = (("by_infant_rows", "by_infant"), ("within_infant_rows", "within_infant"))
"""Arms that differ in the order of frames: rows of the annotation file, time."""
SPLITS = ("within_infant", "by_infant")
"""Arms that differ in the split, both in time order."""
NOT_YET = "not trained yet"
BASELINES = ("mean_pose_px", "infant_mean_px")
"""Columns of a result: mean pose of the training frames, and of the same infant's."""


def text(evidence: Evidence) -> str:
    """Returns the comparisons and the errors beside those without a net."""
    group = evidence.groups.get(DATA)
    arms = group.arms if group is not None else {}
    if not arms:
        return "Not trained yet.\n"
    nets = {arm: next(iter(trainings.values())) for arm, trainings in arms.items()}
    rows = [
        [f"row order - time order ({theirs})", *_paired(nets, ours, theirs)]
        for ours, theirs in ORDERS
    ]
    rows.append(["within infants - by infant, infants that both tested", *_shared(nets)])
    header = ["difference of one net (asy), px of 128x96", "mean [95 % interval]", "infants"]
    errors = []
    for arm, trainings in arms.items():
        values = (baseline_px(trainings, name) if name in nets[arm]["infants"] else None
                  for name in (ERROR, *BASELINES))  # fmt: skip
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        errors.append([arm, *cells, str(len(nets[arm]["infants"]["id"]))])
    titles = ["RMSD with fallback, px of 128x96", "the net", "no net: mean pose"]
    titles += ["no net: mean pose of the same infant", "infants"]
    medians = [median for limbs in PAPER_TABLE2.values() for median, _ in limbs]
    return (
        "**Added after the plan, exploratory, one training each.** The intervals are about other "
        "infants under these trainings, not about other trainings: they decide nothing about "
        "order or split.\n\n"
        f"{table(header, rows)}\n"
        "Differences are paired by infant. A split within infants divides the frames in their "
        "order, so in row order other frames of the same infants are tested. Infants that a net "
        "was trained on are tested by the split within infants alone.\n\n"
        f"{table(titles, errors)}\n"
        f"The paper's Table II has medians of {min(medians):.1f} to {max(medians):.1f} px under a "
        "split within infants, on other infants and in a doubtful unit.\n"
    )


def _paired(nets: dict[str, dict], ours: str, theirs: str) -> list[str]:
    """Returns the cells of a difference of two nets that tested the same infants."""
    if ours not in nets or theirs not in nets:
        return [NOT_YET, ""]
    if why := groups.pair_differences(nets[theirs], nets[ours]):
        return [f"no pair: {why}", ""]
    return _cells(groups.column(nets[ours], "all") - groups.column(nets[theirs], "all"))


def _shared(nets: dict[str, dict]) -> list[str]:
    """Returns the cells of the difference between the splits, over the infants of both."""
    if any(arm not in nets for arm in SPLITS):
        return [NOT_YET, ""]
    ours, theirs = (
        dict(zip(nets[arm]["infants"]["id"], groups.column(nets[arm], "all"), strict=True))
        for arm in SPLITS
    )
    return _cells(np.array([ours[infant] - value for infant, value in theirs.items()
                            if infant in ours]))  # fmt: skip


def _cells(values: np.ndarray) -> list[str]:
    values = values[np.isfinite(values)]
    if not len(values):
        return ["no infant in common", "0"]
    one = statistics.estimate([values])
    return [interval(one), str(one.infants)]
