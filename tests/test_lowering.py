"""A lowering is an object: what plugging in another one takes, and what all of them check."""

import ast
import dataclasses
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from lowerings import CONV3D, LOWERINGS

from jaxpose.cost import memory
from jaxpose.lowering import LOWERINGS as BY_NAME
from jaxpose.lowering import Lowering, add_bias, convolve, lowering_named, upsample
from jaxpose.nets import regression
from jaxpose.nets.compute import Computation
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.modules import RegressionNet
from jaxpose.training.step import run_net, split_net

ROOT = Path(__file__).resolve().parents[1]


def by_taps(x, kernel, bias, stride, groups, relu):
    """A sum of matrix products over shifted copies of x; stride 1, no groups."""
    extent = kernel.shape[:3]
    padded = jnp.pad(x, [(0, 0), *((k // 2, k // 2) for k in extent), (0, 0)])
    y = 0
    for tap in np.ndindex(extent):
        y = y + lax.dynamic_slice(padded, (0, *tap, 0), x.shape) @ kernel[tap]
    y = add_bias(y, bias)
    return jnp.maximum(y, 0) if relu else y


def no_upsample(x, kernel):
    raise NotImplementedError


@jax.numpy_rank_promotion("allow")
def norm_by_hand(x, scale, shift, epsilon, relu):
    mean, variance = x.mean((0, 1, 2, 3)), x.var((0, 1, 2, 3))
    y = (x - mean) / jnp.sqrt(variance + epsilon) * scale + shift
    return (jnp.maximum(y, 0) if relu else y), lax.stop_gradient(mean), lax.stop_gradient(variance)


def maps_gradients_and_statistics(lowering: Lowering):
    net = RegressionNet(
        VARIANTS["asy"], width=1 / 32, computation=Computation(lowering), rngs=nnx.Rngs(0)
    )
    graph, weights = split_net(net)
    rng = np.random.default_rng(0)
    depth, maps = (jnp.asarray(rng.normal(size=(2, 3, 5, 4, n)), jnp.float32) for n in (1, 20))

    def loss(params):
        out, stats = run_net(graph, weights._replace(params=params), depth, maps, train=True)
        return jnp.sum(out**2), (out, stats)

    return jax.jit(jax.grad(loss, has_aux=True))(weights.params)


@pytest.mark.parametrize("norm_relu", [None, norm_by_hand], ids=["XLA's norm", "its own norm"])
def test_a_net_trains_with_a_lowering_that_nothing_else_knows(norm_relu):
    calls = []

    def counted(*arguments):
        calls.append(arguments[3:])
        return by_taps(*arguments)

    made_up = Lowering("taps", counted, no_upsample, lambda kernel: 5.0, norm_relu=norm_relu)
    actual = jax.tree.leaves(maps_gradients_and_statistics(made_up))
    expected = jax.tree.leaves(maps_gradients_and_statistics(CONV3D))
    assert len(calls) == 14  # layers of asy
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1, float(jnp.abs(b).max())))


def test_the_memory_of_a_step_is_estimated_for_a_lowering_that_nothing_else_knows():
    made_up = Lowering("taps", by_taps, no_upsample, lambda kernel: 2.0 if kernel[0] > 1 else 1.0)
    layers = regression.net(VARIANTS["asy"], 1.0).layers
    # per pixel and in each direction 704 channels, of which those along time count twice; and
    # 256 and 20 channels of 1x1x1
    channels = 704 + 704 + 2 * 704 + 276
    estimate = memory.step_bytes(layers, (3, 8, 16), 2, made_up)
    assert estimate == pytest.approx(2 * 3 * 8 * 16 * 4 * channels)


def test_a_lowering_can_be_a_static_part_of_a_traced_program():
    for each in BY_NAME.values():
        copy = dataclasses.replace(each)
        assert copy is not each and copy == each and hash(copy) == hash(each)
    assert len({*BY_NAME.values()}) == len(BY_NAME)


def test_a_name_becomes_an_object_in_one_place_and_an_unknown_one_is_refused():
    assert [*BY_NAME][:3] == ["conv3d", "folded", "onednn"]
    assert all(lowering_named(name).name == name for name in BY_NAME)
    with pytest.raises(ValueError, match="unknown lowering 'conv2d'; one of: conv3d, folded, one"):
        lowering_named("conv2d")


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
    floors = ("jaxpose", "data_pipeline", "experiments")
    files = [file for floor in floors for file in (ROOT / floor).rglob("*.py")]
    assert files
    assert not [str(f) for f in files if names_compared(f) & {"onednn", "folded"}]
    # the benchmark calls the net by XLA's own convolution another implementation
    deciding = [f for f in files if "conv3d" in names_compared(f)]
    assert {f.parent.name for f in deciding} <= {"bench"}


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_two_types_are_refused_alike_by_every_lowering(lowering):
    x, kernel, bias = jnp.zeros((1, 3, 4, 4, 4)), jnp.zeros((1, 1, 1, 4, 4)), jnp.zeros(4)
    half = jnp.bfloat16
    with pytest.raises(
        TypeError, match="x float32, kernel bfloat16: expected one floating-point type"
    ):
        convolve(x, kernel.astype(half), lowering=lowering)
    with pytest.raises(TypeError, match="bias bfloat16: expected one floating-point type"):
        convolve(x, kernel, bias.astype(half), lowering=lowering)
    with pytest.raises(
        TypeError, match="x bfloat16, kernel float32: expected one floating-point type"
    ):
        upsample(x.astype(half), kernel, lowering=lowering)
    whole = {"x": x.astype(jnp.int32), "kernel": kernel.astype(jnp.int32)}
    with pytest.raises(TypeError, match="x int32, kernel int32: expected one floating-point type"):
        unchecked(convolve)(**whole, lowering=lowering)


def unchecked(function):
    """A function as users call it, without the checks of annotations that the tests switch on."""
    return inspect.unwrap(function)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("operation", [convolve, upsample])
@pytest.mark.parametrize(
    "shape, kernel, words",
    [
        ((3, 4, 4, 4), (1, 1, 1, 4, 4), r"x \(3, 4, 4, 4\): expected \[clips frames rows columns"),
        ((1, 1, 3, 4, 4, 4), (1, 1, 1, 4, 4), "expected"),
        ((1, 3, 4, 4, 4), (1, 1, 4, 4), r"kernel \(1, 1, 4, 4\): expected \[frames rows columns"),
        ((1, 0, 4, 4, 4), (1, 1, 1, 4, 4), "none of them empty"),
        ((0, 3, 4, 4, 4), (1, 1, 1, 4, 4), "none of them empty"),
        ((1, 3, 4, 4, 0), (1, 1, 1, 0, 4), "none of them empty"),
        ((1, 3, 4, 4, 4), (1, 1, 1, 4, 0), "none of them empty"),
    ],
)
def test_other_ranks_and_empty_arrays_are_refused_alike(lowering, operation, shape, kernel, words):
    with pytest.raises(ValueError, match=words):
        unchecked(operation)(jnp.zeros(shape), jnp.zeros(kernel), lowering=lowering)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("frames, taps", [(1, 3), (2, 5), (3, 7)])
def test_a_kernel_longer_than_the_padded_axis_is_refused_alike(lowering, frames, taps):
    def shape(taps):
        x, kernel = jnp.ones((1, frames, 4, 4, 4)), jnp.ones((taps, 1, 1, 4, 4))
        return convolve(x, kernel, lowering=lowering).shape

    assert shape(taps) == (1, frames, 4, 4, 4)
    with pytest.raises(ValueError, match="expected at most 2 n"):
        shape(taps + 2)
