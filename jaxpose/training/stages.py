"""The two stages of training: their targets, losses and validation measures.

detection    depth -> logits, against binary masks
regression   depth, sigmoid of the frozen detection net -> maps, against Gaussian masks
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxpose.body.masks import Target
from jaxpose.training import losses
from jaxpose.training.loop import Objective
from jaxpose.training.step import Batch, Weights, run_net


def targets(batch: Batch, target: Target) -> Float[Array, "b t h w maps"]:
    """Returns the masks of a batch; where the input pipeline drew none, draws them here."""
    if "masks" in batch:
        return batch["masks"]
    grid = batch["depth"].shape[2:4]
    return target.draw(jnp, batch["xy"], batch["visible"], grid)


def detection_objective(graph, target: Target, ends: tuple[str, str] | None = None) -> Objective:
    """Describes the training of the detection net.

    It minimises the cross-entropy with binary masks. The best epoch has the highest pixel accuracy.
    `graph` is the net's, from `split_net`. `ends` are the names of the net's first and last layer;
    then the norms of the gradients of their kernels are measured after every epoch: a first layer
    that no longer learns has a vanishing one.
    """

    def loss(weights: Weights, frozen, batch: Batch):
        logits, stats = run_net(graph, weights, batch["depth"], train=True)
        return losses.cross_entropy(logits, targets(batch, target)), stats

    def score(weights: Weights, frozen, batch: Batch):
        logits, _ = run_net(graph, weights, batch["depth"], train=False)
        expected = targets(batch, target)
        per_clip = jax.vmap(lambda a, b: losses.cross_entropy(a[None], b[None]))
        return {
            "val_accuracy": losses.pixel_accuracy(logits, expected),
            "val_loss": per_clip(logits, expected),
        }

    def probe(weights: Weights, frozen, batch: Batch):
        def loss_of(params):
            return loss(weights._replace(params=params), frozen, batch)[0]

        gradients = jax.grad(loss_of)(weights.params)["convs"]
        kernels = (gradients[name]["kernel"][...] for name in ends)
        first, last = (jnp.linalg.norm(kernel.ravel()) for kernel in kernels)
        return {"gradient_first": first, "gradient_last": last}

    return Objective(
        "detection",
        loss,
        score,
        best="val_accuracy",
        highest=True,
        probe=probe if ends else None,
    )


Detect = Callable[[Any, Float[Array, "b t h w 1"]], Float[Array, "b t h w maps"]]
"""(frozen weights, depth) -> probabilities of the detection net in evaluation mode."""


def regression_objective(
    graph,
    detect: Detect,
    target: Target,
    scale: float,
    *,
    fed: Target | None = None,
    frozen: Any = None,
) -> Objective:
    """Describes the training of the regression net on top of the frozen detection net.

    It minimises the squared error against Gaussian masks times `scale`. The best epoch has the
    lowest absolute error; validation measures are in units of a peak of 1. `graph` is the net's,
    from `split_net`; `frozen` are the detection net's folded weights, whose maps of a validation
    batch are computed once. With `fed` the net's input are true masks of that size, which replace
    the detection net's maps.
    """

    def prepare(frozen: Any, batch: Batch) -> Batch:
        return batch | {"maps": detect(frozen, batch["depth"])}

    def forward(weights: Weights, frozen: Any, batch: Batch, train: bool):
        if "maps" in batch:
            maps = batch["maps"]
        elif fed is None:
            maps = jax.lax.stop_gradient(detect(frozen, batch["depth"]))
        else:
            maps = fed.draw(jnp, batch["xy"], batch["visible"], batch["depth"].shape[2:4])
        return run_net(graph, weights, batch["depth"], maps, train=train)

    def loss(weights: Weights, frozen: Any, batch: Batch):
        maps, stats = forward(weights, frozen, batch, train=True)
        return losses.squared_error(maps, scale * targets(batch, target)), stats

    def score(weights: Weights, frozen: Any, batch: Batch):
        maps, _ = forward(weights, frozen, batch, train=False)
        expected = targets(batch, target)
        # A residual that equals the target's mean square is no better than all-zero maps.
        power = jnp.mean(expected**2, axis=(1, 2, 3, 4)) + 1e-12
        residual = jnp.mean((maps / scale - expected) ** 2, axis=(1, 2, 3, 4))
        return {
            "val_error": losses.absolute_error(maps / scale, expected),
            "val_unexplained": residual / power,
        }

    return Objective(
        "regression",
        loss,
        score,
        "val_error",
        highest=False,
        frozen=frozen,
        prepare=prepare if fed is None else None,
    )
