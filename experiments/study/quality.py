"""Trainings -> how long each net takes to a validation error that was fixed beforehand."""

import statistics
from collections.abc import Mapping, Sequence

from experiments.recipe import PRESETS
from experiments.study.groups import Group

TARGET = 0.6
"""Share of the targets' mean square that the regression net leaves unexplained on validation
infants. All-zero maps have 1. Fixed before the first job of the study, from a run on simulated
infants of another seed, whose net ended at 0.52."""
MEASURE = "val_unexplained"


def epochs_to(history: Mapping[str, Sequence[float]], target: float = TARGET) -> int | None:
    """Returns the first epoch, from 1, with at most the target's error; None if there is none."""
    values = history.get(MEASURE, ())
    return next((k for k, value in enumerate(values, 1) if value <= target), None)


def rows(group: Group, step_ms: Mapping[str, float]) -> list[list[str]]:
    """Returns a row per arm: trainings, how many reach the target, epochs, and minutes.

    The minutes are the median of the epochs times the steps of an epoch times the benchmarked time
    of a step, which `step_ms` has by variant; without one they are blank.
    """
    lines = []
    for arm, trainings in group.arms.items():
        epochs = [epochs_to(one["history"]["regression"]) for one in trainings.values()]
        reached = [epoch for epoch in epochs if epoch is not None]
        recipe = next(iter(trainings.values()))["recipe"]
        middle = statistics.median(reached) if len(reached) == len(epochs) else None
        ms = step_ms.get(recipe["variant"])
        minutes = ""
        if middle is not None and ms is not None:
            minutes = f"{middle * recipe['regression']['steps_per_epoch'] * ms / 6e4:.1f}"
        lines.append(
            [
                arm,
                f"{len(reached)} of {len(epochs)}",
                f"{min(reached)} to {max(reached)}" if reached else "",
                "" if middle is None else f"{middle:g}",
                minutes,
            ]
        )
    return lines


def steps() -> int:
    """Returns the number of steps of a regression net's training in the preset quick."""
    stage = PRESETS["quick"].regression
    return stage.epochs * stage.steps_per_epoch
