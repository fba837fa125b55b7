"""A net recorded once and run as one program by oneDNN, against the flax net and JAX."""

import itertools
import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from lowerings import CONV3D, FOLDED, NEEDS_ONEDNN, ONEDNN
from models import SPECIFICATION, make_model

from experiments.bench.weights import draw
from jaxpose.lowering.onednn.program import Lifetime, place
from jaxpose.nets import detection, regression
from jaxpose.nets.compute import Computation, apply_folded, fold_net, record_folded
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Net
from jaxpose.nets.modules import ConvNet
from jaxpose.nets.predictor import predictor
from jaxpose.training.step import run_net, split_net

pytestmark = NEEDS_ONEDNN
NETS = {
    **{name: regression.net(variant, 1 / 16) for name, variant in VARIANTS.items()},
    "detection": detection.net(1 / 8),
}
ODD = (2, 3, 5, 7)
"""Clips, frames, rows and columns."""
CASES = [
    *((name, ODD) for name in VARIANTS),
    ("asy", (3, 1, 4, 3)),
    ("full", (1, 3, 16, 32)),
    ("detection", (2, 3, 16, 48)),
]
EPSILON = 1e-3


def arrays(name: str, clip: tuple[int, int, int, int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    channels = (1,) if name == "detection" else (1, 20)
    return [rng.normal(size=(*clip, c)).astype(np.float32) for c in channels]


def record(net: Net, weights, shapes, dtype: str):
    recorder = ONEDNN.recorder(dtype)
    inputs = [recorder.input(shape) for shape in shapes]
    return recorder.finish(record_folded(net, fold_net(weights, EPSILON), recorder, *inputs))


def flax_output(net: Net, weights, inputs) -> np.ndarray:
    module = ConvNet(net, computation=Computation(CONV3D, bn_epsilon=EPSILON), rngs=nnx.Rngs(0))
    module.set_weights(weights)
    run = jax.jit(run_net, static_argnums=0, static_argnames="train")
    return np.asarray(run(*split_net(module), *map(jnp.asarray, inputs), train=False)[0])


def assert_close(actual, expected, share: float) -> None:
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=share * np.abs(expected).max())


@pytest.mark.parametrize("name, clip", CASES, ids=str)
def test_a_program_computes_what_the_flax_net_does(name, clip):
    net, inputs = NETS[name], arrays(name, clip)
    weights = draw(net.layers)
    program = record(net, weights, [x.shape for x in inputs], "float32")
    expected = flax_output(net, weights, inputs)
    for _ in range(2):
        [actual] = program(*inputs)
        assert_close(actual, expected, 1e-5)


@pytest.mark.parametrize("name", ["asy", "thin", "detection"])
def test_in_bfloat16_it_deviates_as_little_as_layer_by_layer(name):
    if reason := ONEDNN.unavailable("bfloat16"):
        pytest.skip(reason)
    net, inputs = NETS[name], arrays(name, (2, 3, 16, 16))
    weights = draw(net.layers)
    [actual] = record(net, weights, [x.shape for x in inputs], "bfloat16")(*inputs)
    expected = flax_output(net, weights, inputs)
    folded = jax.tree.map(jnp.asarray, fold_net(weights, EPSILON))
    by_layer = np.asarray(
        apply_folded(net, folded, Computation(ONEDNN, "bfloat16"), *map(jnp.asarray, inputs))
    )
    assert_close(actual, expected, 0.05)

    def rms(x):
        return np.sqrt(((x - expected) ** 2).mean())

    assert 0 < rms(actual) < 1.2 * rms(by_layer)


def test_one_program_may_have_several_outputs_which_others_are_computed_from():
    recorder = ONEDNN.recorder("float32")
    rng = np.random.default_rng(0)
    x, kernel, bias = (
        rng.normal(size=(2, 3, 4, 5, 6)),
        rng.normal(size=(1, 1, 1, 6, 6)),
        np.zeros(6),
    )
    x, kernel, bias = (a.astype(np.float32) for a in (x, kernel, bias))
    options = {"stride": (1, 1, 1), "groups": 1, "relu": False, "transposed": False}
    node = recorder.input(x.shape)
    first = recorder.sigmoid(recorder.convolve(node, kernel, bias, **options))
    second = recorder.convolve(recorder.concatenate([first, node]), *wide(kernel, bias), **options)
    actual = recorder.finish(first, second)(x)
    expected = 1 / (1 + np.exp(-(x @ kernel[0, 0, 0] + bias)))
    np.testing.assert_allclose(actual[0], expected, atol=1e-6)
    np.testing.assert_allclose(actual[1], (expected + x) @ kernel[0, 0, 0] + bias, atol=1e-5)


def wide(kernel, bias):
    return np.concatenate([kernel, kernel], axis=3), bias


def test_a_program_holds_its_own_weights():
    net, inputs = NETS["asy"], arrays("asy", (1, 3, 8, 8))
    weights = [draw(net.layers, seed) for seed in (0, 1)]
    programs = [record(net, w, [x.shape for x in inputs], "float32") for w in weights]
    expected = [flax_output(net, w, inputs) for w in weights]
    for layer in weights[0].values():
        layer.kernel[...] = np.nan  # the program has a copy
    for program, values in zip(programs, expected, strict=True):
        assert_close(program(*inputs)[0], values, 1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 0.1


def test_several_threads_may_call_one_program_and_others_at_once():
    cases = []
    for name, seed in itertools.product(["asy", "detection"], range(2)):
        net, inputs = NETS[name], arrays(name, (2, 3, 16, 16), seed)
        weights = draw(net.layers)
        if seed == 0:
            program = record(net, weights, [x.shape for x in inputs], "float32")
        cases.append((program, inputs, flax_output(net, weights, inputs)))
    wrong, start = [], threading.Barrier(len(cases))

    def work(program, inputs, expected):
        start.wait()
        for _ in range(50):
            if np.abs(program(*inputs)[0] - expected).max() > 1e-5 * np.abs(expected).max():
                wrong.append(inputs)

    threads = [threading.Thread(target=work, args=case) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_does_not_grow_with_calls_nor_with_programs_that_are_dropped():
    net, inputs = NETS["detection"], arrays("detection", (4, 3, 32, 32))
    weights, process = draw(net.layers), psutil.Process()

    def megabytes(times: int, calls: int) -> float:
        for _ in range(times):
            program = record(net, weights, [x.shape for x in inputs], "float32")
            for _ in range(calls):
                program(*inputs)
        return process.memory_info().rss / 1e6

    before = megabytes(times=2, calls=20)
    after_calls = megabytes(times=1, calls=200)
    after_programs = megabytes(times=20, calls=1)
    size = inputs[0].nbytes * 20 / 1e6  # of one output: 200 of them are 50 times as much
    assert after_calls - before < 10 * size
    weight_megabytes = sum(layer.kernel.nbytes for layer in weights.values()) / 1e6
    assert after_programs - after_calls < 5 * weight_megabytes


def test_arrays_of_other_shapes_are_an_error_that_names_both():
    net, inputs = NETS["full"], arrays("full", (1, 3, 4, 4))
    program = record(net, draw(net.layers), [x.shape for x in inputs], "float32")
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 5, 20\).*expected.*\(1, 3, 4, 4, 20\)"):
        program(*arrays("full", (1, 3, 4, 5)))


@pytest.fixture(scope="module")
def predictors():
    """Both nets by `folded` and by `onednn`, float32, with the same weights."""
    weights = {name: fold_net(layers, EPSILON) for name, layers in make_model().weights.items()}
    return [
        predictor(SPECIFICATION.nets(), weights, Computation(lowering))
        for lowering in (FOLDED, ONEDNN)
    ]


def clips_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*shape, 1)).astype(np.float32)


@pytest.mark.parametrize(
    "shape, words",
    [
        ((1, 3, 15, 17), "(3, 15, 17) (t, y, x): expected sizes divisible by (1, 2, 2)"),
        ((1, 3, 8, 8), "(3, 1, 1) (t, y, x): expected sizes divisible by (1, 2, 2)"),
        ((1, 3, 20, 20), "(3, 5, 5) (t, y, x): expected sizes divisible by (1, 2, 2)"),
        ((0, 3, 16, 16), "x (0, 3, 16, 16, 1): expected [clips frames rows columns channels]"),
        ((1, 0, 16, 16), "x (1, 0, 16, 16, 1): expected [clips frames rows columns channels]"),
    ],
)
def test_clips_that_the_nets_cannot_compute_are_refused_alike(predictors, shape, words):
    messages = []
    for predict in predictors:
        with pytest.raises(ValueError) as error:
            predict(clips_of(shape))
        messages.append(str(error.value))
    assert messages[0] == messages[1] and messages[0].startswith(words)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (2, 3, 16, 32), (1, 9, 16, 16)])
def test_any_number_of_clips_and_frames_is_computed_alike(predictors, shape):
    expected, actual = (predict(clips_of(shape)) for predict in predictors)
    for one, other in zip(expected, actual, strict=True):
        assert other.shape == (*shape, 20)
        assert_close(other, one, 1e-5)


def test_arrays_of_other_types_and_strides_are_converted():
    net, inputs = NETS["full"], arrays("full", (2, 3, 4, 4))
    program = record(net, draw(net.layers), [x.shape for x in inputs], "float32")
    [expected] = program(*inputs)
    strided = [np.repeat(x, 2, axis=3)[:, :, :, ::2].astype(np.float64) for x in inputs]
    np.testing.assert_array_equal(program(*strided)[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_on_other_instructions(instructions):
    """The library then chooses other layouts, which activations keep between the layers."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions, "JAX_PLATFORMS": "cpu"}
    chosen = "computes_what or bfloat16 or outputs or threads"
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", __file__, "-k", chosen]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:]


# ---- memory ----


@given(
    st.lists(
        st.tuples(st.integers(1, 20000), st.integers(0, 9), st.integers(0, 9)).map(
            lambda t: Lifetime(t[0], min(t[1:]), max(t[1:]))
        ),
        max_size=12,
    )
)
def test_arrays_in_use_at_the_same_time_never_overlap(lifetimes):
    offsets, size = place(lifetimes)
    assert all(o % 4096 == 0 for o in offsets)
    assert all(o + a.bytes <= size for o, a in zip(offsets, lifetimes, strict=True))
    pairs = itertools.combinations(zip(offsets, lifetimes, strict=True), 2)
    for (o, a), (p, b) in pairs:
        at_once = a.first <= b.last and b.first <= a.last
        assert not at_once or o + a.bytes <= p or p + b.bytes <= o


def test_memory_is_used_again():
    chain = [Lifetime(bytes=4096, first=k, last=k + 1) for k in range(10)]
    assert place(chain) == ([0, 4096] * 5, 8192)
