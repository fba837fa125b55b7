"""The configuration of a run in three parts, and its command line.

recipe    what is trained, on what, and how; its hash is in every result
place     folders and names
machine   how it is computed here
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from data_pipeline.errors import UserError
from experiments.recipe import Recipe, default_name
from jaxpose.lowering import LOWERINGS


class ConfigError(UserError):
    """An option cannot be used. The message names it, what is expected and what to do."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the data is, and where results go."""

    data_dir: Annotated[
        Path | None,
        arg(
            help="Folder with the data set's own files, or a file written by "
            "`data_pipeline.prepare`. Simulated data is created in this folder if it does not "
            "exist. None: data/simulated, for simulated data."
        ),
    ] = None
    init: Path | None = None
    """Model file that the training goes on from; its nets, grid and decoding become the defaults of
    their options, and finetune that of --preset. None: random initial weights."""
    runs_dir: Path = Path("runs")
    """Folder for the run folders and the detection nets that runs share."""
    cache_dir: Path = Path("data/cache")
    """Folder for frames on the grid, which are read from the data set's files only once."""
    name: Annotated[
        str | None,
        arg(
            help="Name of the run's folder. None: data set, variant, seed and fold, and six digits "
            "of the recipe's hash if another option differs from its default."
        ),
    ] = None


@dataclasses.dataclass(frozen=True)
class Machine:
    """How the run is computed here."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device that JAX computes on. auto: a GPU if JAX has one, else the CPU."""
    lowering: Annotated[
        str,
        arg(
            help=f"How convolutions are computed: auto, {', '.join(LOWERINGS)}. auto: onednn on a "
            "CPU, or folded if oneDNN is not installed or cannot compute the precision; conv3d on "
            "a GPU."
        ),
    ] = "auto"
    feed: Literal["auto", "tensorflow", "numpy"] = "auto"
    """Library that prepares batches. auto: numpy for a prepared file, else tensorflow."""
    masks: Literal["pipeline", "device"] = "pipeline"
    """Where target masks are drawn: in the input pipeline or in the jitted step. They are equal."""
    detection_micro_batches: Annotated[
        int,
        arg(
            help="Number of equal parts of a batch that a training step of the detection net "
            "processes one after the other, to need less memory. Batch norm sees one part at a "
            "time, so the result differs."
        ),
    ] = 1
    regression_micro_batches: int = 1
    """The same number for the regression net."""

    def micro_batches(self, stage: str) -> int:
        """Returns the option of one of `STAGES`."""
        return getattr(self, f"{stage}_micro_batches")


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains the detection and the regression net, tests them, and writes the model, tables and
    pictures to a run folder. The last line of stdout is the result as JSON. A command that was
    stopped continues when it is started again."""

    recipe: Annotated[Recipe, arg(name="")] = Recipe()
    place: Annotated[Place, arg(name="")] = Place()
    machine: Annotated[Machine, arg(name="")] = Machine()

    @property
    def run_dir(self) -> Path:
        """Folder of the run."""
        return self.place.runs_dir / (self.place.name or default_name(self.recipe))
