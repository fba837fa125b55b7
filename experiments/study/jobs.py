"""A plan -> its jobs: every arm x seed x fold x data set, with the recipe of each."""

import dataclasses

from experiments.checks import check_names, check_numbers, check_split
from experiments.config import Config, ConfigError
from experiments.recipe import PRESETS, Recipe, settle
from experiments.study.plan import Data, Options, Part, Plan


@dataclasses.dataclass(frozen=True)
class Job:
    """One training of the study: an arm, a seed and a fold on a data set.

    Attributes:
      name: name of its result file and its run folder.
      own: options of the arm, which may differ from those of other arms.
      recipe: the settled recipe.
    """

    name: str
    part: str
    data: Data
    arm: str
    setting: str
    seed: int
    folds: int | None
    fold: int | None
    own: tuple[str, ...]
    options: Options = dataclasses.field(hash=False)
    recipe: Recipe = dataclasses.field(hash=False)

    def arguments(self) -> list[str]:
        """Returns the options of `experiments.run` that determine the result."""
        return [f"--{name}={value}" for name, value in self.options.items()]

    def facts(self) -> dict:
        """Returns what its result file says of the job, besides its recipe, as JSON."""
        return {
            "job": self.name,
            "part": self.part,
            "data": self.data.name,
            "arm": self.arm,
            "setting": self.setting,
            "seed": self.seed,
            "folds": self.recipe.folds,
            "fold": self.recipe.fold,
            "own_options": list(self.own),
        }


def jobs_of(plan: Plan) -> list[Job]:
    """Lists the jobs, part by part; within a part seed by seed, fold by fold, arm by arm.

    All arms of a seed and fold follow one another, because they share a detection net: if the
    machine goes away, few pairs are incomplete, and a net that is trained anew on another type of
    machine makes no pair with the old one.

    Raises:
      ConfigError: an arm has an option that no run can use, or two jobs have one name.
    """
    jobs = [
        _job(plan, part, arm, seed, fold)
        for part in plan.parts
        for seed in part.seeds
        for fold in _folds(part)
        for arm in part.arms
    ]
    names = [job.name for job in jobs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{plan.path}: two jobs are called {repeated[0]}; add a setting")
    return jobs


def _folds(part: Part) -> tuple[int | None, ...]:
    if part.folds is None:
        return (None,)
    return tuple(range(part.folds)) if part.only is None else part.only


def _job(plan: Plan, part: Part, arm: str, seed: int, fold: int | None) -> Job:
    data, own = plan.data[part.data], plan.arms[arm]
    options = {"dataset": data.dataset, "seed": seed, **plan.recipe}
    if fold is not None:
        options |= {"folds": part.folds, "fold": fold}
    options |= {**part.options, **own}
    words = [part.part, part.data, arm, part.setting, f"seed{seed}"]
    words += [] if fold is None else [f"fold{fold}of{part.folds}"]
    name = "-".join(word for word in words if word)
    try:
        recipe = recipe_of(options)
    except ConfigError as error:
        raise ConfigError(f"{plan.path}: {name}: {error}") from None
    return Job(
        name=name,
        part=part.part,
        data=data,
        arm=arm,
        setting=part.setting,
        seed=seed,
        folds=part.folds,
        fold=fold,
        own=tuple(sorted(own)),
        options=options,
        recipe=recipe,
    )


def recipe_of(options: Options) -> Recipe:
    """Returns the settled recipe that `experiments.run` makes of these options.

    Raises:
      ConfigError: an option does not exist, or has a value that no run can use.
    """
    recipe = PRESETS["quick"]
    for name, value in options.items():
        stage, _, field = name.rpartition(".")
        try:
            if stage:
                section = _replace(recipe.stage(stage), field, value)
                recipe = dataclasses.replace(recipe, **{stage: section})
            else:
                recipe = _replace(recipe, field, value)
        except (AttributeError, TypeError, ValueError):
            raise ConfigError(f"{name} = {value!r}: not an option of experiments.run") from None
    check_names(Config(recipe=recipe))
    check_numbers(recipe)
    check_split(recipe)
    return settle(recipe)


def _replace(section, field: str, value):
    """Replaces a field by a value of the type that it has; TOML writes 3 for 3.0."""
    if isinstance(getattr(section, field), float):
        value = float(value)
    return dataclasses.replace(section, **{field: value})
