"""Metrics and baselines, against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpose.body.skeleton import HIPS, SHOULDERS
from jaxpose.decoding.metrics import (
    dice_recall,
    error_table,
    hidden_found_rate,
    limb_rmsd,
    map_counts,
    mean_pose,
    missed_rate,
    pck,
    previous_pose,
    subject_mean_poses,
    torso_length,
)

SEEDS = st.integers(0, 2**32 - 1)


def pose_errors(n=1):
    """Truth at the origin, predictions equal to it, everything counted."""
    return np.zeros((n, 12, 2)), np.zeros((n, 12, 2)), np.ones((n, 12), bool)


def test_limb_rmsd_is_the_root_of_the_mean_square_over_the_counted_joints():
    predicted, truth, counted = pose_errors(2)
    predicted[0, 0] = (3, 4)  # right arm: distances 5, 1, 2
    predicted[0, 1] = (1, 0)
    predicted[0, 2] = (0, 2)
    predicted[0, 6] = (0, 6)  # right leg: 6, and its other joints do not count
    counted[0, 7:9] = False
    counted[0, 9:] = False  # left leg: nothing counts
    expected = [[np.sqrt((25 + 1 + 4) / 3), 0, 6, np.nan], [0, 0, 0, 0]]
    np.testing.assert_allclose(limb_rmsd(predicted, truth, counted), expected)
    doubled = limb_rmsd(2 * predicted, 2 * truth, counted)
    np.testing.assert_allclose(doubled, 2 * np.array(expected))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_limb_rmsd_ignores_uncounted_joints_and_a_common_shift(seed):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.normal(0, 5, (2, 6, 12, 2))
    counted = rng.random((6, 12)) < 0.6
    wild = np.where(counted[..., None], predicted, np.nan)
    np.testing.assert_allclose(
        limb_rmsd(wild + 7, truth + 7, counted), limb_rmsd(predicted, truth, counted)
    )


def test_error_table_by_hand():
    rmsd = np.array([[1, 9, 0, np.nan], [2, 9, 0, np.nan], [3, 9, 4, np.nan], [10, 9, 4, np.nan]])
    table = error_table(rmsd)
    assert list(table) == ["right_arm", "left_arm", "right_leg", "left_leg", "all"]
    # p25 and p75 of (1, 2, 3, 10) are 1.75 and 4.75.
    assert table["right_arm"] == {"median": 2.5, "iqr": 3.0, "mean": 4.0}
    assert table["left_arm"] == {"median": 9.0, "iqr": 0.0, "mean": 9.0}
    assert table["right_leg"] == {"median": 2.0, "iqr": 4.0, "mean": 2.0}
    assert table["left_leg"] == {"median": None, "iqr": None, "mean": None}
    # 0 0 1 2 3 4 4 9 9 9 9 10: median 4, p25 1.75, p75 9, sum 60.
    assert table["all"] == {"median": 4.0, "iqr": 7.25, "mean": 5.0}


def test_missed_and_hidden_found_rates_count_over_their_own_joints():
    visible, actual = np.ones((2, 12), bool), np.ones((2, 12), bool)
    visible[0, :4] = False  # 4 hidden, 20 visible
    actual[0, 1:4] = False  # one of the hidden is found
    actual[1, :5] = False  # 5 of the visible are missed
    assert missed_rate(actual, visible) == 0.25
    assert hidden_found_rate(actual, visible) == 0.25
    everything = np.ones((2, 12), bool)
    assert hidden_found_rate(actual, everything) is None
    assert missed_rate(actual, ~everything) is None


def test_pck_counts_up_to_half_and_a_quarter_of_the_torso():
    predicted, truth, counted = pose_errors(2)
    predicted[0, :, 0] = [0, 0, 4, 5, 5, 6, 8, 10, 10, 10.5, 11, 90]
    counted[0, 11] = False
    counted[1] = True  # without a torso length: does not count
    shares = pck(predicted, truth, counted, np.array([20.0, np.nan]))
    assert shares == {"half_torso": pytest.approx(9 / 11), "quarter_torso": pytest.approx(5 / 11)}
    assert pck(predicted, truth, ~counted & False, np.array([20.0, 20.0])) == {
        "half_torso": None,
        "quarter_torso": None,
    }


def torso(length):
    """Shoulders 4 px apart, hips 2 px apart, `length` px below."""
    xy = np.zeros((12, 2))
    xy[list(SHOULDERS)] = [[8, 5], [12, 5]]
    xy[list(HIPS)] = [[9, 5 + length], [11, 5 + length]]
    return xy


def test_torso_length_is_the_subjects_median_over_complete_frames():
    xy = np.array([torso(s) for s in (10, 12, 50, 20, 99)])
    visible = np.ones((5, 12), bool)
    visible[2, HIPS[0]] = False  # 50 is not measured
    visible[4, SHOULDERS[1]] = False  # subject c has no complete frame
    visible[0, 2] = False  # a wrist does not matter
    subject = np.array(["a", "a", "a", "b", "c"])
    # a: median of 10 and 12; c: median of a's 11 and b's 20.
    np.testing.assert_allclose(torso_length(xy, visible, subject), [11, 11, 11, 20, 15.5])
    assert np.isnan(torso_length(xy, visible & False, subject)).all()


def test_map_counts_and_their_scores_by_hand():
    truth = np.zeros((1, 1, 2, 4, 20), bool)
    predicted = truth.copy()
    truth[..., 0, :, 0] = True  # map 0: 4 true, 2 of them found, 1 false: tp 2, fp 1, fn 2
    predicted[..., 0, :2, 0] = True
    predicted[..., 1, 0, 0] = True
    truth[..., 0, 0, 1] = predicted[..., 0, 0, 1] = True  # map 1: perfect
    predicted[..., 0, 0, 2] = True  # map 2: nothing to find, yet found: Dice 0, no recall
    truth[..., 0, 0, 12] = True  # map 12, a connection: missed
    counts = map_counts(predicted, truth)
    assert counts.shape == (3, 20)
    assert counts[:, [0, 1, 2, 12]].T.tolist() == [[2, 1, 2], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    scores = dice_recall(counts)
    # Dice 2*2 / (2*2 + 1 + 2) = 4/7, 1 and 0; recall 2/4 and 1; the other maps have no pixel.
    assert scores["dice"]["joints"] == pytest.approx((4 / 7 + 1 + 0) / 3)
    assert scores["recall"]["joints"] == pytest.approx((0.5 + 1) / 2)
    assert scores["dice"]["connections"] == scores["recall"]["connections"] == 0
    nothing = dice_recall(np.zeros((3, 20), int))
    assert nothing["dice"] == nothing["recall"] == {"joints": None, "connections": None}


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_counts_of_batches_add_up_to_the_counts_of_all(seed):
    predicted, truth = np.random.default_rng(seed).random((2, 6, 3, 4, 20)) < 0.4
    parts = map_counts(predicted[:2], truth[:2]) + map_counts(predicted[2:], truth[2:])
    np.testing.assert_array_equal(parts, map_counts(predicted, truth))


def test_mean_pose_averages_visible_frames_and_fills_the_never_visible():
    xy, visible = np.full((3, 12, 2), -1.0), np.zeros((3, 12), bool)
    xy[0, 0], xy[1, 0], visible[:2, 0] = (2, 4), (4, 8), True  # right shoulder: mean (3, 6)
    xy[2, 1], visible[2, 1] = (9, 0), True  # right elbow: (9, 0)
    expected = np.full((12, 2), (6.0, 3.0))  # the mean of the two means
    expected[:2] = [[3, 6], [9, 0]]
    np.testing.assert_allclose(mean_pose(xy, visible), expected)
    assert np.isnan(mean_pose(xy, visible & False)).all()


def test_subject_mean_poses_separate_the_subjects():
    xy = np.zeros((3, 12, 2)) + np.array([1.0, 3.0, 10.0])[:, None, None]
    means = subject_mean_poses(xy, np.ones((3, 12), bool), np.array([7, 7, 8]))
    assert sorted(means) == [7, 8]
    assert (means[7] == 2).all() and (means[8] == 10).all()


def test_previous_pose_looks_back_past_hidden_frames_but_not_past_a_start():
    xy = np.arange(6.0)[:, None, None] + np.zeros((6, 12, 2))
    visible = np.ones((6, 12), bool)
    visible[1, 0] = visible[4, 0] = False
    starts = np.array([True, False, False, True, False, False])
    previous, known = previous_pose(xy, visible, starts)
    nan = np.nan
    # Joint 0 is hidden in frames 1 and 4; joint 1 is always visible.
    np.testing.assert_array_equal(previous[:, 0, 0], [nan, 0, 0, nan, 3, 3])
    np.testing.assert_array_equal(previous[:, 1, 0], [nan, 0, 1, nan, 3, 4])
    np.testing.assert_array_equal(known, ~np.isnan(previous[..., 0]))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_previous_pose_agrees_with_walking_through_the_frames(seed):
    rng = np.random.default_rng(seed)
    xy, visible = rng.random((9, 12, 2)), rng.random((9, 12)) < 0.5
    starts = rng.random(9) < 0.3
    previous, known = previous_pose(xy, visible, starts)
    last = {}
    for k in range(9):
        if starts[k]:
            last = {}
        for j in range(12):
            assert known[k, j] == (j in last)
            if j in last:
                np.testing.assert_array_equal(previous[k, j], last[j])
            if visible[k, j]:
                last[j] = xy[k, j]
