"""A model and a data set -> the errors of the model's poses, as `experiments.run` reports them.

    python -m experiments.evaluate runs/simulated-asy-seed0/model.safetensors
    python -m experiments.evaluate MODEL --dataset=babypose --data_dir=DIR [--test_ids=1,2]

On the data of the model's training, the infants that the training held out are tested. On other
data, all infants are tested. --test_ids names others.
"""

import dataclasses
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro
from tyro.conf import arg

import jaxpose
from data_pipeline.datasets import DATASETS, builders_help
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import PARTS, Split, check_parts, ids_of, named_ids, split_frames
from data_pipeline.outputs import check_output, written_too
from experiments import evaluation, judged, machines, reliability, table2
from experiments.checks import check_data_dir, check_min_score
from experiments.config import Config, ConfigError, Place
from experiments.data import read_frames
from experiments.recipe import Recipe
from jaxpose.commands import print_table, run_command
from jaxpose.lowering import LOWERINGS, lowering_named
from jaxpose.model import Model
from jaxpose.options import parse_options
from jaxpose.specification import Linking, Maps


@dataclasses.dataclass(frozen=True)
class Options:
    """Tests a model on a data set. The last line of stdout is the result as JSON.

    On the data of the model's training, the infants that the training held out are tested. On other
    data, all infants are tested."""

    model: tyro.conf.Positional[Path]
    """Model file, such as runs/simulated-asy-seed0/model.safetensors."""
    dataset: Annotated[
        str | None,
        arg(help=f"Data set: {', '.join(DATASETS)}. None: that of the model's training."),
    ] = None
    data_dir: Annotated[
        Path | None,
        arg(
            help="Folder with the data set's own files, or a file written by "
            "`data_pipeline.prepare`. None: data/simulated, for simulated data."
        ),
    ] = None
    test_ids: str | None = None
    """Ids of the infants or subjects to test, such as 1,2,3. None: as described above."""
    builder: Annotated[str | None, arg(help=builders_help())] = None
    cache_dir: Path = Path("data/cache")
    """Folder for frames on the grid, which are read from the data set's files only once."""
    lowering: Annotated[
        str, arg(help=f"How convolutions are computed: auto, {', '.join(LOWERINGS)}.")
    ] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of activations."""
    min_score: float | None = None
    """Height of a peak below which a joint counts as missing, up to 1. None: the model's."""
    maps: Maps | None = None
    """Maps that are decoded. None: the model's."""
    linking: Linking | None = None
    """How joints are linked to limbs. None: the model's."""
    out: Path | None = None
    """File to which the result is also written, FILE.json."""
    curve: Path | None = None
    """Picture of how reliable the model's confidence is, FILE.png."""


def evaluate(options: Options) -> dict:
    """Tests a model on a data set; returns the result."""
    model = load(options)
    check_curve(options, model)
    digest = model.digest
    model = decoding_as(options, model)
    frames = frames_of(model, options)
    split = split_of(model, frames, options)
    check_parts(frames, split, ("test",))
    tested = evaluation.test_model(model, frames, split)
    errors = evaluation.limb_errors(model, frames, split, tested)
    specification = model.specification
    return {
        "variant": specification.variant,
        "dataset": frames.dataset,
        "seed": specification.provenance.get("seed"),
        "width": specification.regression_width,
        "grid": [*specification.grid],
        "subjects": split.subjects,
        "device": jax.devices()[0].device_kind,
        "lowering": model.lowering.name,
        "precision": model.precision,
        "maps": specification.maps,
        "linking": specification.linking,
        "min_score": specification.decoding.min_score,
        "versions": {"jaxpose": jaxpose.__version__, "jax": jax.__version__},
        "date": date.today().isoformat(),
        **machines.described(),
        **evaluation.report(frames, tested, errors),
        "model": digest,
        "provenance": specification.provenance,
        "infants": evaluation.infant_rows(frames, tested, errors),
        "confidence": confidence(options, model, frames, split),
    }


def confidence(options: Options, model: Model, frames: Frames, split: Split) -> dict | None:
    """Returns `reliability.report`, and draws the curve; None for a model without a calibration."""
    calibration = model.specification.calibration
    if calibration is None:
        return None
    joints = judged.collect(model, frames, split.used["test"])
    report = reliability.report(frames, joints, calibration)
    if options.curve is not None:
        reliability.draw(options.curve, {frames.dataset: report["reliability"]})
    return report


def check_curve(options: Options, model: Model) -> None:
    """Raises `ConfigError` or `DataError` unless --curve can be drawn."""
    if options.curve is None:
        return
    check_output(options.curve, ["png"])
    if model.specification.calibration is None:
        raise ConfigError(
            f"--curve={options.curve}: the model has no calibration; run `python -m "
            "experiments.calibrate` first, or omit the option"
        )


def load(options: Options) -> Model:
    """Loads the model with the lowering and the precision that the options ask for.

    Raises:
      ConfigError: the lowering is unknown, or cannot be used here.
      ModelError: the model file cannot be used.
    """
    if options.lowering == "auto":
        return Model.load(options.model, precision=options.precision)
    try:
        lowering = lowering_named(options.lowering)
    except ValueError as error:
        raise ConfigError(f"--lowering: {error}") from None
    if reason := lowering.unavailable(options.precision):
        raise ConfigError(f"--lowering={lowering.name} --precision={options.precision}: {reason}")
    return Model.load(options.model, lowering=lowering, precision=options.precision)


def decoding_as(options: Options, model: Model) -> Model:
    """Returns the model with the decoding that the options ask for.

    Raises:
      ConfigError: --min_score is out of range.
    """
    specification = model.specification
    for name in ("maps", "linking"):
        if (value := getattr(options, name)) is not None:
            specification = dataclasses.replace(specification, **{name: value})
    if options.min_score is not None:
        check_min_score(options.min_score)
        decoding = dataclasses.replace(specification.decoding, min_score=options.min_score)
        specification = dataclasses.replace(specification, decoding=decoding)
    return Model(specification, model.weights, lowering=model.lowering, precision=model.precision)


def frames_of(model: Model, options: Options) -> Frames:
    """Reads the data on the model's grid.

    Raises:
      ConfigError: no data set or no folder is named.
      DataError: the data cannot be used.
    """
    provenance, (rows, cols) = model.specification.provenance, model.specification.grid
    dataset = options.dataset or provenance.get("dataset")
    if dataset is None:
        raise ConfigError("--dataset: the model does not say what it was trained on; name one")
    recipe = Recipe(dataset=dataset, grid=f"{cols}x{rows}", builder=options.builder)
    place = Place(data_dir=options.data_dir, cache_dir=options.cache_dir)
    check_data_dir(dataset, options.data_dir)
    return read_frames(Config(recipe=recipe, place=place))


def split_of(model: Model, frames: Frames, options: Options) -> Split:
    """Returns the frames to test, and those of the model's training if they are in the data.

    Raises:
      ConfigError: --test_ids has no meaning for this model and this data.
      DataError: an id of --test_ids is unknown.
    """
    provenance = model.specification.provenance
    trained = provenance.get("subjects", {}) if same_data(provenance, frames) else {}
    all_ids = ids_of(frames)
    if trained and provenance.get("split_kind") == "within_infant":
        if options.test_ids is not None:
            raise ConfigError(
                f"--test_ids={options.test_ids}: this model was trained on the first frames of "
                "every infant and is tested on the others; omit the option"
            )
        return split_frames(frames, "within_infant", {"train": tuple(trained.get("train", ()))})
    subjects = {part: list(trained.get(part, [])) for part in PARTS}
    if options.test_ids is not None:
        subjects["test"] = [*named_ids(options.test_ids)]
        if unknown := [s for s in subjects["test"] if s not in all_ids]:
            raise DataError(
                f"--test_ids: unknown id {unknown[0]!r}; ids here: {', '.join(all_ids)}"
            )
        if seen := sorted({*subjects["test"]} & {*subjects["train"], *subjects["val"]}):
            print(f"warning: the model was trained on {', '.join(seen)}", file=sys.stderr)
    elif not trained:
        subjects["test"] = all_ids
    used = {part: np.isin(frames.subject, subjects[part]) for part in PARTS}
    return Split("by_infant", subjects, used)


def same_data(provenance: dict, frames: Frames) -> bool:
    """Tells whether a model was trained on this data."""
    return provenance.get("data") == frames.digest()


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.evaluate")

    def body() -> dict:
        result = written_too(lambda: evaluate(options), options.out)
        print_table(table2.errors_of(result))
        return result

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
