"""Numbers about one joint or one angle. NaN samples are left out."""

import numpy as np
from jaxtyping import Float

from jaxpose.kinematics.series import Series, derivative, speed_noise_floor

MOVING = 0.25
"""Speed above which a joint moves, torso lengths per second."""
MOST_NOISE = 0.5
"""Largest noise floor, as a share of the speed `MOVING` or of the mean speed, with which the time
moving and the path are given. A joint at rest is faster than twice the floor in 2 % (in mm) to 6 %
(in px) of the time; of the path, at most this share is noise."""
MOST_NOISE_IN_ASYMMETRY = 1 / 3
"""The same of both sides' noise floors and mean speeds: the asymmetry is nearer to 0 by about as
much."""
_ROUNDING = 1e-6
"""Speeds below this come from the rounding of numbers."""


def iqr(values: np.ndarray) -> float:
    """Returns the interquartile range."""
    return float(np.subtract(*np.nanpercentile(values, [75, 25])))


def entropy(values: np.ndarray, step: float) -> float:
    """Returns the Shannon entropy (nats) of values rounded to multiples of `step`."""
    known = values[np.isfinite(values)]
    _, counts = np.unique(np.round(known / step), return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())


def speed(series: Series) -> Float[np.ndarray, " n"]:
    """Returns the size of the velocity of positions [n axes], in their unit per second."""
    return np.linalg.norm(derivative(series, 1), axis=1)


def movement(series: Series, torso: float) -> dict[str, float]:
    """Returns measures in units of the positions: path, speed, acceleration, time moving.

    The path is the sum of speed over time, so that times without a speed add nothing. `torso` is
    the length of the torso; where it is NaN, so is the time moving.
    """
    speeds = speed(series)
    acceleration = np.linalg.norm(derivative(series, 2), axis=1)
    median, p95 = np.nanpercentile(speeds, [50, 95])
    known = np.isfinite(speeds)
    return {
        "path_length": float(np.nansum(speeds) / series.rate_hz),
        "speed_median": float(median),
        "speed_IQR": iqr(speeds),
        "speed_p95": float(p95),
        "speed_noise_floor": speed_noise_floor(series),
        "acceleration_IQR": iqr(acceleration),
        "time_moving": float((speeds[known] > MOVING * torso).mean() if torso > 0 else np.nan),
    }


def too_noisy(
    values: dict[str, float], speeds: Float[np.ndarray, " n"], torso: float
) -> dict[str, str]:
    """Returns which of the measures of a movement are mostly noise: name -> the reason.

    `values` and `torso` are as in `movement`, `speeds` those of the same series.
    """
    compared = {
        "path_length": (mean_speed(speeds), "the mean speed"),
        "time_moving": (MOVING * torso, "the speed above which a joint moves"),
    }
    return {
        name: reason
        for name, (limit, words) in compared.items()
        if (reason := noise_reason(values["speed_noise_floor"], limit, MOST_NOISE, words))
    }


def noise_reason(floor: float, limit: float, share: float, words: str) -> str:
    """Returns why a number is not given if a noise floor is above a share of `limit`, else ""."""
    if np.isnan(limit) or floor <= share * limit + _ROUNDING:
        return ""
    if np.isnan(floor):
        return "the noise is not known"
    return f"the noise floor is above {100 * share:.0f} % of {words}"


def mean_speed(speeds: Float[np.ndarray, " n"]) -> float:
    """Returns the mean of the speeds that are known; NaN without any."""
    known = speeds[np.isfinite(speeds)]
    return float(known.mean()) if len(known) else float("nan")


def position(series: Series) -> dict[str, float]:
    """Returns Chambers' measures of a joint's position [n 2] relative to the trunk, in torsos."""
    velocity, acceleration = (derivative(series, order) for order in (1, 2))
    relative = series.values
    values = {}
    for axis, name in enumerate("xy"):
        values[f"median{name}"] = float(np.nanmedian(relative[:, axis]))
        values[f"IQR{name}"] = iqr(relative[:, axis])
        values[f"medianvel{name}"] = float(np.nanmedian(np.abs(velocity[:, axis])))
        values[f"IQRvel{name}"] = iqr(velocity[:, axis])
        values[f"IQRacc{name}"] = iqr(acceleration[:, axis])
    values["meanent"] = float(np.mean([entropy(relative[:, axis], 0.01) for axis in (0, 1)]))
    return values


def of_angle(series: Series) -> dict[str, float]:
    """Returns Chambers' measures of an angle [n] in degrees, and its range of motion.

    The range is from the 5th to the 95th percentile. Mean and standard deviation are circular.
    """
    velocity, acceleration = (derivative(series, order) for order in (1, 2))
    degrees = series.values
    mean = np.nanmean(np.exp(1j * np.radians(degrees)))
    length = min(max(abs(mean), 1e-12), 1.0)
    return {
        "mean_angle": float(np.degrees(np.angle(mean))),
        "stdev_angle": float(np.degrees(np.sqrt(-2 * np.log(length)))),
        "entropy_angle": entropy(degrees, 1.0),
        "median_vel_angle": float(np.nanmedian(np.abs(velocity))),
        "IQR_vel_angle": iqr(velocity),
        "IQR_acc_angle": iqr(acceleration),
        "range_of_motion": float(np.subtract(*np.nanpercentile(degrees, [95, 5]))),
    }
