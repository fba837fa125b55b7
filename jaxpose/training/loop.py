"""Batches -> a trained net: one loop for both stages.

state, batch -> step -> state, loss          jitted, plain pytrees
epoch: steps, then validation, then a checkpoint, so that a killed run goes on bit for bit
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from jaxpose.training.checkpoints import Checkpoints

Batch = dict[str, np.ndarray | jax.Array]


class DivergedError(ArithmeticError):
    """A loss, a measure or a weight is not finite; the last checkpoint is still good."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How a net is trained."""

    optimiser: Literal["adam", "sgd"]
    learning_rate: float
    schedule: Literal["cosine", "steps"]
    """cosine: to zero over the whole training; steps: x0.9 every 10 epochs (the paper)."""
    epochs: int
    batch_size: int = 16
    steps_per_epoch: int | None = None
    """An epoch ends with validation and a checkpoint. None: when every clip was seen once."""
    momentum: float = 0.98
    """Momentum of sgd."""
    warmup_steps: int = 0
    """The learning rate rises linearly over these."""

    def transform(self, steps_per_epoch: int) -> optax.GradientTransformation:
        total = self.epochs * steps_per_epoch
        if self.schedule == "cosine":
            rate = optax.cosine_decay_schedule(self.learning_rate, total)
        else:
            # paper: unclear, "a learning decay of 10% every 10 epochs" taken as x0.9 (Du: x0.95)
            rate = optax.exponential_decay(
                self.learning_rate, 10 * steps_per_epoch, 0.9, staircase=True
            )
        if self.warmup_steps:
            warm = optax.linear_schedule(0.0, 1.0, self.warmup_steps)
            after, rate = rate, lambda count: warm(count) * after(count)
        if self.optimiser == "adam":
            return optax.adam(rate)
        return optax.sgd(rate, momentum=self.momentum)


class TrainState(NamedTuple):
    """Everything a step reads or writes, so jit, donate and checkpoint it whole."""

    params: nnx.State
    """Kernels and biases, batch-norm scale and shift."""
    stats: nnx.State
    """Batch-norm running mean and variance."""
    opt: optax.OptState
    step: jax.Array
    """int32 scalar, optimiser updates so far."""


class Weights(NamedTuple):
    """A net that is only read."""

    params: nnx.State
    stats: nnx.State


def split_net(net: nnx.Module) -> tuple[nnx.GraphDef, Weights]:
    graph, params, stats = nnx.split(net, nnx.Param, ...)
    return graph, Weights(params, stats)


def run_net(graph, weights: Weights, *inputs, train: bool):
    """Returns a net's output, and its batch-norm statistics afterwards."""
    # copy: batch norm writes its statistics, which a trace must not do to its arguments
    net = nnx.merge(graph, weights.params, weights.stats, copy=True)
    out = net(*inputs, train=train)
    return out, nnx.state(net, nnx.Not(nnx.Param))


Loss = Callable[[Weights, Any, Batch], tuple[jax.Array, nnx.State]]
"""(weights, whatever is frozen, batch) -> loss, new batch-norm statistics."""
Score = Callable[[Weights, Any, Batch], dict[str, jax.Array]]
"""(weights, whatever is frozen, batch) -> validation measures, one value a clip."""


def make_step(loss: Loss, transform: optax.GradientTransformation, parts: int = 1):
    """Returns the jitted step (state, frozen, batch) -> (state, loss), which takes over the memory
    of the old state and processes the batch in `parts`."""

    def gradients_of(weights: Weights, frozen, batch: Batch):
        def of(params):
            return loss(weights._replace(params=params), frozen, batch)

        (value, stats), gradients = jax.value_and_grad(of, has_aux=True)(weights.params)
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
        # ReLU may turn NaN into 0, but no statistic of it stays finite: the loss shows it
        value += sum(0 * jnp.sum(leaf) for leaf in jax.tree.leaves(stats))
        updates, opt = transform.update(gradients, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, stats, opt, state.step + 1), value

    return jax.jit(step, donate_argnums=0)


def initial_state(weights: Weights, transform: optax.GradientTransformation) -> TrainState:
    return TrainState(*weights, transform.init(weights.params), jnp.zeros((), jnp.int32))


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of the two trainings: its loss, its validation measures, and the one that counts."""

    name: str
    loss: Loss
    score: Score
    best: str
    """The validation measure that selects the epoch."""
    highest: bool
    """Whether more of it is better."""


class Batches(NamedTuple):
    """The data of one training."""

    train: Callable[[int], Iterator[Batch]]
    """Epoch, from 0 -> its batches; the same for every call, so that a resumed epoch repeats what
    was lost."""
    validation: Callable[[], Iterator[Batch]]
    steps_per_epoch: int


def fit(
    stage: Stage,
    weights: Weights,
    frozen: Any,
    optimisation: Optimisation,
    batches: Batches,
    checkpoints: Checkpoints,
    *,
    on_epoch: Callable[[list[dict]], None] = lambda history: None,
    micro_batches: int = 1,
) -> tuple[Weights, list[dict], float]:
    """Trains to the last epoch, or goes on from the last checkpoint.

    `frozen` is what the stage's functions get as their second argument. `on_epoch` gets all rows of
    measures so far after each checkpoint. `micro_batches` is the number of equal parts of a batch
    that a step processes one after another, adding up their gradients, in as much less memory;
    batch norm sees one part at a time, and its running statistics move once per part.

    Returns:
      The best epoch's weights, one row of measures per epoch, and the seconds that this call spent
      on training.

    Raises:
      DivergedError: a loss, a measure or a weight is not finite; the last checkpoint is kept.
      CheckpointError: damaged checkpoints.
    """
    began = time.perf_counter()
    transform = optimisation.transform(batches.steps_per_epoch)
    # Copied, because the first step takes over the memory of its argument; committed to the device
    # as restored arrays are, or the second step would be compiled anew.
    state = initial_state(jax.tree.map(jnp.copy, weights), transform)
    state = jax.device_put(state, jax.config.jax_default_device or jax.devices()[0])
    step = make_step(stage.loss, transform, micro_batches)
    score = jax.jit(stage.score)

    # ---- where an earlier process stopped ----
    done, history = 0, []
    if checkpoints.latest() is not None:
        done, state, history = checkpoints.restore_latest(state)
        on_epoch(history)
    with _progress(stage, optimisation, batches, done) as bar:
        for epoch in range(done, optimisation.epochs):
            # ---- train ----
            epoch_began, losses = time.perf_counter(), []
            for batch in batches.train(epoch):
                state, loss = step(state, frozen, batch)
                losses.append(loss)
                if len(losses) > 1:  # of the step before, so that the device need not wait
                    _check_finite(stage.name, epoch, losses, len(losses) - 2)
                bar.update()
            _check_finite(stage.name, epoch, losses, len(losses) - 1)
            seconds = time.perf_counter() - epoch_began

            # ---- validate, save ----
            now = Weights(state.params, state.stats)
            measures = mean_over_clips(score, now, frozen, batches.validation())
            # The last update may destroy the weights after a good loss.
            norm = {"weights' norm": float(optax.tree.norm(state.params))}
            if not all(map(math.isfinite, (measures | norm).values())):
                raise DivergedError(_diverged(stage.name, measures | norm, epoch, len(losses)))
            row = {"stage": stage.name, "epoch": epoch + 1, "step": int(state.step)}
            row |= {"loss": float(np.mean([float(v) for v in losses])), **measures}
            history = [*history, row | {"seconds": round(seconds, 3)}]
            checkpoints.save(epoch + 1, state, history, measures[stage.best])
            on_epoch(history)
            bar.set_postfix({k: f"{row[k]:.4g}" for k in ("loss", stage.best)})
    best = checkpoints.restore_best(state)
    seconds = time.perf_counter() - began if done < optimisation.epochs else 0.0
    return Weights(best.params, best.stats), history, seconds


def _progress(stage: Stage, optimisation: Optimisation, batches: Batches, done: int) -> tqdm:
    """A progress bar in steps; none for a training that is complete."""
    return tqdm(
        desc=stage.name,
        total=optimisation.epochs * batches.steps_per_epoch,
        initial=done * batches.steps_per_epoch,
        unit="step",
        disable=done >= optimisation.epochs,
    )


def _check_finite(stage: str, epoch: int, losses: list[jax.Array], index: int) -> None:
    loss = float(losses[index])
    if not math.isfinite(loss):
        raise DivergedError(_diverged(stage, {"loss": loss}, epoch, index + 1))


def _diverged(stage: str, measures: dict[str, float], epoch: int, step: int) -> str:
    bad = {name: value for name, value in measures.items() if not math.isfinite(value)}
    values = ", ".join(f"the {name} is {value}" for name, value in bad.items())
    stored = "the checkpoint of the epoch before is kept" if epoch else "there is no checkpoint yet"
    where = f"at epoch {epoch + 1}, step {step} of it"
    return f"{stage}: {values} {where}; {stored}; try a lower learning rate"


def mean_over_clips(score, weights: Weights, frozen, batches: Iterator[Batch]) -> dict[str, float]:
    """Averages measures over clips; a smaller last batch is filled up to compile one shape only."""
    values, size = [], 0
    for batch in batches:
        count = len(batch["depth"])
        size = max(size, count)
        scores = score(weights, frozen, fill_up(batch, size))
        values.append({name: np.asarray(value)[:count] for name, value in scores.items()})
    joined = {name: np.concatenate([v[name] for v in values]) for name in values[0]}
    return {name: float(np.mean(value, dtype=np.float64)) for name, value in joined.items()}


def fill_up(batch: Batch, size: int) -> Batch:
    """Repeats the last clip until a batch has `size` clips."""
    missing = size - len(batch["depth"])
    if not missing:
        return batch
    return {k: np.concatenate([v, np.repeat(v[-1:], missing, axis=0)]) for k, v in batch.items()}
