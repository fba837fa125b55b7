"""A loss and an optimiser -> one jitted training step on plain pytrees."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

Batch = dict[str, np.ndarray | jax.Array]
"""Arrays by name, as `data_pipeline.examples.feed` describes them; their first axis is the clip."""


class TrainState(NamedTuple):
    """All that a training step reads and writes: one pytree to jit, donate and checkpoint."""

    params: nnx.State
    """Kernels and biases, batch-norm scale and shift."""
    stats: nnx.State
    """Batch-norm running mean and variance."""
    opt: optax.OptState
    step: jax.Array
    """Number of optimiser updates so far, an int32 scalar."""


class Weights(NamedTuple):
    """The arrays of a net without an optimiser's state."""

    params: nnx.State
    stats: nnx.State


def split_net(net: nnx.Module) -> tuple[nnx.GraphDef, Weights]:
    """Splits a flax module into its static graph and its arrays."""
    graph, params, stats = nnx.split(net, nnx.Param, ...)
    return graph, Weights(params, stats)


def run_net(graph, weights: Weights, *inputs, train: bool):
    """Computes a net's output; returns it with the batch-norm statistics afterwards.

    `graph` is what `split_net` returns; `inputs` are the arguments of the net. With `train`, batch
    norm uses the batch's own statistics and updates the running ones.
    """
    # A copy, because batch norm writes its statistics and a trace must not change its arguments.
    net = nnx.merge(graph, weights.params, weights.stats, copy=True)
    out = net(*inputs, train=train)
    return out, nnx.state(net, nnx.Not(nnx.Param))


Loss = Callable[[Weights, Any, Batch], tuple[jax.Array, nnx.State]]
"""(weights, frozen, batch) -> (loss, new batch-norm statistics). `frozen` is any pytree that the
stage reads and does not train, such as the detection net's weights."""
Score = Callable[[Weights, Any, Batch], dict[str, jax.Array]]
"""(weights, frozen, batch) -> validation measures by name, one value per clip."""


def make_step(loss: Loss, transform: optax.GradientTransformation, parts: int = 1):
    """Returns the jitted step (state, frozen, batch) -> (state, loss).

    The step donates the memory of the old state. It processes a batch in `parts` equal parts, one
    after another, and averages their gradients; batch norm sees one part at a time, and its running
    statistics move once per part.
    """

    def gradients_of(weights: Weights, frozen, batch: Batch):
        def loss_of(params):
            return loss(weights._replace(params=params), frozen, batch)

        (value, stats), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights.params)
        return value, stats, gradients

    def in_parts(weights: Weights, frozen, batch: Batch):
        def add_part(carry, part):
            stats, total = carry
            value, stats, gradients = gradients_of(weights._replace(stats=stats), frozen, part)
            return (stats, jax.tree.map(jnp.add, total, gradients)), value

        split = jax.tree.map(lambda v: v.reshape(parts, -1, *v.shape[1:]), batch)
        start = weights.stats, jax.tree.map(jnp.zeros_like, weights.params)
        (stats, total), values = jax.lax.scan(add_part, start, split)
        return values.mean(), stats, jax.tree.map(lambda g: g / parts, total)

    def step(state: TrainState, frozen, batch: Batch) -> tuple[TrainState, jax.Array]:
        compute = gradients_of if parts == 1 else in_parts
        value, stats, gradients = compute(Weights(state.params, state.stats), frozen, batch)
        # ReLU may turn NaN into 0, which a loss would hide. Batch-norm statistics of NaN are never
        # finite, so they are added with weight 0.
        value += sum(0 * jnp.sum(leaf) for leaf in jax.tree.leaves(stats))
        updates, opt = transform.update(gradients, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, stats, opt, state.step + 1), value

    return jax.jit(step, donate_argnums=0)


def initial_state(weights: Weights, transform: optax.GradientTransformation) -> TrainState:
    """Returns the state before the first step; it shares the arrays of `weights`."""
    return TrainState(*weights, transform.init(weights.params), jnp.zeros((), jnp.int32))
