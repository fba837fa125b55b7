"""One convolution with its batch norm: where it starts, what it keeps, in which type."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxpose.nets import detection, regression
from jaxpose.nets.compute import Computation
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS
from jaxpose.nets.layers import Layer
from jaxpose.nets.modules import Conv
from jaxpose.training.step import run_net, split_net


def normal(seed: int, *shape: int):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_running_statistics_move_by_one_minus_momentum_in_training_only():
    computation = Computation(bn_momentum=0.9)
    net = Conv(Layer("a", 1, 1), computation, rngs=nnx.Rngs(0))
    net.kernel[...] = jnp.full_like(net.kernel[...], 2.0)
    x = jnp.array([1.0, 3.0, 5.0, 7.0]).reshape(1, 1, 2, 2, 1)  # twice it: mean 8, variance 20
    out = net(x, train=True)
    np.testing.assert_allclose(net.norm.mean[...], [0.8], rtol=1e-6)  # 0.9 * 0 + 0.1 * 8
    np.testing.assert_allclose(net.norm.var[...], [2.9], rtol=1e-6)  # 0.9 * 1 + 0.1 * 20
    # normalised by the batch, then ReLU: (10 - 8) / sqrt(20.001), (14 - 8) / sqrt(20.001)
    np.testing.assert_allclose(out.ravel(), [0, 0, 2 / 20.001**0.5, 6 / 20.001**0.5], rtol=1e-5)
    out = net(x, train=False)
    np.testing.assert_allclose(net.norm.mean[...], [0.8], rtol=1e-6)
    np.testing.assert_allclose(out.ravel()[0], (2 - 0.8) / 2.901**0.5, rtol=1e-5)


def test_gradients_in_bfloat16_are_float32_and_not_far_off():
    def gradient(dtype):
        layer = Layer("a", 2, 3, (3, 1, 1), norm=False, relu=False)
        conv = Conv(layer, Computation(dtype=dtype), rngs=nnx.Rngs(0))
        graph, weights = split_net(conv)

        def loss(params):
            out, _ = run_net(
                graph, weights._replace(params=params), normal(0, 2, 3, 4, 4, 2), train=True
            )
            return jnp.sum(out.astype(jnp.float32) * normal(1, *out.shape))

        return jax.jit(jax.grad(loss))(weights.params)

    actual, expected = map(gradient, ("bfloat16", "float32"))
    assert {x.dtype for x in jax.tree.leaves(actual)} == {jnp.dtype("float32")}
    largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert float(jnp.abs(a - b).max()) < 0.01 * largest  # 8 bits of mantissa


def test_kernels_start_within_glorot_s_bounds_and_everything_else_at_zero_and_one():
    conv = Conv(Layer("a", 20, 30, (3, 1, 1)), Computation(), rngs=nnx.Rngs(0))
    kernel, bound = conv.kernel[...], (6 / (3 * (20 + 30))) ** 0.5  # 0.2, taps included
    assert kernel.shape == (3, 1, 1, 20, 30)
    assert 0.98 * bound < float(jnp.abs(kernel).max()) <= bound
    assert not conv.bias[...].any() and not conv.norm.mean[...].any()
    assert (conv.norm.var[...] == 1).all() and (conv.norm.scale[...] == 1).all()


@pytest.mark.promotes_types
def test_a_convolution_in_bfloat16_hands_on_bfloat16():
    conv = Conv(Layer("a", 2, 3, (1, 3, 1)), Computation(dtype="bfloat16"), rngs=nnx.Rngs(0))
    assert conv(normal(0, 1, 3, 4, 4, 2), train=True).dtype == jnp.bfloat16
    assert conv.norm.mean[...].dtype == jnp.float32


@pytest.mark.parametrize("name", FACTORISATIONS)
def test_nets_see_one_frame_exactly_where_no_kernel_and_no_shift_reaches_another(name):
    for net in (
        detection.net(1 / 16, FACTORISATIONS[name]),
        regression.net(VARIANTS[name], 1 / 16),
    ):
        assert net.sees_one_frame == (name == "planar")


def test_layers_and_numerics_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Computation().dtype = "bfloat16"
