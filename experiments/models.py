"""Trained weights and the settings of their run -> a `jaxpose.Model`."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from flax import nnx

import jaxpose
from data_pipeline.datasets import DATASETS
from data_pipeline.examples.clips import CLIP
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import Split
from experiments.choices import nets
from experiments.config import Config
from experiments.machines import commit
from experiments.numerics import NUMERICS
from experiments.recipe import short_hash
from jaxpose import model_file
from jaxpose.decoding import metrics
from jaxpose.decoding.peaks import Decoding
from jaxpose.errors import ModelError
from jaxpose.lowering import lowering_named
from jaxpose.model import Model
from jaxpose.model_file import NetWeights
from jaxpose.specification import Specification
from jaxpose.training.step import Weights


def layer_weights(graph: nnx.GraphDef, weights: Weights) -> NetWeights:
    """Returns the arrays of a trained net, by layer."""
    return jax.tree.map(np.asarray, nnx.merge(graph, *weights).weights())


def assemble(config: Config, frames: Frames, split: Split, weights: dict[str, NetWeights]) -> Model:
    """Creates the model of both trained nets; its provenance describes the training.

    Where both nets see one frame, the model's clips have one, although those of the training had
    several: prediction then computes a frame once, and waits for no other.
    """
    recipe = config.recipe
    dataset = DATASETS[recipe.dataset]
    train = split.used["train"]
    mean_pose = metrics.mean_pose(frames.xy[train], frames.visible[train])
    specification = Specification(
        grid=recipe.rows_cols,
        depth_scale_mm=dataset.scale_mm,
        background_mm=dataset.background_mm,
        clip_frames=1 if all(net.sees_one_frame for net in nets(recipe).values()) else CLIP,
        frame_interval_s=frames.interval_s,
        variant=recipe.variant,
        detection_factorise=recipe.detection.factorise,
        detection_width=recipe.detection.width,
        regression_width=recipe.regression.width,
        bn_epsilon=recipe.bn_epsilon,
        target_scale=recipe.regression.target_scale,
        decoding=Decoding(recipe.radius, recipe.min_score),
        maps=recipe.maps,
        linking=recipe.linking,
        mean_pose=tuple((float(x), float(y)) for x, y in mean_pose),
        provenance={
            "jaxpose": jaxpose.__version__,
            "commit": commit(),
            "numerics": NUMERICS,
            "recipe_hash": recipe.hash,
            "dataset": frames.dataset,
            "data": frames.digest(),
            "split_kind": split.kind,
            "split": short_hash(split.as_json(frames)),
            "subjects": split.subjects,
            "seed": recipe.seed,
            **({"init": recipe.init_digest} if recipe.init_digest else {}),
            "input_masks": recipe.regression.input_masks,
        },
    )
    lowering = lowering_named(config.machine.lowering)
    return Model(specification, weights, lowering=lowering, precision=recipe.precision)


def with_calibration_of(path: Path, model: Model) -> Model:
    """Returns the model with the calibration that the file at `path` has for the same nets.

    So a run that is repeated keeps its calibration. The model is returned as it is if the file is
    missing or damaged, has no calibration, or has other weights or another decoding.
    """
    try:
        stored, weights = model_file.read(path)
    except (ModelError, OSError):
        return model
    bare = dataclasses.replace(stored, calibration=None, provenance={})
    ours = dataclasses.replace(model.specification, provenance={})
    same = model_file.digest(bare, weights) == model_file.digest(ours, model.weights)
    if stored.calibration is None or not same:
        return model
    provenance = {**model.specification.provenance}
    if facts := stored.provenance.get("calibration"):
        provenance["calibration"] = facts
    specification = dataclasses.replace(
        model.specification, calibration=stored.calibration, provenance=provenance
    )
    return Model(specification, model.weights, lowering=model.lowering, precision=model.precision)
