"""A lowering is an object: what plugging in another one takes, what all of them check, which one
is chosen."""

import ast
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from lowerings import CONV3D, FOLDED, LOWERINGS, NEEDS_ONEDNN, ONEDNN

from jaxpose.cost import memory
from jaxpose.lowering import LOWERINGS as BY_NAME
from jaxpose.lowering import Lowering, convolve, fastest, lowering_named, upsample
from jaxpose.lowering.lowering import check_convolution
from jaxpose.nets import regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Numerics
from jaxpose.training.loop import run_net, split_net

ROOT = Path(__file__).resolve().parents[1]


def by_taps(x, kernel, bias, *, stride, groups, relu):
    """A sum of matrix products over shifted copies of x; stride 1, no groups."""
    extent = kernel.shape[:3]
    padded = jnp.pad(x, [(0, 0), *((k // 2, k // 2) for k in extent), (0, 0)])
    y = 0
    for tap in np.ndindex(extent):
        sizes = (x.shape[0], *x.shape[1:4], x.shape[4])
        y = y + lax.dynamic_slice(padded, (0, *tap, 0), sizes) @ kernel[tap]
    y = y if bias is None else y + bias
    return jnp.maximum(y, 0) if relu else y


def no_upsample(x, kernel):
    raise NotImplementedError


def norm_by_hand(x, scale, shift, epsilon, relu):
    mean, variance = x.mean((0, 1, 2, 3)), x.var((0, 1, 2, 3))
    y = (x - mean) / jnp.sqrt(variance + epsilon) * scale + shift
    return (jnp.maximum(y, 0) if relu else y), lax.stop_gradient(mean), lax.stop_gradient(variance)


def maps_gradients_and_statistics(lowering: Lowering):
    net = regression.RegressionNet(
        VARIANTS["asy"], width=1 / 32, numerics=Numerics(lowering), rngs=nnx.Rngs(0)
    )
    graph, weights = split_net(net)
    rng = np.random.default_rng(0)
    depth, maps = (jnp.asarray(rng.normal(size=(2, 3, 5, 4, n)), jnp.float32) for n in (1, 20))

    def loss(params):
        out, stats = run_net(graph, weights._replace(params=params), depth, maps, train=True)
        return jnp.sum(out**2), (out, stats)

    return jax.jit(jax.grad(loss, has_aux=True))(weights.params)


@pytest.mark.parametrize("norm_relu", [None, norm_by_hand], ids=["XLA's norm", "its own norm"])
def test_a_net_computes_with_a_lowering_that_nothing_else_knows(norm_relu):
    calls = []

    def counted(*arguments, **options):
        calls.append(options)
        return by_taps(*arguments, **options)

    made_up = Lowering("taps", counted, no_upsample, lambda kernel: 5.0, norm_relu=norm_relu)
    actual = jax.tree.leaves(maps_gradients_and_statistics(made_up))
    expected = jax.tree.leaves(maps_gradients_and_statistics(CONV3D))
    assert calls
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1, float(jnp.abs(b).max())))


def test_the_memory_of_a_step_is_estimated_for_a_lowering_that_nothing_else_knows():
    made_up = Lowering("taps", by_taps, no_upsample, lambda kernel: 2.0 if kernel[0] > 1 else 1.0)
    layers = regression.layers(VARIANTS["asy"], 1.0)
    # per pixel: four convolutions along time and eight in the image of 704 channels together, and
    # 256 and 20 channels of 1x1x1
    channels = 2 * 704 + 2 * 704 + 276
    estimate = memory.step_bytes(layers, (3, 8, 16), 2, made_up)
    assert estimate == pytest.approx(2 * 3 * 8 * 16 * 4 * channels)


def test_a_lowering_can_be_a_static_part_of_a_traced_program():
    for each in BY_NAME.values():
        assert hash(each) == hash(dataclasses.replace(each))
        assert each == dataclasses.replace(each)
    assert len({*BY_NAME.values()}) == 3


def test_a_name_becomes_an_object_in_one_place_and_an_unknown_one_is_refused():
    assert [*BY_NAME] == ["conv3d", "folded", "onednn"]
    assert all(lowering_named(name).name == name for name in BY_NAME)
    with pytest.raises(ValueError, match="unknown lowering 'winograd'; one of: conv3d, folded, on"):
        lowering_named("winograd")


def names_compared(path: Path) -> set[str]:
    """Strings that a module compares something with."""
    return {
        constant.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        for constant in ast.walk(side)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }


def test_no_module_decides_by_the_name_of_a_lowering():
    files = [
        f
        for part in ("jaxpose", "data_pipeline", "experiments")
        for f in (ROOT / part).rglob("*.py")
    ]
    assert files
    assert not [str(f) for f in files if names_compared(f) & {"onednn", "folded"}]
    # the benchmark calls the net by XLA's own convolution another implementation
    inside = [f for f in files if "conv3d" in names_compared(f)]
    assert {f.parent.name for f in inside} <= {"bench"}


def shapes(*shapes_):
    return [None if shape is None else jnp.zeros(shape) for shape in shapes_]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    "kernel, groups, message",
    [
        ((3, 1, 1, 2, 4), 1, "with 4 input channels and groups=1: expected shape"),
        ((3, 1, 1, 4, 4), 2, "with 4 input channels and groups=2"),
        ((3, 1, 1, 1, 4), 3, "groups=3"),
        ((3, 1, 1, 2, 5), 2, "groups=2"),
        ((3, 1, 1, 4, 4), 0, "groups=0"),
        ((2, 1, 1, 4, 4), 1, r"extent \(2, 1, 1\): expected odd numbers"),
    ],
)
def test_a_kernel_that_does_not_fit_is_refused_alike_by_every_lowering(
    kernel, groups, message, lowering
):
    with pytest.raises(ValueError, match=message):
        convolve(*shapes((1, 3, 4, 4, 4), kernel), groups=groups, lowering=lowering)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    "kernel, stride, groups, message",
    [
        ((1, 2, 2, 4, 4), (1, 2, 2), 1, r"input size \(3, 5, 4\) .* multiples of the stride"),
        ((1, 3, 3, 4, 4), (1, 2, 2), 1, "expected a stride equal to the extent"),
        ((1, 1, 1, 4, 4), (1, 2, 2), 1, "expected a stride equal to the extent"),
        ((1, 2, 2, 2, 4), (1, 2, 2), 2, "groups=1"),
    ],
)
def test_a_stride_that_does_not_fit_is_refused_alike_by_every_lowering(
    kernel, stride, groups, message, lowering
):
    options = {"stride": stride, "groups": groups, "lowering": lowering}
    with pytest.raises(ValueError, match=message):
        convolve(*shapes((1, 3, 5, 4, 4), kernel), **options)


@pytest.mark.parametrize(
    "x, kernel, bias, message",
    [
        ((3, 4, 4, 4), (1, 1, 1, 4, 4), None, r"expected \(b, t, h, w, ci\)"),
        ((1, 3, 4, 4, 4), (1, 1, 4, 4), None, r"\(kt, kh, kw, ci/groups, co\)"),
        ((1, 3, 4, 4, 4), (1, 1, 1, 4, 5), (4,), r"bias \(4,\): expected \(5,\)"),
    ],
)
def test_axes_and_bias_are_checked(x, kernel, bias, message):
    with pytest.raises(ValueError, match=message):
        check_convolution(x, kernel, bias, stride=(1, 1, 1), groups=1)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("kernel", [(2, 2, 2, 4, 3), (1, 2, 2, 3, 3)])
def test_a_transposed_kernel_that_does_not_fit_is_refused_alike_by_every_lowering(kernel, lowering):
    with pytest.raises(ValueError, match=r"expected shape \(1, kh, kw, 4, co\)"):
        upsample(*shapes((1, 3, 4, 4, 4), kernel), lowering=lowering)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_two_dtypes_are_refused_alike_by_every_lowering(lowering):
    x, kernel, bias = shapes((1, 3, 4, 4, 4), (1, 1, 1, 4, 4), (4,))
    with pytest.raises(TypeError, match="x float32, kernel bfloat16: expected one dtype"):
        convolve(x, kernel.astype(jnp.bfloat16), lowering=lowering)
    with pytest.raises(TypeError, match="bias bfloat16: expected one dtype"):
        convolve(x, kernel, bias.astype(jnp.bfloat16), lowering=lowering)
    with pytest.raises(TypeError, match="kernel bfloat16: expected one dtype"):
        upsample(x, kernel.astype(jnp.bfloat16), lowering=lowering)


# ---- the choice ----


def with_onednn(monkeypatch, reason: str | None) -> None:
    """Makes `onednn` usable, or not for this reason."""
    replaced = dataclasses.replace(ONEDNN, unavailable=lambda dtype: reason)
    monkeypatch.setitem(BY_NAME, "onednn", replaced)


@pytest.mark.parametrize("reason", [None, "it is not installed"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_onednn_is_chosen_on_a_cpu_where_it_can_be_used_and_conv3d_on_a_gpu(
    reason, dtype, monkeypatch
):
    with_onednn(monkeypatch, reason)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert fastest(dtype) is CONV3D
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert fastest(dtype).name == ("folded" if reason else "onednn")


@NEEDS_ONEDNN
def test_where_onednn_is_installed_it_is_chosen_on_this_cpu():
    if jax.default_backend() == "cpu":
        assert fastest("float32") is ONEDNN


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_lowerings_of_xla_can_be_used_everywhere(dtype):
    assert CONV3D.unavailable(dtype) is FOLDED.unavailable(dtype) is None
