"""Losses, schedules and the loop, on models whose every step can be followed by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxpose.body.masks import Target
from jaxpose.nets.compute import Computation, fill_up
from jaxpose.nets.layers import Layer
from jaxpose.nets.modules import Conv
from jaxpose.training.checkpoints import CheckpointError, Checkpoints
from jaxpose.training.loop import (
    Batches,
    DivergedError,
    Objective,
    Optimisation,
    fit,
)
from jaxpose.training.stages import regression_objective
from jaxpose.training.step import Weights, initial_state, split_net


class Walker(nnx.Module):
    """One number, which a loss of minus itself moves up by the learning rate every step."""

    def __init__(self):
        self.place = nnx.Param(jnp.zeros(()))
        self.seen = nnx.BatchStat(jnp.zeros(()))


GRAPH, START = split_net(Walker())
STEPS = 3
"""Of every epoch."""


def walk(weights: Weights, frozen, batch):
    walker = nnx.merge(GRAPH, *weights, copy=True)
    walker.seen[...] += 1
    return -walker.place[...] * batch["depth"].mean(), nnx.state(walker, nnx.BatchStat)


def place(weights: Weights) -> float:
    return float(jax.tree.leaves(weights.params)[0])


def walking(goal: float, highest: bool = False) -> Objective:
    """Best where the walker is nearest to `goal` (or furthest from it)."""

    def score(weights: Weights, frozen, batch):
        distance = jnp.abs(jax.tree.leaves(weights.params)[0] - goal)
        return {"distance": jnp.full(len(batch["depth"]), distance)}

    return Objective("walk", walk, score, "distance", highest)


def test_a_probe_measures_the_first_validation_batch_after_every_epoch(tmp_path):
    def probe(weights: Weights, frozen, batch):
        return {"seen": jax.tree.leaves(weights.params)[0] * batch["depth"].mean()}

    def validation():
        yield {"depth": np.full((2, 1), 2.0, np.float32)}
        yield {"depth": np.full((2, 1), 99.0, np.float32)}

    objective = dataclasses.replace(walking(3), probe=probe)
    batches = Batches(ones, validation, STEPS)
    start = fresh(START)
    with Checkpoints(tmp_path, highest=False) as checkpoints:
        _, history, _ = fit(objective, start, unit_steps(2), batches, checkpoints)
    # a step of 1 each, STEPS an epoch, on batches of ones
    expected = [2.0 * (place(START) + STEPS * epoch) for epoch in (1, 2)]
    assert [row["seen"] for row in history] == expected


def ones(epoch: int = 0):
    for _ in range(STEPS):
        yield {"depth": np.ones((2, 1), np.float32)}


def fresh(weights: Weights) -> Weights:
    """A copy, because `fit` takes over the memory of what it is given."""
    return jax.tree.map(jnp.copy, weights)


def unit_steps(epochs: int, **options) -> Optimisation:
    return Optimisation("sgd", 1.0, "steps", epochs, **({"momentum": 0.0} | options))


def run(folder, stage, optimisation, train=ones, highest=False):
    checkpoints = Checkpoints(folder, highest=highest)
    start = fresh(START)
    actual = fit(stage, start, optimisation, Batches(train, ones, STEPS), checkpoints)
    return *actual, checkpoints


def test_the_best_epoch_is_given_back_and_the_newest_is_kept(tmp_path):
    # after epochs 1 to 4 the walker is at 3, 6, 9, 12; 6 is nearest to 7
    best, history, _, checkpoints = run(tmp_path, walking(7.0), unit_steps(4))
    assert [row["distance"] for row in history] == [4, 1, 2, 5]
    assert place(best) == 6
    assert (checkpoints.best(), checkpoints.latest()) == (2, 4)


def test_where_more_is_better_the_highest_epoch_is_given_back(tmp_path):
    # at 3, 6 and 9 the walker is 1, 2 and 5 away from 4
    best, *_ = run(tmp_path, walking(4.0, True), unit_steps(3), highest=True)
    assert place(best) == 9
    # from 10: 7, 4, 1, so the first
    best, *_ = run(tmp_path / "b", walking(10.0, True), unit_steps(3), highest=True)
    assert place(best) == 3


def test_a_row_of_the_history_tells_stage_epoch_step_loss_and_measure(tmp_path):
    _, history, seconds, _ = run(tmp_path, walking(0.0), unit_steps(2))
    row = dict(history[1])
    assert row.pop("seconds") >= 0 and seconds > 0
    # the losses of epoch 2 are -3, -4, -5
    assert row == {"stage": "walk", "epoch": 2, "step": 6, "loss": -4.0, "distance": 6.0}


def test_a_loss_that_is_not_finite_names_epoch_and_step_and_keeps_the_checkpoint(tmp_path):
    def poisoned(epoch):
        for step, batch in enumerate(ones()):
            if (epoch, step) == (1, 1):
                batch["depth"][:] = np.nan
            yield batch

    with pytest.raises(DivergedError, match=r"walk: the loss is nan at epoch 2, step 2 "):
        run(tmp_path, walking(0.0), unit_steps(3), train=poisoned)
    assert Checkpoints(tmp_path, highest=False).latest() == 1
    best, history, _, _ = run(tmp_path, walking(9.0), unit_steps(3))
    assert [row["step"] for row in history] == [3, 6, 9] and place(best) == 9


def test_the_last_step_of_an_epoch_is_looked_at_before_it_is_kept(tmp_path):
    def poisoned(epoch):
        *first, last = ones()
        yield from first
        yield {"depth": last["depth"] * np.inf}

    with pytest.raises(DivergedError, match="at epoch 1, step 3 "):
        run(tmp_path, walking(0.0), unit_steps(3), train=poisoned)
    assert Checkpoints(tmp_path, highest=False).latest() is None


def test_weights_wrecked_by_the_last_update_of_an_epoch_are_not_kept(tmp_path):
    def poisoned(epoch):
        for step, batch in enumerate(ones()):
            if (epoch, step) == (1, 2):
                batch["depth"][:] = 1e38
            yield batch

    def score(weights, frozen, batch):
        return {"distance": jnp.zeros(len(batch["depth"]))}  # finite whatever the weights are

    def flat(weights, frozen, batch):  # loss 0, slope as large as the batch
        place = jax.tree.leaves(weights.params)[0]
        slope = batch["depth"].mean()
        return slope * (place - jax.lax.stop_gradient(place)), weights.stats

    stage = Objective("walk", flat, score, "distance", False)
    rate = Optimisation("sgd", 10.0, "steps", 3, momentum=0.0)
    with pytest.raises(DivergedError, match=r"weights' norm is inf at epoch 2"):
        run(tmp_path, stage, rate, train=poisoned)
    assert Checkpoints(tmp_path, highest=False).latest() == 1


def test_a_finished_training_is_not_trained_again(tmp_path):
    run(tmp_path, walking(4.0), unit_steps(2))

    def nothing(epoch):
        raise AssertionError("asked for a batch")

    best, history, seconds, _ = run(tmp_path, walking(4.0), unit_steps(2), train=nothing)
    assert place(best) == 3 and len(history) == 2 and seconds == 0


def noisy(epoch: int):
    """Clips with joints, other ones every epoch."""
    rng = np.random.default_rng(epoch)
    for _ in range(STEPS):
        yield {
            "depth": rng.normal(size=(2, 3, 8, 8, 1)).astype(np.float32),
            "xy": rng.uniform(0, 8, (2, 3, 12, 2)).astype(np.float32),
            "visible": rng.random((2, 3, 12)) < 0.8,
        }


NOTHING = {}


def blind(frozen, depth):
    """A detection net that sees nothing: probabilities of 1/2."""
    return jnp.full((*depth.shape[:-1], 20), 0.5)


TARGET = Target(3.0, 2.0)


class Small(nnx.Module):
    """A regression net of two layers, the first with batch norm."""

    def __init__(self, rngs):
        self.hidden = Conv(Layer("hidden", 21, 4), Computation(), rngs=rngs)
        self.output = Conv(Layer("output", 4, 20, norm=False, relu=False), Computation(), rngs=rngs)

    def __call__(self, depth, maps, *, train: bool):
        x = jnp.concatenate([depth, maps], axis=-1)
        return self.output(self.hidden(x, train=train), train=train)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.promotes_types
def test_a_resumed_training_goes_on_bit_for_bit(tmp_path, optimiser):
    graph, weights = split_net(Small(nnx.Rngs(0)))
    stage = regression_objective(graph, blind, TARGET, 10.0, frozen=NOTHING)
    optimisation = Optimisation(optimiser, 0.01, "cosine", 4, warmup_steps=2)

    def killed(epoch):
        for step, batch in enumerate(noisy(epoch)):
            if (epoch, step) == (2, 1):
                raise KeyboardInterrupt
            yield batch

    def train(folder, batches):
        checkpoints = Checkpoints(tmp_path / folder, highest=False)
        val = lambda: noisy(99)  # noqa: E731
        data = Batches(batches, val, STEPS)
        fit(stage, fresh(weights), optimisation, data, checkpoints)

    train("whole", noisy)
    with pytest.raises(KeyboardInterrupt):  # in the middle of epoch 3
        train("parts", killed)
    train("parts", noisy)
    like = initial_state(weights, optimisation.transform(STEPS))
    (_, a, rows_a), (_, b, rows_b) = (
        Checkpoints(tmp_path / folder, highest=False).restore_latest(like)
        for folder in ("whole", "parts")
    )
    assert int(a.step) == 4 * STEPS
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
    for rows in (rows_a, rows_b):
        assert [row.pop("seconds") > 0 for row in rows] == [True] * 4
    assert rows_a == rows_b


def test_fill_up_repeats_the_last_clip():
    clips = np.array([[1.0], [2.0]])
    np.testing.assert_array_equal(fill_up(clips, 4), [[1], [2], [2], [2]])
    assert fill_up(clips, 2) is clips


@pytest.mark.parametrize("name", ["a b", "st*r", "q?", "{x,y}", "\u00fcbung", "~x", "%41"])
def test_checkpoints_are_read_back_from_folders_of_unusual_names(tmp_path, name):
    state = {"a": np.arange(3.0)}
    with Checkpoints(tmp_path / name, highest=True) as checkpoints:
        checkpoints.save(1, state, [{"x": 1}], 0.5)
        assert checkpoints.restore_best(state)["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["[a]", "a\\b", "latin\udce9"])
def test_folders_from_which_orbax_reads_nothing_back_are_refused(tmp_path, name):
    with pytest.raises(CheckpointError, match="choose another folder"):
        Checkpoints(tmp_path / name / "checkpoints", highest=True)
    assert not (tmp_path / name).exists()
