"""Python functions under XLA, and the library that is reached through them."""

import ctypes
import importlib.metadata
import os
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from lowerings import CONV3D, FOLDED, NEEDS_ONEDNN, ONEDNN

from jaxpose.lowering import convolve, fastest
from jaxpose.lowering.onednn import dnnl, ffi, library, norm, products
from jaxpose.nets.layers import Conv, Layer, Numerics
from jaxpose.training.loop import Optimisation, initial_state, make_step, run_net, split_net


def floats(buffer: ffi.Buffer) -> np.ndarray:
    size = int(np.prod(buffer.shape))
    return np.ctypeslib.as_array(
        ctypes.cast(buffer.address, ctypes.POINTER(ctypes.c_float)), (size,)
    ).reshape(buffer.shape)


def in_threads(work, items) -> None:
    """`work(item)` of all at once."""
    threads = [threading.Thread(target=work, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_python_function_fills_xla_s_result_in_place():
    seen = []

    def outer(arguments, results):
        seen.append([(b.dtype, b.shape) for b in (*arguments, *results)])
        a, b = map(floats, arguments)
        floats(results[0])[...] = np.multiply.outer(a, b)
        floats(results[1])[...] = a.sum()

    ffi.register("test_outer", outer)
    out = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 3), ())]

    @jax.jit
    def run(a, b):
        product, total = jax.ffi.ffi_call("test_outer", out)(a, 10 * b)
        return product + 1, total

    product, total = run(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0, 5.0]))
    np.testing.assert_array_equal(product, [[31, 41, 51], [61, 81, 101]])
    assert total == 3
    assert seen == [[("float32", s) for s in ((2,), (3,), (2, 3), ())]]


def test_a_function_that_is_offered_is_registered_once_when_threads_first_call_it(monkeypatch):
    told, register, here = [], ffi.register, threading.Barrier(4)

    def slow(name, function):
        told.append(name)
        time.sleep(0.05)  # the others are asking meanwhile
        register(name, function)

    def double(arguments, results):
        floats(results[0])[...] = 2 * floats(arguments[0])

    monkeypatch.setattr(ffi, "register", slow)
    ffi.declare("test_double", double)
    assert not told
    found = {}

    def work(i):
        here.wait()
        out = jax.ShapeDtypeStruct((2,), jnp.float32)
        found[i] = np.asarray(ffi.call("test_double", out)(jnp.full(2, float(i))))

    in_threads(work, range(4))
    assert told == ["test_double"]
    assert {i: v.tolist() for i, v in found.items()} == {i: [2 * i] * 2 for i in range(4)}


def test_importing_registers_nothing():
    code = "from jaxpose import lowering; from jaxpose.lowering.onednn import ffi; print(len(ffi._handlers), len(ffi._declared))"
    said = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True).stdout
    assert said.split() == ["0", "8"]


def test_an_exception_in_the_function_stops_the_xla_program_with_its_message():
    def fail(arguments, results):
        raise ValueError("no such thing")

    ffi.register("test_fail", fail)
    call = jax.ffi.ffi_call("test_fail", jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(Exception, match="test_fail: no such thing"):
        jax.block_until_ready(jax.jit(call)(jnp.zeros(2)))


def test_without_the_library_the_folded_lowering_is_chosen_and_the_other_says_what_to_install(
    monkeypatch,
):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    library._load.cache_clear()
    try:
        assert fastest("float32") == fastest("bfloat16") == "folded"
        with pytest.raises(ModuleNotFoundError, match=r"\[onednn\]"):
            convolve(jnp.zeros((1, 1, 4, 4, 1)), jnp.zeros((1, 3, 1, 1, 1)), lowering=ONEDNN)
    finally:
        library._load.cache_clear()


@NEEDS_ONEDNN
def test_where_the_library_is_installed_it_is_chosen_on_a_cpu():
    if jax.default_backend() == "cpu":
        assert fastest("float32") == "onednn"


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_a_gpu_xla_s_own_convolution_is_chosen_with_and_without_the_library(
    there, dtype, monkeypatch
):
    monkeypatch.setattr(onednn, "can", lambda dtype: there)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert fastest(dtype) == "conv3d"
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert fastest(dtype) == ("onednn" if there else "folded")


def norm_by_hand(x, scale, shift, epsilon, relu):
    """Batch norm as it is defined: over all but channels, variance of N."""
    mean = x.mean((0, 1, 2, 3))
    variance = ((x - mean) ** 2).mean((0, 1, 2, 3))
    y = (x - mean) / jnp.sqrt(variance + epsilon) * scale + shift
    return jnp.maximum(y, 0) if relu else y, mean, variance


@NEEDS_ONEDNN
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    "shape", [(2, 3, 5, 7, 12), (1, 1, 1, 2, 1), (3, 2, 4, 4, 16), (1, 4, 9, 2, 33)]
)
def test_batch_norm_and_its_gradients_are_those_of_its_definition(shape, relu):
    rng = np.random.default_rng(0)
    x, w = (jnp.asarray(rng.normal(3, 2, shape), jnp.float32) for _ in range(2))
    scale, shift = (jnp.asarray(rng.normal(0, 1, shape[4:]), jnp.float32) for _ in range(2))

    def results(norm):
        def weighed(*arguments):
            out = norm(*arguments, 1e-3, relu)
            return (out[0] * w).sum(), out

        gradients, out = jax.jit(jax.grad(weighed, (0, 1, 2), has_aux=True))(x, scale, shift)
        return *out, *gradients

    for found, wanted in zip(results(norm.normalise), results(norm_by_hand), strict=True):
        size = max(1.0, float(jnp.abs(wanted).max()))
        np.testing.assert_allclose(found, wanted, atol=2e-5 * size)


@NEEDS_ONEDNN
@pytest.mark.parametrize(
    "scale, shift, said",
    [
        (jnp.ones(8, "bfloat16"), jnp.ones(8), "bfloat16 with float32"),
    ],
)
def test_what_the_library_would_read_beyond_is_refused(scale, shift, said):
    with pytest.raises((TypeError, ValueError), match=said):
        norm.normalise(jnp.ones((1, 1, 2, 2, 8)), scale, shift, 1e-3, True)


@NEEDS_ONEDNN
@pytest.mark.parametrize(
    "kernel, bias",
    [
        (jnp.ones((1, 3, 1, 8, 4), "bfloat16"), None),
        (jnp.ones((1, 3, 1, 8, 4)), jnp.ones(4, "bfloat16")),
        (jnp.ones((1, 3, 1, 8, 4)), jnp.ones(3)),
    ],
)
def test_a_kernel_or_a_bias_of_another_size_is_refused(kernel, bias):
    with pytest.raises((TypeError, ValueError), match="bfloat16|bias"):
        onednn.convolve(jnp.ones((1, 1, 4, 4, 8)), kernel, bias, (1, 1, 1), False)


@NEEDS_ONEDNN
def test_batch_norm_in_bfloat16_is_that_of_float32_within_its_precision():
    if not ONEDNN.unavailable("bfloat16") is None:
        pytest.skip("this CPU cannot")
    x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 3, 4, 5, 16)), "bfloat16")
    scale, shift = jnp.full(16, 1.5), jnp.full(16, -0.5)
    found = norm.normalise(x, scale, shift, 1e-3, True)[0]
    wanted = norm_by_hand(x.astype("float32"), scale, shift, 1e-3, True)[0]
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype("float32"), wanted, atol=2**-7 * 5)


@NEEDS_ONEDNN
def test_the_loss_of_a_step_tells_of_nan_that_relu_hid():
    layer = Layer("c", 4, 8, kernel=(1, 3, 1))
    graph, weights = split_net(Conv(layer, Numerics(ONEDNN), rngs=nnx.Rngs(0)))

    def loss(weights, frozen, batch):
        y, stats = run_net(graph, weights, batch["depth"], train=True)
        return jnp.mean(y), stats

    x = np.ones((1, 3, 6, 5, 4), np.float32)
    x[0, 0, 0, 0, 0] = np.nan
    x = jnp.asarray(x)
    assert np.isfinite(float(loss(weights, None, {"depth": x})[0]))
    transform = Optimisation("sgd", 0.1, "steps", 1).transform(1)
    step = make_step(loss, transform)
    assert np.isnan(float(step(initial_state(weights, transform), None, {"depth": x})[1]))


@NEEDS_ONEDNN
def test_batch_norm_under_vmap_takes_every_entry_s_own_statistics():
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(3, 2, 2, 4, 5, 8)), jnp.float32)
    scale, shift = jnp.full(8, 2.0), jnp.full(8, 0.5)
    found = jax.vmap(lambda v: norm.normalise(v, scale, shift, 1e-3, True)[0])(x)
    wanted = [norm_by_hand(v, scale, shift, 1e-3, True)[0] for v in x]
    np.testing.assert_allclose(found, jnp.stack(wanted), atol=1e-5)


@NEEDS_ONEDNN
def test_batch_norm_under_scan_takes_every_step_s_own_statistics():
    rng = np.random.default_rng(4)
    xs = jnp.asarray(rng.normal(rng.normal(size=(4, 1)), 2, (4, 2 * 3 * 5 * 4 * 8)), jnp.float32)
    xs, scale, shift = xs.reshape(4, 2, 3, 5, 4, 8), jnp.full(8, 2.0), jnp.full(8, 0.5)

    def scanned(norm):
        def loss(xs, scale, shift):
            def step(carry, x):
                y, mean, variance = norm(x + carry, scale, shift, 1e-3, True)
                return carry + y[:1, :1, :1, :1].mean(), (y, mean, variance)

            last, out = jax.lax.scan(step, jnp.float32(0), xs)
            return last + (out[0] ** 2).mean(), out

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(xs, scale, shift)

    found, wanted = (jax.tree.leaves(scanned(n)) for n in (norm.normalise, norm_by_hand))
    for ours, theirs in zip(found, wanted, strict=True):
        size = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * size)


@NEEDS_ONEDNN
def test_threads_that_normalise_at_once_each_get_their_own_result():
    rng = np.random.default_rng(5)
    xs = [jnp.asarray(rng.normal(i, 1 + i, (2, 3, 9, 8, 16)), jnp.float32) for i in range(2)]
    scale, shift = jnp.full(16, 1.5), jnp.full(16, -0.5)

    @jax.jit
    def run(x):
        def loss(x):
            out = norm.normalise(x, scale, shift, 1e-3, True)
            return (out[0] ** 3).sum(), out

        gradient, out = jax.grad(loss, has_aux=True)(x)
        return *out, gradient

    alone = [jax.tree.map(np.asarray, run(x)) for x in xs]
    assert np.abs(alone[0][1] - alone[1][1]).min() > 0.5  # their means: 0 and 1
    found, here = [[], []], threading.Barrier(2)

    def work(i):
        here.wait()
        found[i] = [jax.tree.map(np.asarray, run(xs[i])) for _ in range(20)]

    in_threads(work, range(2))
    for x, wanted, many in zip(xs, alone, found, strict=True):
        by_hand = norm_by_hand(x, scale, shift, 1e-3, True)
        np.testing.assert_allclose(wanted[0], by_hand[0], atol=1e-4)
        assert len(many) == 20
        for one in many:
            for ours, same in zip(one, wanted, strict=True):
                np.testing.assert_array_equal(ours, same)


@NEEDS_ONEDNN
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
def test_a_layer_trains_alike_by_onednn_and_by_flax(relu, transposed):
    """Output, gradients and what is left in the running statistics, after two steps."""
    doubled = dict(kernel=(1, 2, 2), stride=(1, 2, 2), transposed=True)
    layer = Layer("c", 4, 8, **(doubled if transposed else dict(kernel=(1, 3, 1))), relu=relu)
    x = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 6, 5, 4)), jnp.float32)
    left = []
    for lowering in (ONEDNN, CONV3D):
        conv = Conv(layer, Numerics(lowering, bn_momentum=0.9), rngs=nnx.Rngs(0))
        conv.bias[...] = jnp.linspace(-0.2, 0.5, 8)
        for _ in range(2):
            loss, gradients = nnx.value_and_grad(lambda c: (c(x, train=True) ** 3).sum())(conv)
        kept = nnx.state(conv, nnx.Not(nnx.Param))
        left.append([loss, *jax.tree.leaves(gradients), *jax.tree.leaves(kept)])
    for ours, theirs in zip(*left, strict=True):
        size = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * size)


@NEEDS_ONEDNN
@pytest.mark.parametrize(
    "size", [(2, 3, 4, 5), (1, 1, 2, 3), (2, 3, 1, 1), (1, 2, 7, 2), (1, 1, 1, 4)], ids=str
)
@pytest.mark.parametrize("extent", [(3, 1, 1), (1, 3, 1), (1, 1, 3), (1, 1, 5), (5, 1, 1)], ids=str)
def test_weight_gradients_by_products_leave_out_every_pair_that_padding_would_make(
    extent, size, monkeypatch
):
    """Against shifted copies of x in float64, tap by tap; channels wide enough to be taken."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(*size, 64)), rng.normal(size=(*size, 128))
    kernel = (*extent, 64, 128)
    computed, own = [], products.weight_gradient
    monkeypatch.setattr(products, "weight_gradient", lambda *a: (computed.append(a[-1]), own(*a)))
    reach = [k // 2 for k in extent]
    padded = np.pad(x, [(0, 0), *((r, r) for r in reach), (0, 0)])
    wanted = np.empty(kernel)
    for tap in np.ndindex(extent):
        part = padded[:, *(slice(a, a + n) for a, n in zip(tap, size[1:], strict=True))]
        wanted[tap] = np.einsum("bthwi,bthwo->io", part, dy)

    def weighed(kernel):
        x32, dy32 = (jnp.asarray(v, jnp.float32) for v in (x, dy))
        return (convolve(x32, kernel, lowering=ONEDNN) * dy32).sum()

    found = jax.grad(weighed)(jnp.zeros(kernel))
    np.testing.assert_allclose(found, wanted, atol=2e-6 * np.abs(wanted).max())
    assert computed == [kernel]


@pytest.mark.parametrize(
    "dtype, x, kernel, y",
    [
        ("bfloat16", (1, 3, 4, 4, 64), (3, 1, 1, 64, 128), (1, 3, 4, 4, 128)),
        ("float32", (1, 3, 4, 4, 128), (3, 1, 1, 64, 128), (1, 3, 4, 4, 128)),  # two groups
        ("float32", (1, 3, 4, 6, 64), (1, 1, 3, 64, 128), (1, 3, 4, 2, 128)),  # strided
        ("float32", (1, 3, 4, 4, 64), (1, 3, 3, 64, 128), (1, 3, 4, 4, 128)),
        ("float32", (1, 3, 4, 4, 64), (1, 1, 1, 64, 128), (1, 3, 4, 4, 128)),
        ("float32", (1, 3, 4, 4, 64), (3, 1, 1, 64, 64), (1, 3, 4, 4, 64)),  # few channels
    ],
)
def test_other_weight_gradients_are_left_to_the_library_s_convolution(dtype, x, kernel, y):
    assert not products.faster(dtype, x, kernel, y)


ASK = """
import jax, jax.numpy as jnp
from jaxpose.lowering import convolution
from jaxpose.lowering import onednn
x = jnp.ones((1, 3, 4, 4, 8), "bfloat16")
try:
    convolve(x, jnp.ones((3, 3, 3, 8, 8), "bfloat16"), lowering=ONEDNN)
    done = True
except NotImplementedError:
    done = False
print(onednn.can("float32"), done, ONEDNN.unavailable("bfloat16") is None, fastest("bfloat16"))
"""


@NEEDS_ONEDNN
@pytest.mark.parametrize("newest, said", [("AVX2", "True False False folded"), ("DEFAULT", None)])
def test_whether_the_library_has_bfloat16_on_this_cpu_is_what_a_convolution_says(newest, said):
    # the library takes the newest instructions that it may use from the environment
    limits = {"ONEDNN_MAX_CPU_ISA": newest, "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", ASK], env=os.environ | limits, stdout=-1, text=True, check=True
    ).stdout.strip()
    assert found in ([said] if said else ["True True True onednn", "True False False folded"])


@NEEDS_ONEDNN
def test_a_shape_that_the_library_cannot_do_is_refused_while_tracing():
    x, kernel = jnp.zeros((1, 1, 4, 4, 3)), jnp.zeros((1, 3, 1, 2, 2))  # 3 channels in groups of 2
    with pytest.raises(ValueError, match="3 channels"):
        jax.eval_shape(lambda x, k: convolve(x, k, lowering=ONEDNN), x, kernel)


@NEEDS_ONEDNN
def test_threads_that_convolve_at_once_each_get_their_own_result():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 3, 8, 9, 4)), jnp.float32)
    kernels = [jnp.asarray(rng.normal(size=(3, 3, 3, 4, 4)), jnp.float32) for _ in range(4)]
    run = jax.jit(lambda k: convolve(x, k, lowering=ONEDNN))
    alone, found = [np.asarray(run(k)) for k in kernels], [[] for _ in kernels]

    def work(i):
        found[i] = [np.asarray(run(kernels[i])) for _ in range(20)]

    in_threads(work, range(len(kernels)))
    for wanted, many in zip(alone, found, strict=True):
        assert len(many) == 20
        for one in many:
            np.testing.assert_array_equal(one, wanted)  # bit by bit: the same order of sums
