"""What validation computes once: the batches stay where they fit, and no digit depends on it."""

import dataclasses
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from lowerings import LOWERINGS
from test_training import (
    START,
    STEPS,
    TARGET,
    Small,
    blind,
    fresh,
    noisy,
    ones,
    unit_steps,
    walking,
)

from jaxpose.nets import detection
from jaxpose.nets.compute import Computation, apply_folded, fold_net
from jaxpose.nets.modules import ConvNet
from jaxpose.training import validation
from jaxpose.training.checkpoints import Checkpoints
from jaxpose.training.loop import Batches, Optimisation, fit
from jaxpose.training.stages import regression_objective
from jaxpose.training.step import split_net
from jaxpose.training.validation import Validation, mean_over_clips

EPOCHS = 3
CLIPS = np.array([[1], [2], [3], [4], [10]], np.float32)


def large(epoch: int):
    """As `noisy`, of a size that the detection net can halve as often as it does."""
    for batch in noisy(epoch):
        times = detection.SHRINK // batch["depth"].shape[2]
        yield batch | {"depth": np.tile(batch["depth"], (1, 1, times, times, 1))}


class Feed:
    """Batches of two clips, the last one smaller; counts how often it is started."""

    started = 0

    def __call__(self):
        self.started += 1
        return ({"depth": CLIPS[k : k + 2]} for k in (0, 2, 4))


def test_every_clip_counts_once_where_the_last_batch_is_smaller():
    sizes = []

    def score(weights, frozen, batch):
        sizes.append(len(batch["depth"]))
        return {"value": batch["depth"][:, 0], "square": batch["depth"][:, 0] ** 2}

    actual = mean_over_clips(score, START, None, Validation(Feed()))
    # the mean of the batches' means would be (1.5 + 3.5 + 10) / 3 = 5
    assert actual == {"value": 4.0, "square": (1 + 4 + 9 + 16 + 100) / 5}
    assert sizes == [2, 2, 2]  # one shape, one compilation


@pytest.mark.parametrize("limit, once", [(48, True), (47, False), (0, False)])
def test_batches_that_fit_are_read_and_prepared_once(limit, once, monkeypatch):
    # three batches of two clips, each clip a float32 and its double: 3 * 2 * 2 * 4 bytes
    monkeypatch.setattr(validation, "KEPT_BYTES", limit)
    feed, prepared = Feed(), []

    def prepare(batch):
        prepared.append(len(batch["depth"]))
        return batch | {"double": 2 * batch["depth"]}

    batches = Validation(feed, prepare)
    for _ in range(EPOCHS):
        values = [(n, b["depth"].tolist(), b["double"].tolist()) for n, b in batches]
        assert values == [
            (2, [[1], [2]], [[2], [4]]),
            (2, [[3], [4]], [[6], [8]]),
            (1, [[10], [10]], [[20], [20]]),
        ]
    times = 1 if once else EPOCHS
    assert feed.started == times and prepared == [2, 2, 2] * times
    assert batches.first()["double"].tolist() == [[2], [4]]
    assert feed.started == times + (not once)


def test_an_epoch_that_was_left_early_keeps_nothing():
    feed = Feed()
    batches = Validation(feed)
    assert batches.first()["depth"].tolist() == [[1], [2]] and len([*batches]) == 3
    assert feed.started == 2


def test_a_training_reads_its_validation_clips_once_and_frees_them_at_its_end(tmp_path):
    kept, started = [], []

    def clips():
        started.append(True)
        for batch in ones():
            kept.append(weakref.ref(batch["depth"]))
            yield batch

    with Checkpoints(tmp_path, highest=False) as checkpoints:
        batches = Batches(ones, clips, STEPS)
        fit(walking(3.0), fresh(START), unit_steps(EPOCHS), batches, checkpoints)
    gc.collect()
    assert len(started) == 1 and len(kept) == STEPS
    assert [each() for each in kept] == [None] * STEPS


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.promotes_types
def test_maps_that_are_computed_once_change_no_digit(lowering, tmp_path, monkeypatch):
    net = detection.net(1 / 16)
    computation = Computation(lowering)
    frozen = fold_net(ConvNet(net, computation=computation, rngs=nnx.Rngs(1)).weights(), 1e-3)
    graph, weights = split_net(Small(nnx.Rngs(0)))

    def detect(frozen, depth):
        return jax.nn.sigmoid(apply_folded(net, frozen, computation, depth))

    stage = regression_objective(graph, detect, TARGET, 10.0, frozen=frozen)
    assert stage.prepare is not None
    data = Batches(large, lambda: large(99), STEPS)

    def trained(folder, stage):
        with Checkpoints(tmp_path / folder, highest=False) as checkpoints:
            adam = Optimisation("adam", 0.01, "cosine", EPOCHS)
            best, history, _ = fit(stage, fresh(weights), adam, data, checkpoints)
        return best, [{k: v for k, v in row.items() if k != "seconds"} for row in history]

    best, history = trained("kept", stage)
    monkeypatch.setattr(validation, "KEPT_BYTES", 0)
    others = [
        trained("anew", stage),
        trained("in one program", dataclasses.replace(stage, prepare=None)),
    ]
    assert len({row["val_error"] for row in history}) == EPOCHS
    for other, rows in others:
        assert rows == history
        assert all(map(np.array_equal, jax.tree.leaves(other), jax.tree.leaves(best)))


def test_true_masks_as_input_are_drawn_in_the_score_and_nothing_is_prepared():
    stage = regression_objective(None, blind, TARGET, 10.0, fed=TARGET)
    assert stage.prepare is None


def test_a_score_takes_the_maps_of_the_batch():
    graph, weights = split_net(Small(nnx.Rngs(0)))

    def unused(frozen, depth):
        raise AssertionError("computed again")

    stage = regression_objective(graph, unused, TARGET, 10.0)
    batch = next(noisy(0))
    grid = batch["depth"].shape[:-1]
    low, high = (
        stage.score(weights, None, batch | {"maps": jnp.full((*grid, 20), value)})["val_error"]
        for value in (0.1, 0.9)
    )
    assert low.shape == (2,) and not np.array_equal(low, high)
