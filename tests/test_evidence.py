"""Evidence about joints, from maps and depth drawn by hand."""

import numpy as np
import pytest

from jaxpose.body.skeleton import CONNECTIONS, JOINTS, MIRROR
from jaxpose.decoding.evidence import FEATURES, LEAST, evidence
from jaxpose.decoding.linking import poses
from jaxpose.decoding.peaks import Decoding

GRID, RADIUS = (48, 64), 3.0
XY = np.array(
    [[20, 10], [12, 16], [8, 24], [40, 10], [48, 16], [56, 24]]
    + [[24, 28], [22, 36], [20, 44], [36, 28], [38, 36], [40, 44]],
    np.float32,
)
ROWS, COLUMNS = np.mgrid[: GRID[0], : GRID[1]].astype(np.float32)


def discs(height: float = 1.0) -> np.ndarray:
    """Maps [1 48 64 20] with a flat disc at every joint, and bars along the links."""
    maps = np.zeros((1, *GRID, 20), np.float32)
    for joint, (x, y) in enumerate(XY):
        maps[0, ..., joint] = height * ((COLUMNS - x) ** 2 + (ROWS - y) ** 2 <= RADIUS**2)
    for k, (a, b) in enumerate(CONNECTIONS):
        for share in np.linspace(0, 1, 60):
            x, y = XY[a] + share * (XY[b] - XY[a])
            near = (COLUMNS - x) ** 2 + (ROWS - y) ** 2 <= RADIUS**2
            maps[0, ..., 12 + k] = np.maximum(maps[0, ..., 12 + k], height * near)
    return maps


def of(detection, regression, depth=None):
    depth = np.zeros((1, *GRID), np.float32) if depth is None else depth
    decoded = poses(np.sqrt(detection * regression), Decoding(RADIUS))
    return {k: v[0] for k, v in evidence(detection, regression, depth, decoded, RADIUS).items()}


def test_there_is_one_number_per_joint_and_feature_in_the_order_of_the_names():
    values = of(discs(), discs())
    assert tuple(values) == FEATURES and len(set(FEATURES)) == len(FEATURES)
    assert {(v.shape, v.dtype) for v in values.values()} == {((12,), np.dtype(np.float32))}


def test_a_perfect_blob_has_height_one_its_whole_mass_near_it_and_nothing_elsewhere():
    values = of(discs(), discs())
    for net in ("detection", "regression", "combined"):
        np.testing.assert_allclose(values[net], 1, atol=1e-6)
        # a disc of radius 3 has 29 pixels of pi 9 = 28.3
        np.testing.assert_allclose(values[f"{net}_mass"], 29 / (9 * np.pi), rtol=1e-5)
        np.testing.assert_allclose(values[f"{net}_other_mass"], 0, atol=1e-6)
        np.testing.assert_allclose(values[f"{net}_elsewhere"], np.log(LEAST), rtol=1e-5)
    for side in ("inward", "outward"):
        np.testing.assert_allclose(values[f"limb_{side}"], 1, atol=1e-6)
        np.testing.assert_allclose(values[f"detection_{side}"], 1, atol=1e-6)
    assert values["found"].all() and values["score"].min() > 0.999


def test_a_second_blob_elsewhere_counts_for_its_own_joint_and_net_alone():
    detection = discs()
    second = (COLUMNS - 60) ** 2 + (ROWS - 44) ** 2 <= RADIUS**2
    detection[0, ..., 2] = np.maximum(detection[0, ..., 2], 0.5 * second)
    plain, changed = of(discs(), discs()), of(detection, discs())
    assert changed["detection_elsewhere"][2] == pytest.approx(np.log(0.5 + LEAST))
    assert changed["detection_other_mass"][2] == pytest.approx(0.5 * second.sum() / (9 * np.pi))
    for name in FEATURES:
        same = np.isclose(changed[name], plain[name])
        if name in ("detection_elsewhere", "detection_other_mass"):
            assert np.flatnonzero(~same).tolist() == [2]
        else:
            assert same.all(), name


def test_the_neighbours_of_a_joint_are_those_of_its_limb_and_an_end_repeats_its_only_one():
    detection = discs()
    detection[..., JOINTS.index("right_elbow")] *= 0.25
    values = of(detection, discs())  # the elbow's combined height is sqrt(0.25)
    assert values["limb_outward"][0] == values["limb_inward"][0] == pytest.approx(0.5)
    assert values["limb_inward"][2] == values["limb_outward"][2] == pytest.approx(0.5)
    assert values["limb_inward"][1] == values["limb_outward"][1] == pytest.approx(1)


def test_lengths_are_in_radii_and_compared_with_the_other_side():
    values = of(discs(), discs())
    upper, lower = np.hypot(8, 6) / RADIUS, np.hypot(4, 8) / RADIUS  # of the right arm
    np.testing.assert_allclose(values["length_inward"][:3], [upper, upper, lower], rtol=1e-5)
    np.testing.assert_allclose(values["length_outward"][:3], [upper, lower, lower], rtol=1e-5)
    np.testing.assert_allclose(
        values["length_difference"], -values["length_difference"][list(MIRROR)], atol=1e-6
    )
    assert values["counterpart"][6] == pytest.approx(12 / RADIUS)


def test_a_limb_that_stands_out_rises_across_itself_and_not_along_itself():
    """Depth grows by 0.05 per pixel downwards, and right of column 40 by 0.1 to the right."""
    depth = (0.1 * np.maximum(COLUMNS - 40, 0) + 0.05 * ROWS)[None]
    values = of(discs(), discs(), depth)
    elbow, step = JOINTS.index("left_elbow"), 2.0 * RADIUS
    # along (0.8, 0.6), from the left shoulder to the left elbow; across (-0.6, 0.8) and back
    assert values["along_more_2"][elbow] == pytest.approx(0.11 * step, rel=1e-4)
    assert values["across_more_2"][elbow] == pytest.approx(0.02 * step, rel=1e-3)
    assert values["across_less_2"][elbow] == pytest.approx(-0.02 * step, rel=1e-3)
    assert values["depth"][elbow] == pytest.approx(0.1 * 8 + 0.05 * 16)
    down = 2 / np.hypot(2, 8)  # of the step across the right thigh, whose knee is left of column 40
    knee = values["across_more_3"][JOINTS.index("right_knee")]
    assert knee == pytest.approx(0.05 * 3 * RADIUS * down, rel=1e-3)


def test_kinds_are_one_for_their_joints_on_both_sides():
    values = of(discs(), discs())
    assert np.flatnonzero(values["knee"]).tolist() == [7, 10]
    kinds = sum(values[k] for k in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
    assert kinds.tolist() == [1] * 12
