"""Joints in mm: depth around a joint, and turned images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpose.body.space import Intrinsics, joints_in_mm, surface_depth
from jaxpose.recordings.orientation import turn, turn_back, turn_box, widened

CAMERA = Intrinsics(fx=500.0, fy=400.0, cx=319.5, cy=239.5)


def image(mm=900):
    return np.full((480, 640), mm, np.uint16)


def depth_at(xy, depth):
    return float(surface_depth(np.array([xy], np.float32), depth)[0])


def test_a_joint_on_a_plane_is_where_the_camera_sees_it():
    xy = np.array([[319.5, 239.5], [419.5, 339.5]], np.float32)
    mm = joints_in_mm(xy, image(1000), CAMERA)
    np.testing.assert_allclose(mm, [[0, 0, 1000], [200, 250, 1000]], atol=1e-3)


def test_the_bed_beside_a_thin_limb_does_not_count():
    depth = image(900)
    depth[:, 318:322] = 780  # 4 px wide, in a disc of 11
    assert depth_at((319.5, 240), depth) == 780


def test_holes_and_a_few_speckles_do_not_count():
    depth = image(900)
    depth[236:240, :] = 0
    depth[241, 321] = 300
    assert depth_at((320, 240), depth) == 900


def test_a_surface_that_slopes_gives_its_middle():
    depth = (900 + np.arange(640) - 320)[None].repeat(480, 0).astype(np.uint16)
    assert depth_at((320, 240), depth) == 900


@pytest.mark.parametrize("xy", [(np.nan, np.nan), (-3, 10), (640, 10), (10, 480)])
def test_what_is_missing_or_outside_has_no_depth(xy):
    assert np.isnan(depth_at(xy, image()))


def test_a_disc_with_little_depth_has_none():
    depth = image(0)
    assert np.isnan(depth_at((320, 240), depth))
    depth[240, 318:323] = 700
    assert np.isnan(depth_at((320, 240), depth))
    depth[236:245, :] = 700
    assert depth_at((320, 240), depth) == 700


def test_many_frames_are_each_measured_in_their_own_depth():
    xy = np.full((3, 12, 2), 100, np.float32)
    depth = np.stack([image(700), image(800), image(0)])
    z = joints_in_mm(xy, depth, CAMERA)[..., 2]
    assert (z[0] == 700).all() and (z[1] == 800).all() and np.isnan(z[2]).all()


# ---------------------------------------------------------------- turned images


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_points_and_boxes_turn_with_the_image(degrees):
    original = np.arange(4 * 6, dtype=np.uint16).reshape(4, 6)
    turned = turn(original, degrees)
    assert turned.shape == ((6, 4) if degrees in (90, 270) else (4, 6))
    ys, xs = np.mgrid[: turned.shape[0], : turned.shape[1]]
    back = turn_back(np.stack([xs, ys], -1).astype(np.float32), (6, 4), degrees).astype(int)
    np.testing.assert_array_equal(original[back[..., 1], back[..., 0]], turned)
    x, y, w, h = turn_box((1, 0, 3, 2), (6, 4), degrees)
    inside = turned[y : y + h, x : x + w]
    assert inside.shape[::-1] == (w, h)
    np.testing.assert_array_equal(np.sort(inside.ravel()), np.sort(original[0:2, 1:4].ravel()))


def test_a_turn_by_90_degrees_is_clockwise():
    top_left = np.zeros((4, 6), np.uint16)
    top_left[0, 0] = 1
    assert turn(top_left, 90)[0, -1] == 1


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_a_widened_box_contains_the_box_and_has_the_proportions(width, height):
    x, y, w, h = widened((10, 20, width, height), 4 / 3)
    assert x <= 10 and y <= 20 and x + w >= 10 + width and y + h >= 20 + height
    assert abs(w - h * 4 / 3) <= 1 and (w == width or h == height)
