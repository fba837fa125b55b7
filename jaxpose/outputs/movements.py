"""Records -> kinematics.csv: numbers about movements, whole and by window."""

import csv
from pathlib import Path

import numpy as np

from jaxpose.decoding.confidence import FOUND
from jaxpose.files import written_whole
from jaxpose.kinematics.measures import MOST_NOISE, MOST_NOISE_IN_ASYMMETRY, MOVING
from jaxpose.kinematics.series import LONGEST_FILLED_S, WINDOW_S
from jaxpose.kinematics.table import LEAST_COVERAGE, Row, rows
from jaxpose.outputs.usable import positions

SETTINGS = {
    "states": [FOUND],
    "gaps_filled_s": LONGEST_FILLED_S,
    "derivative_window_s": WINDOW_S,
    "derivative_degree": 3,
    "least_coverage": LEAST_COVERAGE,
    "moving_torso_per_s": MOVING,
    "most_noise": MOST_NOISE,
    "most_noise_in_asymmetry": round(MOST_NOISE_IN_ASYMMETRY, 4),
}
"""What the numbers depend on; a part of quality.json."""


def write_kinematics(path: Path, records: np.ndarray) -> str:
    """Writes a row per number; an empty value has a reason. Returns the unit of positions."""
    values, unit = positions(records)
    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for row in rows(np.array(records["time_s"], np.float64), values, unit):
            value = "" if np.isnan(row.value) else f"{row.value:.6g}"
            times = {"start_s": f"{row.start_s:.3f}", "end_s": f"{row.end_s:.3f}"}
            writer.writerow(row._replace(value=value, **times))
    return unit
