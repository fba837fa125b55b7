"""oneDNN: where it can be used, what it touches, and what it computes."""

import functools
import importlib.metadata
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from lowerings import CONV3D, FOLDED, NEEDS_ONEDNN, ONEDNN

from jaxpose import lowering
from jaxpose.lowering.onednn import convolution, dnnl, library, norm, primitives, products
from jaxpose.lowering.onednn import lowering as onednn
from jaxpose.nets.compute import Computation
from jaxpose.nets.layers import Layer
from jaxpose.nets.modules import Conv
from jaxpose.training.loop import Optimisation
from jaxpose.training.step import initial_state, make_step, run_net, split_net


def in_threads(work, items) -> None:
    """`work(item)` of all at once."""
    threads = [threading.Thread(target=work, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def forget():
    """Availability is looked up anew in the test and after it."""

    def clear():
        for cached in (library._load, onednn._unsupported, onednn._failed_call):
            getattr(cached, "cache_clear", lambda: None)()

    clear()
    yield
    clear()


def test_without_the_library_folded_is_chosen_and_onednn_says_what_to_install(monkeypatch, forget):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert lowering.fastest("float32") is lowering.fastest("bfloat16") is FOLDED
    assert "pip install 'jaxpose[onednn]'" in ONEDNN.unavailable("float32")
    with pytest.raises(ModuleNotFoundError, match=r"\[onednn\]"):
        x, kernel = jnp.zeros((1, 1, 4, 4, 1)), jnp.zeros((1, 3, 1, 1, 1))
        lowering.convolve(x, kernel, lowering=ONEDNN)


@NEEDS_ONEDNN
def test_where_the_library_is_installed_it_is_chosen_on_a_cpu():
    if jax.default_backend() == "cpu":
        assert lowering.fastest("float32") is ONEDNN


def python(program: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a program in a process of its own, on a CPU."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


REFUSED = """
from jaxpose.lowering import LOWERINGS, fastest
from jaxpose.lowering.onednn import ffi
ffi.VERSION = (0, 99)
print(fastest("float32").name)
print(LOWERINGS["onednn"].unavailable("float32"))
"""


@NEEDS_ONEDNN
def test_a_library_whose_functions_xla_refuses_costs_one_line_and_folded_is_chosen():
    done = python(REFUSED)
    chosen, reason = done.stdout.splitlines()
    assert chosen == "folded" and "version (0.99) is incompatible" in reason
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: oneDNN is not used: ") and "(0.99)" in line


@NEEDS_ONEDNN
def test_a_library_that_cannot_be_loaded_costs_one_line_and_folded_is_chosen(
    monkeypatch, forget, capsys
):
    def refuse(path):
        raise OSError("wrong ELF class")

    monkeypatch.setattr(library.ctypes, "CDLL", refuse)
    assert lowering.fastest("float32") is FOLDED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: oneDNN is not used: ") and "wrong ELF class" in line


LOADED = """
import os
before = dict(os.environ)
from jaxpose.lowering import LOWERINGS
assert dict(os.environ) == before
assert LOWERINGS["onednn"].unavailable("float32") is None
assert dict(os.environ) == before
"""


@NEEDS_ONEDNN
@pytest.mark.parametrize(
    "user", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "PASSIVE"}], ids=str
)
def test_loading_leaves_the_environment_alone_and_its_threads_sleep_unless_the_user_says_else(
    user, monkeypatch
):
    for name in library.WAITING:
        monkeypatch.delenv(name, raising=False)
    done = python(LOADED, OMP_DISPLAY_ENV="verbose", **user)
    assert done.returncode == 0, done.stderr
    policy = user.get("OMP_WAIT_POLICY", "PASSIVE")
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr
    ours = f"GOMP_SPINCOUNT = '{library.WAITING['GOMP_SPINCOUNT']}'" in done.stderr
    assert ours is (not user), done.stderr


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


# ---- the weight gradient that may not return ----


@NEEDS_ONEDNN
def test_instruction_sets_have_names(monkeypatch):
    assert library.instruction_set() in library._INSTRUCTION_SETS.values()
    for code, name in library._INSTRUCTION_SETS.items():
        monkeypatch.setattr(library.library(), "dnnl_get_effective_cpu_isa", lambda code=code: code)
        assert library.instruction_set() == name


@NEEDS_ONEDNN
@pytest.mark.parametrize("extent", [(1, 1, 1), (3, 1, 1), (3, 3, 3)])
def test_no_weight_gradient_has_the_implementation_whose_threads_may_wait_for_ever(
    extent, monkeypatch
):
    if reason := ONEDNN.unavailable("bfloat16"):
        pytest.skip(reason)
    chosen, create = [], dnnl.Primitive.__init__

    def record(self, description, arguments):
        chosen.append(dnnl.implementation(description))
        create(self, description, arguments)

    monkeypatch.setattr(dnnl.Primitive, "__init__", record)
    x, kernel = (1, 3, 12, 16, 32), (*extent, 32, 20)
    primitives.Convolution(
        primitives.BACKWARD_WEIGHTS, "bfloat16", x, kernel, (*x[:4], 20), biased=False
    )
    assert not chosen[0].startswith("brgconv_bwd_w"), chosen
    if "AMX" in library.instruction_set():
        assert "amx" in chosen[0]  # the next one is as fast


@NEEDS_ONEDNN
def test_the_weight_gradient_without_a_further_implementation_is_an_error(monkeypatch):
    monkeypatch.setattr(primitives, "DEADLOCKS", "")  # every implementation's name begins so
    shape = (1, 1, 4, 4, 8)
    with pytest.raises(NotImplementedError, match="folded"):
        primitives.Convolution(
            primitives.BACKWARD_WEIGHTS, "float32", shape, (1, 3, 1, 8, 8), shape, biased=False
        )


# ---- memory that it touches, objects that it creates ----


@NEEDS_ONEDNN
def test_a_primitive_that_the_cache_drops_is_destroyed_in_the_library_too(monkeypatch):
    destroyed, destroy = [], library.library().dnnl_primitive_destroy
    monkeypatch.setattr(
        library.library(), "dnnl_primitive_destroy", lambda p: (destroyed.append(p), destroy(p))
    )
    cached = functools.lru_cache(maxsize=2)(primitives.Convolution)
    for channels in (3, 5, 7, 9):  # each with a kernel that is reordered first
        shape = (1, 1, 4, 4, channels)
        cached(primitives.FORWARD, "float32", shape, (1, 3, 1, channels, channels), shape, False)
    assert len(destroyed) == 2 * 2
    for cache in (primitives.prepared, norm.prepared):
        assert cache.cache_info().maxsize == dnnl.CACHED


def run_script(name: str, *arguments: str, most_s: float = 900) -> None:
    """Runs a script of this folder, whose last line is `done`."""
    command = [sys.executable, str(Path(__file__).with_name(name)), *arguments]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=most_s)
    assert done.stdout.splitlines()[-1:] == ["done"], (done.stdout[-300:], done.stderr[-2000:])


@NEEDS_ONEDNN
@pytest.mark.parametrize("shapes", ["few", pytest.param("all", marks=pytest.mark.slow)])
def test_operations_created_in_another_thread_touch_nothing_outside_of_their_arrays(shapes):
    run_script("onednn_guarded.py", shapes)


@NEEDS_ONEDNN
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_operation_of_every_net_returns(dtype):
    if reason := ONEDNN.unavailable(dtype):
        pytest.skip(reason)
    run_script("onednn_every_operation.py", dtype)


@NEEDS_ONEDNN
def test_the_operations_that_once_never_returned_do():
    if reason := ONEDNN.unavailable("bfloat16"):
        pytest.skip(reason)
    run_script("onednn_every_operation.py", "bfloat16", "hung", most_s=240)


# ---- batch norm ----


@jax.numpy_rank_promotion("allow")
def norm_by_hand(x, scale, shift, epsilon, relu):
    """Batch norm as it is defined: over all but channels, variance of N."""
    mean = x.mean((0, 1, 2, 3))
    variance = ((x - mean) ** 2).mean((0, 1, 2, 3))
    y = (x - mean) / jnp.sqrt(variance + epsilon) * scale + shift
    return jnp.maximum(y, 0) if relu else y, mean, variance


@NEEDS_ONEDNN
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    "shape",
    [(2, 3, 5, 7, 12), (1, 1, 1, 2, 1), (3, 2, 4, 4, 16), (2, 3, 5, 7, 48), (1, 4, 9, 2, 33)],
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

    for actual, expected in zip(results(norm.norm_relu), results(norm_by_hand), strict=True):
        size = max(1.0, float(jnp.abs(expected).max()))
        np.testing.assert_allclose(actual, expected, atol=2e-5 * size)


@NEEDS_ONEDNN
@pytest.mark.parametrize("channels, calls", [(16, 2), (64, 2), (42, 0), (10, 0), (8, 0)])
def test_the_library_normalises_the_numbers_of_channels_that_its_code_is_vectorised_for(
    channels, calls
):
    """With 42 channels its own code took 40 times as long as XLA's."""

    def loss(x, channel):
        return norm.norm_relu(x, channel, channel, 1e-3, True)[0].sum()

    x, channel = jnp.ones((1, 1, 2, 3, channels)), jnp.ones(channels)
    text = jax.jit(jax.grad(loss)).lower(x, channel).as_text()
    assert sum("@jaxpose_onednn_norm" in line for line in text.splitlines()) == calls


@NEEDS_ONEDNN
def test_epsilon_is_an_attribute_of_the_call_and_not_an_array():
    x, channel = jnp.arange(96.0).reshape(1, 1, 2, 3, 16), jnp.ones(16)
    for epsilon in (1e-3, 10.0):
        run = jax.jit(lambda *a, epsilon=epsilon: norm.norm_relu(*a, epsilon, True)[0])
        expected = norm_by_hand(x, channel, channel, epsilon, True)[0]
        np.testing.assert_allclose(run(x, channel, channel), expected, atol=1e-5)
        text = run.lower(x, channel, channel).as_text()
        (line,) = [line for line in text.splitlines() if "@jaxpose" in line]
        operands, attributes = line.split("(", 1)[1].split(")", 1)
        assert operands.count("%") == 3 and "epsilon = " in attributes


@NEEDS_ONEDNN
def test_scale_and_shift_of_another_type_are_refused():
    scale, shift = jnp.ones(8, "bfloat16"), jnp.ones(8)
    with pytest.raises(TypeError, match="bfloat16 and float32: expected equal ones"):
        norm.norm_relu(jnp.ones((1, 1, 2, 2, 8)), scale, shift, 1e-3, True)


@NEEDS_ONEDNN
def test_other_types_than_float32_and_bfloat16_are_refused():
    x, kernel = jnp.ones((1, 1, 4, 4, 8), "float16"), jnp.ones((1, 3, 1, 8, 4), "float16")
    with pytest.raises(TypeError, match="float16.* expected .* float32 or bfloat16"):
        lowering.convolve(x, kernel, lowering=ONEDNN)


@NEEDS_ONEDNN
def test_batch_norm_in_bfloat16_is_that_of_float32_within_its_precision():
    if reason := ONEDNN.unavailable("bfloat16"):
        pytest.skip(reason)
    x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 3, 4, 5, 16)), "bfloat16")
    scale, shift = jnp.full(16, 1.5), jnp.full(16, -0.5)
    actual = norm.norm_relu(x, scale, shift, 1e-3, True)[0]
    expected = norm_by_hand(x.astype("float32"), scale, shift, 1e-3, True)[0]
    assert actual.dtype == jnp.bfloat16
    np.testing.assert_allclose(actual.astype("float32"), expected, atol=2**-7 * 5)


@NEEDS_ONEDNN
def test_the_loss_of_a_step_tells_of_nan_that_relu_hid():
    layer = Layer("c", 4, 16, kernel=(1, 3, 1))
    graph, weights = split_net(Conv(layer, Computation(ONEDNN), rngs=nnx.Rngs(0)))

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
    x = jnp.asarray(rng.normal(size=(3, 2, 2, 4, 5, 16)), jnp.float32)
    scale, shift = jnp.full(16, 2.0), jnp.full(16, 0.5)
    actual = jax.vmap(lambda v: norm.norm_relu(v, scale, shift, 1e-3, True)[0])(x)
    expected = [norm_by_hand(v, scale, shift, 1e-3, True)[0] for v in x]
    np.testing.assert_allclose(actual, jnp.stack(expected), atol=1e-5)


@NEEDS_ONEDNN
def test_batch_norm_under_scan_takes_every_step_s_own_statistics():
    rng = np.random.default_rng(4)
    xs = jnp.asarray(rng.normal(rng.normal(size=(4, 1)), 2, (4, 2 * 3 * 5 * 4 * 16)), jnp.float32)
    xs, scale, shift = xs.reshape(4, 2, 3, 5, 4, 16), jnp.full(16, 2.0), jnp.full(16, 0.5)

    def scanned(norm):
        def loss(xs, scale, shift):
            def step(carry, x):
                y, mean, variance = norm(x + carry, scale, shift, 1e-3, True)
                return carry + y[:1, :1, :1, :1].mean(), (y, mean, variance)

            last, out = jax.lax.scan(step, jnp.float32(0), xs)
            return last + (out[0] ** 2).mean(), out

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(xs, scale, shift)

    actual, expected = (jax.tree.leaves(scanned(n)) for n in (norm.norm_relu, norm_by_hand))
    for ours, theirs in zip(actual, expected, strict=True):
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
    for x, expected, many in zip(xs, alone, actual, strict=True):
        by_hand = norm_by_hand(x, scale, shift, 1e-3, True)
        np.testing.assert_allclose(expected[0], by_hand[0], atol=1e-4)
        assert len(many) == 20
        for one in many:
            for ours, same in zip(one, expected, strict=True):
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
        conv = Conv(layer, Computation(how, bn_momentum=0.9), rngs=nnx.Rngs(0))
        conv.bias[...] = jnp.linspace(-0.2, 0.5, 8)
        for _ in range(2):
            loss, gradients = nnx.value_and_grad(lambda c: (c(x, train=True) ** 3).sum())(conv)
        stored = nnx.state(conv, nnx.Not(nnx.Param))
        left.append([loss, *jax.tree.leaves(gradients), *jax.tree.leaves(stored)])
    for ours, theirs in zip(*left, strict=True):
        size = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * size)


SIZES = ((2, 3, 4, 5), (1, 1, 2, 3), (2, 3, 1, 1), (1, 2, 7, 2), (1, 1, 1, 4))
EXTENTS = ((3, 1, 1), (1, 3, 1), (1, 1, 3), (1, 1, 5), (5, 1, 1))
ALLOWED = [
    (extent, size)
    for extent in EXTENTS
    for size in SIZES
    if all(taps <= 2 * n + 1 for taps, n in zip(extent, size[1:], strict=True))
]


@NEEDS_ONEDNN
@pytest.mark.parametrize("extent, size", ALLOWED, ids=str)
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
    expected = np.empty(kernel)
    for tap in np.ndindex(extent):
        part = padded[:, *(slice(a, a + n) for a, n in zip(tap, size[1:], strict=True))]
        expected[tap] = np.einsum("bthwi,bthwo->io", part, dy)

    def weighed(kernel):
        x32, dy32 = (jnp.asarray(v, jnp.float32) for v in (x, dy))
        return (lowering.convolve(x32, kernel, lowering=ONEDNN) * dy32).sum()

    actual = jax.grad(weighed)(jnp.zeros(kernel))
    np.testing.assert_allclose(actual, expected, atol=2e-6 * np.abs(expected).max())
    assert computed == [kernel]


@pytest.mark.parametrize(
    "dtype, x, kernel, y",
    [
        ("bfloat16", (1, 3, 4, 4, 64), (3, 1, 1, 64, 128), (1, 3, 4, 4, 128)),
        ("float32", (1, 3, 4, 4, 128), (3, 1, 1, 64, 128), (1, 3, 4, 4, 128)),  # two groups
        ("float32", (1, 3, 4, 6, 64), (1, 1, 3, 64, 128), (1, 3, 4, 2, 128)),  # strided
        ("float32", (1, 3, 4, 4, 64), (1, 3, 3, 64, 128), (1, 3, 4, 4, 128)),
        ("float32", (1, 3, 4, 4, 64), (1, 1, 1, 64, 128), (1, 3, 4, 4, 128)),
        ("float32", (1, 3, 4, 4, 15), (3, 1, 1, 15, 16), (1, 3, 4, 4, 16)),  # few channels
    ],
)
def test_other_weight_gradients_are_left_to_the_library_s_convolution(dtype, x, kernel, y):
    assert not products.faster(dtype, x, kernel, y)


@pytest.mark.parametrize(
    "instructions, channels, taken",
    [
        ("AVX2", (16, 16), True),
        ("AVX2", (15, 16), False),
        ("AVX-512 AMX", (64, 64), False),
        ("AVX-512 AMX", (64, 128), True),
    ],
)
def test_instructions_and_channels_decide_on_products(instructions, channels, taken, monkeypatch):
    monkeypatch.setattr(products, "instruction_set", lambda: instructions)
    x, y = ((1, 3, 4, 4, c) for c in channels)
    assert products.faster("float32", x, (3, 1, 1, *channels), y) is taken


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
@pytest.mark.parametrize(
    "newest, answers",
    [
        ("AVX2", {"True False False folded"}),
        # with AVX-512 alone it convolves, but emulates bfloat16
        ("AVX512_CORE", {"True True False folded", "True False False folded"}),
        ("DEFAULT", {"True True True onednn", "True True False folded", "True False False folded"}),
    ],
)
def test_the_library_has_bfloat16_where_it_need_not_emulate_it(newest, answers):
    # the library takes the newest instructions that it may use from the environment
    assert python(ASK, ONEDNN_MAX_CPU_ISA=newest).stdout.strip() in answers


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
    for expected, many in zip(alone, actual, strict=True):
        assert len(many) == 20
        for one in many:
            np.testing.assert_array_equal(one, expected)  # bit by bit: the same order of sums
