"""The configuration of a run in three parts, its command line, and two presets.

    recipe    all that determines the result: what is trained, on what, and how
    place     folders and names
    machine   how it is computed here

The default preset, quick, takes minutes on two cores. It differs from the paper where a run of some
hundred steps would learn nothing otherwise. paper has all values of the paper, and its split.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_pipeline.datasets import DATASETS
from data_pipeline.errors import UserError
from data_pipeline.examples.splits import PARTS, Kind, named_ids
from jaxpose.decoding.peaks import Decoding
from jaxpose.specification import Linking, Maps
from jaxpose.training.loop import Optimisation

SEEDS = 2**32
"""Number of seeds: JAX drops all but 32 bits of a seed, so weights would repeat unnoticed."""
FROM_WIDTH = ("width", "batch_size")
"""Options of the recipe that only set the same option of both stages."""


class ConfigError(UserError):
    """An option cannot be used. The message names it, what is expected and what to do."""


@dataclasses.dataclass(frozen=True)
class Detection(Optimisation):
    """Stage 1: the detection net, on binary masks."""

    output_bias: float = 0.0
    """Initial log-odds of every pixel."""
    width: float | None = None
    """Width multiplier of the detection net. None: --width."""
    factorise: str = "full"
    """What replaces its 3x3x3 convolutions: full, asy, planar (frame by frame), ..."""


@dataclasses.dataclass(frozen=True)
class Regression(Optimisation):
    """Stage 2: the regression net, on Gaussian masks, on top of the frozen detection net."""

    std_over_radius: float = 3.0
    """Standard deviation of the Gaussian masks over their radius; the paper's text says 3."""
    target_scale: float = 1.0
    """Factor by which targets are multiplied."""
    zero_output: bool = False
    """Start with maps that are all 0."""
    input_masks: Literal["detected", "true"] = "detected"
    """The net's input beside depth; true ones, in tests too, show what errors the detector adds."""
    width: float | None = None
    """Width multiplier of the regression net. None: --width."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that determines the result of a run."""

    variant: str = "asy"
    """Regression net: asy, full, thin, r2plus1d, dwsep, planar, or another name in `VARIANTS`."""
    dataset: str = "simulated"
    """Data set: simulated, utd_mhad, babypose."""
    preset: str = "quick"
    """quick or paper: the values that the other options start from."""
    seed: int = 0
    """Seed of initial weights and of the order of clips; 0 to 2^32 - 1."""
    split: Kind = "by_infant"
    """by_infant: test infants are never trained on; within_infant: the paper's 751/249."""
    folds: int | None = None
    """Number of folds of a cross-validation by infant; as many as subjects is leave-one-out."""
    fold: int | None = None
    """Fold to test, 0 to folds - 1. The next one validates, the others train."""
    train_ids: str | None = None
    """Infants or subjects to train on: 1,2,3."""
    val_ids: str | None = None
    """Those that choose the best epoch."""
    test_ids: str | None = None
    """Those to evaluate."""
    builder: str | None = None
    """Configuration of the data set: row_order (babypose, simulated), every1 (utd_mhad). A
    prepared file has its own: pass it to `data_pipeline.prepare`."""
    grid: str = "64x48"
    """Columns x rows of the nets' input."""
    width: float = 0.25
    """Width multiplier: multiplies every number of channels of both nets."""
    radius: float = 3.0
    """Radius r of the masks, px of the grid."""
    mirror: bool | None = None
    """Train on mirror images, too: left becomes right. None: for infants, not for utd_mhad, whose
    people act with the right hand."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; bfloat16 with float32 weights is mixed precision."""
    bn_momentum: float = 0.9
    """Weight of the old running statistics of batch norm in a step's update."""
    bn_epsilon: float = 1e-5
    """Number that batch norm adds to the variance."""
    min_score: float = Decoding.min_score
    """Peak below which a joint counts as missing; a perfect peak is about 1."""
    maps: Maps = "regression"
    """Which maps are decoded: the regression net's, or both nets' combined."""
    linking: Linking = "chain"
    """How joints are linked to limbs: chain, or bipartite, as in the paper."""
    batch_size: int | None = None
    """Clips per step of both stages. None: each stage's own."""
    detection: Detection = Detection(
        "adam", 1e-2, "cosine", epochs=10, steps_per_epoch=30, output_bias=-4.5
    )
    regression: Regression = Regression(
        "adam",
        3e-3,
        "cosine",
        epochs=20,
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

    def facts(self) -> dict:
        """Returns the recipe as JSON, without options that only set others."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in FROM_WIDTH}

    @property
    def hash(self) -> str:
        """Hash of the recipe, 12 hexadecimal digits."""
        return short_hash(self.facts())


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the data is, and where results go."""

    data_dir: str | None = None
    """Folder with the data set's own files, or a file written by `data_pipeline.prepare`.
    Simulated data is created there if there is no such folder (default data/simulated)."""
    runs_dir: str = "runs"
    """Folder of runs and shared detection nets."""
    cache_dir: str = "data/cache"
    """Folder for data on the grid, which is read from the data set's files only once."""
    name: str | None = None
    """Name of the run's folder. None: data set, variant, seed and fold, and six digits of the
    recipe's hash where anything else differs from the default."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """How the run is computed here."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where JAX runs; auto: on a GPU if JAX has one."""
    lowering: str = "auto"
    """How convolutions are computed: conv3d, folded, onednn; auto: onednn on a CPU, folded where
    that is not installed or cannot compute the precision, conv3d on a GPU."""
    feed: Literal["auto", "tensorflow", "numpy"] = "auto"
    """What prepares the batches; auto: tf.data, but numpy for a prepared file."""
    masks: Literal["pipeline", "device"] = "pipeline"
    """Where target masks are drawn: in the input pipeline or in the jitted step. They are equal."""
    detection_micro_batches: int = 1
    """Number of equal parts of a batch that a step of the detection net processes one after
    another, to need less memory. Batch norm sees one part at a time, so the result differs."""
    regression_micro_batches: int = 1
    """The same for the regression net."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains the detection and the regression net, evaluates them, writes the model, tables and
    pictures to a run folder, and prints one line of JSON. If it is stopped, the same command
    continues."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe()
    place: Annotated[Place, tyro.conf.arg(name="")] = Place()
    machine: Annotated[Machine, tyro.conf.arg(name="")] = Machine()

    @property
    def run_dir(self) -> Path:
        """Folder of the run."""
        return Path(self.place.runs_dir) / (self.place.name or default_name(self.recipe))


PRESETS = {
    "quick": Recipe(),
    "paper": Recipe(
        preset="paper",
        split="within_infant",
        grid="128x96",
        width=1.0,
        radius=6.0,
        mirror=False,
        linking="bipartite",
        bn_momentum=0.99,  # paper: unclear, Keras's defaults, which the group is taken to use
        bn_epsilon=1e-3,
        detection=Detection("adam", 0.01, "steps", epochs=150),
        regression=Regression("sgd", 0.01, "steps", epochs=100),
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
    return name if recipe.facts() == usual.facts() else f"{name}-{recipe.hash[:6]}"


def settle(recipe: Recipe) -> Recipe:
    """Sets the options that follow from others: mirror images, widths and batch sizes."""
    stages = {}
    for stage in ("detection", "regression"):
        settings = getattr(recipe, stage)
        changed = {"width": recipe.width} if settings.width is None else {}
        if recipe.batch_size is not None:
            changed["batch_size"] = recipe.batch_size
        stages[stage] = dataclasses.replace(settings, **changed)
    mirror = recipe.mirror
    if mirror is None and recipe.dataset in DATASETS:
        mirror = DATASETS[recipe.dataset].symmetric
    return dataclasses.replace(recipe, mirror=mirror, **stages)


def short_hash(value) -> str:
    """Returns a hash of a value's JSON, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
