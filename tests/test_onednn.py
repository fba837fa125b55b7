"""Python functions under XLA, and the library that is reached through them."""

import ctypes
import functools
import importlib.metadata
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest
from flax import nnx
from lowerings import CONV3D, FOLDED, NEEDS_ONEDNN, ONEDNN

from jaxpose import lowering
from jaxpose.lowering.onednn import convolution, dnnl, ffi, norm, products
from jaxpose.lowering.onednn import lowering as onednn
from jaxpose.nets.compute import Numerics
from jaxpose.nets.layers import Layer
from jaxpose.nets.modules import Conv
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

    def outer(arguments, results, attributes):
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


def test_a_defined_function_is_registered_once_when_threads_first_call_it(monkeypatch):
    names, register, here = [], ffi.register, threading.Barrier(4)

    def slow(name, function):
        names.append(name)
        time.sleep(0.05)  # the others are asking meanwhile
        register(name, function)

    def double(arguments, results, attributes):
        floats(results[0])[...] = 2 * floats(arguments[0])

    monkeypatch.setattr(ffi, "register", slow)
    ffi.define("test_double", double)
    assert not names
    actual = {}

    def work(i):
        here.wait()
        out = jax.ShapeDtypeStruct((2,), jnp.float32)
        actual[i] = np.asarray(ffi.call("test_double", out)(jnp.full(2, float(i))))

    in_threads(work, range(4))
    assert names == ["test_double"]
    assert {i: v.tolist() for i, v in actual.items()} == {i: [2 * i] * 2 for i in range(4)}


def test_importing_registers_nothing_and_leaves_the_environment_alone():
    code = (
        "import os; before = dict(os.environ)\n"
        "import jaxpose.lowering; from jaxpose.lowering.onednn import dnnl, ffi\n"
        "dnnl.library()\n"
        "print(len(ffi._handlers), len(ffi._pending), dict(os.environ) == before)"
    )
    out = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True).stdout
    assert out.split() == ["0", "8", "True"]


def test_an_exception_in_the_function_stops_the_xla_program_with_its_message():
    def fail(arguments, results, attributes):
        raise ValueError("no such thing")

    ffi.register("test_fail", fail)
    call = jax.ffi.ffi_call("test_fail", jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(Exception, match="test_fail: no such thing"):
        jax.block_until_ready(jax.jit(call)(jnp.zeros(2)))


def test_attributes_reach_the_function_by_name():
    received = []

    def function(arguments, results, attributes):
        received.append(attributes)
        floats(results[0])[...] = attributes["factor"]

    ffi.register("test_attributes", function)
    call = jax.ffi.ffi_call("test_attributes", jax.ShapeDtypeStruct((2,), jnp.float32))
    out = jax.jit(lambda: call(factor=np.float32(0.25), other=np.float32(3)))()
    np.testing.assert_array_equal(out, [0.25, 0.25])
    assert received == [{"factor": 0.25, "other": 3.0}]


def test_ctrl_c_in_a_handler_is_ctrl_c_in_the_program():
    def interrupt(arguments, results, attributes):
        raise KeyboardInterrupt

    ffi.register("test_interrupt", interrupt)
    call = jax.ffi.ffi_call("test_interrupt", jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(KeyboardInterrupt), ffi.interrupts():
        jax.block_until_ready(jax.jit(call)(jnp.zeros(2)))


def c_structures() -> dict[str, list[str]]:
    """Names of the fields of every structure of the header that jaxlib ships, in order."""
    header = Path(jaxlib.__file__).parent / "include" / "xla" / "ffi" / "api" / "c_api.h"
    if not header.exists():
        pytest.skip("jaxlib ships no header here")
    text = re.sub(r"//[^\n]*", "", header.read_text())
    fields = {}
    for name, body in re.findall(r"struct (XLA_FFI_\w+) \{(.*?)\n\}", text, re.DOTALL):
        declarations = [d.strip() for d in body.split(";") if d.strip()]
        fields[name] = [re.split(r"[\s*()]+", d.rstrip(")"))[-1] for d in declarations]
    return fields


def test_the_structures_are_those_of_the_header_that_jaxlib_ships():
    ours, theirs = ffi.STRUCTURES, c_structures()
    for name, structure in ours.items():
        fields = []
        for base in reversed(structure.__mro__[:-2]):
            fields += [field for field, _ in base.__dict__.get("_fields_", [])]
        assert theirs[name][: len(fields)] == fields, name


@pytest.mark.parametrize(
    "name, value",
    [
        ("XLA_FFI_Extension_Metadata", ffi.METADATA),
        ("XLA_FFI_ExecutionStage_EXECUTE", ffi.EXECUTE),
        ("XLA_FFI_AttrType_SCALAR", ffi.SCALAR),
        ("XLA_FFI_DataType_F32", ffi.FLOAT32),
        *((f"XLA_FFI_DataType_{n}", code) for n, code in (("U8", 6), ("F32", 11), ("BF16", 16))),
        ("XLA_FFI_Error_Code_INTERNAL", ffi.INTERNAL_ERROR),
    ],
)
def test_the_constants_are_those_of_the_header_that_jaxlib_ships(name, value):
    header = Path(jaxlib.__file__).parent / "include" / "xla" / "ffi" / "api" / "c_api.h"
    if not header.exists():
        pytest.skip("jaxlib ships no header here")
    assert re.search(rf"\b{name} = (\d+)", header.read_text())[1] == str(value)


@pytest.fixture
def forget():
    """Availability is looked up anew in the test and after it."""

    def clear():
        for cached in (dnnl.library, onednn.unavailable, onednn.failure):
            getattr(cached, "cache_clear", lambda: None)()

    clear()
    yield
    clear()


def test_without_the_library_folded_is_chosen_and_onednn_says_what_to_install(monkeypatch, forget):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    assert lowering.fastest("float32") is lowering.fastest("bfloat16") is FOLDED
    assert "pip install 'jaxpose[onednn]'" in ONEDNN.unavailable("float32")
    with pytest.raises(ModuleNotFoundError, match=r"\[onednn\]"):
        x, kernel = jnp.zeros((1, 1, 4, 4, 1)), jnp.zeros((1, 3, 1, 1, 1))
        lowering.convolve(x, kernel, lowering=ONEDNN)


@NEEDS_ONEDNN
def test_where_the_library_is_installed_it_is_chosen_on_a_cpu():
    if jax.default_backend() == "cpu":
        assert lowering.fastest("float32") is ONEDNN


@NEEDS_ONEDNN
def test_a_library_whose_functions_xla_refuses_costs_one_line_and_folded_is_chosen(
    monkeypatch, forget, capsys
):
    def refuse(*arguments, **options):
        raise RuntimeError("unsupported version 9.9\nof the interface")

    monkeypatch.setattr(ffi, "call", refuse)
    assert lowering.fastest("float32") is FOLDED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: oneDNN is not used: ") and "version 9.9" in line


@NEEDS_ONEDNN
def test_a_library_with_wrong_results_is_not_used(monkeypatch, forget):
    monkeypatch.setattr(convolution, "convolve", lambda x, *rest: x)
    assert "wrong" in ONEDNN.unavailable("float32")
    assert lowering.fastest("float32") is FOLDED


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_a_gpu_xla_s_own_convolution_is_chosen(dtype, monkeypatch, forget):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert lowering.fastest(dtype) is CONV3D
    assert "needs a CPU" in ONEDNN.unavailable(dtype)


@NEEDS_ONEDNN
@pytest.mark.parametrize("groups, channels", [(1, 8), (4, 4), (21, 21), (2, 32)])
def test_a_primitive_runs_in_a_thread_that_did_not_create_it(groups, channels):
    """The library's own scratch memory belongs to the thread that creates a primitive."""
    kernel = jnp.ones((3, 3, 3, channels // groups, channels))
    x = jnp.ones((1, 3, 8, 8, channels))

    def loss(x, kernel, how):
        y = lowering.convolve(x, kernel, groups=groups, relu=True, lowering=how)
        return (y**2).sum()

    compiled = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2).lower(x, kernel, ONEDNN).compile()
    results = {}
    in_threads(lambda k: results.update({k: jax.block_until_ready(compiled(x, kernel))}), range(2))
    expected = jax.grad(loss, (0, 1))(x, kernel, CONV3D)
    for gradients in results.values():
        for ours, theirs in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@NEEDS_ONEDNN
def test_the_weight_gradient_of_1x1x1_kernels_by_xla_equals_the_library_s(monkeypatch):
    """On a CPU with AMX the library's own does not return in bfloat16; here it is forced."""
    rng = np.random.default_rng(0)
    x, dy = (jnp.asarray(rng.normal(size=(2, 3, 5, 4, c)), jnp.float32) for c in (6, 9))
    kernel = jnp.asarray(rng.normal(size=(1, 1, 1, 6, 9)), jnp.float32)

    def gradient():
        return jax.grad(lambda k: (lowering.convolve(x, k, lowering=ONEDNN) * dy).sum())(kernel)

    expected = gradient()
    monkeypatch.setattr(convolution, "pointwise_by_xla", lambda *arguments: True)
    np.testing.assert_allclose(gradient(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "dtype, kernel, channels, instructions, by_xla",
    [
        ("bfloat16", (1, 1, 1, 256, 20), 256, "AVX-512 AMX", True),
        ("float32", (1, 1, 1, 256, 20), 256, "AVX-512 AMX", False),
        ("bfloat16", (1, 1, 1, 256, 20), 256, "AVX-512 BF16", False),
        ("bfloat16", (3, 1, 1, 256, 256), 256, "AVX-512 AMX", False),
    ],
)
def test_only_pointwise_bfloat16_gradients_on_amx_are_left_to_xla(
    dtype, kernel, channels, instructions, by_xla, monkeypatch
):
    monkeypatch.setattr(dnnl, "instruction_set", lambda: instructions)
    assert convolution.pointwise_by_xla(dtype, kernel, channels) is by_xla


@NEEDS_ONEDNN
def test_primitives_beyond_the_cache_s_size_are_destroyed():
    destroyed, own = [], dnnl.library().dnnl_primitive_destroy
    small = functools.lru_cache(maxsize=2)(convolution._Convolution)
    arguments = ("float32", (1, 1, 4, 4, 8), (1, 3, 1, 8, 8), (1, 1, 4, 4, 8), False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            dnnl.library(), "dnnl_primitive_destroy", lambda h: (destroyed.append(h), own(h))
        )
        for operation in (convolution.FORWARD, convolution.FORWARD_RELU, convolution.BACKWARD_DATA):
            small(operation, *arguments)
        assert len(destroyed) >= 1  # the first one, and its reorder if it has one
    assert convolution.prepared.cache_info().maxsize == norm.prepared.cache_info().maxsize == 512


def test_another_lowering_is_one_object():
    def convolve(x, kernel, bias, stride, groups, relu):
        y = CONV3D.convolve(x, kernel, bias, stride, groups, relu)
        return y + 1

    mine = lowering.Lowering(
        "mine", convolve=convolve, upsample=CONV3D.upsample, memory_factor=lambda extent: 1.0
    )
    conv = Conv(Layer("c", 2, 3, norm=False, relu=False), Numerics(mine), rngs=nnx.Rngs(0))
    other = Conv(Layer("c", 2, 3, norm=False, relu=False), Numerics(CONV3D), rngs=nnx.Rngs(0))
    x = jnp.ones((1, 1, 2, 2, 2))
    np.testing.assert_allclose(conv(x, train=True), other(x, train=True) + 1)


def test_an_unknown_lowering_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match="unknown lowering 'conv2d'; one of: conv3d, fold"):
        lowering.lowering_named("conv2d")


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

    for actual, expected_value in zip(results(norm.norm_relu), results(norm_by_hand), strict=True):
        size = max(1.0, float(jnp.abs(expected_value).max()))
        np.testing.assert_allclose(actual, expected_value, atol=2e-5 * size)


@NEEDS_ONEDNN
@pytest.mark.parametrize(
    "scale, shift, output",
    [
        (jnp.ones(8, "bfloat16"), jnp.ones(8), "bfloat16 with float32"),
    ],
)
def test_what_the_library_would_read_beyond_is_refused(scale, shift, output):
    with pytest.raises((TypeError, ValueError), match=output):
        norm.norm_relu(jnp.ones((1, 1, 2, 2, 8)), scale, shift, 1e-3, True)


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
        lowering.convolve(jnp.ones((1, 1, 4, 4, 8)), kernel, bias, lowering=ONEDNN)


@NEEDS_ONEDNN
def test_batch_norm_in_bfloat16_is_that_of_float32_within_its_precision():
    if onednn.unavailable("bfloat16"):
        pytest.skip("this CPU cannot")
    x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 3, 4, 5, 16)), "bfloat16")
    scale, shift = jnp.full(16, 1.5), jnp.full(16, -0.5)
    actual = norm.norm_relu(x, scale, shift, 1e-3, True)[0]
    expected_value = norm_by_hand(x.astype("float32"), scale, shift, 1e-3, True)[0]
    assert actual.dtype == jnp.bfloat16
    np.testing.assert_allclose(actual.astype("float32"), expected_value, atol=2**-7 * 5)


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
    actual = jax.vmap(lambda v: norm.norm_relu(v, scale, shift, 1e-3, True)[0])(x)
    expected_value = [norm_by_hand(v, scale, shift, 1e-3, True)[0] for v in x]
    np.testing.assert_allclose(actual, jnp.stack(expected_value), atol=1e-5)


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

    actual, expected_value = (jax.tree.leaves(scanned(n)) for n in (norm.norm_relu, norm_by_hand))
    for ours, theirs in zip(actual, expected_value, strict=True):
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
            out = norm.norm_relu(x, scale, shift, 1e-3, True)
            return (out[0] ** 3).sum(), out

        gradient, out = jax.grad(loss, has_aux=True)(x)
        return *out, gradient

    alone = [jax.tree.map(np.asarray, run(x)) for x in xs]
    assert np.abs(alone[0][1] - alone[1][1]).min() > 0.5  # their means: 0 and 1
    actual, here = [[], []], threading.Barrier(2)

    def work(i):
        here.wait()
        actual[i] = [jax.tree.map(np.asarray, run(xs[i])) for _ in range(20)]

    in_threads(work, range(2))
    for x, expected_value, many in zip(xs, alone, actual, strict=True):
        by_hand = norm_by_hand(x, scale, shift, 1e-3, True)
        np.testing.assert_allclose(expected_value[0], by_hand[0], atol=1e-4)
        assert len(many) == 20
        for one in many:
            for ours, same in zip(one, expected_value, strict=True):
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
    for how in (ONEDNN, CONV3D):
        conv = Conv(layer, Numerics(how, bn_momentum=0.9), rngs=nnx.Rngs(0))
        conv.bias[...] = jnp.linspace(-0.2, 0.5, 8)
        for _ in range(2):
            loss, gradients = nnx.value_and_grad(lambda c: (c(x, train=True) ** 3).sum())(conv)
        stored = nnx.state(conv, nnx.Not(nnx.Param))
        left.append([loss, *jax.tree.leaves(gradients), *jax.tree.leaves(stored)])
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
    expected_value = np.empty(kernel)
    for tap in np.ndindex(extent):
        part = padded[:, *(slice(a, a + n) for a, n in zip(tap, size[1:], strict=True))]
        expected_value[tap] = np.einsum("bthwi,bthwo->io", part, dy)

    def weighed(kernel):
        x32, dy32 = (jnp.asarray(v, jnp.float32) for v in (x, dy))
        return (lowering.convolve(x32, kernel, lowering=ONEDNN) * dy32).sum()

    actual = jax.grad(weighed)(jnp.zeros(kernel))
    np.testing.assert_allclose(actual, expected_value, atol=2e-6 * np.abs(expected_value).max())
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
from jaxpose import lowering
onednn = lowering.LOWERINGS["onednn"]
x = jnp.ones((1, 3, 4, 4, 8), "bfloat16")
try:
    lowering.convolve(x, jnp.ones((3, 3, 3, 8, 8), "bfloat16"), lowering=onednn)
    done = True
except NotImplementedError:
    done = False
usable = [not onednn.unavailable(dtype) for dtype in ("float32", "bfloat16")]
print(usable[0], done, usable[1], lowering.fastest("bfloat16").name)
"""


@NEEDS_ONEDNN
@pytest.mark.parametrize("newest, answer", [("AVX2", "True False False folded"), ("DEFAULT", None)])
def test_whether_the_library_has_bfloat16_on_this_cpu_is_what_a_convolution_does(newest, answer):
    # the library takes the newest instructions that it may use from the environment
    limits = {"ONEDNN_MAX_CPU_ISA": newest, "JAX_PLATFORMS": "cpu"}
    out = subprocess.run(
        [sys.executable, "-c", ASK], env=os.environ | limits, stdout=-1, text=True, check=True
    ).stdout.strip()
    assert out in ([answer] if answer else ["True True True onednn", "True False False folded"])


@NEEDS_ONEDNN
def test_bfloat16_on_a_cpu_without_it_is_refused_with_the_reason(monkeypatch, forget):
    if dnnl.instruction_set() != "AVX2":
        pytest.skip("this CPU may have it")
    reason = ONEDNN.unavailable("bfloat16")
    assert "cannot compute bfloat16 on this CPU (AVX2)" in reason and "float32" in reason


@NEEDS_ONEDNN
def test_threads_that_convolve_at_once_each_get_their_own_result():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 3, 8, 9, 4)), jnp.float32)
    kernels = [jnp.asarray(rng.normal(size=(3, 3, 3, 4, 4)), jnp.float32) for _ in range(4)]
    run = jax.jit(lambda k: lowering.convolve(x, k, lowering=ONEDNN))
    alone, actual = [np.asarray(run(k)) for k in kernels], [[] for _ in kernels]

    def work(i):
        actual[i] = [np.asarray(run(kernels[i])) for _ in range(20)]

    in_threads(work, range(len(kernels)))
    for expected_value, many in zip(alone, actual, strict=True):
        assert len(many) == 20
        for one in many:
            np.testing.assert_array_equal(one, expected_value)  # bit by bit: the same order of sums
