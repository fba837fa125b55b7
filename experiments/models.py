"""Trained weights and the run's settings -> a `Model`, which is evaluated, saved and used."""

import jax
import numpy as np
from flax import nnx

from data_pipeline.datasets import DATASETS
from data_pipeline.examples.clips import CLIP
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import Split
from experiments.config import Config
from jaxpose.decoding import metrics
from jaxpose.decoding.peaks import Decoding
from jaxpose.lowering.convolution import Lowering
from jaxpose.model import Model
from jaxpose.nets.compute import LayerWeights
from jaxpose.specification import Specification
from jaxpose.training.loop import Weights

NetWeights = dict[str, LayerWeights]


def layer_weights(graph: nnx.GraphDef, weights: Weights) -> NetWeights:
    """Returns the arrays of a trained net, by layer."""
    return jax.tree.map(np.asarray, nnx.merge(graph, *weights).weights())


def assemble(
    config: Config,
    frames: Frames,
    split: Split,
    weights: dict[str, NetWeights],
    lowering: Lowering,
) -> Model:
    """Joins both trained nets and everything around them into a model."""
    known = DATASETS[config.dataset]
    train = split.used["train"]
    mean_pose = metrics.mean_pose(frames.xy[train], frames.visible[train])
    specification = Specification(
        grid=config.rows_cols,
        depth_scale_mm=known.scale_mm,
        background_mm=known.background_mm,
        clip_frames=CLIP,
        variant=config.variant,
        detection_width=config.width,
        regression_width=config.width,
        bn_epsilon=config.bn_epsilon,
        target_scale=config.regression.target_scale,
        decoding=Decoding(config.radius, config.min_score),
        mean_pose=tuple((float(x), float(y)) for x, y in mean_pose),
        provenance={
            "dataset": frames.dataset,
            "data": frames.digest(),
            "subjects": split.subjects,
            "seed": config.seed,
        },
    )
    return Model(specification, weights, lowering=lowering, precision=config.precision)
