"""Joints -> Gaussian masks -> poses gives the joints back: on each data set and on made-up ones.

The masks are the best that a net can answer, so what is lost here no training can win back.
"""

import numpy as np
import pytest

from data_pipeline.babypose.frames import hide_outside
from data_pipeline.babypose.sheets import raise_first, read_sheet
from data_pipeline.utd_mhad.recordings import find_recordings, read
from jaxpose.body.geometry import inside, joints_from_grid, joints_to_grid
from jaxpose.body.masks import Target
from jaxpose.decoding.linking import bipartite, chain, poses
from jaxpose.decoding.peaks import Decoding

GRIDS = {3.0: (48, 64), 6.0: (96, 128)}
"""Radius of the masks in px -> the grid (rows, cols) it belongs to."""

at_both_radii = pytest.mark.parametrize("radius", GRIDS)


def decoded(xy, visible, radius, linker=chain):
    """Poses from Gaussian masks of the joints [n 12 2], a few frames at a time."""
    target = Target(radius, radius / 3)
    parts = []
    for k in range(0, len(xy), 16):
        masks = target.draw(np, xy[k : k + 16], visible[k : k + 16], GRIDS[radius])
        parts.append(poses(masks, Decoding(radius), linker))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def assert_returns(xy, visible, radius, median_px=0.5, p99_px=1.0):
    """Every visible joint, no other, and all of them close; on the chosen grid's px."""
    found_xy, _, actual = decoded(xy, visible, radius)
    np.testing.assert_array_equal(actual, visible)
    error = np.linalg.norm(found_xy - xy, axis=-1)[visible]
    assert len(error) > 100
    assert np.median(error) < median_px
    assert np.percentile(error, 99) < p99_px
    return error


def on_grid(joints, visible, crop, radius):
    """Camera px to the grid, hidden where the crop ends: as `data_pipeline.load` does."""
    xy = joints_to_grid(joints, np.array(crop), GRIDS[radius])
    visible = visible & inside(xy, GRIDS[radius])
    return np.where(visible[..., None], xy, np.float32(-1)), visible


# ---------------------------------------------------------------- made up


@at_both_radii
def test_random_joints_far_apart_return_to_a_tenth_of_a_pixel(radius):
    rows, cols = GRIDS[radius]
    random = np.random.default_rng(0)
    margin = radius + 1
    xy = random.uniform((margin, margin), (cols - 1 - margin, rows - 1 - margin), (40, 12, 2))
    visible = random.random((40, 12)) < 0.85
    assert_returns(xy.astype(np.float32), visible, radius, median_px=0.1, p99_px=0.3)


@at_both_radii
def test_joints_anywhere_on_the_grid_return_to_half_a_pixel(radius):
    rows, cols = GRIDS[radius]
    random = np.random.default_rng(1)
    xy = random.uniform(-0.5, (cols - 0.5, rows - 0.5), (40, 12, 2)).astype(np.float32)
    error = assert_returns(xy, np.ones((40, 12), bool), radius, median_px=0.1)
    assert error.max() < 2.0  # a corner may cut three quarters of a blob away


@at_both_radii
def test_a_joint_within_half_a_grid_pixel_is_within_half_a_cell_of_the_camera(radius):
    # 640 / 128 = 5 and 640 / 64 = 10 camera px a cell
    rows, cols = GRIDS[radius]
    crop = np.array([0, 0, 640, 480])
    random = np.random.default_rng(2)
    camera = random.uniform((60, 60), (580, 420), (20, 12, 2)).astype(np.float32)
    visible = np.ones((20, 12), bool)
    xy, _, actual = decoded(joints_to_grid(camera, crop, (rows, cols)), visible, radius)
    assert actual.all()
    error = np.linalg.norm(joints_from_grid(xy, crop, (rows, cols)) - camera, axis=-1)
    assert np.median(error) < 0.1 * 640 / cols


def test_the_papers_linking_finds_the_limbs_whose_connections_are_drawn():
    # a hidden middle joint takes both connections along: nothing of that limb can be linked
    radius, (rows, cols) = 3.0, GRIDS[3.0]
    random = np.random.default_rng(3)
    xy = random.uniform(6, (cols - 7, rows - 7), (20, 12, 2)).astype(np.float32)
    visible = np.ones((20, 12), bool)
    visible[:, 4] = False  # left elbow
    found_xy, _, actual = decoded(xy, visible, radius, bipartite)
    assert not actual[:, 3:6].any()
    assert actual[:, [0, 1, 2, *range(6, 12)]].all()
    error = np.linalg.norm(found_xy - xy, axis=-1)
    assert np.median(error[:, [3, 5]]) < 0.1  # what is not found still has its fallback


# ---------------------------------------------------------------- the three data sets


@at_both_radii
def test_real_adults_of_utd_mhad_return(real_data, radius):
    parts = []
    for recording in find_recordings(real_data / "utd_mhad")[::40]:
        frames = read(recording, every=5)
        parts.append(on_grid(frames.joints, frames.visible, frames.recording.crop, radius))
    xy, visible = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert len(xy) > 80
    assert visible.mean() > 0.95
    assert_returns(xy, visible, radius)


@at_both_radii
def test_real_infants_of_babypose_return(real_data, radius):
    parts = []
    for path in sorted((real_data / "babypose_annotations").glob("result_pz*.csv")):
        sheet = read_sheet(path, raise_first).in_time_order()
        joints, visible = hide_outside(sheet.joints[::125], (480, 640))
        parts.append(on_grid(joints, visible, (0, 0, 640, 480), radius))
    xy, visible = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert len(xy) > 100
    assert 0.7 < visible.mean() < 1  # some joints are hidden
    assert_returns(xy, visible, radius)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Clicked joints of two simulated infants, through their sheets."""
    pytest.importorskip("mujoco")
    from data_pipeline.simulate import simulate

    out = tmp_path_factory.mktemp("simulated") / "out"
    simulate(out, infants=2, frames=8, seed=5, size=(160, 120), processes=1)
    sheets = [read_sheet(path, raise_first) for path in sorted(out.glob("result_pz*.csv"))]
    joints = np.concatenate([sheet.in_time_order().joints for sheet in sheets])
    return hide_outside(joints, (120, 160))


@at_both_radii
def test_simulated_infants_return(simulated, radius):
    joints, visible = simulated
    assert len(joints) == 16
    assert_returns(*on_grid(joints, visible, (0, 0, 160, 120), radius), radius)
