"""Numbers about one joint or one angle. NaN samples are left out."""

import numpy as np
from jaxtyping import Float

from jaxpose.kinematics.series import derivative, speed_noise_floor

MOVING = 0.25
"""Speed above which a joint moves, torso lengths per second."""


def iqr(values: np.ndarray) -> float:
    """Returns the interquartile range."""
    return float(np.subtract(*np.nanpercentile(values, [75, 25])))


def entropy(values: np.ndarray, step: float) -> float:
    """Returns the Shannon entropy (nats) of values rounded to multiples of `step`."""
    known = values[np.isfinite(values)]
    _, counts = np.unique(np.round(known / step), return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())


def movement(
    positions: Float[np.ndarray, "n axes"], rate_hz: float, torso: float
) -> dict[str, float]:
    """Returns measures in units of the positions: path, speed, acceleration, time moving.

    The path is the sum of speed over time, so that gaps add nothing. `torso` is the length of the
    torso; where it is NaN, so is the time moving.
    """
    speed = np.linalg.norm(derivative(positions, rate_hz, 1), axis=1)
    acceleration = np.linalg.norm(derivative(positions, rate_hz, 2), axis=1)
    median, p95 = np.nanpercentile(speed, [50, 95])
    known = np.isfinite(speed)
    return {
        "path_length": float(np.nansum(speed) / rate_hz),
        "speed_median": float(median),
        "speed_IQR": iqr(speed),
        "speed_p95": float(p95),
        "speed_noise_floor": speed_noise_floor(positions, rate_hz),
        "acceleration_IQR": iqr(acceleration),
        "time_moving": float((speed[known] > MOVING * torso).mean() if torso > 0 else np.nan),
    }


def position(relative: Float[np.ndarray, "n 2"], rate_hz: float) -> dict[str, float]:
    """Returns Chambers' measures of a joint's position relative to the trunk, in torso lengths."""
    velocity, acceleration = (derivative(relative, rate_hz, order) for order in (1, 2))
    values = {}
    for axis, name in enumerate("xy"):
        values[f"median{name}"] = float(np.nanmedian(relative[:, axis]))
        values[f"IQR{name}"] = iqr(relative[:, axis])
        values[f"medianvel{name}"] = float(np.nanmedian(np.abs(velocity[:, axis])))
        values[f"IQRvel{name}"] = iqr(velocity[:, axis])
        values[f"IQRacc{name}"] = iqr(acceleration[:, axis])
    values["meanent"] = float(np.mean([entropy(relative[:, axis], 0.01) for axis in (0, 1)]))
    return values


def of_angle(degrees: Float[np.ndarray, " n"], rate_hz: float) -> dict[str, float]:
    """Returns Chambers' measures of an angle, and its range of motion (5th to 95th percentile).

    Mean and standard deviation are circular.
    """
    velocity, acceleration = (derivative(degrees, rate_hz, order) for order in (1, 2))
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
