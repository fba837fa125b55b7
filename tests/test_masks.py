"""Target masks, against pixels counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose.body.masks import Target, draw
from jaxpose.body.skeleton import CONNECTIONS, JOINTS, LIMBS, MAPS

FAR = (-100.0, -100.0)
"""Off the grid, so that nothing of it is drawn."""


def masks(joints: dict[int, tuple[float, float]], grid=(12, 12), **options) -> np.ndarray:
    """[h w 20] of the given joints, all others hidden."""
    xy, visible = np.full((12, 2), FAR, np.float32), np.zeros(12, bool)
    for joint, point in joints.items():
        xy[joint], visible[joint] = point, True
    options = {name: value and float(value) for name, value in options.items()}
    return draw(np, xy, visible, grid, **options)


def pixels(mask: np.ndarray) -> set[tuple[int, int]]:
    """(x, y) of the pixels that are not zero."""
    return {(int(x), int(y)) for y, x in zip(*np.nonzero(mask), strict=True)}


@pytest.mark.parametrize("radius, count", [(0.5, 1), (1, 5), (1.5, 9), (2, 13), (3, 29), (6, 113)])
def test_a_disc_has_as_many_pixels_as_gauss_counts_in_the_circle(radius, count):
    actual = masks({0: (10, 9)}, grid=(20, 21), radius_px=radius)[..., 0]
    assert actual.sum() == count


def test_a_disc_of_radius_1_is_a_pixel_and_its_four_neighbours():
    actual = masks({3: (4, 7)}, radius_px=1)
    assert pixels(actual[..., 3]) == {(4, 7), (3, 7), (5, 7), (4, 6), (4, 8)}
    assert actual.sum() == 5


def test_a_disc_between_two_pixels_keeps_both():
    # (2.5, 2): (2, 2) and (3, 2) at 0.5, the next at sqrt(0.25 + 1) > 1
    assert pixels(masks({0: (2.5, 2)}, radius_px=1)[..., 0]) == {(2, 2), (3, 2)}


def test_a_disc_is_cut_off_at_the_border():
    actual = masks({0: (0, 11), 1: FAR}, radius_px=1)
    assert pixels(actual[..., 0]) == {(0, 11), (1, 11), (0, 10)}
    assert not actual[..., 1].any()


def test_an_upright_rectangle_has_the_thickness_in_total():
    # thickness 2 along y = 4, from x = 2 to x = 8: rows 3 to 5, 7 pixels each
    actual = masks({0: (2, 4), 1: (8, 4)}, radius_px=2)[..., 12]
    assert pixels(actual) == {(x, y) for x in range(2, 9) for y in (3, 4, 5)}
    # thickness 3: half of it is 1.5, so still the rows 3 to 5
    assert masks({0: (2, 4), 1: (8, 4)}, radius_px=3)[..., 12].sum() == 21
    # thickness 6 along x = 6, from y = 2 to y = 8: columns 3 to 9
    actual = masks({0: (6, 2), 1: (6, 8)}, radius_px=6)[..., 12]
    assert pixels(actual) == {(x, y) for x in range(3, 10) for y in range(2, 9)}


def test_a_diagonal_rectangle_of_thickness_2():
    # |x - y| / sqrt(2) <= 1, so |x - y| <= 1; 4 <= x + y <= 12: 5 pixels on the axis, 4 a side
    expected = {(x, x) for x in range(2, 7)}
    expected |= {(x, x + 1) for x in range(2, 6)} | {(x + 1, x) for x in range(2, 6)}
    assert pixels(masks({0: (2, 2), 1: (6, 6)}, radius_px=2)[..., 12]) == expected
    assert len(expected) == 13


@pytest.mark.parametrize("a, b", [((2, 4), (8, 4)), ((3, 9), (8, 2)), ((1.3, 2.6), (9.1, 7.2))])
def test_a_connection_has_no_direction(a, b):
    existing, back = (masks({0: p, 1: q}, radius_px=3, std_px=2) for p, q in ((a, b), (b, a)))
    np.testing.assert_allclose(existing[..., 12], back[..., 12], rtol=1e-4)


def test_a_binary_mask_is_zeros_and_ones():
    actual = masks({j: (j, j) for j in range(12)}, radius_px=2)
    assert actual.dtype == np.float32
    assert set(np.unique(actual)) == {0, 1}


def test_with_a_std_of_3r_the_disc_is_nearly_flat():
    # the paper's literal std 18 at r = 6; at the rim exp(-36 / (2 * 324)) = exp(-1/18)
    actual = masks({0: (8, 8)}, grid=(17, 17), radius_px=6, std_px=18)[..., 0]
    assert actual[8, 8] == 1
    np.testing.assert_allclose(actual[8, [2, 14]], np.exp(-1 / 18), rtol=1e-6)
    assert round(float(actual[2, 8]), 3) == 0.946
    assert actual[8, 15] == 0  # one pixel beyond the rim


def test_with_a_std_of_a_third_of_r_the_disc_has_a_peak():
    # std 2: exp(-1/2) at 2 px, exp(-25/8) at (3, 4), exp(-9/2) at the rim
    actual = masks({0: (8, 8)}, grid=(17, 17), radius_px=6, std_px=2)[..., 0]
    np.testing.assert_allclose(actual[8, 10], np.exp(-0.5), rtol=1e-6)
    np.testing.assert_allclose(actual[12, 11], np.exp(-25 / 8), rtol=1e-6)
    np.testing.assert_allclose(actual[8, 14], np.exp(-4.5), rtol=1e-6)


@pytest.mark.parametrize("std, at_3_px", [(18, np.exp(-1 / 72)), (2, np.exp(-9 / 8))])
def test_a_connection_s_value_depends_on_the_distance_to_its_axis_only(std, at_3_px):
    actual = masks({0: (2, 8), 1: (12, 8)}, grid=(17, 17), radius_px=6, std_px=std)[..., 12]
    np.testing.assert_array_equal(actual[8, 2:13], 1)
    np.testing.assert_allclose(actual[5, 2:13], at_3_px, rtol=1e-5)
    np.testing.assert_allclose(actual[11, 2:13], at_3_px, rtol=1e-5)
    assert not actual[4].any() and not actual[12].any()
    assert not actual[:, :2].any() and not actual[:, 13:].any()


@pytest.mark.parametrize("std", [None, 2])
def test_a_gaussian_mask_stands_on_the_binary_mask_s_support(std):
    joints = {0: (2.2, 3.1), 1: (8.4, 4.9), 2: (5, 10)}
    actual = masks(joints, radius_px=3, std_px=std)
    np.testing.assert_array_equal(actual > 0, masks(joints, radius_px=3) == 1)


def test_a_hidden_joint_empties_its_map_and_its_connections():
    limb = {0: (2, 2), 1: (6, 2), 2: (10, 2)}
    assert [bool(masks(limb, radius_px=2)[..., m].any()) for m in (0, 1, 2, 12, 13)] == [True] * 5
    without = {0: limb[0], 2: limb[2]}
    actual = masks(without, radius_px=2)
    assert [m for m in range(MAPS) if actual[..., m].any()] == [0, 2]
    without = {0: limb[0], 1: limb[1]}
    actual = masks(without, radius_px=2)
    assert [m for m in range(MAPS) if actual[..., m].any()] == [0, 1, 12]


def test_what_a_hidden_joint_s_coordinates_say_does_not_matter():
    xy, visible = np.full((12, 2), 5, np.float32), np.zeros(12, bool)
    assert not draw(np, xy, visible, (12, 12), 3.0).any()
    assert not draw(np, np.full_like(xy, np.nan), visible, (12, 12), 3.0, 2.0).any()


@pytest.mark.parametrize("std", [None, 2])
def test_two_joints_on_one_point_have_no_connection(std):
    actual = masks({0: (5, 5), 1: (5, 5)}, radius_px=3, std_px=std)
    assert actual[..., 0].any() and actual[..., 1].any()
    assert not actual[..., 12].any()
    assert np.isfinite(actual).all()


def test_joints_come_first_and_then_two_connections_a_limb():
    assert (len(JOINTS), len(CONNECTIONS), MAPS) == (12, 8, 20)
    assert list(LIMBS) == ["right_arm", "left_arm", "right_leg", "left_leg"]
    for limb, (a, b, c) in enumerate(LIMBS.values()):
        actual = masks({a: (2, 2), b: (6, 2), c: (6, 6)}, radius_px=1)
        lit = [m for m in range(MAPS) if actual[..., m].any()]
        assert lit == [a, b, c, 12 + 2 * limb, 13 + 2 * limb]
        assert pixels(actual[..., 12 + 2 * limb]) == {(x, 2) for x in range(2, 7)}
        assert pixels(actual[..., 13 + 2 * limb]) == {(6, y) for y in range(2, 7)}


def random_clips() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    xy = rng.uniform(-4, 30, (2, 3, 12, 2)).astype(np.float32)
    return xy, rng.random((2, 3, 12)) < 0.8


def test_leading_axes_are_drawn_one_by_one():
    xy, visible = random_clips()
    at_once = draw(np, xy, visible, (24, 26), 3.0, 2.0)
    assert at_once.shape == (2, 3, 24, 26, 20)
    for b, t in np.ndindex(2, 3):
        np.testing.assert_array_equal(
            at_once[b, t], draw(np, xy[b, t], visible[b, t], (24, 26), 3.0, 2.0)
        )


@pytest.mark.parametrize("std", [None, 18.0, 2.0])
def test_jitted_jax_draws_what_numpy_draws(std):
    xy, visible = random_clips()
    expected = draw(np, xy, visible, (24, 26), 6.0, std)
    jitted = jax.jit(lambda xy, visible: Target(6.0, std).draw(jnp, xy, visible, (24, 26)))
    actual = jitted(xy, visible)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("std", [None, 18.0, 2.0])
def test_tensorflow_draws_what_numpy_draws(std):
    tf = pytest.importorskip("tensorflow")
    import tensorflow.experimental.numpy as tnp

    xy, visible = random_clips()
    expected = draw(np, xy, visible, (24, 26), 6.0, std)
    traced = tf.function(lambda xy, visible: Target(6.0, std).draw(tnp, xy, visible, (24, 26)))
    actual = traced(tf.constant(xy), tf.constant(visible))
    assert actual.dtype == tf.float32
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-6)
