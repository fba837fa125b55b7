"""Numbers about movements that were made up so that the answers are known."""

import numpy as np
import pytest
from scipy.stats import chi2

from jaxpose.body.skeleton import HIPS, JOINTS, SHOULDERS
from jaxpose.kinematics import measures, symmetry, table
from jaxpose.kinematics.body_frame import ANGLES, angle, to_trunk, torso_length
from jaxpose.kinematics.series import derivative, regular, speed_noise_floor, window_samples

RATE = 30.0
T = np.arange(900) / RATE


def still(count=900):
    """An infant at rest, head up in the image, torso 150, in px [n 12 2]."""
    xy = np.zeros((12, 2))
    places = {"shoulder": (40, 0), "elbow": (80, 30), "wrist": (80, 80)}
    places |= {"hip": (25, 150), "knee": (60, 200), "ankle": (60, 260)}
    for k, name in enumerate(JOINTS):
        side, part = name.split("_")
        x, y = places[part]
        xy[k] = (300 + (-x if side == "right" else x), 100 + y)
    return np.repeat(xy[None], count, axis=0)


def joint(name):
    return JOINTS.index(name)


def test_short_gaps_are_filled_linearly_and_long_ones_stay():
    values = 3.0 * T[:60, None]
    holes = values.copy()
    holes[10:15] = np.nan  # 5 samples
    holes[30:36] = np.nan  # 6
    times, filled = regular(T[:60], holes)
    np.testing.assert_allclose(times, T[:60])
    assert np.flatnonzero(np.isnan(filled[:, 0])).tolist() == [30, 31, 32, 33, 34, 35]
    np.testing.assert_allclose(filled[:30], values[:30])


def test_frames_that_are_absent_become_samples():
    use = np.delete(np.arange(60), [20, 21])
    times, filled = regular(T[use], 3.0 * T[use, None])
    assert len(times) == 60
    np.testing.assert_allclose(filled[:, 0], 3 * times, atol=1e-9)


def test_what_is_missing_at_the_ends_is_not_made_up():
    values = T[:20, None].copy()
    values[[0, 1, 19]] = np.nan
    _, filled = regular(T[:20], values)
    assert np.flatnonzero(np.isnan(filled[:, 0])).tolist() == [0, 1, 19]


def test_derivatives_of_a_cubic_are_exact_and_need_a_window():
    values = (2 + 3 * T - 4 * T**2 + 0.5 * T**3)[:, None]
    np.testing.assert_allclose(derivative(values, RATE, 1)[:, 0], 3 - 8 * T + 1.5 * T**2, atol=1e-6)
    np.testing.assert_allclose(derivative(values, RATE, 2)[:, 0], 3 * T - 8, atol=1e-5)
    values[4] = np.nan  # leaves 4 samples before it, fewer than a window
    assert window_samples(RATE) == 9 and window_samples(6.0) == 5
    slopes = derivative(values, RATE, 1)
    assert np.isnan(slopes[:5]).all() and np.isfinite(slopes[5:]).all()


def test_a_joint_that_moves_evenly_on_a_circle():
    radius, turns = 20.0, 0.5
    phase = 2 * np.pi * turns * T
    positions = radius * np.stack([np.cos(phase), np.sin(phase)], axis=1)
    values = measures.movement(positions, RATE, torso=100.0)
    speed = 2 * np.pi * turns * radius  # 62.8 px/s
    assert values["speed_median"] == pytest.approx(speed, rel=0.01)
    assert values["speed_IQR"] < 0.01 * speed
    assert values["path_length"] == pytest.approx(speed * 30, rel=0.01)
    assert values["time_moving"] == 1.0  # above 25 px/s
    assert measures.movement(positions, RATE, torso=300.0)["time_moving"] == 0.0  # below 75
    assert values["speed_noise_floor"] < 0.02 * speed


@pytest.mark.parametrize("axes", [2, 3])
def test_the_noise_floor_is_the_speed_of_a_joint_at_rest(axes):
    noise = np.random.default_rng(0).normal(scale=1.5, size=(20_000, axes))
    floor = speed_noise_floor(noise, RATE)
    # the slope of a cubic through 9 samples is the sum of their products with these weights
    weights = np.array([86, -142, -193, -126, 0, 126, 193, 142, -86]) / 1188
    gain = RATE * np.linalg.norm(weights)
    assert floor == pytest.approx(1.5 * gain * chi2.ppf(0.5, axes) ** 0.5, rel=0.02)
    speed = np.linalg.norm(derivative(noise, RATE, 1), axis=1)
    assert np.median(speed) == pytest.approx(floor, rel=0.03)
    drift = noise + np.arange(20_000)[:, None] / RATE * 40
    assert speed_noise_floor(drift, RATE) == pytest.approx(floor, rel=0.02)


def test_half_of_the_time_moving():
    x = np.concatenate([np.zeros(450), np.arange(450) * 2.0])
    values = measures.movement(np.stack([x, 0 * x], 1), RATE, torso=100.0)
    assert values["time_moving"] == pytest.approx(0.5, abs=0.01)
    assert values["path_length"] == pytest.approx(900, rel=0.01)
    assert values["speed_p95"] == pytest.approx(60, rel=0.01)


def test_entropy_of_equally_frequent_values_is_the_logarithm_of_their_number():
    assert measures.entropy(np.tile([0.0, 0.1, 0.2, 0.3], 50), 0.01) == pytest.approx(np.log(4))
    assert measures.entropy(np.full(50, 0.123), 0.01) == 0
    assert measures.entropy(np.array([1.0, np.nan, 2.0]), 1.0) == pytest.approx(np.log(2))


def test_angles_and_the_range_of_motion():
    xy = still()
    # the forearm swings by 30 degrees to both sides of 90
    swing = np.radians(90 + 30 * np.sin(2 * np.pi * T))
    elbow, wrist = xy[:, joint("left_elbow")], joint("left_wrist")
    upper = xy[:, joint("left_shoulder")] - elbow
    upper = upper / np.linalg.norm(upper, axis=1, keepdims=True)
    across = np.stack([-upper[:, 1], upper[:, 0]], axis=1)
    xy[:, wrist] = elbow + 50 * (np.cos(swing)[:, None] * upper + np.sin(swing)[:, None] * across)
    degrees = angle(xy, ANGLES["left_elbow"])
    np.testing.assert_allclose(degrees, np.degrees(swing), atol=1e-6)
    values = measures.of_angle(degrees, RATE)
    assert values["mean_angle"] == pytest.approx(90, abs=0.1)
    # 95th percentile of a sine is sin(0.45 pi)
    assert values["range_of_motion"] == pytest.approx(60 * np.sin(0.45 * np.pi), rel=0.01)
    assert values["stdev_angle"] == pytest.approx(30 / 2**0.5, rel=0.05)
    velocity = 30 * 2 * np.pi * np.cos(2 * np.pi * T)
    assert values["median_vel_angle"] == pytest.approx(np.median(np.abs(velocity)), rel=0.01)
    straight = np.zeros((1, 12, 2))
    straight[0, :3, 0] = 0, 1, 3
    assert angle(straight, (0, 1, 2)) == pytest.approx(180)


def test_positions_relative_to_the_trunk_do_not_change_when_the_infant_is_moved_and_turned():
    xy = still(3)
    assert torso_length(xy) == pytest.approx(150)
    relative = to_trunk(xy)
    # the left wrist is 80 px to the right of the shoulders' middle in the image, 80 px below it
    np.testing.assert_allclose(relative[0, joint("left_wrist")], [80 / 150, 80 / 150])
    np.testing.assert_allclose(relative[0, joint("right_ankle")], [-60 / 150, 110 / 150])
    np.testing.assert_allclose(relative[:, SHOULDERS].mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(relative[:, HIPS].mean(1), 0, atol=1e-12)
    turn = np.radians(137)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = 2.5 * xy @ matrix.T + [31, -70]
    np.testing.assert_allclose(to_trunk(moved), relative, atol=1e-12)


def test_the_left_side_follows_the_right_one():
    right = np.random.default_rng(0).normal(size=900)
    left = np.concatenate([np.zeros(12), -right[:-12]])
    value, lag_s = symmetry.lagged_correlation(right, left, RATE)
    assert value == pytest.approx(-1, abs=1e-9) and lag_s == pytest.approx(0.4)
    assert abs(symmetry.correlation(right, left)) < 0.1
    assert symmetry.lagged_correlation(left, right, RATE)[1] == pytest.approx(-0.4)
    assert symmetry.lagged_correlation(right, right, RATE) == (pytest.approx(1), 0)
    assert np.isnan(symmetry.correlation(right, np.zeros(900)))


@pytest.mark.parametrize("right, left, index", [(3.0, 1.0, 0.5), (1.0, 1.0, 0.0), (0.0, 2.0, -1.0)])
def test_the_asymmetry_index(right, left, index):
    assert symmetry.asymmetry(right, left) == index
    assert np.isnan(symmetry.asymmetry(0.0, 0.0))


def value(rows, window, part, measure):
    (row,) = [r for r in rows if (r.window, r.part, r.measure) == (window, part, measure)]
    return row


def test_the_table_has_the_whole_recording_and_windows_of_a_minute():
    times = np.arange(125 * 30) / RATE
    xy = still(len(times))
    wrist = joint("right_wrist")
    xy[: 60 * 30, wrist, 0] += 30 * np.sin(2 * np.pi * times[: 60 * 30])  # the first minute alone
    rows = list(table.rows(times, xy, "px"))
    assert {r.window for r in rows} == {"whole", "0", "1"}
    first, second = (value(rows, w, "right_wrist", "path_length").value for w in "01")
    assert first == pytest.approx(4 * 30 * 60, rel=0.05) and second == pytest.approx(0, abs=1e-6)
    assert value(rows, "0", "wrist", "asymmetry_index").value == pytest.approx(1)
    assert value(rows, "whole", "torso", "torso_length").value == pytest.approx(150)
    for part, measure, unit in [
        ("left_knee", "speed_median", "px/s"), ("left_knee", "IQRaccx", "torso/s2"),
        ("left_knee", "medianvely", "torso/s"), ("left_knee", "medianx", "torso"),
        ("left_knee", "mean_angle", "deg"), ("knee", "lrCorr_angle_lag", "s"),
    ]:  # fmt: skip
        assert value(rows, "whole", part, measure).unit == unit


def test_what_is_seen_too_rarely_is_not_measured():
    xy = still()
    xy[:300, joint("left_ankle")] = np.nan
    rows = list(table.rows(T, xy, "px"))
    row = value(rows, "whole", "left_ankle", "speed_median")
    assert np.isnan(row.value) and row.coverage == pytest.approx(0.6667)
    assert np.isnan(value(rows, "whole", "left_knee", "mean_angle").value)
    assert value(rows, "whole", "left_knee", "speed_median").value == pytest.approx(0, abs=1e-9)
    fragments = still(2700)
    fragments[np.arange(2700) % 30 < 6, joint("left_ankle")] = np.nan  # 24 samples, 6 are missing
    rows = list(table.rows(np.arange(2700) / 90, fragments, "px"))  # at 90/s a cubic needs 23
    assert value(rows, "whole", "left_ankle", "speed_median").coverage == pytest.approx(0.8)
    fragments[np.arange(2700) % 28 < 6, joint("left_ankle")] = np.nan
    rows = list(table.rows(np.arange(2700) / 90, fragments, "px"))
    assert np.isnan(value(rows, "whole", "left_ankle", "speed_median").value)
    everything = np.full((900, 12, 2), np.nan)
    rows = list(table.rows(T, everything, "px"))
    assert rows and all(np.isnan(r.value) for r in rows)
    assert list(table.rows(T[:4], xy[:4], "px")) == []


def test_every_measure_is_in_the_list_of_names():
    values = measures.movement(still()[:, 0], RATE, 150.0)
    assert tuple(values) == table.MOVEMENT
    assert set(measures.position(to_trunk(still())[:, 0], RATE)) == set(table.POSITION)
    assert tuple(measures.of_angle(np.full(900, 90.0), RATE)) == table.OF_ANGLE
