"""What a training step needs, held against what XLA says; the parts that make it fit."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest
from flax import nnx
from lowerings import CONV3D, FOLDED, LOWERINGS, ONEDNN

from jaxpose import lowering as lowerings_module
from jaxpose.body.masks import Target
from jaxpose.cost import memory
from jaxpose.nets import detection, regression
from jaxpose.nets.compute import Computation, apply_folded, fold_net
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.modules import DetectionNet, RegressionNet
from jaxpose.training import stages
from jaxpose.training.loop import Optimisation
from jaxpose.training.step import Weights, initial_state, make_step, split_net

PAPER = (3, 96, 128)
GIB = 2**30


def asy(width: float = 1.0):
    return regression.net(VARIANTS["asy"], width).layers


def net_layers(net: str, width: float):
    """Of the detection net, or of a variant of the regression net."""
    if net == "detection":
        return detection.net(width).layers
    return regression.net(VARIANTS[net], width).layers


def test_a_step_of_the_paper_s_batch_needs_the_outputs_of_its_convolutions_several_times():
    # per pixel: three convolutions each of 64, 128, 256 and 256 channels, 256 and 20 once
    channels = 3 * (64 + 128 + 256 + 256) + 256 + 20
    outputs = 16 * 3 * 96 * 128 * channels * 4
    for lowering, times in ((ONEDNN, 2.6), (FOLDED, 3.5), (CONV3D, 4.0)):
        assert memory.step_bytes(asy(), PAPER, 16, lowering) == pytest.approx(times * outputs)
    assert 14e9 < memory.step_bytes(asy(), PAPER, 16, ONEDNN) < 15e9


@pytest.mark.parametrize(
    "lowering, channels",
    [(ONEDNN, 2.6 * (704 + 276)), (CONV3D, 4 * (704 + 276)), (FOLDED, 7.8 * 704 + 3.5 * 276)],
)
def test_under_folded_kernels_that_span_time_and_space_need_twice_as_much(lowering, channels):
    # per pixel: 64, 128, 256 and 256 channels by 3x3x3, 256 and 20 by 1x1x1
    need = memory.step_bytes(net_layers("full", 1.0), PAPER, 16, lowering)
    assert need == pytest.approx(16 * 3 * 96 * 128 * 4 * channels)


@pytest.mark.parametrize("gib, parts", [(128, 1), (24, 1), (16, 2), (8, 4), (1, 16)])
def test_the_fewest_parts_are_taken_that_fit(gib, parts):
    # 14.6 GB whole, 7.3 in two, 3.7 in four; single clips of 0.9 where nothing fits
    assert memory.micro_batches(asy(), PAPER, 16, ONEDNN, gib * GIB) == parts


def test_the_default_runs_work_in_one_piece_on_four_gibibytes():
    for net, batch in (("asy", 8), ("detection", 16)):
        for lowering in lowerings_module.LOWERINGS.values():
            layers = net_layers(net, 0.25)
            assert memory.micro_batches(layers, (3, 48, 64), batch, lowering, 4 * GIB) == 1


def test_there_is_a_gibibyte_and_no_more_than_the_machine_has():
    assert GIB < memory.machine_bytes() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    "limit, gib", [("max\n", 64), (f"{5 * GIB}\n", 5), (f"{128 * GIB}\n", 64), (None, 64)]
)
def test_a_container_s_limit_counts_where_it_is_less_than_the_machine_has(
    limit, gib, monkeypatch, tmp_path
):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(memory, "CONTAINER_LIMIT", tmp_path / "memory.max")
    machine = SimpleNamespace(total=64 * GIB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    assert memory.machine_bytes() == gib * GIB


def test_on_a_gpu_its_own_memory_counts(monkeypatch):
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 7 * GIB, "bytes_in_use": GIB})
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert memory.machine_bytes() == 7 * GIB


def compiled_bytes(net: str, width: float, lowering: str, parts: int = 1) -> int:
    """What XLA says that a step on eight clips of 64x48 needs beside its arguments."""
    computation = Computation(lowering)
    detector = DetectionNet(width=width, computation=computation, rngs=nnx.Rngs(0))
    graph, weights = split_net(detector)
    stage, frozen = stages.detection_objective(graph, Target(3.0)), None
    if net != "detection":
        frozen = fold_net(detector.weights(), computation.bn_epsilon)

        def detect(frozen, depth):
            return jax.nn.sigmoid(apply_folded(detector.net, frozen, computation, depth))

        graph, weights = split_net(
            RegressionNet(VARIANTS[net], width=width, computation=computation, rngs=nnx.Rngs(0))
        )
        stage = stages.regression_objective(graph, detect, Target(3.0, 1.0), 10.0)
    transform = Optimisation("adam", 1e-3, "cosine", 1).transform(1)
    batch = {
        "depth": jnp.zeros((8, 3, 48, 64, 1)),
        "masks": jnp.zeros((8, 3, 48, 64, 20)),
    }
    step = make_step(stage.loss, transform, parts)
    lowered = step.lower(initial_state(weights, transform), frozen, batch)
    return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("width", [0.25, 1.0])
@pytest.mark.parametrize("net", ["detection", "asy", "full", "dwsep"])
@pytest.mark.promotes_types
def test_the_need_is_what_xla_says_or_up_to_a_third_more(net, width, lowering):
    real = compiled_bytes(net, width, lowering)
    need = memory.step_bytes(net_layers(net, width), (3, 48, 64), 8, lowering)
    assert real < need < 1.33 * real


@pytest.mark.slow
@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.promotes_types
def test_a_step_in_two_parts_needs_little_more_than_half(lowering):
    whole, halved = (compiled_bytes("asy", 0.25, lowering, parts) for parts in (1, 2))
    assert halved < 0.6 * whole


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
    rng = np.random.default_rng(0)
    weights = Weights({"k": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)}, {})

    def loss(weights, frozen, batch):
        return jnp.mean((jnp.tanh(batch["x"] @ weights.params["k"]) - batch["y"]) ** 2), {}

    batch = {
        "x": jnp.asarray(rng.normal(size=(6, 3)), jnp.float32),
        "y": jnp.asarray(rng.normal(size=(6, 2)), jnp.float32),
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_what_was_freed_is_kept_for_the_next_step():
    """200 MB are 51,200 pages of 4 KiB; the second time none of them has to be had again."""
    program = """
import resource, sys
import numpy as np
from jaxpose.cost import memory
if sys.argv[1] == "keep":
    memory.keep_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    for _ in range(4):
        np.ones(50_000_000, np.uint8)[0]
step()
before = faults()
step()
print(faults() - before)
"""
    stored, not_kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", program, how],
                env={**os.environ, "GLIBC_TUNABLES": ""},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for how in ("keep", "not")
    )
    # numpy asks for 2 MB pages by itself, where there are any: then the difference is smaller
    assert stored < 20 < not_kept
