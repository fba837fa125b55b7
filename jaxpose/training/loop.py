"""Batches -> a trained net: one loop for both stages.

An epoch is a number of steps, then validation, then a checkpoint of the whole state. A run that was
killed goes on from the last checkpoint and ends with the same weights, bit for bit.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from jaxpose.training.checkpoints import Checkpoints
from jaxpose.training.step import (
    Batch,
    Loss,
    Score,
    TrainState,
    Weights,
    initial_state,
    make_step,
)
from jaxpose.training.validation import Validation, mean_over_clips


class DivergedError(ArithmeticError):
    """A loss, a measure or a weight is not finite. The last checkpoint is still good."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """Optimiser, learning rate and duration of one training."""

    optimiser: Literal["adam", "sgd"]
    """Optimiser of optax."""
    learning_rate: float
    """Highest learning rate."""
    schedule: Literal["cosine", "steps"]
    """Learning rate over time. cosine: falls to 0; steps: x0.9 every 10 epochs (the paper)."""
    epochs: int
    """Number of epochs."""
    batch_size: int = 16
    """Clips per training step."""
    steps_per_epoch: int | None = None
    """Training steps before each validation and checkpoint. None: one pass over all clips."""
    momentum: float = 0.98
    """Momentum of sgd."""
    warmup_steps: int = 0
    """Number of first steps over which the learning rate rises linearly from 0."""

    def transform(self, steps_per_epoch: int) -> optax.GradientTransformation:
        """Creates the optimiser, with its learning rate as a function of the step."""
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


@dataclasses.dataclass(frozen=True)
class Objective:
    """What one of the two trainings minimises and measures."""

    name: str
    loss: Loss
    score: Score
    best: str
    """The validation measure that selects the epoch."""
    highest: bool
    """Whether a higher value of `best` is better."""
    frozen: Any = None
    """Arrays that do not train, the second argument of `loss`, `score` and `probe`."""
    probe: Callable[[Weights, Any, Batch], dict[str, jax.Array]] | None = None
    """(weights, frozen, batch) -> further measures after every epoch, of the first validation batch
    alone; None for none."""
    prepare: Callable[[Any, Batch], Batch] | None = None
    """(frozen, batch) -> the batch that `score` takes, with what no epoch changes; it is computed
    once per validation batch. None: the batch as it is."""


class Batches(NamedTuple):
    """Training and validation data of one training."""

    train: Callable[[int], Iterator[Batch]]
    """Epoch, from 0 -> its batches. Every call with one epoch yields the same batches, so that a
    resumed epoch repeats what was lost."""
    validation: Callable[[], Iterator[Batch]]
    """Yields the validation batches, the same in every epoch."""
    steps_per_epoch: int
    """Number of batches of every training epoch."""


def fit(
    objective: Objective,
    weights: Weights,
    optimisation: Optimisation,
    batches: Batches,
    checkpoints: Checkpoints,
    *,
    on_epoch: Callable[[list[dict]], None] = lambda history: None,
    micro_batches: int = 1,
) -> tuple[Weights, list[dict], float]:
    """Trains to the last epoch, or goes on from the last checkpoint.

    `on_epoch` receives all rows of measures so far after each checkpoint. A step processes a batch
    in `micro_batches` parts, as `make_step` describes.

    Returns:
      The best epoch's weights, one row of measures per epoch, and the seconds that this call spent
      on training.

    Raises:
      DivergedError: a loss, a measure or a weight is not finite; the last checkpoint remains.
      CheckpointError: no checkpoint, or not the best one, can be read.
    """
    began = time.perf_counter()
    transform = optimisation.transform(batches.steps_per_epoch)
    state = _first_state(weights, transform)
    step = make_step(objective.loss, transform, micro_batches)
    score, norm_of = jax.jit(objective.score), jax.jit(optax.tree.norm)
    probe = jax.jit(objective.probe) if objective.probe else None
    validation = _validation(objective, batches)

    # ---- where an earlier process stopped ----
    done, history = 0, []
    if checkpoints.latest() is not None:
        done, state, history = checkpoints.restore_latest(state)
        on_epoch(history)
    with _progress(objective, optimisation, batches, done) as bar:
        for epoch in range(done, optimisation.epochs):
            epoch_began = time.perf_counter()
            state, losses = _train(objective, step, state, batches, epoch, bar)
            seconds = time.perf_counter() - epoch_began

            # ---- validate, save ----
            now = Weights(state.params, state.stats)
            measures = mean_over_clips(score, now, objective.frozen, validation)
            if probe:
                probed = probe(now, objective.frozen, validation.first())
                measures |= {name: float(value) for name, value in probed.items()}
            # The last update may destroy the weights after a good loss.
            norm = {"weights' norm": norm_of(state.params)}
            _check_finite(objective, measures | norm, epoch, len(losses))
            row = {"stage": objective.name, "epoch": epoch + 1, "step": int(state.step)}
            row |= {"loss": float(np.mean([float(v) for v in losses])), **measures}
            history = [*history, row | {"seconds": round(seconds, 3)}]
            checkpoints.save(epoch + 1, state, history, measures[objective.best])
            on_epoch(history)
            bar.set_postfix({k: f"{row[k]:.4g}" for k in ("loss", objective.best)})
    best = checkpoints.restore_best(state)
    seconds = time.perf_counter() - began if done < optimisation.epochs else 0.0
    return Weights(best.params, best.stats), history, seconds


def _train(
    objective: Objective,
    step: Callable,
    state: TrainState,
    batches: Batches,
    epoch: int,
    bar: tqdm,
) -> tuple[TrainState, list[jax.Array]]:
    """Trains one epoch, counted from 0; returns the state and the loss of every step."""
    losses: list[jax.Array] = []
    for batch in batches.train(epoch):
        state, loss = step(state, objective.frozen, batch)
        losses.append(loss)
        if len(losses) > 1:  # the loss of the step before: the device need not wait
            _check_finite(objective, {"loss": losses[-2]}, epoch, len(losses) - 1)
        bar.update()
    _check_finite(objective, {"loss": losses[-1]}, epoch, len(losses))
    return state, losses


def _first_state(weights: Weights, transform: optax.GradientTransformation) -> TrainState:
    """Returns the state before the first step, in arrays of its own on the default device."""
    # Copied, because the first step donates its argument. Committed to the device as restored
    # arrays are, or the second step would be compiled again.
    state = initial_state(jax.tree.map(jnp.copy, weights), transform)
    return jax.device_put(state, jax.config.jax_default_device or jax.devices()[0])


def _validation(objective: Objective, batches: Batches) -> Validation:
    """Returns the validation batches, prepared as the objective asks for."""
    if objective.prepare is None:
        return Validation(batches.validation)
    prepare = jax.jit(objective.prepare)
    return Validation(batches.validation, lambda batch: prepare(objective.frozen, batch))


def _progress(
    objective: Objective, optimisation: Optimisation, batches: Batches, done: int
) -> tqdm:
    """Creates a progress bar in steps; it is silent where the training is complete."""
    return tqdm(
        desc=objective.name,
        total=optimisation.epochs * batches.steps_per_epoch,
        initial=done * batches.steps_per_epoch,
        unit="step",
        disable=done >= optimisation.epochs,
    )


def _check_finite(
    objective: Objective, measures: Mapping[str, jax.Array | float], epoch: int, step: int
) -> None:
    """Raises `DivergedError` where a measure is not finite. `epoch` is from 0, `step` from 1."""
    values = {name: float(value) for name, value in measures.items()}
    bad = [f"the {name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if bad:
        stored = "the checkpoint of the epoch before is kept" if epoch else "no checkpoint exists"
        raise DivergedError(
            f"{objective.name}: {', '.join(bad)} at epoch {epoch + 1}, step {step} of it; "
            f"{stored}; try a lower learning rate"
        )
