"""The recording that jaxpose ships, and how far from its true joints a prediction of it is.

The recording is simulated: `python -m data_pipeline.simulated.sample` wrote it.
"""

import csv
import importlib.resources
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from jaxpose.body.skeleton import JOINTS
from jaxpose.errors import DataError

SAMPLE = "samples/infant.npz"
"""The recording's place in the package; camera.json is beside it."""


def sample() -> Path:
    """Returns the path of the recording.

    Raises:
      DataError: it is not there.
    """
    path = Path(str(importlib.resources.files("jaxpose"))) / SAMPLE
    if not path.is_file():
        raise DataError(f"{path}: the sample recording is missing; install jaxpose again")
    return path


def errors(recording: Path, table: Path) -> dict[str, float]:
    """Compares a pose.csv with the recording's true joints.

    Returns the median distance of predicted visible joints in px of the recording's images, the
    share of visible joints that are missing, and the share of hidden joints that were found.
    """
    with np.load(recording, allow_pickle=False) as stored:
        true_px, visible = stored["joints_px"], stored["visible"]
    xy = _positions(table)
    distance, found = np.linalg.norm(xy - true_px, axis=-1), np.isfinite(xy).all(axis=-1)
    return {
        "median_error_px": _rounded(np.median(distance[visible & found]), visible & found),
        "visible_missing_share": _rounded((~found)[visible].mean(), visible),
        "hidden_found_share": _rounded(found[~visible].mean(), ~visible),
    }


def _rounded(value: float, chosen: Bool[np.ndarray, "n 12"]) -> float | None:
    return round(float(value), 4) if chosen.any() else None


def _positions(table: Path) -> Float[np.ndarray, "n 12 2"]:
    """Reads the joints of a pose.csv, which has three header rows; NaN where one is missing."""
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[3:]
    cells = np.array([[float(cell or "nan") for cell in row[1:]] for row in rows])
    return cells.reshape(len(rows), len(JOINTS), 3)[..., :2]
