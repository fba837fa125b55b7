"""Positions of a recording -> rows of kinematics.csv: the whole recording, then its windows."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxpose.body.skeleton import JOINTS
from jaxpose.kinematics import measures, symmetry
from jaxpose.kinematics.body_frame import ANGLES, angle, to_trunk, torso_length
from jaxpose.kinematics.series import derivative, regular, window_samples

WINDOW_S = 60.0
LEAST_COVERAGE = 0.7
"""Smallest share of a window's samples, or of a recording's frames, in which a joint must be found
to be measured."""
NEEDS_TORSO = "time_moving"
"""Measure of a joint that needs the torso's length."""
PAIRS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


class Row(NamedTuple):
    """One number. `value` is NaN where the coverage is too low."""

    window: str
    start_s: float
    end_s: float
    part: str
    measure: str
    value: float
    unit: str
    coverage: float


def rows(
    time_s: Float[np.ndarray, " n"], positions: Float[np.ndarray, "n 12 axes"], unit: str
) -> Iterator[Row]:
    """Yields all numbers of a recording; `positions` are in `unit`, "mm" (3 axes) or "px" (2)."""
    times, positions = regular(time_s, positions)
    rate_hz = 1 / float(np.median(np.diff(times)))
    if len(times) < window_samples(rate_hz):
        return
    yield from _window("whole", times, positions, rate_hz, unit)
    size = round(WINDOW_S * rate_hz)
    if size < window_samples(rate_hz):
        return
    for number, first in enumerate(range(0, len(times) - size + 1, size)):
        part = slice(first, first + size)
        yield from _window(str(number), times[part], positions[part], rate_hz, unit)


def _window(name: str, times, positions, rate_hz: float, unit: str) -> Iterator[Row]:
    """Yields the numbers of one window."""
    torso = torso_length(positions)
    relative = to_trunk(positions)
    start_s, end_s = float(times[0]), float(times[-1])
    units = _units(unit)

    def row(part: str, measure: str, value: float, coverage: float) -> Row:
        value = value if coverage >= LEAST_COVERAGE else float("nan")
        return Row(name, start_s, end_s, part, measure, value, units[measure], round(coverage, 4))

    trunk = float(np.isfinite(relative).all(-1).any(-1).mean())
    yield row("torso", "torso_length", torso, trunk)
    scale = torso if trunk >= LEAST_COVERAGE else float("nan")
    path = {}
    for joint, part in enumerate(JOINTS):
        enough = _share(positions[:, joint])
        values = _measured(measures.movement, enough, positions[:, joint], rate_hz, scale)
        path[part] = values.get("path_length", float("nan"))
        for measure, value in values.items():
            yield row(
                part, measure, value, min(enough, trunk) if measure == NEEDS_TORSO else enough
            )
        enough = _share(relative[:, joint])
        for measure, value in _measured(
            measures.position, enough, relative[:, joint], rate_hz
        ).items():
            yield row(part, measure, value, enough)
    angles = {part: angle(positions, joints) for part, joints in ANGLES.items()}
    for part, degrees in angles.items():
        enough = _share(degrees[:, None])
        for measure, value in _measured(measures.of_angle, enough, degrees, rate_hz).items():
            yield row(part, measure, value, enough)
    distance = np.linalg.norm(relative, axis=-1)
    for pair in PAIRS:
        sides = [distance[:, JOINTS.index(f"{side}_{pair}")] for side in ("right", "left")]
        yield from _pair(row, pair, "lrCorr_x", sides, rate_hz)
        if f"right_{pair}" in angles:
            sides = [angles[f"{side}_{pair}"] for side in ("right", "left")]
            yield from _pair(row, pair, "lrCorr_angle", sides, rate_hz)
        both = [_share(positions[:, JOINTS.index(f"{side}_{pair}")]) for side in ("right", "left")]
        index = symmetry.asymmetry(path[f"right_{pair}"], path[f"left_{pair}"])
        yield row(pair, "asymmetry_index", index, min(both))


def _pair(row, pair: str, measure: str, sides: list, rate_hz: float) -> Iterator[Row]:
    """Yields the correlations of both sides."""
    right, left = sides
    enough = float((np.isfinite(right) & np.isfinite(left)).mean())
    value, lag_s = symmetry.lagged_correlation(right, left, rate_hz)
    yield row(pair, measure, symmetry.correlation(right, left), enough)
    yield row(pair, f"{measure}_lagged", value, enough)
    yield row(pair, f"{measure}_lag", lag_s, enough)


def _share(values: np.ndarray) -> float:
    """Returns the share of samples [n axes] that are known."""
    return float(np.isfinite(values).all(axis=-1).mean())


def _measured(function, coverage: float, values, rate_hz: float, *rest) -> dict[str, float]:
    """Returns what a function measures; NaN throughout where too little is known."""
    names = NAMES[function]
    if coverage < LEAST_COVERAGE or not np.isfinite(derivative(values, rate_hz, 1)).any():
        return dict.fromkeys(names, float("nan"))
    return function(values, rate_hz, *rest)


def _units(unit: str) -> dict[str, str]:
    """Returns the unit of every measure."""
    units = {"torso_length": unit, "path_length": unit, "time_moving": "share"}
    units |= {name: f"{unit}/s" for name in MOVEMENT if name.startswith("speed")}
    units["acceleration_IQR"] = f"{unit}/s2"
    for name in POSITION:
        units[name] = {"vel": "torso/s", "acc": "torso/s2"}.get(name.strip("xy")[-3:], "torso")
    units |= {"meanent": "nat", "entropy_angle": "nat", "median_vel_angle": "deg/s"}
    units |= {"mean_angle": "deg", "stdev_angle": "deg", "range_of_motion": "deg"}
    units |= {"IQR_vel_angle": "deg/s", "IQR_acc_angle": "deg/s2", "asymmetry_index": ""}
    for name in ("lrCorr_x", "lrCorr_angle"):
        units |= {name: "", f"{name}_lagged": "", f"{name}_lag": "s"}
    return units


MOVEMENT = (
    "path_length", "speed_median", "speed_IQR", "speed_p95", "speed_noise_floor",
    "acceleration_IQR", "time_moving",
)  # fmt: skip
POSITION = (
    "medianx", "IQRx", "medianvelx", "IQRvelx", "IQRaccx",
    "mediany", "IQRy", "medianvely", "IQRvely", "IQRaccy", "meanent",
)  # fmt: skip
OF_ANGLE = (
    "mean_angle", "stdev_angle", "entropy_angle", "median_vel_angle", "IQR_vel_angle",
    "IQR_acc_angle", "range_of_motion",
)  # fmt: skip
NAMES = {measures.movement: MOVEMENT, measures.position: POSITION, measures.of_angle: OF_ANGLE}
"""Function -> names of what it returns."""
