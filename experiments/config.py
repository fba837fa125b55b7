"""What a run is: one frozen dataclass, its command line generated from it, two presets.

quick   64x48, a quarter of the widths, minutes on two cores; what it changes against the
        paper is what makes a run of a few hundred steps learn at all
paper   every value of the paper, and its split; not for two cores
"""

import dataclasses
import math
import sys
from pathlib import Path
from typing import Literal

import tyro

from data_pipeline.datasets import DATASETS
from data_pipeline.examples.frames import grid_of
from data_pipeline.examples.splits import Kind
from jaxpose.decoding.peaks import Decoding
from jaxpose.lowering import LOWERINGS
from jaxpose.nets.detection import SHRINK
from jaxpose.nets.factorise import VARIANTS
from jaxpose.training.loop import Optimisation

SEEDS = 2**32
"""How many there are: JAX drops all but 32 bits of a seed, so weights would quietly repeat."""


class ConfigError(ValueError):
    """An option that cannot be used: says which, what was wanted and what to do."""


@dataclasses.dataclass(frozen=True)
class Detection(Optimisation):
    """Stage 1: the detection net, on binary masks."""

    output_bias: float = 0.0
    """First guess of every pixel's log-odds."""


@dataclasses.dataclass(frozen=True)
class Regression(Optimisation):
    """Stage 2: the regression net, on Gaussian masks, on top of the frozen detection net."""

    std_over_radius: float = 3.0
    """Standard deviation of the Gaussian masks over their radius; the paper's text says 3."""
    target_scale: float = 1.0
    """Maps are regressed times this."""
    zero_output: bool = False
    """Start from all-zero maps."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains the detection and the regression net, evaluates them, leaves tables and pictures in
    a run folder, and prints one line of JSON. The same command again goes on where it stopped."""

    variant: str = "asy"
    """Regression net: asy, full, r2plus1d, dwsep, thin."""
    dataset: str = "simulated"
    """simulated, utd_mhad, babypose."""
    preset: str = "quick"
    """quick or paper: the values that the other options start from."""
    data_dir: str | None = None
    """Folder with the data set's own files, or a file written by `data_pipeline.prepare`.
    Simulated data is made there if there is no such folder (default data/simulated)."""
    split: Kind = "by_infant"
    """by_infant: test infants are never trained on; within_infant: the paper's 751/249."""
    train_ids: str | None = None
    """Infants or subjects to train on: 1,2,3."""
    val_ids: str | None = None
    """To choose the best epoch by."""
    test_ids: str | None = None
    """To evaluate."""
    builder: str | None = None
    """Configuration of the data set: row_order (babypose, simulated), every1 (utd_mhad). A
    prepared file has its own: give it to `data_pipeline.prepare`."""
    name: str | None = None
    """Of the run's folder; by default from variant, data set, preset and split."""
    runs_dir: str = "runs"
    """Where runs and shared detectors are kept."""
    cache_dir: str = "data/cache"
    """Where data that was read once is kept."""
    seed: int = 0
    """Of initial weights and of the order of clips; 0 to 2^32 - 1."""
    grid: str = "64x48"
    """Columns x rows of the nets' input."""
    width: float = 0.25
    """Multiplies every channel count of both nets."""
    radius: float = 3.0
    """r, px of the grid."""
    mirror: bool | None = None
    """Train on mirror images, too: left becomes right. None: for infants, not for utd_mhad, whose
    people act with the right hand."""
    masks: Literal["pipeline", "device"] = "pipeline"
    """Who draws the target masks: the input pipeline or the jitted step; the same masks."""
    feed: Literal["auto", "tensorflow", "numpy"] = "auto"
    """Who makes the batches; auto: tf.data, but numpy for a prepared file."""
    lowering: Literal["auto", *LOWERINGS] = "auto"
    """How convolutions are computed; auto: onednn on a CPU, folded where that is not installed or
    cannot compute the precision, conv3d on a GPU."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations; bfloat16 with float32 weights is mixed precision."""
    bn_momentum: float = 0.9
    """Share of the batch-norm running statistics kept every step."""
    bn_epsilon: float = 1e-5
    """Added to the variance in batch norm."""
    min_score: float = Decoding.min_score
    """Peak below which a joint counts as not found; a perfect peak is about 1."""
    batch_size: int | None = None
    """Clips per step of both stages; by default each stage's own."""
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
        return parse_grid(self.grid)

    @property
    def run_dir(self) -> Path:
        parts = [
            "" if self.dataset == "simulated" else self.dataset,
            self.variant,
            "" if self.preset == "quick" else self.preset,
            "" if self.split == PRESETS[self.preset].split else self.split,
        ]
        return Path(self.runs_dir) / (self.name or "-".join(p for p in parts if p))

    def ids(self) -> dict[str, tuple[str, ...] | None]:
        """Part of the split -> the subjects asked for."""
        return {
            part: None if text is None else tuple(s.strip() for s in text.split(",") if s.strip())
            for part, text in (
                ("train", self.train_ids),
                ("val", self.val_ids),
                ("test", self.test_ids),
            )
        }


PRESETS = {
    "quick": Config(),
    "paper": Config(
        preset="paper",
        split="within_infant",
        grid="128x96",
        width=1.0,
        radius=6.0,
        mirror=False,
        bn_momentum=0.99,  # paper: unclear, Keras's defaults, which the group is taken to use
        bn_epsilon=1e-3,
        detection=Detection("adam", 0.01, "steps", epochs=150),
        regression=Regression("sgd", 0.01, "steps", epochs=100),
    ),
}


def parse_grid(text: str) -> tuple[int, int]:
    """ "64x48" -> (48, 64): rows, columns."""
    rows, cols = grid_of(text)
    if rows % SHRINK or cols % SHRINK:
        raise ConfigError(
            f"--grid={text}: the detection net halves the grid four times; columns and rows must "
            f"divide by {SHRINK}, such as 64x48 or 128x96"
        )
    return rows, cols


def parse(arguments: list[str] | None = None) -> Config:
    """Command line -> a checked `Config`; unknown options end the program with tyro's message."""
    arguments = sys.argv[1:] if arguments is None else arguments
    preset = Config.preset
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            preset = arguments[position + 1]
        elif argument.startswith("--preset="):
            preset = argument.removeprefix("--preset=")
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; one of: {', '.join(PRESETS)}")
    config = tyro.cli(
        Config,
        default=PRESETS[preset],
        args=arguments,
        prog="python -m experiments.run",
        use_underscores=True,
    )
    if config.batch_size is not None:
        stages = {s: getattr(config, s) for s in ("detection", "regression")}
        config = dataclasses.replace(
            config,
            **{s: dataclasses.replace(v, batch_size=config.batch_size) for s, v in stages.items()},
        )
    check(config)
    return config


def check(config: Config) -> None:
    """Raises `ConfigError` for values that no run can use."""
    for option, value, known in (
        ("variant", config.variant, VARIANTS),
        ("data set", config.dataset, DATASETS),
    ):
        if value not in known:
            raise ConfigError(f"unknown {option} {value!r}; one of: {', '.join(known)}")
    builders = DATASETS[config.dataset].configs
    if config.builder is not None and config.builder not in builders:
        raise ConfigError(
            f"unknown --builder {config.builder!r} for {config.dataset}; one of: "
            f"{', '.join(builders)}"
        )
    if config.builder is not None and (config.data_dir or "").endswith(".npz"):
        raise ConfigError(
            f"--builder={config.builder} has no effect on {config.data_dir}, which was prepared "
            "already; leave it out, and give it to `python -m data_pipeline.prepare`"
        )
    parse_grid(config.grid)
    if config.batch_size is not None and config.batch_size < 1:
        raise ConfigError(f"--batch_size={config.batch_size}: wanted 1 or more")
    for option, value in (
        ("width", config.width),
        ("radius", config.radius),
        ("bn_epsilon", config.bn_epsilon),
        ("detection.learning_rate", config.detection.learning_rate),
        ("regression.learning_rate", config.regression.learning_rate),
        ("regression.std_over_radius", config.regression.std_over_radius),
        ("regression.target_scale", config.regression.target_scale),
    ):
        if not (0 < value < math.inf):
            raise ConfigError(f"--{option}={value:g}: wanted more than 0")
    if not 0 <= config.seed < SEEDS:
        raise ConfigError(f"--seed={config.seed}: wanted 0 to {SEEDS - 1}")
    for option, value in (
        ("detection.warmup_steps", config.detection.warmup_steps),
        ("regression.warmup_steps", config.regression.warmup_steps),
    ):
        if value < 0:
            raise ConfigError(f"--{option}={value}: wanted 0 or more")
    if not 0 < config.min_score <= 1:
        raise ConfigError(f"--min_score={config.min_score:g}: wanted more than 0, at most 1")
    if config.name is not None and (
        config.name in ("", ".", "..", "detectors") or Path(config.name).name != config.name
    ):
        raise ConfigError(
            f"--name={config.name}: wanted a plain folder name inside --runs_dir, not 'detectors'"
        )
    for part, chosen in config.ids().items():
        if chosen is not None and len(set(chosen)) != len(chosen):
            raise ConfigError(f"--{part}_ids names an id twice; wanted each once")
    for option, value in (
        ("bn_momentum", config.bn_momentum),
        ("detection.momentum", config.detection.momentum),
        ("regression.momentum", config.regression.momentum),
    ):
        if not 0 <= value < 1:
            raise ConfigError(f"--{option}={value:g}: wanted 0 or more, and less than 1")
    for stage in ("detection", "regression"):
        settings = getattr(config, stage)
        for option in ("batch_size", "epochs", "steps_per_epoch"):
            value = getattr(settings, option)
            if value is not None and value < 1:
                raise ConfigError(f"--{stage}.{option}={value}: wanted 1 or more")
        parts = settings.micro_batches
        if parts is not None and (parts < 1 or settings.batch_size % parts):
            raise ConfigError(
                f"--{stage}.micro_batches={parts}: wanted a number that divides the "
                f"{settings.batch_size} clips of a batch"
            )
    if config.dataset != "simulated" and config.data_dir is None:
        raise ConfigError(
            f"--dataset={config.dataset} needs --data_dir, the folder with its files: "
            f"{DATASETS[config.dataset].layout}"
        )
