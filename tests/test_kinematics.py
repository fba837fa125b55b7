"""Numbers about movements that were made up so that the answers are known."""

import numpy as np
import pytest
from scipy.stats import chi2

from jaxpose.body.skeleton import HIPS, JOINTS, SHOULDERS
from jaxpose.kinematics import measures, symmetry, table
from jaxpose.kinematics.body_frame import ANGLES, angle, to_trunk, torso_length
from jaxpose.kinematics.series import (
    Series,
    derivative,
    regular,
    speed_noise_floor,
    window_samples,
)

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


def series(values, found=None, rate_hz=RATE):
    """A series whose samples were all found, unless it is said which."""
    found = np.ones(len(values), bool) if found is None else found
    return Series(values, found, rate_hz)


def missing(samples) -> list[int]:
    """Returns the places of NaN in samples [n 1 1]."""
    return np.flatnonzero(np.isnan(samples[:, 0, 0])).tolist()


def test_gaps_of_a_fifth_of_a_second_are_filled_linearly_and_longer_ones_stay():
    values = 3.0 * T[:60, None, None]
    holes = values.copy()
    holes[10:15] = np.nan  # from sample 9 to sample 15 it is 0.2 s
    holes[30:36] = np.nan
    grid = regular(T[:60], holes)
    assert grid.number.tolist() == list(range(60)) and grid.step_s == pytest.approx(1 / 30)
    assert missing(grid.positions) == [30, 31, 32, 33, 34, 35]
    np.testing.assert_allclose(grid.positions[:30], values[:30])
    assert np.flatnonzero(~grid.found[:, 0]).tolist() == [*range(10, 15), *range(30, 36)]


@pytest.mark.parametrize("rate_hz, filled", [(90, 17), (30, 5), (15, 2), (10, 1), (6, 0), (2, 0)])
def test_what_is_filled_is_limited_in_seconds(rate_hz, filled):
    times = np.arange(80) / rate_hz
    for absent in (filled, filled + 1):
        holes = 3.0 * times[:, None, None]
        holes[20 : 20 + absent] = np.nan
        grid = regular(times, holes)
        gap = [] if absent == filled else list(range(20, 20 + absent))
        assert missing(grid.positions) == gap
        assert (~grid.found).sum() == absent


def test_frames_that_are_absent_become_samples():
    use = np.delete(np.arange(60), [20, 21])
    grid = regular(T[use], 3.0 * T[use, None, None])
    assert len(grid.number) == 60
    np.testing.assert_allclose(grid.positions[:, 0, 0], 3 * T[:60], atol=1e-9)
    assert np.flatnonzero(~grid.found[:, 0]).tolist() == [20, 21]


def test_what_is_missing_at_the_ends_is_not_made_up():
    values = T[:20, None, None].copy()
    values[[0, 1, 19]] = np.nan
    assert missing(regular(T[:20], values).positions) == [0, 1, 19]


@pytest.mark.parametrize("rate_hz", [6.0, 30.0])
def test_irregular_times_do_not_change_how_often_a_joint_is_found(rate_hz):
    rng = np.random.default_rng(0)
    times = np.arange(1200) * 1.003  # slower than the median step, which most frames have
    times[::2] += 0.003
    times = (times + rng.uniform(-0.2, 0.2, len(times))) / rate_hz
    values = np.zeros((1200, 1, 2))
    assert regular(times, values).found.mean() > 0.998
    values[rng.random(1200) < 0.3] = np.nan
    share = np.isfinite(values[:, 0, 0]).mean()
    assert regular(times, values).found.mean() == pytest.approx(share, abs=0.015)


def test_a_pause_gets_samples_of_its_first_two_seconds_alone():
    times = np.concatenate([T[:60], 3 * 86_400 + T[:60]])
    values = np.ones((120, 1, 2))
    grid = regular(times, values)
    assert len(grid.number) == 60 + 60 + 60
    np.testing.assert_array_equal(grid.number[:120], np.arange(120))
    np.testing.assert_allclose(grid.number[120:] * grid.step_s, times[60:], atol=0.5 / RATE)
    assert missing(grid.positions) == list(range(60, 120))
    slow = regular(20.0 * np.arange(9), np.ones((9, 1, 2)))  # every step is longer than a pause
    assert slow.number.tolist() == list(range(9)) and slow.found.all()


def test_derivatives_of_a_cubic_are_exact_and_need_a_window():
    values = (2 + 3 * T - 4 * T**2 + 0.5 * T**3)[:, None]
    slopes, curvature = (derivative(series(values), order)[:, 0] for order in (1, 2))
    np.testing.assert_allclose(slopes, 3 - 8 * T + 1.5 * T**2, atol=1e-6)
    np.testing.assert_allclose(curvature, 3 * T - 8, atol=1e-5)
    values[4] = np.nan  # leaves 4 samples before it, fewer than a window
    assert window_samples(RATE) == 9 and window_samples(6.0) == 5
    slopes = derivative(series(values), 1)
    assert np.isnan(slopes[:5]).all() and np.isfinite(slopes[5:]).all()


def test_derivatives_are_not_taken_where_most_of_the_window_was_filled():
    values, found = T[:60, None].copy(), np.ones(60, bool)
    found[20:24] = False  # 5 of the 9 samples around each were found
    assert np.isfinite(derivative(series(values, found), 1)).all()
    found[24] = False  # 4 of 9 in the windows around samples 20 to 24, and 5 around 19 and 25
    slopes = derivative(series(values, found), 1)
    assert np.flatnonzero(np.isnan(slopes[:, 0])).tolist() == [20, 21, 22, 23, 24]
    found[:5] = False  # the windows of the first five samples are one
    slopes = derivative(series(values, found), 1)
    assert np.flatnonzero(np.isnan(slopes[:20, 0])).tolist() == [0, 1, 2, 3, 4]


def test_a_joint_that_moves_evenly_on_a_circle():
    radius, turns = 20.0, 0.5
    phase = 2 * np.pi * turns * T
    positions = radius * np.stack([np.cos(phase), np.sin(phase)], axis=1)
    values = measures.movement(series(positions), torso=100.0)
    speed = 2 * np.pi * turns * radius  # 62.8 px/s
    assert values["speed_median"] == pytest.approx(speed, rel=0.01)
    assert values["speed_IQR"] < 0.01 * speed
    assert values["path_length"] == pytest.approx(speed * 30, rel=0.01)
    assert values["time_moving"] == 1.0  # above 25 px/s
    assert measures.movement(series(positions), torso=300.0)["time_moving"] == 0.0  # below 75
    assert values["speed_noise_floor"] < 0.02 * speed


@pytest.mark.parametrize("axes", [2, 3])
def test_the_noise_floor_is_the_speed_of_a_joint_at_rest(axes):
    noise = np.random.default_rng(0).normal(scale=1.5, size=(20_000, axes))
    floor = speed_noise_floor(series(noise))
    # the slope of a cubic through 9 samples is the sum of their products with these weights
    weights = np.array([86, -142, -193, -126, 0, 126, 193, 142, -86]) / 1188
    gain = RATE * np.linalg.norm(weights)
    assert floor == pytest.approx(1.5 * gain * chi2.ppf(0.5, axes) ** 0.5, rel=0.02)
    speed = np.linalg.norm(derivative(series(noise), 1), axis=1)
    assert np.median(speed) == pytest.approx(floor, rel=0.03)
    drift = noise + np.arange(20_000)[:, None] / RATE * 40
    assert speed_noise_floor(series(drift)) == pytest.approx(floor, rel=0.02)


def whole_z(positions):
    """What a depth camera gives: x and y from a model, z in whole mm."""
    return np.concatenate([positions[:, :2], np.round(positions[:, 2:])], axis=1)


@pytest.mark.parametrize("moving", [0.0, 0.3])
@pytest.mark.parametrize(
    "as_read", [np.array, np.round, whole_z], ids=["exact", "whole", "whole z"]
)
@pytest.mark.parametrize("noise_mm", [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0])
def test_the_noise_floor_is_right_in_whole_mm_and_is_not_raised_by_movement(
    noise_mm, as_read, moving
):
    times = np.arange(3000) / RATE
    swing = np.array([30, 20, 15]) * np.sin(2 * np.pi * times[:, None] * [1.0, 1.5, 0.8])
    swing[times % 10 >= 10 * moving] = 0  # up to 190 mm/s in this share of the time
    rng = np.random.default_rng(0)
    ratios = []
    for place in rng.uniform(size=(5, 3)):  # whole mm are worst where the place is half of one
        rest = place + rng.normal(scale=noise_mm, size=(3000, 3)) * [0.3, 0.3, 1.0]
        speeds = np.linalg.norm(derivative(series(as_read(rest)), 1), axis=1)
        floor = speed_noise_floor(series(as_read(rest + swing)))
        ratios.append((floor + 1) / (np.median(speeds) + 1))  # 1 mm/s more or less is no matter
    assert 0.7 < min(ratios) and max(ratios) < 1.3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_noise_in_one_direction_is_not_taken_for_noise_in_all(axis):
    rest = np.zeros((20_000, 3))
    rest[:, axis] = np.random.default_rng(0).normal(scale=2.0, size=20_000)
    speeds = np.linalg.norm(derivative(series(rest), 1), axis=1)
    assert speed_noise_floor(series(rest)) == pytest.approx(np.median(speeds), rel=0.05)


def test_the_noise_floor_is_known_where_every_third_frame_is_lost():
    rest = np.random.default_rng(0).normal(scale=1.5, size=(6000, 1, 3))
    kept = np.arange(6000) % 3 < 2
    grid = regular(np.arange(6000)[kept] / RATE, rest[kept])
    there = series(grid.positions[:, 0], grid.found[:, 0])
    assert speed_noise_floor(there) == pytest.approx(np.nanmedian(measures.speed(there)), rel=0.15)


def test_the_noise_floor_is_that_of_samples_that_were_not_filled():
    noise = np.random.default_rng(0).normal(scale=1.5, size=(20_000, 1, 2))
    floor = speed_noise_floor(series(noise[:, 0]))
    holes = noise.copy()
    holes[np.random.default_rng(1).random(20_000) < 0.25] = np.nan
    grid = regular(np.arange(20_000) / RATE, holes)
    there = series(grid.positions[:, 0], grid.found[:, 0])
    assert speed_noise_floor(there) == pytest.approx(floor, rel=0.03)
    speed = np.nanmedian(measures.speed(there))  # of a joint at rest
    assert speed == pytest.approx(floor, rel=0.1)
    found = np.arange(20_000) % 9 < 4
    assert np.isnan(speed_noise_floor(series(noise[:, 0], found)))  # 4 of 9 fit every cubic


def test_half_of_the_time_moving():
    x = np.concatenate([np.zeros(450), np.arange(450) * 2.0])
    values = measures.movement(series(np.stack([x, 0 * x], 1)), torso=100.0)
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
    values = measures.of_angle(series(degrees))
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
def test_the_asymmetry_index_is_that_of_the_times_that_both_sides_have(right, left, index):
    right, left = np.full(100, right), np.full(100, left)
    assert symmetry.asymmetry(right, left) == index
    right[:30] = np.nan
    left[60:80] = np.nan
    left[:30] = 1000.0  # while the right side is not seen
    assert symmetry.asymmetry(right, left) == pytest.approx(index)
    assert np.isnan(symmetry.asymmetry(np.zeros(100), np.zeros(100)))
    right[9:] = np.nan
    assert np.isnan(symmetry.asymmetry(right, left))


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


def noisy_infant(noise, moving):
    """An infant in mm whose right wrist goes twice as far as the left one; the rest is at rest."""
    times = np.arange(900) / RATE
    mm = np.concatenate([still(len(times)), np.full((len(times), 12, 1), 700.0)], axis=2)
    swing = 30 * np.sin(np.pi * times) * (times % 10 < 10 * moving)
    mm[:, joint("right_wrist"), 0] += swing
    mm[:, joint("left_wrist"), 0] += swing / 2
    noise = np.random.default_rng(0).normal(scale=noise, size=mm.shape) if noise else 0
    return list(table.rows(times, mm + noise, "mm"))


@pytest.mark.parametrize("moving", [1.0, 0.3])
@pytest.mark.parametrize("noise", [0.0, 0.2, 1.0, 2.0])
def test_no_number_that_is_given_is_mostly_noise(noise, moving):
    true, rows = noisy_infant(0.0, moving), noisy_infant(noise, moving)
    index = value(rows, "whole", "wrist", "asymmetry_index")
    assert value(true, "whole", "wrist", "asymmetry_index").value == pytest.approx(1 / 3, abs=0.01)
    assert np.isnan(index.value) or 0.22 < index.value < 0.34  # true to a third
    assert np.isfinite(index.value) == (noise <= (1.0 if moving == 1 else 0.2))
    for part in ("right_wrist", "left_wrist", "left_ankle"):
        path = value(rows, "whole", part, "path_length")
        moves = value(rows, "whole", part, "time_moving")
        right = [value(true, "whole", part, m).value for m in ("path_length", "time_moving")]
        assert np.isnan(path.value) or path.value == pytest.approx(right[0], rel=0.7, abs=1e-6)
        assert np.isnan(moves.value) or moves.value == pytest.approx(right[1], abs=0.06)
        assert np.isfinite(moves.value) == (noise < 1.2)  # 18.75 mm/s, half of 0.25 torsos/s
        for row in (path, moves):
            reason = "the noise floor is above 50 % of" if np.isnan(row.value) else ""
            assert row.reason.startswith(reason) and bool(row.reason) == bool(reason)
            assert row.coverage == 1
    assert np.isnan(value(rows, "whole", "left_ankle", "path_length").value) == (noise > 0)


def test_an_empty_value_has_a_reason_and_another_has_none():
    xy = still()
    xy[:300, joint("left_ankle")] = np.nan
    rows = list(table.rows(T, xy, "px"))
    assert all(bool(row.reason) == bool(np.isnan(row.value)) for row in rows)
    few = " found in less than 70 % of the time"
    assert value(rows, "whole", "left_ankle", "path_length").reason == "the left ankle is" + few
    assert "none that differ" in value(rows, "whole", "wrist", "lrCorr_x").reason


def reasons(*lost: tuple[str, slice], few: str = " in less than 70 % of the time"):
    """Returns the reasons, all about coverage, of an infant without some joints in some frames."""
    xy = still()
    for name, frames in lost:
        xy[frames, joint(name)] = np.nan
    rows = {(row.part, row.measure): row.reason for row in table.rows(T, xy, "px")}
    return {name: text.removesuffix(few) for name, text in rows.items() if text.endswith(few)}


def test_the_reason_names_what_is_found_too_rarely():
    said = reasons(("left_ankle", np.s_[:300]))
    alone, both = "the left ankle is found", "both sides are found together"
    assert said["left_ankle", "time_moving"] == said["left_ankle", "medianx"] == alone
    assert said["ankle", "asymmetry_index"] == said["ankle", "lrCorr_x"] == both
    angle = "the left hip, knee and ankle are found together"
    assert said["left_knee", "mean_angle"] == angle and said["knee", "lrCorr_angle"] == both
    assert {part for part, _ in said} == {"left_ankle", "ankle", "left_knee", "knee"}

    said = reasons(("left_hip", np.s_[:300]))
    trunk = "the trunk (shoulders and hips) is found"
    assert said["torso", "torso_length"] == said["right_wrist", "time_moving"] == trunk
    assert said["right_wrist", "medianx"] == said["wrist", "lrCorr_x"] == trunk
    assert ("right_wrist", "path_length") not in said
    assert said["left_hip", "medianx"] == said["left_hip", "path_length"] == "the left hip is found"

    said = reasons(("left_hip", np.s_[:200]), ("right_wrist", np.s_[-200:]))
    together = "the right wrist and the trunk are found together"
    assert said["right_wrist", "medianx"] == together
    assert ("right_wrist", "time_moving") not in said and ("left_wrist", "medianx") not in said


def test_noise_that_is_not_known_is_not_taken_for_none():
    values = {"speed_noise_floor": np.nan}
    found = measures.too_noisy(values, np.ones(9), 100.0)
    assert found == dict.fromkeys(("path_length", "time_moving"), "the noise is not known")
    nothing = np.full(9, np.nan)
    assert measures.too_noisy(values, nothing, np.nan) == {}  # that is the reason


def test_what_is_seen_too_rarely_is_not_measured():
    xy = still()
    xy[:300, joint("left_ankle")] = np.nan
    rows = list(table.rows(T, xy, "px"))
    row = value(rows, "whole", "left_ankle", "speed_median")
    assert np.isnan(row.value) and row.coverage == pytest.approx(0.6667)
    assert np.isnan(value(rows, "whole", "left_knee", "mean_angle").value)
    assert value(rows, "whole", "left_knee", "speed_median").value == pytest.approx(0, abs=1e-9)
    everything = np.full((900, 12, 2), np.nan)
    rows = list(table.rows(T, everything, "px"))
    assert rows and all(np.isnan(r.value) for r in rows)
    assert list(table.rows(T[:4], xy[:4], "px")) == []


def test_fragments_that_are_shorter_than_a_window_are_not_measured():
    times, fragments = np.arange(360) / 6, still(360)
    fragments[np.arange(360) % 6 == 5, joint("left_ankle")] = np.nan  # 5 samples, 1 is missing
    rows = list(table.rows(times, fragments, "px"))  # at 6/s a cubic needs 5
    row = value(rows, "whole", "left_ankle", "speed_median")
    assert row.coverage == pytest.approx(5 / 6, abs=1e-4)
    assert row.value == pytest.approx(0, abs=1e-9)
    fragments = still(360)
    fragments[np.arange(360) % 5 == 4, joint("left_ankle")] = np.nan
    rows = list(table.rows(times, fragments, "px"))
    row = value(rows, "whole", "left_ankle", "speed_median")
    assert np.isnan(row.value) and row.coverage == pytest.approx(0.8)


def test_samples_that_were_filled_are_no_coverage():
    xy = still()
    ankle, shoulder = joint("left_ankle"), joint("right_shoulder")
    xy[np.arange(900) % 6 > 0, ankle] = np.nan  # found in one of six frames; gaps of 0.2 s
    xy[np.arange(900) % 4 == 3, shoulder] = np.nan
    rows = list(table.rows(T, xy, "px"))
    for measure in ("path_length", "speed_noise_floor", "medianx"):
        row = value(rows, "whole", "left_ankle", measure)
        assert np.isnan(row.value) and row.coverage <= 0.1667
    assert value(rows, "whole", "left_knee", "mean_angle").coverage == pytest.approx(0.1667)
    assert value(rows, "whole", "ankle", "asymmetry_index").coverage == pytest.approx(0.1667)
    # what is relative to the trunk needs both shoulders
    for part, measure in [
        ("right_shoulder", "speed_median"), ("torso", "torso_length"), ("left_wrist", "medianx"),
        ("left_wrist", "time_moving"), ("wrist", "lrCorr_x"), ("shoulder", "asymmetry_index"),
    ]:  # fmt: skip
        row = value(rows, "whole", part, measure)
        assert row.coverage == pytest.approx(0.75)
    assert value(rows, "whole", "left_wrist", "speed_median").coverage == 1


def test_a_side_that_is_seen_less_does_not_seem_to_move_less():
    times, xy = np.arange(1800) / RATE, still(1800)
    both = [joint("right_wrist"), joint("left_wrist")]
    xy[:, both, 0] += 40 * np.sin(2 * np.pi * 1.5 * times)[:, None]
    xy[np.isin(times.astype(int) % 10, (0, 5, 7)), both[0]] = np.nan  # 30 %, in blocks of 1 s
    rows = list(table.rows(times, xy, "px"))
    right, left = (
        value(rows, "whole", f"{s}_wrist", "path_length").value for s in ("right", "left")
    )
    assert right == pytest.approx(0.7 * left, rel=0.02)  # gaps add nothing
    row = value(rows, "whole", "wrist", "asymmetry_index")
    assert row.value == pytest.approx(0, abs=0.01) and row.coverage == pytest.approx(0.7)


def test_a_pause_of_days_adds_no_rows_and_no_path():
    xy = still(1801 + 1800)
    xy[1801:, joint("right_wrist"), 0] += 1000.0  # it was moved in the pause
    start = np.arange(1801) / RATE
    times = np.concatenate([start, 3 * 86_400 + np.arange(1800) / RATE])
    rows = list(table.rows(times, xy, "px"))
    windows = {r.window: (r.start_s, r.end_s) for r in rows}
    assert list(windows) == ["whole", "0", "1", "4320"]
    assert windows["whole"] == pytest.approx((0, times[-1]), abs=0.02)
    assert windows["4320"] == pytest.approx((3 * 86_400, times[-1]), abs=0.02)
    assert value(rows, "1", "right_wrist", "path_length").coverage == pytest.approx(
        1 / 1800, abs=1e-4
    )
    for name in ("0", "4320"):
        row = value(rows, name, "right_wrist", "path_length")
        assert row.value == pytest.approx(0, abs=1e-6) and row.coverage > 0.999
    row = value(rows, "whole", "right_wrist", "path_length")
    assert np.isnan(row.value) and row.coverage == pytest.approx(3601 / (3 * 86_400 * 30), abs=1e-4)
    times[1801:] += 70 - times[1801]  # 10 s
    rows = list(table.rows(times, xy, "px"))
    row = value(rows, "whole", "right_wrist", "path_length")
    assert row.coverage == pytest.approx(120 / 130, abs=1e-3)
    assert row.value == pytest.approx(0, abs=1e-6)


def test_every_measure_is_in_the_list_of_names():
    values = measures.movement(series(still()[:, 0]), 150.0)
    assert tuple(values) == table.MOVEMENT
    assert set(measures.position(series(to_trunk(still())[:, 0]))) == set(table.POSITION)
    assert tuple(measures.of_angle(series(np.full(900, 90.0)))) == table.OF_ANGLE
