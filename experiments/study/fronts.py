"""Evidence -> arms whose errors and costs can be in one picture, and both numbers of each.

Only regression nets count that differ from each other in their kernels (and the learning rate that
was chosen for them): of another change the regression net's cost says nothing. Their errors are
those of the same seeds and folds, because other infants have other errors.
"""

import dataclasses
from collections.abc import Mapping

from data_pipeline.examples.clips import CLIP
from experiments.study.comparisons import arm_errors
from experiments.study.evidence import Evidence
from experiments.study.groups import Group
from experiments.study.statistics import Estimate
from jaxpose.cost.accounting import net_cost
from jaxpose.nets import regression
from jaxpose.nets.factorise import VARIANTS

OF_KERNELS = {"variant", "regression.learning_rate"}
"""Options that an arm may have of its own."""

Costs = Mapping[str, tuple[float, float]]
"""Arm -> its cost, and by how much that spreads to either side."""


@dataclasses.dataclass(frozen=True)
class Front:
    """What a picture of error against cost shows of a data set in a setting.

    Attributes:
      group: the arms that have all the shared trainings, and those trainings alone.
      left_out: arms that lack some, with the numbers of trainings that they have and need.
    """

    group: Group
    left_out: Mapping[str, tuple[int, int]]

    @property
    def errors(self) -> dict[str, Estimate]:
        """Estimates of the mean errors over limbs, all over the same trainings."""
        return {arm: arm_errors(self.group, arm)["all"] for arm in self.group.arms}

    @property
    def note(self) -> str:
        """Says which trainings count, and which arms are left out."""
        (first, *_) = self.group.arms.values()
        seeds = sorted({str(seed) for seed, _ in first})
        count = f"{len(first)} trainings" if len(first) > 1 else "training"
        text = (
            f"All errors are over the same {count} (seed {', '.join(seeds)}), and all arms differ "
            "in the kernels of the regression net alone."
        )
        if self.left_out:
            arms = (f"{arm} ({have} of {need})" for arm, (have, need) in self.left_out.items())
            text += f" Left out until they have these trainings: {', '.join(arms)}."
        return text


def front(group: Group) -> Front | None:
    """Returns what a picture can show; None if no two arms of different cost are complete.

    The shared trainings are those that the plan has for every arm.
    """
    own = {arm: next(iter(trainings.values()))["own_options"]
           for arm, trainings in group.arms.items()}  # fmt: skip
    arms = [arm for arm in group.expected if arm in own and set(own[arm]) <= OF_KERNELS]
    if not arms:
        return None
    shared = set.intersection(*({*group.expected[arm]} for arm in arms))
    have = {arm: shared & group.arms[arm].keys() for arm in arms}
    complete = {
        arm: {training: group.arms[arm][training] for training in sorted(shared, key=str)}
        for arm in arms
        if have[arm] == shared
    }
    shown = Group(complete, {arm: tuple(trainings) for arm, trainings in complete.items()})
    if not shared or len({cost for cost, _ in gmacs(shown).values()}) < 2:
        return None
    left_out = {arm: (len(have[arm]), len(shared)) for arm in arms if arm not in complete}
    return Front(shown, left_out)


def gmacs(group: Group) -> dict[str, tuple[float, float]]:
    """Counts useful MACs of the regression net per clip, in units of 1e9: arm -> (value, 0)."""
    values = {}
    for arm, trainings in group.arms.items():
        recipe = next(iter(trainings.values()))["recipe"]
        net = regression.net(VARIANTS[recipe["variant"]], recipe["regression"]["width"])
        columns, rows = (int(size) for size in recipe["grid"].split("x"))
        values[arm] = (net_cost(net.layers, (CLIP, rows, columns)).macs_useful / 1e9, 0.0)
    return values


def times(evidence: Evidence, group: Group) -> dict[str, dict[str, tuple[float, float]]]:
    """Returns measured times of forward passes of one clip: runtime and type -> arm -> ms, spread.

    Only benchmarks of the group's size count. Of our lowerings the fastest of each arm counts.
    """
    series: dict[str, dict[str, tuple[float, float]]] = {}
    for arm, trainings in group.arms.items():
        recipe = next(iter(trainings.values()))["recipe"]
        for result in evidence.benchmarks.values():
            _, rows, columns = result["clip"]
            same = result["width"] == recipe["regression"]["width"]
            if f"{columns}x{rows}" != recipe["grid"] or not same:
                continue
            for row in result["rows"]:
                task = (row["net"], row["variant"], row["what"], row["batch"])
                if task != ("regression", recipe["variant"], "forward", 1):
                    continue
                name = f"{result['cpu']}, {row['implementation']} {row['dtype']}"
                value = (row["median_ms"], (row["iqr_ms"] or 0.0) / 2)
                arms = series.setdefault(name, {})
                arms[arm] = min(arms.get(arm, value), value)
    return series
