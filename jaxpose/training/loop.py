"""Batches -> a trained net: one loop, read top to bottom, for both stages.

state, batch -> step -> state, loss          jitted, plain pytrees
epoch: steps, then validation, then checkpoint, so that a killed run goes on bit for bit
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
    """The loss is not finite; the last checkpoint is still good."""


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
    """An epoch ends in validation and a checkpoint; None: when every clip was seen once."""
    momentum: float = 0.98
    """Of sgd."""
    warmup_steps: int = 0
    """The learning rate rises linearly over these."""
    micro_batches: int | None = None
    """Equal parts of a batch that a step works through one after another, in as much less memory,
    adding up their gradients. Batch norm sees one part at a time: its statistics are a part's,
    and its running statistics move once a part. None: as few as fit into the machine's memory."""

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
    """Outputs, and the batch-norm statistics after them."""
    # copy: batch norm writes its statistics, which a trace may not do to what it was given
    net = nnx.merge(graph, weights.params, weights.stats, copy=True)
    out = net(*inputs, train=train)
    return out, nnx.state(net, nnx.Not(nnx.Param))


Loss = Callable[[Weights, Any, Batch], tuple[jax.Array, nnx.State]]
"""(weights, whatever is frozen, batch) -> loss, new batch-norm statistics."""
Score = Callable[[Weights, Any, Batch], dict[str, jax.Array]]
"""(weights, whatever is frozen, batch) -> validation measures, one value a clip."""


def make_step(loss: Loss, transform: optax.GradientTransformation, parts: int = 1):
    """(state, frozen, batch) -> (state, loss), jitted; the old state's memory is taken over. The
    batch is worked through in `parts`."""

    def gradients_of(weights: Weights, frozen, batch: Batch):
        def of(params):
            return loss(weights._replace(params=params), frozen, batch)

        (value, stats), gradients = jax.value_and_grad(of, has_aux=True)(weights.params)
        return value, stats, gradients

    def one_by_one(weights: Weights, frozen, batch: Batch):
        def work(carried, part):
            stats, total = carried
            value, stats, gradients = gradients_of(weights._replace(stats=stats), frozen, part)
            return (stats, jax.tree.map(jnp.add, total, gradients)), value

        split = jax.tree.map(lambda v: v.reshape(parts, -1, *v.shape[1:]), batch)
        start = weights.stats, jax.tree.map(jnp.zeros_like, weights.params)
        (stats, total), values = jax.lax.scan(work, start, split)
        return values.mean(), stats, jax.tree.map(lambda g: g / parts, total)

    def step(state: TrainState, frozen, batch: Batch) -> tuple[TrainState, jax.Array]:
        take = gradients_of if parts == 1 else one_by_one
        value, stats, gradients = take(Weights(state.params, state.stats), frozen, batch)
        # ReLU may turn NaN into 0, but no statistic of it stays finite: let the loss tell
        value += sum(0 * jnp.sum(leaf) for leaf in jax.tree.leaves(stats))
        updates, opt = transform.update(gradients, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, stats, opt, state.step + 1), value

    return jax.jit(step, donate_argnums=0)


def initial_state(weights: Weights, transform: optax.GradientTransformation) -> TrainState:
    return TrainState(*weights, transform.init(weights.params), jnp.zeros((), jnp.int32))


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of the two trainings."""

    name: str
    loss: Loss
    score: Score
    best: str
    """The validation measure that picks the epoch."""
    highest: bool
    """Whether more of it is better."""


def fit(
    stage: Stage,
    weights: Weights,
    frozen: Any,
    optimisation: Optimisation,
    steps_per_epoch: int,
    train_batches: Callable[[int], Iterator[Batch]],
    val_batches: Callable[[], Iterator[Batch]],
    checkpoints: Checkpoints,
    on_epoch: Callable[[list[dict]], None] = lambda history: None,
) -> tuple[Weights, list[dict], float]:
    """Trains to the last epoch, or goes on from the last checkpoint: the best epoch's weights,
    one row of measures an epoch, and the seconds that this call spent on training.

    `train_batches(epoch)` yields the epoch's batches from 0; the same for every call, so that a
    resumed epoch repeats what was lost. `on_epoch` is given all rows so far after each checkpoint.
    Raises `DivergedError` when a loss is not finite.
    """
    began = time.perf_counter()
    transform = optimisation.transform(steps_per_epoch)
    # Copied, because the first step takes over the memory of what it is given; committed to the
    # device as restored arrays are, or the second step would be compiled anew.
    state = initial_state(jax.tree.map(jnp.copy, weights), transform)
    state = jax.device_put(state, jax.devices()[0])
    step = make_step(stage.loss, transform, optimisation.micro_batches or 1)
    score = jax.jit(stage.score)

    # ---- where an earlier process stopped ----
    done, history = 0, []
    if checkpoints.latest() is not None:
        done, (state, history) = checkpoints.latest(), checkpoints.restore_latest(state)
        on_epoch(history)
    with tqdm(
        desc=stage.name,
        total=optimisation.epochs * steps_per_epoch,
        initial=done * steps_per_epoch,
        unit="step",
        disable=done >= optimisation.epochs,
    ) as bar:
        for epoch in range(done, optimisation.epochs):
            # ---- train ----
            epoch_began, losses = time.perf_counter(), []
            for batch in train_batches(epoch):
                state, loss = step(state, frozen, batch)
                losses.append(loss)
                if len(losses) > 1:  # the step before: the device need not wait for this look
                    _check_finite(stage.name, epoch, losses, len(losses) - 2)
                bar.update()
            _check_finite(stage.name, epoch, losses, len(losses) - 1)
            seconds = time.perf_counter() - epoch_began

            # ---- validate, keep ----
            measures = mean_over_clips(
                score, Weights(state.params, state.stats), frozen, val_batches()
            )
            if not all(map(math.isfinite, measures.values())):
                raise DivergedError(_diverged(stage.name, measures, epoch, len(losses)))
            size = float(optax.tree.norm(state.params))
            if not math.isfinite(size):  # the last update may wreck them after a good loss
                told = {"weights' norm": size}
                raise DivergedError(_diverged(stage.name, told, epoch, len(losses)))
            row = {"stage": stage.name, "epoch": epoch + 1, "step": int(state.step)}
            row |= {"loss": float(np.mean([float(v) for v in losses])), **measures}
            history = [*history, row | {"seconds": round(seconds, 3)}]
            checkpoints.save(epoch + 1, state, history, measures[stage.best])
            on_epoch(history)
            bar.set_postfix({k: f"{row[k]:.4g}" for k in ("loss", stage.best)})
    best = checkpoints.restore_best(state)
    seconds = time.perf_counter() - began if done < optimisation.epochs else 0.0
    return Weights(best.params, best.stats), history, seconds


def _check_finite(stage: str, epoch: int, losses: list[jax.Array], index: int) -> None:
    loss = float(losses[index])
    if not math.isfinite(loss):
        raise DivergedError(_diverged(stage, {"loss": loss}, epoch, index + 1))


def _diverged(stage: str, measures: dict[str, float], epoch: int, step: int) -> str:
    told = ", ".join(f"the {name} is {value}" for name, value in measures.items())
    kept = "the checkpoint of the epoch before is kept" if epoch else "nothing was kept yet"
    where = f"at epoch {epoch + 1}, step {step} of it"
    return f"{stage}: {told} {where}; {kept}; try a lower learning rate"


def mean_over_clips(score, weights: Weights, frozen, batches: Iterator[Batch]) -> dict[str, float]:
    """Every clip counts once; a smaller last batch is filled up, so that one shape is compiled."""
    values, size = [], 0
    for batch in batches:
        count = len(batch["depth"])
        size = max(size, count)
        found = score(weights, frozen, fill_up(batch, size))
        values.append({name: np.asarray(value)[:count] for name, value in found.items()})
    joined = {name: np.concatenate([v[name] for v in values]) for name in values[0]}
    return {name: float(np.mean(value, dtype=np.float64)) for name, value in joined.items()}


def fill_up(batch: Batch, size: int) -> Batch:
    """Repeats the last clip until there are `size`."""
    missing = size - len(batch["depth"])
    if not missing:
        return batch
    return {k: np.concatenate([v, np.repeat(v[-1:], missing, axis=0)]) for k, v in batch.items()}
