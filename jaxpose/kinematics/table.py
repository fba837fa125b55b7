"""Positions of a recording -> rows of kinematics.csv: the whole recording, then its windows."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxpose.body.skeleton import HIPS, JOINTS, SHOULDERS
from jaxpose.kinematics import measures, symmetry
from jaxpose.kinematics.body_frame import ANGLES, angle, to_trunk, torso_length
from jaxpose.kinematics.series import Grid, Series, derivative, regular, window_samples

WINDOW_S = 60.0
LEAST_COVERAGE = 0.7
"""Smallest share of a window's samples, or of a recording's frames, in which a joint must be found
to be measured. Samples that were filled, and those of gaps in time, count as not found."""
TRUNK, BOTH = "the trunk (shoulders and hips) is found", "both sides are found together"
"""What may lack, as of `_Window.row`."""
NEEDS_TORSO = "time_moving"
"""Measure of a joint that needs the torso's length."""
PAIRS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


class Row(NamedTuple):
    """One number. `value` is NaN where it would mislead; `reason` says why, and is empty else."""

    window: str
    start_s: float
    end_s: float
    part: str
    measure: str
    value: float
    unit: str
    coverage: float
    reason: str


@dataclasses.dataclass(frozen=True)
class _Window:
    """The whole recording, or a part of it.

    Attributes:
      start_s, end_s: times of the first and the last sample that it would have without gaps.
      samples: their number; the grid lacks those of long gaps.
      unit: of the positions.
    """

    name: str
    grid: Grid
    start_s: float
    end_s: float
    samples: int
    unit: str

    def share(self, *found: Bool[np.ndarray, " m"]) -> float:
        """Returns the share of the samples at which everything was found."""
        return float(np.logical_and.reduce(found).sum()) / self.samples

    def row(
        self, part: str, measure: str, value: float, coverage: float, found: str, reason: str = ""
    ) -> Row:
        """Returns a row whose value is NaN if there is a reason, or the coverage is too low.

        `found` says what the coverage is of, such as "the right wrist is found".
        """
        if coverage < LEAST_COVERAGE:
            reason = f"{found} in less than {100 * LEAST_COVERAGE:.0f} % of the time"
        elif np.isnan(value):
            reason = "too few samples in a row, or none that differ"
        value = float("nan") if reason else value
        unit = _units(self.unit)[measure]
        coverage = round(coverage, 4)
        span = self.name, self.start_s, self.end_s
        return Row(*span, part, measure, value, unit, coverage, reason)


def rows(
    time_s: Float[np.ndarray, " n"], positions: Float[np.ndarray, "n 12 axes"], unit: str
) -> Iterator[Row]:
    """Yields all numbers of a recording; `positions` are in `unit`, "mm" (3 axes) or "px" (2).

    Windows without any frame have no rows.
    """
    grid = regular(time_s, positions)
    step, total = grid.step_s, int(grid.number[-1]) + 1
    shortest = window_samples(1 / step)

    def window(name: str, first: int, samples: int) -> _Window:
        part = slice(*np.searchsorted(grid.number, [first, first + samples]))
        inside = Grid(grid.number[part], grid.positions[part], grid.found[part], step)
        start_s, end_s = (
            float(time_s[0]) + step * number for number in (first, first + samples - 1)
        )
        return _Window(name, inside, start_s, end_s, samples, unit)

    if len(grid.number) < shortest:
        return
    yield from _rows(window("whole", 0, total))
    size = round(WINDOW_S / step)
    if size < shortest:
        return
    nearest = np.round((time_s - time_s[0]) / step).astype(np.int64)
    for number in np.unique(nearest // size).tolist():
        if (number + 1) * size <= total:
            yield from _rows(window(str(number), number * size, size))


def _rows(window: _Window) -> Iterator[Row]:
    """Yields the numbers of one window."""
    positions, found, rate_hz = window.grid.positions, window.grid.found, 1 / window.grid.step_s
    trunk_found = found[:, SHOULDERS + HIPS].all(axis=1)
    torso, trunk = torso_length(positions), window.share(trunk_found)
    yield window.row("torso", "torso_length", torso, trunk, TRUNK)
    scale = torso if trunk >= LEAST_COVERAGE else float("nan")
    relative = to_trunk(positions)
    joints, to_body, speeds, floors = {}, {}, {}, {}
    for joint, part in enumerate(JOINTS):
        joints[part] = Series(positions[:, joint], found[:, joint], rate_hz)
        to_body[part] = Series(relative[:, joint], found[:, joint] & trunk_found, rate_hz)
        enough = window.share(joints[part].found)
        values = _measured(measures.movement, enough, joints[part], scale)
        speeds[part] = measures.speed(joints[part])
        floors[part] = values["speed_noise_floor"]
        noisy = measures.too_noisy(values, speeds[part], scale)
        name = f"the {part.replace('_', ' ')}"
        alone, both = f"{name} is found", f"{name} and the trunk are found together"
        for measure, value in values.items():
            row = part, measure, value
            if measure == NEEDS_TORSO and trunk < enough:
                yield window.row(*row, trunk, TRUNK, noisy.get(measure, ""))
            else:
                yield window.row(*row, enough, alone, noisy.get(measure, ""))
        lacks = TRUNK if trunk < LEAST_COVERAGE else both
        lacks = alone if enough < LEAST_COVERAGE else lacks
        enough = window.share(to_body[part].found)
        for measure, value in _measured(measures.position, enough, to_body[part]).items():
            yield window.row(part, measure, value, enough, lacks)
    angles = {
        part: Series(angle(positions, three), found[:, three].all(axis=1), rate_hz)
        for part, three in ANGLES.items()
    }
    for part, series in angles.items():
        enough = window.share(series.found)
        first, *names = (JOINTS[joint].split("_")[1] for joint in ANGLES[part])
        three = f"the {part.split('_')[0]} {first}, {names[0]} and {names[1]}"
        for measure, value in _measured(measures.of_angle, enough, series).items():
            yield window.row(part, measure, value, enough, f"{three} are found together")
    for pair in PAIRS:
        lacks = TRUNK if trunk < LEAST_COVERAGE else BOTH
        yield from _correlations(window, pair, "lrCorr_x", to_body, lacks)
        if f"right_{pair}" in angles:
            yield from _correlations(window, pair, "lrCorr_angle", angles, BOTH)
        sides = f"right_{pair}", f"left_{pair}"
        index = symmetry.asymmetry(*(speeds[side] for side in sides))
        noisy = measures.noise_reason(
            sum(floors[side] for side in sides),
            sum(measures.mean_speed(speeds[side]) for side in sides),
            measures.MOST_NOISE_IN_ASYMMETRY,
            "the mean speed of both sides",
        )
        enough = window.share(*(joints[side].found for side in sides))
        yield window.row(pair, "asymmetry_index", index, enough, BOTH, noisy)


def _correlations(
    window: _Window, pair: str, measure: str, series: dict[str, Series], found: str
) -> Iterator[Row]:
    """Yields the correlations of both sides' angles, or of their distances from the trunk.

    `found` is as of `_Window.row`.
    """
    right, left = series[f"right_{pair}"], series[f"left_{pair}"]
    sides = [
        side.values if side.values.ndim == 1 else np.linalg.norm(side.values, axis=1)
        for side in (right, left)
    ]
    enough = window.share(right.found, left.found)
    value, lag_s = symmetry.lagged_correlation(*sides, right.rate_hz)
    yield window.row(pair, measure, symmetry.correlation(*sides), enough, found)
    yield window.row(pair, f"{measure}_lagged", value, enough, found)
    yield window.row(pair, f"{measure}_lag", lag_s, enough, found)


def _measured(function, coverage: float, series: Series, *rest) -> dict[str, float]:
    """Returns what a function measures; NaN throughout where too little is known."""
    if coverage < LEAST_COVERAGE or not np.isfinite(derivative(series, 1)).any():
        return dict.fromkeys(NAMES[function], float("nan"))
    return function(series, *rest)


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
