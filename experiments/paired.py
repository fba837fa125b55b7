"""Models on the same infants -> the errors of each, and their differences, infant by infant."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data_pipeline.examples.frames import Frames
from experiments import evaluate, evaluation
from experiments.config import ConfigError
from experiments.study.statistics import estimate
from jaxpose.model import Model

Infants = Mapping[str, float]
"""Id of an infant -> its mean error over frames and limbs, px of 128x96, with fallback."""


def frames_in(folder: Path, model: Model, cache_dir: Path) -> Frames:
    """Reads data of the data set that a model was trained on, on the model's grid.

    Raises:
      ConfigError: the model does not say what it was trained on.
      DataError: the data cannot be used.
    """
    options = evaluate.Options(model=Path(), data_dir=folder, cache_dir=cache_dir)
    return evaluate.frames_of(model, options)


def errors(model: Model, frames: Frames) -> tuple[dict, Infants]:
    """Tests a model on the infants that it was not trained on.

    Returns the errors of all of them together, and each one's.
    """
    split = evaluate.split_of(model, frames, evaluate.Options(model=Path()))
    tested = evaluation.test_model(model, frames, split)
    limbs = evaluation.limb_errors(model, frames, split, tested)
    report = evaluation.report(frames, tested, limbs)
    rows = evaluation.infant_rows(frames, tested, limbs)
    names = ("rmsd_fallback_px", "rmsd_px", "missed_rate", "hidden_found_rate", "pck", "n_frames")
    return (
        {name: report[name] for name in names},
        {row["id"]: row["rmsd_fallback_px"]["all"]["mean"] for row in rows},
    )


def change(ours: Infants, theirs: Infants) -> dict:
    """Returns the mean of ours - theirs in px, with its 95 % interval.

    Raises:
      ConfigError: the infants are not the same.
    """
    if ours.keys() != theirs.keys():
        raise ConfigError(
            f"the models were tested on other infants ({len(ours)} and {len(theirs)}), because "
            "each leaves those of its training out; name data that none was trained on"
        )
    one = estimate([np.array([ours[name] - theirs[name] for name in theirs])])
    return {"mean": one.mean, "interval": [one.low, one.high]}
