"""Two detection nets -> their gaps between training and validation, and their gradients.

The paper expects a detection net with asymmetric kernels, which has three times the layers, to
overfit or to lose the gradients of its first layers.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.study.groups import Group


@dataclasses.dataclass(frozen=True)
class Depth:
    """Measures of one arm's detection nets, means over trainings.

    Attributes:
      gap: validation loss minus training loss, in the first epoch whose training loss is at most
        the one that both arms reach; nats per pixel.
      gradients: norm of the first layer's gradient over that of the last layer, the geometric mean
        over epochs and trainings.
      least: the smallest such ratio of any epoch.
    """

    gap: float
    gradients: float
    least: float


def compare(group: Group, arms: Sequence[str]) -> tuple[dict[str, Depth], int]:
    """Measures the detection nets of two arms in the trainings that both have.

    Returns the measures by arm, and the number of trainings; nothing if a result lacks its history.
    """
    shared = set.intersection(*({*group.arms.get(arm, {})} for arm in arms))
    pairs = [
        {arm: group.arms[arm][training]["history"]["detection"] for arm in arms}
        for training in sorted(shared, key=str)
        if all("val_loss" in _history(group.arms[arm][training]) for arm in arms)
    ]
    if not pairs:
        return {}, 0
    return {arm: _depth(pairs, arm) for arm in arms}, len(pairs)


def _history(result: dict) -> Mapping[str, list[float]]:
    return (result.get("history") or {}).get("detection", {})


def _depth(pairs: Sequence[Mapping[str, Mapping]], arm: str) -> Depth:
    gaps, ratios = [], []
    for pair in pairs:
        reached = max(min(history["loss"]) for history in pair.values())
        loss, validation = (np.array(pair[arm][name]) for name in ("loss", "val_loss"))
        epoch = int(np.argmax(loss <= reached))  # the first
        gaps.append(validation[epoch] - loss[epoch])
        ratios.append(np.array(pair[arm]["gradient_first"]) / pair[arm]["gradient_last"])
    logs = np.log(np.concatenate(ratios))
    return Depth(float(np.mean(gaps)), float(np.exp(logs.mean())), float(np.exp(logs.min())))


def sentence(group: Group | None, deep: str, shallow: str) -> str:
    """Describes both in a sentence; empty where there is nothing to describe."""
    measured, count = compare(group, (deep, shallow)) if group is not None else ({}, 0)
    if not count:
        return ""
    a, b = measured[deep], measured[shallow]
    return (
        f"at equal training loss the validation loss is higher by {a.gap:.2g} ({deep}) and "
        f"{b.gap:.2g} ({shallow}) nats per pixel; the first layer's gradient over the last one's "
        f"is {a.gradients:.2g} (least {a.least:.2g}) and {b.gradients:.2g} (least {b.least:.2g}), "
        f"n = {count} trainings"
    )
