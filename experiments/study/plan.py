"""A plan file in TOML -> what is fixed before the first job of the study.

    [margins]                        see `Margins`
    [recipe]                         options of all jobs, in place of those of quick
    [data.NAME]                      see `Data`
    [arms.NAME]                      options of `experiments.run`, such as variant = "asy"
    [[comparisons]]                  ours, theirs, and whether the comparison is confirmatory
    [[predictions]]                  what was expected before the first job
    [[parts]]                        part, data, arms, seeds, folds; see `Part`

An *arm* is what is compared: a regression net, or a setting of the recipe. The plan is committed
before its first job. Recipes start from the preset quick; an option in [recipe] is replaced by that
of a part, and this by that of an arm.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.config import ConfigError

Options = Mapping[str, str | int | float]
"""Options of `experiments.run` without their hyphens -> values."""


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set of the study.

    Attributes:
      name: name in the plan.
      dataset: data set of `experiments.run`.
      infants: number of infants or subjects.
      frames: number of frames of each, about.
      seed: seed of the simulation. None: files that the user names with --folders.
      size: (width, height) of simulated images.
    """

    name: str
    dataset: str
    infants: int
    frames: int
    seed: int | None = None
    size: tuple[int, int] = (320, 240)


@dataclasses.dataclass(frozen=True)
class Margins:
    """Margins of non-inferiority: shares of the reference's error, and px of 128x96."""

    reference: str
    primary: float
    sensitivity: tuple[float, ...] = ()
    px: float = 1.0


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two arms that are compared, in the settings where both were trained."""

    ours: str
    theirs: str
    confirmatory: bool = False


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was expected: the ratio of two arms' errors, between two numbers."""

    ours: str
    theirs: str
    low: float
    high: float
    why: str


@dataclasses.dataclass(frozen=True)
class Part:
    """Some jobs of the plan.

    Attributes:
      part: letter of the part in the question.
      data: name of a data set of the plan.
      arms: names of arms.
      seeds: seeds of the trainings.
      folds: number of folds; None: the split of the arm's own options.
      only: folds that are computed; None: all.
      setting: name of what `options` change, "" for nothing.
      options: options of all arms of this part.
    """

    part: str
    data: str
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    folds: int | None = None
    only: tuple[int, ...] | None = None
    setting: str = ""
    options: Options = dataclasses.field(default_factory=dict, hash=False)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that is fixed before the first job."""

    path: Path
    recipe: Options
    data: dict[str, Data]
    arms: dict[str, Options]
    margins: Margins
    comparisons: tuple[Comparison, ...]
    predictions: tuple[Prediction, ...]
    parts: tuple[Part, ...]


def read_plan(path: Path) -> Plan:
    """Reads a plan.

    Raises:
      ConfigError: the file is missing, is not TOML, or has names that are not defined in it.
    """
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not TOML ({error})") from None
    try:
        plan = Plan(
            path=path,
            recipe=values.get("recipe", {}),
            data={name: Data(name, **_tuples(v)) for name, v in values["data"].items()},
            arms=values["arms"],
            margins=Margins(**_tuples(values["margins"])),
            comparisons=tuple(Comparison(**v) for v in values.get("comparisons", ())),
            predictions=tuple(Prediction(**v) for v in values.get("predictions", ())),
            parts=tuple(Part(**_tuples(v)) for v in values["parts"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}; see the top of experiments/study/plan.py") from None
    _check_references(plan)
    return plan


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def _check_references(plan: Plan) -> None:
    named = [arm for part in plan.parts for arm in part.arms]
    named += [arm for pair in (*plan.comparisons, *plan.predictions) for arm in
              (pair.ours, pair.theirs)]  # fmt: skip
    for what, names, known in (
        ("data set", [part.data for part in plan.parts], plan.data),
        ("arm", [*named, plan.margins.reference], plan.arms),
    ):
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(
                f"{plan.path}: unknown {what} {unknown[0]!r}; one of: {', '.join(known)}"
            )
