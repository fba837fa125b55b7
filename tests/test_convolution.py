"""Every lowering is the same convolution: in values, in gradients, at the borders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowerings import CONV3D, EXACT, LOWERINGS

from jaxpose.lowering import convolve, upsample

SLOW = pytest.mark.slow
KERNELS = [(3, 3, 3), (1, 3, 1), (1, 1, 3), (3, 1, 1), (1, 3, 3), (1, 1, 1)]


def normal(seed: int, *shape: int):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def value_and_gradients(run, x, kernel):
    """Output, d/dx and d/dkernel of its product with fixed random numbers."""
    out, back = jax.vjp(run, x, kernel)
    return out, *back(normal(2, *out.shape).astype(out.dtype))


def assert_same(run, x, kernel, lowering, within=1e-5):
    """`run(x, kernel, lowering=...)` is what it is under conv3d, to 1e-5 of the largest number."""
    expected, actual = (
        value_and_gradients(lambda x, k, low=low: run(x, k, lowering=low), x, kernel)
        for low in (CONV3D, lowering)
    )
    for name, a, b in zip(("value", "d/dx", "d/dkernel"), expected, actual, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, name
        error = float(jnp.abs(a - b).max() / jnp.abs(a).max())
        assert error < within, (name, error)


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("frames", [1, pytest.param(2, marks=SLOW), 3, pytest.param(5, marks=SLOW)])
def test_every_lowering_is_conv3d(kernel, frames, lowering):
    assert_same(convolve, normal(0, 2, frames, 5, 7, 3), normal(1, *kernel, 3, 4), lowering)


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize(
    "kernel, shape",
    [
        ((3, 3, 3), (3, 1, 6)),
        ((1, 3, 1), (3, 1, 6)),
        ((1, 1, 3), (3, 6, 1)),
        ((3, 1, 1), (1, 1, 1)),
    ],
    ids=str,
)
def test_every_lowering_is_conv3d_on_an_image_narrower_than_the_kernel(kernel, shape, lowering):
    assert_same(convolve, normal(0, 1, *shape, 2), normal(1, *kernel, 2, 3), lowering)


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize(
    "kernel, groups, cout, frames",
    [
        ((3, 3, 3), 4, 4, 3),
        pytest.param((3, 3, 3), 4, 4, 1, marks=SLOW),
        pytest.param((3, 3, 3), 2, 6, 2, marks=SLOW),
        pytest.param((1, 3, 1), 4, 8, 3, marks=SLOW),
        pytest.param((1, 1, 3), 4, 4, 3, marks=SLOW),
        ((3, 1, 1), 2, 6, 3),
        ((1, 3, 3), 4, 4, 3),
    ],
    ids=str,
)
def test_every_lowering_is_conv3d_in_groups(kernel, groups, cout, frames, lowering):
    x, kernel = normal(0, 2, frames, 4, 6, 4), normal(1, *kernel, 4 // groups, cout)

    def grouped(x, kernel, lowering):
        return convolve(x, kernel, groups=groups, lowering=lowering)

    assert_same(grouped, x, kernel, lowering)


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize("frames", [1, 3])
def test_every_lowering_is_conv3d_with_a_stride(frames, lowering):
    x, kernel = normal(0, 2, frames, 4, 6, 3), normal(1, 1, 2, 2, 3, 5)

    def halve(x, kernel, lowering):
        return convolve(x, kernel, stride=(1, 2, 2), lowering=lowering)

    assert halve(x, kernel, lowering).shape == (2, frames, 2, 3, 5)
    assert_same(halve, x, kernel, lowering)


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize("frames", [1, 3])
def test_every_lowering_is_conv3d_transposed(frames, lowering):
    x, kernel = normal(0, 2, frames, 4, 5, 3), normal(1, 1, 2, 2, 3, 2)
    assert upsample(x, kernel, lowering=lowering).shape == (2, frames, 8, 10, 2)
    assert_same(upsample, x, kernel, lowering)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("relu", [False, True])
def test_bias_and_relu_come_after_the_sum_of_products(relu, lowering):
    x = jnp.array([1.0, -1.0, 2.0]).reshape(1, 1, 1, 3, 1)
    kernel = jnp.array([10.0, 20.0]).reshape(1, 1, 1, 1, 2)
    bias = jnp.array([-15.0, 1.0])

    def run(x, kernel, bias):
        return convolve(x, kernel, bias, relu=relu, lowering=lowering)

    out, back = jax.vjp(run, x, kernel, bias)
    expected = np.array([[-5.0, 21], [-25, -19], [5, 41]])
    live = expected > 0 if relu else np.ones_like(expected)
    np.testing.assert_array_equal(out[0, 0, 0], expected * live)
    dx, dkernel, dbias = back(jnp.ones_like(out))
    np.testing.assert_array_equal(dx.ravel(), live @ [10, 20])
    np.testing.assert_array_equal(dkernel.ravel(), [1, -1, 2] @ live)
    np.testing.assert_array_equal(dbias, live.sum(axis=0))


odd = st.sampled_from([1, 3])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    extent=st.tuples(odd, odd, odd),
    size=st.tuples(*(st.integers(1, n) for n in (3, 8, 9, 9))),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    stride=st.booleans(),
    traced=st.sampled_from(["jit", "vmap"]),
)
@pytest.mark.parametrize("lowering", EXACT)
def test_every_lowering_is_conv3d_whatever_the_shape(
    lowering, extent, size, channels, stride, traced
):
    groups, cig, cog = channels
    step = (1, 1, 1)
    if stride:  # tiles of 1x2x2, as the detection net's
        extent = step = (1, 2, 2)
        size, groups = (*size[:2], 2 * size[2], 2 * size[3]), 1

    def run(x, kernel, lowering):
        def once(x):
            return convolve(x, kernel, stride=step, groups=groups, lowering=lowering)

        return jax.jit(once)(x) if traced == "jit" else jax.vmap(once)(x[:, None])[:, 0]

    x, kernel = normal(0, *size, groups * cig), normal(1, *extent, cig, groups * cog)
    assert_same(run, x, kernel, lowering)


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 1), (3, 1, 1)], ids=str)
def test_every_lowering_is_conv3d_within_bfloat16(kernel, lowering):
    if reason := lowering.unavailable("bfloat16"):
        pytest.skip(reason)
    x, kernel = normal(0, 2, 3, 6, 5, 8), normal(1, *kernel, 8, 4)
    half = [a.astype(jnp.bfloat16) for a in (x, kernel)]
    # 8 bits of mantissa; sums of partial sums round once more
    assert_same(convolve, *half, lowering, within=2**-6)
    exact = convolve(*(a.astype(jnp.float32) for a in half), lowering=CONV3D)
    actual = convolve(*half, lowering=lowering).astype(jnp.float32)
    assert float(jnp.abs(actual - exact).max() / jnp.abs(exact).max()) < 2**-7


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_one_pixel_reaches_exactly_its_neighbours(kernel, lowering):
    x = jnp.zeros((1, 5, 6, 7, 1)).at[0, 2, 3, 4, 0].set(1)
    actual = convolve(x, jnp.ones((*kernel, 1, 1)), lowering=lowering)[0, ..., 0]
    expected = np.zeros((5, 6, 7))
    expected[
        tuple(slice(c - k // 2, c + k // 2 + 1) for c, k in zip((2, 3, 4), kernel, strict=True))
    ] = 1
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_pixel_in_the_corner_reaches_2x2x2_and_nothing_beyond(lowering):
    x = jnp.zeros((2, 3, 4, 5, 1)).at[0, 0, 0, 0, 0].set(1)
    actual = np.asarray(convolve(x, jnp.ones((3, 3, 3, 1, 1)), lowering=lowering))
    assert actual[0, :2, :2, :2].sum() == actual.sum() == 8


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_convolution_is_a_cross_correlation_worked_out_by_hand(axis, lowering):
    # out[n] = 2 x[n-1] + 3 x[n] + 5 x[n+1] of x = 1, 10, 100, and zeros around
    shape, extent = [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]
    shape[1 + axis], extent[axis] = 3, 3
    x = jnp.array([1.0, 10.0, 100.0]).reshape(shape)
    kernel = jnp.array([2.0, 3.0, 5.0]).reshape(extent)
    actual = convolve(x, kernel, lowering=lowering)
    assert actual.shape == x.shape
    np.testing.assert_array_equal(actual.ravel(), [3 + 50, 2 + 30 + 500, 20 + 300])


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_3x3x3_kernel_by_hand(lowering):
    # tap (t, y, x) = 100 t + 10 y + x; two pixels, so that each axis is told from the others
    taps = np.add.outer(np.add.outer(100 * np.arange(3), 10 * np.arange(3)), np.arange(3))
    kernel = jnp.asarray(taps, jnp.float32)[..., None, None]
    x = jnp.zeros((1, 3, 3, 3, 1)).at[0, 0, 1, 2, 0].set(1).at[0, 2, 2, 0, 0].set(1000)
    actual = convolve(x, kernel, lowering=lowering)[0, ..., 0]
    # at (1, 1, 1): the first lies at offset (-1, 0, +1), tap (0, 1, 2); the second at
    # (+1, +1, -1), tap (2, 2, 0)
    assert actual[1, 1, 1] == 12 + 1000 * 220
    # at (0, 2, 1): the first at (0, -1, +1), tap (1, 0, 2); the second two frames away
    assert actual[0, 2, 1] == 102


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_channels_are_mixed_as_a_matrix_and_groups_are_not(lowering):
    x = jnp.array([1.0, 10.0]).reshape(1, 1, 1, 1, 2)
    mixed = jnp.array([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]).reshape(1, 1, 1, 2, 3)
    actual = convolve(x, mixed, lowering=lowering)
    np.testing.assert_array_equal(actual.ravel(), [52, 63, 74])
    apart = jnp.zeros((1, 3, 3, 1, 2)).at[0, 1, 1, 0].set(jnp.array([2.0, 3.0]))
    actual = convolve(x, apart, groups=2, lowering=lowering)
    np.testing.assert_array_equal(actual.ravel(), [2, 30])


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_stride_takes_one_tile_a_pixel(lowering):
    x = jnp.arange(8.0).reshape(1, 1, 2, 4, 1)  # 0 1 2 3 / 4 5 6 7
    kernel = jnp.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 2, 2, 1, 1)
    actual = convolve(x, kernel, stride=(1, 2, 2), lowering=lowering)
    np.testing.assert_array_equal(actual.ravel(), [10 + 400 + 5000, 2 + 30 + 600 + 7000])


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_every_pixel_becomes_a_tile_that_is_the_kernel_not_mirrored(lowering):
    x = jnp.array([1.0, 10.0]).reshape(1, 1, 1, 2, 1)
    kernel = jnp.array([2.0, 3.0, 5.0, 7.0]).reshape(1, 2, 2, 1, 1)
    actual = upsample(x, kernel, lowering=lowering)
    np.testing.assert_array_equal(actual[0, 0, ..., 0], [[2, 3, 20, 30], [5, 7, 50, 70]])


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 1), (3, 1, 1)], ids=str)
def test_gradients_are_those_of_finite_differences(kernel, lowering):
    # the convolution is linear in both, so a difference quotient is exact up to rounding
    x, k = normal(0, 1, 3, 4, 4, 2), normal(1, *kernel, 2, 2)
    _, dx, dk = value_and_gradients(lambda x, k: convolve(x, k, lowering=lowering), x, k)
    weight = normal(2, 1, 3, 4, 4, 2)

    def loss(x, k):
        return float((convolve(x, k, lowering=lowering) * weight).sum(dtype=jnp.float32))

    for gradient, ends in (
        (dx, lambda d: (loss(x + d, k), loss(x - d, k))),
        (dk, lambda d: (loss(x, k + d), loss(x, k - d))),
    ):
        d = normal(3, *gradient.shape)
        up, down = ends(d)
        assert (up - down) / 2 == pytest.approx(float((gradient * d).sum()), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    "kernel, options, words",
    [
        ((1, 3, 1, 2, 4), {}, "groups=1: expected x of 2 channels"),  # x has 4: two groups
        ((1, 3, 1, 2, 4), {"groups": 4}, "groups=4: expected x of 8 channels"),
        ((1, 3, 1, 2, 5), {"groups": 2}, "outputs divisible by the groups"),
        ((1, 2, 1, 4, 4), {}, "expected odd extents"),
        ((1, 2, 2, 4, 4), {"stride": (1, 4, 4)}, "expected a kernel equal to"),
        ((1, 4, 4, 4, 4), {"stride": (1, 4, 4)}, "divisible by"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_alike_by_every_lowering(
    kernel, options, words, lowering
):
    with pytest.raises(ValueError, match=words):
        convolve(normal(0, 1, 2, 6, 6, 4), normal(1, *kernel), lowering=lowering, **options)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_bias_of_another_size_and_an_upsampling_kernel_of_other_channels_are_refused(lowering):
    x = normal(0, 1, 2, 6, 6, 4)
    with pytest.raises(ValueError, match=r"bias \(3,\): expected \(4,\)"):
        convolve(x, normal(1, 1, 1, 1, 4, 4), jnp.zeros(3), lowering=lowering)
    with pytest.raises(ValueError, match=r"expected \(1, rows, columns, 4, channels\)"):
        upsample(x, normal(1, 1, 2, 2, 3, 4), lowering=lowering)
