"""What a training step needs, held against what XLA says; the parts that make it fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxpose import cascade, convolution, detection, memory, regression
from jaxpose.factorise import VARIANTS
from jaxpose.layers import Numerics
from jaxpose.masks import Target
from jaxpose.training import Optimisation, Weights, initial_state, make_step, split_net

PAPER = (3, 96, 128)
GIB = 2**30


def asy(width: float = 1.0):
    return regression.layers(VARIANTS["asy"], width)


def test_a_step_of_the_paper_s_batch_needs_the_outputs_of_its_convolutions_several_times():
    # per pixel: three convolutions each of 64, 128, 256 and 256 channels, 256 and 20 once
    channels = 3 * (64 + 128 + 256 + 256) + 256 + 20
    outputs = 16 * 3 * 96 * 128 * channels * 4
    assert memory.step_bytes(asy(), PAPER, 16) == pytest.approx(3.5 * outputs)
    assert 17e9 < memory.step_bytes(asy(), PAPER, 16) < 20e9


@pytest.mark.parametrize("gib, parts", [(128, 1), (24, 2), (16, 2), (8, 4), (1, 16)])
def test_the_fewest_parts_are_taken_that_fit(gib, parts):
    # 19.7 GB whole, 9.8 in two, 4.9 in four; single clips of 1.2 where nothing fits
    assert memory.micro_batches(asy(), PAPER, 16, gib * GIB) == parts


def test_the_default_runs_work_in_one_piece_on_four_gibibytes():
    for layers, batch in ((asy(0.25), 8), ([*detection.layers(0.25).values()], 16)):
        assert memory.micro_batches(layers, (3, 48, 64), batch, 4 * GIB) == 1


def test_there_is_memory_and_not_a_terabyte_of_it():
    assert GIB < memory.machine_bytes() < 4096 * GIB


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["asy", "full"])
def test_the_need_is_what_xla_says_or_up_to_a_third_more(variant):
    numerics = Numerics(convolution.fastest("float32"))
    detector, frozen = split_net(
        detection.DetectionNet(width=0.25, numerics=numerics, rngs=nnx.Rngs(0))
    )
    net = regression.RegressionNet(
        VARIANTS[variant], width=0.25, numerics=numerics, rngs=nnx.Rngs(0)
    )
    graph, weights = split_net(net)
    stage = cascade.regression_stage(graph, detector, Target(3.0, 1.0), 10.0)
    transform = Optimisation("adam", 1e-3, "cosine", 1).transform(1)
    batch = {
        "depth": jnp.zeros((8, 3, 48, 64, 1)),
        "masks": jnp.zeros((8, 3, 48, 64, 20)),
    }
    step = make_step(stage.loss, transform)
    compiled = step.lower(initial_state(weights, transform), frozen, batch).compile()
    real = compiled.memory_analysis().temp_size_in_bytes
    need = memory.step_bytes(regression.layers(VARIANTS[variant], 0.25), (3, 48, 64), 8)
    assert real < need < 1.33 * real
    halves = make_step(stage.loss, transform, 2)
    halved = halves.lower(initial_state(weights, transform), frozen, batch).compile()
    assert halved.memory_analysis().temp_size_in_bytes < 0.6 * real


def linear(weights: Weights, frozen, batch):
    """A loss whose gradient is followed by hand, and a statistic that counts and remembers."""
    (slope,), (seen,) = jax.tree.leaves(weights.params), jax.tree.leaves(weights.stats)
    return slope * batch["depth"].mean(), {"seen": 0.5 * seen + batch["depth"].sum()}


@pytest.mark.parametrize(
    "parts, seen", [(1, 10.0), (2, 0.5 * 3 + 7), (4, 1 / 8 + 2 / 4 + 3 / 2 + 4)]
)
def test_parts_add_up_to_the_batch_and_statistics_go_from_part_to_part(parts, seen):
    transform = Optimisation("sgd", 0.1, "steps", 1, momentum=0.0).transform(1)
    weights = Weights({"slope": jnp.float32(3)}, {"seen": jnp.float32(0)})
    state, loss = make_step(linear, transform, parts)(
        initial_state(weights, transform), None, {"depth": jnp.array([[1.0], [2.0], [3.0], [4.0]])}
    )
    assert float(loss) == pytest.approx(3 * 2.5)
    assert float(state.params["slope"]) == pytest.approx(3 - 0.1 * 2.5)
    assert float(state.stats["seen"]) == pytest.approx(seen)


def test_a_net_without_batch_norm_learns_the_same_in_parts():
    layers_of = np.random.default_rng(0)
    weights = Weights({"k": jnp.asarray(layers_of.normal(size=(3, 2)), jnp.float32)}, {})

    def loss(weights, frozen, batch):
        return jnp.mean((jnp.tanh(batch["x"] @ weights.params["k"]) - batch["y"]) ** 2), {}

    batch = {
        "x": jnp.asarray(layers_of.normal(size=(6, 3)), jnp.float32),
        "y": jnp.asarray(layers_of.normal(size=(6, 2)), jnp.float32),
    }
    transform = Optimisation("sgd", 1.0, "steps", 1, momentum=0.0).transform(1)
    whole, parts = (
        make_step(loss, transform, n)(
            initial_state(jax.tree.map(jnp.copy, weights), transform), None, batch
        )
        for n in (1, 3)
    )
    np.testing.assert_allclose(parts[0].params["k"], whole[0].params["k"], rtol=1e-5)
    assert not np.allclose(whole[0].params["k"], weights.params["k"], rtol=1e-2)
