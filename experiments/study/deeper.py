"""Two detection nets -> whether the deeper one overfits, and whether its gradients vanish.

The paper expects a detection net with asymmetric kernels, which has three times the layers, to
overfit or to lose the gradients of its first layers. Overfitting is a larger gap between training
and validation at comparable training loss: a net that has not learned says nothing about it.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from experiments.study import groups, statistics
from experiments.study.claim import Verdict
from experiments.study.groups import Group, Training
from experiments.study.statistics import Estimate

COMPARABLE = 1.1
"""Training losses are comparable if that of the deeper net is at most this many times the other."""
VANISHED = 0.1
"""Gradients vanish where the norm of the first layer's is less than this share of the last's, in
the geometric mean over epochs."""

History = Mapping[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Depth:
    """Measures of one arm's detection net in one training.

    Attributes:
      loss: smallest training loss of an epoch, nats per pixel.
      gap: validation loss minus training loss, in the first epoch whose training loss is at most
        the one that both arms reach; nats per pixel.
      gradients: norm of the first layer's gradient over that of the last layer, the geometric mean
        over epochs.
      least: the smallest such ratio of any epoch.
    """

    loss: float
    gap: float
    gradients: float
    least: float


@dataclasses.dataclass(frozen=True)
class Depths:
    """The detection nets of two arms in the trainings that both have.

    Attributes:
      deep, shallow: training -> measures.
      steps: number of steps of the deeper net's training.
      expected: number of trainings in the plan.
    """

    deep: Mapping[Training, Depth]
    shallow: Mapping[Training, Depth]
    steps: int
    expected: int

    @property
    def losses(self) -> tuple[float, float]:
        """Mean training losses of the deeper net and of the other one, nats per pixel."""
        deep, shallow = (
            float(np.mean([one.loss for one in arm.values()])) for arm in (self.deep, self.shallow)
        )
        return deep, shallow

    @property
    def gap(self) -> Estimate:
        """How much larger the deeper net's gap is, nats per pixel."""
        values = {t: np.array([one.gap - self.shallow[t].gap]) for t, one in self.deep.items()}
        return statistics.estimate(groups.clusters(values))

    @property
    def learned(self) -> bool:
        """Whether the training losses are comparable."""
        deep, shallow = self.losses
        return deep <= COMPARABLE * shallow

    @property
    def vanished(self) -> int:
        """In how many trainings the deeper net's gradients vanish."""
        return sum(one.gradients < VANISHED for one in self.deep.values())

    @property
    def complete(self) -> bool:
        """Whether all trainings of the plan are there, of more than one fold."""
        return len(self.deep) == self.expected and self.gap.over_trainings

    def overfitting(self) -> Verdict:
        """Decides whether the deeper net overfits more than the other one."""
        if not (self.complete and self.learned):
            return "not decided"
        if self.gap.low > 0:
            return "holds"
        return "does not hold" if self.gap.high < 0 else "not decided"

    def vanishing(self) -> Verdict:
        """Decides whether the deeper net's gradients vanish."""
        if not self.complete:
            return "not decided"
        if not self.vanished:
            return "does not hold"
        return "holds" if self.vanished == len(self.deep) else "holds in part"

    def verdict(self) -> Verdict:
        """Decides the whole claim, which is that one or the other happens."""
        parts = (self.overfitting(), self.vanishing())
        if parts == ("holds", "holds"):
            return "holds"
        if "holds" in parts or "holds in part" in parts:
            return "holds in part"
        return "does not hold" if parts == ("does not hold",) * 2 else "not decided"


def compare(group: Group | None, deep: str, shallow: str) -> Depths | None:
    """Measures the detection nets of two arms; None if no training has the history of both."""
    arms = {} if group is None else group.arms
    ours, theirs = (
        {t: one for t, one in arms.get(arm, {}).items() if "val_loss" in _history(one)}
        for arm in (deep, shallow)
    )
    shared = sorted(ours.keys() & theirs.keys(), key=str)
    if not shared:
        return None
    measures: tuple[dict, dict] = ({}, {})
    for training in shared:
        pair = [_history(arm[training]) for arm in (ours, theirs)]
        reached = max(min(history["loss"]) for history in pair)
        for of_arm, history in zip(measures, pair, strict=True):
            of_arm[training] = _depth(history, reached)
    stage = ours[shared[0]]["recipe"]["detection"]
    steps = stage["epochs"] * stage["steps_per_epoch"]
    return Depths(*measures, steps=steps, expected=len(group.expected[deep]))


def _history(result: dict) -> History:
    return (result.get("history") or {}).get("detection", {})


def _depth(history: History, reached: float) -> Depth:
    """Measures a net; `reached` is the training loss that both nets reach."""
    loss, validation = (np.array(history[name]) for name in ("loss", "val_loss"))
    epoch = int(np.argmax(loss <= reached))  # the first
    logs = np.log(np.array(history["gradient_first"]) / history["gradient_last"])
    return Depth(
        loss=float(loss.min()),
        gap=float(validation[epoch] - loss[epoch]),
        gradients=float(np.exp(logs.mean())),
        least=float(np.exp(logs.min())),
    )


def sentence(depths: Depths) -> str:
    """Says of both parts of the claim what is known."""
    n, (deep, shallow) = len(depths.deep), depths.losses
    losses = f"training loss {deep:.3g} against {shallow:.3g} nats per pixel"
    if depths.learned:
        one = depths.gap
        spread = f" [{one.low:+.2g} to {one.high:+.2g}]" if one.infants > 1 else ""
        overfits = (
            f"validation loss minus training loss, at equal training loss, differs by "
            f"{one.mean:+.2g}{spread} nats per pixel ({losses})"
        )
    else:
        overfits = f"the deeper net has not learned as much after {depths.steps:,} steps ({losses})"
    logs = [np.log(one.gradients) for one in depths.deep.values()]
    least = min(one.least for one in depths.deep.values())
    return (
        f"overfitting: {depths.overfitting()}, {overfits}; vanishing gradients: "
        f"{depths.vanishing()}, the first layer's gradient is {np.exp(np.mean(logs)):.2g} times "
        f"the last one's (least of any epoch {least:.2g}), less than {VANISHED:g} times in "
        f"{depths.vanished} of {n} trainings; {n} of {depths.expected} trainings"
    )
