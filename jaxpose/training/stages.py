"""The two nets in a row: what each stage is trained to do, and clip -> confidence maps.

depth -> detection logits -> sigmoid, beside the depth -> regression -> confidence maps
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxpose.body.masks import Target
from jaxpose.nets.layers import Conv
from jaxpose.training import losses
from jaxpose.training.loop import Batch, Stage, Weights, run_net, split_net


def targets(batch: Batch, target: Target):
    """The input pipeline's masks, or the same drawn here, inside the jitted step: [b t h w 20]."""
    if "masks" in batch:
        return batch["masks"]
    grid = batch["depth"].shape[2:4]
    return target.draw(jnp, batch["xy"], batch["visible"], grid)


def detection_stage(graph, target: Target) -> Stage:
    """Binary masks by cross-entropy; the best epoch has the highest pixel accuracy."""

    def loss(weights: Weights, frozen, batch: Batch):
        logits, stats = run_net(graph, weights, batch["depth"], train=True)
        return losses.cross_entropy(logits, targets(batch, target)), stats

    def score(weights: Weights, frozen, batch: Batch):
        logits, _ = run_net(graph, weights, batch["depth"], train=False)
        return {"val_accuracy": losses.pixel_accuracy(logits, targets(batch, target))}

    return Stage("detection", loss, score, best="val_accuracy", highest=True)


def regression_stage(graph, detector, target: Target, scale: float) -> Stage:
    """Gaussian masks times `scale` by squared error, on top of the frozen detector in eval mode;
    the best epoch has the lowest absolute error, in units of a peak of 1."""

    def forward(weights: Weights, frozen: Weights, batch: Batch, train: bool):
        logits, _ = run_net(detector, frozen, batch["depth"], train=False)
        maps = jax.lax.stop_gradient(jax.nn.sigmoid(logits))
        return run_net(graph, weights, batch["depth"], maps, train=train)

    def loss(weights: Weights, frozen: Weights, batch: Batch):
        maps, stats = forward(weights, frozen, batch, train=True)
        return losses.squared_error(maps, scale * targets(batch, target)), stats

    def score(weights: Weights, frozen: Weights, batch: Batch):
        maps, _ = forward(weights, frozen, batch, train=False)
        wanted = targets(batch, target)
        # a loss that is all of the target's square is no better than all-zero maps
        power = jnp.mean(wanted**2, axis=(1, 2, 3, 4)) + 1e-12
        left = jnp.mean((maps / scale - wanted) ** 2, axis=(1, 2, 3, 4))
        return {
            "val_error": losses.absolute_error(maps / scale, wanted),
            "val_unexplained": left / power,
        }

    return Stage("regression", loss, score, best="val_error", highest=False)


def for_prediction(graph: nnx.GraphDef, weights: Weights) -> tuple[nnx.GraphDef, Weights]:
    """The same net in eval mode, its batch norms folded into the kernels."""
    net = nnx.merge(graph, *weights, copy=True)
    for _, module in nnx.iter_modules(net):
        if isinstance(module, Conv):
            module.fold_norm()
    return split_net(net)


Predict = Callable[[Float[Array, "b t h w 1"]], tuple[jax.Array, jax.Array]]


def make_predict(detector, detection: Weights, graph, regression: Weights, scale: float) -> Predict:
    """depth [b t h w 1] -> detection probabilities and confidence maps, both [b t h w 20], peaks
    near 1; jitted, batch norms folded."""
    detector, detection = for_prediction(detector, detection)
    graph, regression = for_prediction(graph, regression)

    @jax.jit
    def predict(detection: Weights, regression: Weights, depth):
        logits, _ = run_net(detector, detection, depth, train=False)
        maps = jax.nn.sigmoid(logits)
        confidence, _ = run_net(graph, regression, depth, maps, train=False)
        return maps, confidence / scale

    return lambda depth: predict(detection, regression, depth)
