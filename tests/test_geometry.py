"""Camera pixels to the net's grid and back, against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpose.body import geometry
from jaxpose.body.geometry import (
    UNIT_MM,
    cell_weights,
    depth_to_grid,
    inside,
    joints_from_grid,
    joints_to_grid,
    moved_into,
    standardise,
)

WHOLE = (0, 0, 640, 480)
CAMERA = np.array(WHOLE)
GRID = (96, 128)


def depth(*rows) -> np.ndarray:
    return np.array([rows], np.uint16)


def test_a_cell_is_the_mean_of_its_pixels():
    image = depth([1, 2, 3, 4], [5, 6, 7, 8])
    # 2x2 blocks: (1+2+5+6)/4 and (3+4+7+8)/4
    np.testing.assert_array_equal(depth_to_grid(image, (0, 0, 4, 2), (1, 2)), [[[3.5, 5.5]]])


def test_a_pixel_that_two_cells_share_counts_by_its_area():
    image = depth([10, 20, 60])
    # cells of 1.5 pixels: (10 + 20/2)/1.5 and (20/2 + 60)/1.5
    actual = depth_to_grid(image, (0, 0, 3, 1), (1, 2))
    np.testing.assert_allclose(actual, [[[20 / 1.5, 70 / 1.5]]], atol=UNIT_MM / 2)


def test_weights_of_cells_of_one_and_a_half_pixels_that_start_at_the_second():
    weights = cell_weights(1, 3, 2, 5)
    np.testing.assert_array_equal(weights, [[0, 1, 0.5, 0, 0], [0, 0, 0.5, 1, 0]])


def test_both_axes_are_weighted_where_a_cell_is_no_whole_number_of_pixels():
    image = depth([1, 2, 3], [4, 5, 6], [7, 8, 9])
    # top left cell: 1 + 2/2 + 4/2 + 5/4 over an area of 2.25; the others by symmetry about 5
    actual = depth_to_grid(image, (0, 0, 3, 3), (2, 2))
    expected = np.array([[[5.25, 8.25], [14.25, 17.25]]]) / 2.25
    np.testing.assert_allclose(actual, expected, atol=UNIT_MM / 2)


def test_depth_on_the_grid_is_what_a_prepared_file_holds():
    """Training reads prepared files and prediction reduces recordings: both must see one depth."""
    image = np.random.default_rng(0).integers(1, 4000, (2, 48, 64), dtype=np.uint16)
    actual = depth_to_grid(image, (0, 0, 64, 48), (9, 11))
    stored = np.round(actual.astype(np.float64) / UNIT_MM).astype(np.uint16)
    np.testing.assert_array_equal(actual, stored.astype(np.float32) * np.float32(UNIT_MM))


def test_a_crop_takes_columns_by_x_and_rows_by_y():
    image = np.arange(24, dtype=np.uint16).reshape(1, 4, 6) + 1
    # x 2..5, y 1..2: rows [9 10 11 12] and [15 16 17 18]
    actual = depth_to_grid(image, (2, 1, 4, 2), (1, 2))
    np.testing.assert_array_equal(actual, [[[12.5, 14.5]]])


@pytest.mark.parametrize(
    "crop, expected",
    [
        ((-2, 0, 4, 2), [0, 3.5]),  # two columns left of the image, then (1+2+5+6)/4
        ((2, 0, 4, 2), [5.5, 0]),  # (3+4+7+8)/4, then two columns right of it
        ((0, -1, 4, 2), [1.5, 3.5]),  # one row above it: (1+2)/2, (3+4)/2
        ((0, 1, 4, 2), [5.5, 7.5]),  # one row below it: (5+6)/2, (7+8)/2
    ],
)
def test_what_of_a_crop_lies_outside_the_image_is_a_hole(crop, expected):
    image = depth([1, 2, 3, 4], [5, 6, 7, 8])
    actual = depth_to_grid(image, crop, (1, 2))
    # a cell of holes gets the lower median of the cells that are not: here the other one
    np.testing.assert_allclose(actual, [[[n or max(expected) for n in expected]]], rtol=1e-6)


@pytest.mark.parametrize(
    "crop, grid, asked",
    [
        ((0, 0, 4, 2), (1, 2), True),
        ((0, 0, 4, 2), (2, 4), True),  # cells as large as pixels
        ((0, 0, 4, 2), (3, 2), False),  # smaller than pixels
        ((0, 0, 4, 2), (1, 5), False),
        ((1, 0, 4, 2), (1, 2), False),  # a column outside
        ((0, -1, 4, 2), (1, 2), False),  # a row outside
    ],
)
def test_opencv_is_asked_where_cells_cover_pixels_and_the_crop_is_in_the_image(
    crop, grid, asked, monkeypatch
):
    calls, resize = [], geometry.cv2.resize

    def count(*arguments, **options):
        calls.append(arguments)
        return resize(*arguments, **options)

    monkeypatch.setattr(geometry.cv2, "resize", count)
    depth_to_grid(depth([1, 2, 3, 4], [5, 6, 7, 8]), crop, grid)
    assert bool(calls) is asked


def test_which_reduction_is_used_is_decided_in_one_place(monkeypatch):
    expected = np.full((1, 1, 2), 9.0)
    monkeypatch.setattr(geometry, "_reduction", lambda *inputs: lambda *images: expected)
    for crop in ((0, 0, 4, 2), (1, 0, 4, 2)):
        actual = depth_to_grid(depth([1, 2, 3, 4], [5, 6, 7, 8]), crop, (1, 2))
        np.testing.assert_array_equal(actual, [[[1, 1]]])  # the mean over the weight, both 9


def test_a_hole_does_not_count():
    image = depth([0, 2, 3, 4], [5, 5, 0, 0])
    # (2+5+5)/3 and (3+4)/2
    actual = depth_to_grid(image, (0, 0, 4, 2), (1, 2))
    np.testing.assert_array_equal(actual, [[[4, 3.5]]])


def test_a_cell_of_holes_gets_the_lower_median_cell_and_the_background():
    image = depth([10, 30, 0, 20, 40], [10, 30, 0, 20, 40])
    # cells 10 30 - 20 40: of four, the lower middle one is 20
    actual = depth_to_grid(image, (0, 0, 5, 2), (1, 5))
    np.testing.assert_array_equal(actual, [[[10, 30, 20, 20, 40]]])
    actual = depth_to_grid(image, (0, 0, 5, 2), (1, 5), background_mm=500.0)
    np.testing.assert_array_equal(actual, [[[10, 30, 520, 20, 40]]])


def test_of_an_odd_number_of_cells_the_middle_one_fills_the_holes():
    actual = depth_to_grid(depth([7, 0, 9, 8]), (0, 0, 4, 1), (1, 4))
    np.testing.assert_array_equal(actual, [[[7, 8, 9, 8]]])


def test_every_image_is_filled_from_itself_and_an_image_of_holes_is_zero():
    image = np.array([[[5, 0]], [[9, 0]], [[0, 0]]], np.uint16)
    actual = depth_to_grid(image, (0, 0, 2, 1), (1, 2))
    np.testing.assert_array_equal(actual, [[[5, 5]], [[9, 9]], [[0, 0]]])


def test_640x480_to_128x96_is_the_mean_of_5x5_blocks():
    image = np.random.default_rng(0).integers(1, 65536, (2, 480, 640), dtype=np.uint16)
    blocks = image.reshape(2, 96, 5, 128, 5).mean(axis=(2, 4))
    np.testing.assert_allclose(depth_to_grid(image, WHOLE, GRID), blocks, rtol=1e-5)


@pytest.mark.parametrize(
    "camera, grid",
    [
        ((2, 2), (0, 0)),  # the middle of the first block of 5x5
        ((7, 2), (1, 0)),
        ((637, 477), (127, 95)),
        ((-0.5, -0.5), (-0.5, -0.5)),  # corners stay corners
        ((639.5, 479.5), (127.5, 95.5)),
        ((0, 0), (-0.4, -0.4)),  # not (0, 0), as plain division would have it
    ],
)
def test_the_half_pixel_rule_scales_about_corners(camera, grid):
    actual = joints_to_grid(np.array(camera, np.float32), CAMERA, GRID)
    np.testing.assert_allclose(actual, grid, atol=1e-4)


def test_a_crop_moves_its_first_pixels_to_the_first_cell():
    # crop from (100, 40), 256 x 96 pixels on 96 x 128 cells: 2 pixels a column, 1 a row
    crop = np.array([100, 40, 256, 96])
    xy = np.array([[100.5, 40], [102.5, 41], [354.5, 135]], np.float32)
    np.testing.assert_allclose(joints_to_grid(xy, crop, GRID), [[0, 0], [1, 1], [127, 95]])


def test_joints_lie_where_their_depth_lies():
    image = np.ones((1, 480, 640), np.uint16)
    image[0, 300, 200] = 1000  # cell (row 60, column 40)
    row, col = np.unravel_index(depth_to_grid(image, WHOLE, GRID)[0].argmax(), GRID)
    actual = joints_to_grid(np.array([200.0, 300.0]), CAMERA, GRID)
    assert (row, col) == (60, 40)
    np.testing.assert_array_equal(np.round(actual), [40, 60])


CROPS = st.tuples(*[st.integers(0, 300)] * 2, *[st.integers(1, 640)] * 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), CROPS, st.tuples(*[st.integers(1, 200)] * 2))
def test_joints_from_grid_inverts_joints_to_grid(seed, crop, grid):
    xy = np.random.default_rng(seed).uniform(-50, 700, (3, 12, 2)).astype(np.float32)
    existing = joints_to_grid(xy, np.array(crop), grid)
    np.testing.assert_allclose(joints_from_grid(existing, np.array(crop), grid), xy, atol=2e-2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), CROPS)
def test_a_crop_for_every_frame_is_the_same_as_one_after_the_other(seed, crop):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 640, (4, 12, 2)).astype(np.float32)
    crops = np.array(crop) + rng.integers(0, 9, (4, 4))
    at_once = joints_to_grid(xy, crops[:, None], GRID)
    for k in range(4):
        np.testing.assert_array_equal(at_once[k], joints_to_grid(xy[k], crops[k], GRID))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 17))
def test_every_cell_is_a_mean_of_what_it_covers(seed, rows, cols):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 3000, (1, 12, 17), dtype=np.uint16)
    actual = depth_to_grid(image, (0, 0, 17, 12), (rows, cols))
    assert actual.dtype == np.float32
    valid = image[image > 0]
    assert valid.min() * 0.999 <= actual.min() and actual.max() <= valid.max() * 1.001
    whole = rng.integers(1, 3000, (1, 12, 17), dtype=np.uint16)  # without holes, sums are kept
    actual = depth_to_grid(whole, (0, 0, 17, 12), (rows, cols))
    np.testing.assert_allclose(actual.mean(), whole.mean(), rtol=1e-4)


def test_half_a_pixel_of_border_is_inside_but_for_its_far_edge():
    xy = [(-0.5, -0.5), (-0.51, 0), (127.49, 95.49), (127.5, 95), (127, 95.5), (0, -0.6)]
    actual = inside(np.array(xy, np.float32), GRID)
    np.testing.assert_array_equal(actual, [True, False, True, False, False, False])


def test_points_beside_a_box_move_to_its_nearest_pixel_and_say_if_they_were_near():
    box, most_px = (10, 20, 4, 3), np.array([2.0, 1.0])  # pixels 10 to 13 and 20 to 22
    points = {  # its place afterwards, and whether it was near
        (11.5, 21.0): (11.5, 21.0, True),
        (9.75, 22.25): (10.0, 22.0, True),
        (7.5, 21.0): (10.0, 21.0, True),  # 2 px before the edge at 9.5
        (7.25, 21.0): (10.0, 21.0, False),
        (15.5, 23.5): (13.0, 22.0, True),
        (15.75, 22.0): (13.0, 22.0, False),
        (13.0, 23.75): (13.0, 22.0, False),
    }
    xy, near = moved_into(np.array(list(points), np.float32), box, most_px)
    np.testing.assert_array_equal(np.column_stack([xy, near]), list(points.values()))


def test_standardise_takes_each_image_s_own_mean_and_divides_by_the_scale():
    grid = np.array([[[100, 200], [300, 400]], [[7, 7], [7, 7]]], np.float32)
    actual = standardise(grid, 50.0)
    np.testing.assert_array_equal(actual, [[[-3, -1], [1, 3]], [[0, 0], [0, 0]]])
    assert actual.dtype == np.float32


@pytest.mark.parametrize(
    "frames, words",
    [
        (np.zeros((4, 9, 12)), r"float64 \[4, 9, 12\]; expected .* uint16 .*; metres become mm by"),
        (np.zeros((9, 12), np.uint16), r"uint16 \[9, 12\]; expected"),
        ([np.zeros((9, 12), np.uint16)], "a list; expected a NumPy array"),
    ],
)
def test_what_is_no_depth_in_millimetres_is_refused(frames, words):
    with pytest.raises(ValueError, match=words):
        geometry.check_frames(frames)
