"""A configuration -> `ConfigError` for values that no run can use, before any work."""

import math
from pathlib import Path

from data_pipeline.datasets import DATASETS
from data_pipeline.examples.frames import grid_of
from experiments.config import Config, ConfigError, Machine, Place
from experiments.data import is_prepared
from experiments.recipe import SEEDS, STAGES, Recipe
from jaxpose.lowering import LOWERINGS
from jaxpose.nets.detection import SHRINK
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS
from jaxpose.training.checkpoints import CheckpointError, check_folder


def check(config: Config) -> None:
    """Checks all options of a run.

    Raises:
      ConfigError: a value that no run can use. This holds for the other functions here, too.
    """
    check_names(config)
    check_grid(config.recipe.grid)
    check_numbers(config.recipe)
    check_split(config.recipe)
    check_place(config.place, config.recipe)
    check_machine(config.machine, config.recipe)


def check_names(config: Config) -> None:
    """Checks that everything that an option names exists."""
    recipe = config.recipe
    for option, value, known in (
        ("variant", recipe.variant, VARIANTS),
        ("data set", recipe.dataset, DATASETS),
        ("factorisation", recipe.detection.factorise, FACTORISATIONS),
        ("lowering", config.machine.lowering, ("auto", *LOWERINGS)),
    ):
        if value not in known:
            raise ConfigError(f"unknown {option} {value!r}; one of: {', '.join(known)}")
    builders = DATASETS[recipe.dataset].configs
    if recipe.builder is not None and recipe.builder not in builders:
        raise ConfigError(
            f"unknown --builder {recipe.builder!r} for {recipe.dataset}; one of: "
            f"{', '.join(builders)}"
        )
    data_dir = config.place.data_dir
    if recipe.builder is not None and is_prepared(data_dir):
        raise ConfigError(
            f"--builder={recipe.builder} has no effect on {data_dir}, which was prepared already; "
            "omit it, and pass it to `python -m data_pipeline.prepare`"
        )


def check_grid(text: str) -> tuple[int, int]:
    """Checks that the nets can use a grid such as "64x48"; returns its rows and columns."""
    rows, cols = grid_of(text)
    if rows % SHRINK or cols % SHRINK:
        raise ConfigError(
            f"--grid={text}: the detection net halves the grid four times; expected columns and "
            f"rows divisible by {SHRINK}, such as 64x48 or 128x96"
        )
    return rows, cols


def check_min_score(min_score: float) -> None:
    """Checks that a perfect peak can reach the score."""
    if not 0 < min_score <= 1:
        raise ConfigError(f"--min_score={min_score:g}: expected more than 0, at most 1")


def check_numbers(recipe: Recipe) -> None:
    """Checks that every number of a recipe lies in its range."""
    detection, regression = recipe.detection, recipe.regression
    for option, value in (
        ("width", recipe.width),
        ("detection.width", detection.width),
        ("regression.width", regression.width),
        ("radius", recipe.radius),
        ("bn_epsilon", recipe.bn_epsilon),
        ("detection.learning_rate", detection.learning_rate),
        ("regression.learning_rate", regression.learning_rate),
        ("regression.std_over_radius", regression.std_over_radius),
        ("regression.target_scale", regression.target_scale),
    ):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{option}={value:g}: expected a number above 0")
    if not 0 <= recipe.seed < SEEDS:
        raise ConfigError(f"--seed={recipe.seed}: expected 0 to {SEEDS - 1}")
    check_min_score(recipe.min_score)
    if recipe.batch_size is not None and recipe.batch_size < 1:
        raise ConfigError(f"--batch_size={recipe.batch_size}: expected 1 or more")
    for option, value in (
        ("bn_momentum", recipe.bn_momentum),
        ("detection.momentum", detection.momentum),
        ("regression.momentum", regression.momentum),
    ):
        if not 0 <= value < 1:
            raise ConfigError(f"--{option}={value:g}: expected 0 or more, and less than 1")
    for stage in STAGES:
        settings = recipe.stage(stage)
        for option, least in (
            ("batch_size", 1),
            ("epochs", 1),
            ("steps_per_epoch", 1),
            ("warmup_steps", 0),
        ):
            value = getattr(settings, option)
            if value is not None and value < least:
                raise ConfigError(f"--{stage}.{option}={value}: expected {least} or more")


def check_split(recipe: Recipe) -> None:
    """Checks that ids and folds name each part of the split once."""
    for part, ids in recipe.ids.items():
        if repeated := [subject for subject in ids or () if ids.count(subject) > 1]:
            raise ConfigError(f"--{part}_ids names {repeated[0]} twice; expected each id once")
    folds, fold = recipe.folds, recipe.fold
    if folds is None and fold is None:
        return
    if folds is None or fold is None:
        raise ConfigError("--folds and --fold belong together: --folds=5 --fold=0")
    if folds < 3:
        raise ConfigError(
            f"--folds={folds}: expected 3 or more: one tests, one validates, the others train"
        )
    if not 0 <= fold < folds:
        raise ConfigError(f"--fold={fold}: expected 0 to {folds - 1}")
    if recipe.split != "by_infant":
        raise ConfigError("--folds divides the infants; expected --split=by_infant")
    if named := [part for part, ids in recipe.ids.items() if ids is not None]:
        raise ConfigError(f"--folds decides who is in which part; omit --{named[0]}_ids")


def check_place(place: Place, recipe: Recipe) -> None:
    """Checks that the run's folder can have its name, and that a data folder is named."""
    name = place.name
    if name is not None and (
        name in ("", ".", "..", "detectors") or Path(name).name != name or name.startswith(".")
    ):
        raise ConfigError(
            f"--name={name}: expected a plain folder name inside --runs_dir, not 'detectors'"
        )
    try:
        check_folder(place.runs_dir / (name or ""))
    except CheckpointError as error:
        raise ConfigError(f"--runs_dir: {error}") from None
    check_data_dir(recipe.dataset, place.data_dir)


def check_data_dir(dataset: str, data_dir: Path | None) -> None:
    """Raises `ConfigError` where a data set that cannot be created here has no folder."""
    if dataset in DATASETS and dataset != "simulated" and data_dir is None:
        raise ConfigError(
            f"--dataset={dataset} needs --data_dir, the folder with its files: "
            f"{DATASETS[dataset].layout}"
        )


def check_machine(machine: Machine, recipe: Recipe) -> None:
    """Checks that micro-batches divide the batches."""
    for stage in STAGES:
        parts = machine.micro_batches(stage)
        batch = recipe.batch_size or recipe.stage(stage).batch_size
        if parts < 1 or batch % parts:
            raise ConfigError(
                f"--{stage}_micro_batches={parts}: expected a divisor of the {batch} clips of a "
                "batch"
            )
