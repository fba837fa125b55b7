"""A configuration and split frames -> the weights of both nets, trained one after the other."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from data_pipeline.datasets import DATASETS
from data_pipeline.examples import clips
from data_pipeline.examples.feed import Feed
from data_pipeline.examples.feed import feed as numpy_feed
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import Split
from data_pipeline.locks import locked
from experiments import choices, initial, rundir
from experiments.config import Config
from experiments.models import NetWeights, layer_weights
from experiments.numerics import NUMERICS
from experiments.recipe import STAGES, Recipe, short_hash
from jaxpose.body.masks import Target
from jaxpose.cost.accounting import net_cost
from jaxpose.lowering import lowering_named
from jaxpose.nets.compute import Computation, apply_folded, fold_net
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS
from jaxpose.nets.modules import DetectionNet, RegressionNet
from jaxpose.training import digests, stages
from jaxpose.training.checkpoints import Checkpoints
from jaxpose.training.loop import Batches, fit
from jaxpose.training.step import split_net


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained net.

    Attributes:
      weights: arrays by layer, of the best epoch.
      rows: one row of measures per epoch.
      seconds: time that this process spent on training; 0 if there was nothing left to do.
      folder: where its checkpoints are.
    """

    weights: NetWeights
    rows: list[dict]
    seconds: float
    folder: Path


def computation_of(config: Config) -> Computation:
    """Returns how the nets of a run are computed."""
    recipe = config.recipe
    return Computation(
        lowering=lowering_named(config.machine.lowering),
        dtype=recipe.precision,
        bn_momentum=recipe.bn_momentum,
        bn_epsilon=recipe.bn_epsilon,
    )


def train_detection(
    config: Config, frames: Frames, split: Split, history: rundir.History
) -> Trained:
    """Trains the detection net, or reads the one that a run with the same facts trained."""
    recipe = config.recipe
    net = DetectionNet(
        width=recipe.detection.width,
        factorise=FACTORISATIONS[recipe.detection.factorise],
        output_bias=recipe.detection.output_bias,
        computation=computation_of(config),
        rngs=nnx.Rngs(recipe.seed),
    )
    initial.set_weights(config, net, "detection")
    graph, weights = split_net(net)
    target = Target(recipe.radius)
    ends = (net.net.layers[0].name, net.net.layers[-1].name)
    facts = detector_facts(config, frames, split)
    folder = config.place.runs_dir / "detectors" / short_hash(facts)
    parameters = net_cost(net.net.layers, (clips.CLIP, *recipe.rows_cols)).parameters
    rundir.claim(folder, 12 * 4 * parameters)
    with (
        locked(folder),
        Checkpoints(
            folder / "checkpoints", highest=True, basis={"configuration": short_hash(facts)}
        ) as checkpoints,
    ):
        rundir.settle(folder, "config.json", facts, "configuration")
        best, rows, seconds = fit(
            stages.detection_objective(graph, target, ends),
            weights,
            recipe.detection,
            make_batches(config, frames, split, "detection", target),
            checkpoints,
            on_epoch=history.write,
            micro_batches=config.machine.micro_batches("detection"),
        )
    return Trained(layer_weights(graph, best), rows, seconds, folder)


def train_regression(
    config: Config, frames: Frames, split: Split, history: rundir.History, detector: Trained
) -> Trained:
    """Trains the regression net on top of the frozen detection net."""
    recipe, computation = config.recipe, computation_of(config)
    net = RegressionNet(
        VARIANTS[recipe.variant],
        width=recipe.regression.width,
        zero_output=recipe.regression.zero_output,
        computation=computation,
        rngs=nnx.Rngs(recipe.seed + 1),
    )
    initial.set_weights(config, net, "regression")
    graph, weights = split_net(net)
    target = Target(recipe.radius, recipe.radius * recipe.regression.std_over_radius)
    fed = Target(recipe.radius) if recipe.regression.input_masks == "true" else None
    detection_net = choices.nets(recipe)["detection"]

    def detect(weights, depth):
        return jax.nn.sigmoid(apply_folded(detection_net, weights, computation, depth))

    folder = config.run_dir
    basis = {
        "configuration": short_hash(rundir.config_json(config)),
        "split or data set": short_hash(split.as_json(frames)),
        "detection net": digests.of_arrays(detector.weights),
    }
    with Checkpoints(folder / "checkpoints", highest=False, basis=basis) as checkpoints:
        best, rows, seconds = fit(
            stages.regression_objective(
                graph,
                detect,
                target,
                recipe.regression.target_scale,
                fed=fed,
                frozen=fold_net(detector.weights, recipe.bn_epsilon),
            ),
            weights,
            recipe.regression,
            make_batches(config, frames, split, "regression", target),
            checkpoints,
            on_epoch=lambda rows: history.write(detector.rows + rows),
            micro_batches=config.machine.micro_batches("regression"),
        )
    return Trained(layer_weights(graph, best), rows, seconds, folder)


def make_batches(
    config: Config, frames: Frames, split: Split, stage: str, target: Target
) -> Batches:
    """Creates the batches of one stage.

    Every frame starts a training clip, every third one a validation clip.
    """
    recipe = config.recipe
    optimisation, number = recipe.stage(stage), STAGES.index(stage)
    batch = optimisation.batch_size
    starts = clips.clip_starts(frames, split.used["train"], shift=1)
    validation = clips.clip_starts(frames, split.used["val"], shift=clips.CLIP)
    shown = frames
    if recipe.mirror:  # the mirror image of frame i is frame i + n
        starts = np.concatenate([starts, starts + len(frames)])
        shown = frames.with_mirror_images()
    steps = optimisation.steps_per_epoch or max(1, len(starts) // batch)
    feed = make_feed(config, shown, target)

    def train(epoch: int):
        # The epoch's clips follow from the seed alone, so a resumed epoch sees the same.
        order = clips.order(starts, (recipe.seed, number, epoch), steps * batch)
        return feed(order, batch)

    return Batches(train, lambda: feed(validation, batch), steps)


def make_feed(config: Config, frames: Frames, target: Target) -> Feed:
    """Creates the input pipeline of a run: tf.data or numpy."""
    scale_mm = DATASETS[config.recipe.dataset].scale_mm
    drawn = target if config.machine.masks == "pipeline" else None
    if config.machine.feed == "numpy":
        return numpy_feed(frames, scale_mm, drawn)
    from data_pipeline.examples.batches import feed  # TensorFlow, only where it is needed

    return feed(frames, scale_mm, drawn)


LATER = {"variant", "preset", "regression", "min_score", "maps", "linking", "builder"}
"""Options of the recipe that do not touch the detection net."""
SPLIT = {"split", "folds", "fold", "train_ids", "val_ids", "test_ids"}
"""Options that the split's training and validation frames stand for."""


def detector_facts(config: Config, frames: Frames, split: Split) -> dict:
    """Returns all that determines the detection net, and nothing else."""
    recipe: Recipe = config.recipe
    options = {name: v for name, v in recipe.as_json().items() if name not in LATER | SPLIT}
    division = split.as_json(frames)
    return {
        **options,
        "lowering": config.machine.lowering,
        "masks": config.machine.masks,
        "micro_batches": config.machine.micro_batches("detection"),
        "data": division["data"],
        "scale_mm": DATASETS[recipe.dataset].scale_mm,
        "split": {part: division["parts"][part] for part in ("train", "val")},
        "numerics": NUMERICS,
    }
