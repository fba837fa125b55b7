"""The recipe of a run: what is trained, on what, and how. Presets, and the default folder name.

The default preset, quick, takes minutes on two cores; docs/paper.md lists where it differs from the
paper. long is quick with more steps, for the model that
jaxpose ships. paper has all values of the paper, and its split. finetune, which --init implies,
goes on from a model with a few hundred small steps.
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection
from typing import Annotated, Literal

from tyro.conf import Fixed, FlagConversionOff, Suppress, arg

from data_pipeline.datasets import DATASETS, builders_help
from data_pipeline.examples.splits import PARTS, Kind, named_ids
from jaxpose.decoding.peaks import Decoding
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS
from jaxpose.specification import Linking, Maps
from jaxpose.training.loop import Optimisation

SEEDS = 2**32
"""Number of different seeds: JAX uses 32 bits of a seed, so weights would repeat without notice."""
STAGES = ("detection", "regression")
"""Names of the two trainings, and of their nets."""
FROM_WIDTH = ("width", "batch_size")
"""Options of the recipe that only set the same option of both stages."""


@dataclasses.dataclass(frozen=True)
class Detection(Optimisation):
    """Training of stage 1, the detection net, on binary masks."""

    output_bias: float = 0.0
    """Initial log-odds of every pixel."""
    width: float | None = None
    """Width multiplier of the detection net. None: --width."""
    factorise: Annotated[
        str, arg(help=f"What replaces the net's 3x3x3 convolutions: {', '.join(FACTORISATIONS)}.")
    ] = "full"


@dataclasses.dataclass(frozen=True)
class Regression(Optimisation):
    """Training of stage 2, the regression net, on Gaussian masks, with the detection net frozen."""

    std_over_radius: float = 3.0
    """Standard deviation of the Gaussian masks over their radius; the paper's text says 3."""
    target_scale: float = 1.0
    """Factor by which the target maps are multiplied."""
    zero_output: bool = False
    """Initialise the last layer so that all maps are 0."""
    input_masks: Literal["detected", "true"] = "detected"
    """Maps beside depth in the input. true, also in tests, shows what errors the detector adds."""
    width: float | None = None
    """Width multiplier of the regression net. None: --width."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that determines the result of a run."""

    variant: Annotated[str, arg(help=f"Regression net: {', '.join(VARIANTS)}.")] = "asy"
    dataset: Annotated[str, arg(help=f"Data set: {', '.join(DATASETS)}.")] = "simulated"
    preset: str = "quick"
    """Defaults of the other options: quick, long, paper, finetune. On two cores, quick takes
    minutes; long has five to eight times as many steps. --init implies finetune."""
    seed: int = 0
    """Seed of initial weights and of the order of clips; 0 to 2^32 - 1."""
    split: Annotated[
        Kind,
        arg(
            help="How frames are divided. by_infant: the test infants are not trained on. "
            "within_infant: 75.1 percent of each infant's frames train, the others test (the "
            "paper)."
        ),
    ] = "by_infant"
    folds: int | None = None
    """Number of folds of a cross-validation by infant; one per subject is leave-one-out."""
    fold: int | None = None
    """Fold that is tested, 0 to folds - 1. The next fold validates, the others train."""
    train_ids: str | None = None
    """Ids of the infants or subjects to train on, such as 1,2,3. None: those in no other part."""
    val_ids: str | None = None
    """Ids of the infants or subjects whose errors select the best epoch."""
    test_ids: str | None = None
    """Ids of the infants or subjects to test on."""
    builder: Annotated[
        str | None,
        arg(
            help=f"{builders_help()} The configuration of a prepared file is that of "
            "`data_pipeline.prepare`."
        ),
    ] = None
    grid: str = "64x48"
    """Columns and rows of the nets' input, such as 64x48."""
    width: float = 0.25
    """Width multiplier: factor of every number of channels of both nets."""
    radius: float = 3.0
    """Radius r of the masks, px of the grid."""
    mirror: FlagConversionOff[bool] = True
    """Also train on mirror images, with left and right exchanged."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; bfloat16 with float32 weights is mixed precision."""
    bn_momentum: float = 0.9
    """Weight of the old running statistics of batch norm when a step updates them."""
    bn_epsilon: float = 1e-5
    """Number that batch norm adds to the variance."""
    min_score: float = Decoding.min_score
    """Height of a peak below which a joint counts as missing; a perfect peak is about 1."""
    maps: Maps = "combined"
    """Maps that are decoded: those of the regression net, or those of both nets combined."""
    linking: Linking = "chain"
    """How joints are linked to limbs. bipartite is the paper's."""
    batch_size: int | None = None
    """Clips per training step of both stages. None: the batch size of each stage."""
    init_digest: Annotated[str | None, Fixed, Suppress] = None
    """Hash of the model that the training goes on from; --init sets it."""
    detection: Detection = Detection(
        "adam", 1e-2, "cosine", epochs=10, steps_per_epoch=30, output_bias=-4.5
    )
    regression: Regression = Regression(
        "adam",
        3e-3,
        "cosine",
        epochs=40,
        batch_size=8,
        steps_per_epoch=30,
        std_over_radius=1 / 3,
        target_scale=10.0,
        zero_output=True,
    )

    @property
    def rows_cols(self) -> tuple[int, int]:
        """The grid as (rows, columns)."""
        cols, rows = self.grid.split("x")
        return int(rows), int(cols)

    @property
    def ids(self) -> dict[str, tuple[str, ...] | None]:
        """Part of the split -> ids of its subjects; None where the option is not set."""
        return {part: named_ids(getattr(self, f"{part}_ids")) for part in PARTS}

    def stage(self, name: str) -> Detection | Regression:
        """Returns the options of one of `STAGES`."""
        return getattr(self, name)

    def as_json(self) -> dict:
        """Returns the recipe as JSON, without options that only set others, and without the hash
        of a model that it does not go on from."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in FROM_WIDTH}
        if self.init_digest is None:
            del values["init_digest"]
        return values

    @property
    def hash(self) -> str:
        """Hash of the recipe, 12 hexadecimal digits."""
        return short_hash(self.as_json())


PRESETS = {
    "quick": Recipe(),
    "long": Recipe(
        preset="long",
        detection=dataclasses.replace(Recipe.detection, epochs=30, steps_per_epoch=80),
        regression=dataclasses.replace(Recipe.regression, epochs=40, steps_per_epoch=150),
    ),
    "paper": Recipe(
        preset="paper",
        split="within_infant",
        grid="128x96",
        width=1.0,
        radius=6.0,
        mirror=False,
        maps="regression",
        linking="bipartite",
        bn_momentum=0.99,  # paper: unclear, Keras's defaults, which the group is taken to use
        bn_epsilon=1e-3,
        detection=Detection("adam", 0.01, "steps", epochs=150),
        regression=Regression("sgd", 0.01, "steps", epochs=100),
    ),
    "finetune": Recipe(
        preset="finetune",
        detection=dataclasses.replace(
            Recipe.detection, learning_rate=1e-3, epochs=8, steps_per_epoch=25
        ),
        regression=dataclasses.replace(
            Recipe.regression, learning_rate=5e-4, epochs=8, steps_per_epoch=25
        ),
    ),
}


def default_name(recipe: Recipe) -> str:
    """Returns a settled recipe's folder name; it has a hash if unnamed options are not default."""
    fold = {name: getattr(recipe, name) for name in ("folds", "fold")}
    common = {"dataset": recipe.dataset, "variant": recipe.variant, "seed": recipe.seed, **fold}
    name = f"{recipe.dataset}-{recipe.variant}-seed{recipe.seed}"
    if recipe.folds is not None:
        name += f"-fold{recipe.fold}of{recipe.folds}"
    usual = settle(dataclasses.replace(PRESETS["quick"], **common))
    return name if recipe.as_json() == usual.as_json() else f"{name}-{recipe.hash[:6]}"


def settle(recipe: Recipe) -> Recipe:
    """Sets the options that follow from others: widths and batch sizes."""
    stages = {}
    for stage in STAGES:
        settings = recipe.stage(stage)
        changed = {"width": recipe.width} if settings.width is None else {}
        if recipe.batch_size is not None:
            changed["batch_size"] = recipe.batch_size
        stages[stage] = dataclasses.replace(settings, **changed)
    return dataclasses.replace(recipe, **stages)


def flat_options(recipe: dict, without: Collection[str] = ()) -> dict:
    """Returns a recipe as `as_json` gives it with dotted names, without some options."""
    flat = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{below}": v for below, v in value.items()}
        else:
            flat[name] = value
    return {name: value for name, value in flat.items() if name not in without}


def short_hash(value) -> str:
    """Returns a hash of a value's JSON, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
