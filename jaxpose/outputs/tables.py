"""Records -> pose.csv, as DeepLabCut writes it, and pose_long.csv, a row per frame and joint."""

import csv
from pathlib import Path

import numpy as np

from jaxpose.body.skeleton import JOINTS
from jaxpose.decoding.confidence import MISSING, STATES
from jaxpose.files import written_whole
from jaxpose.outputs.rows import rows

LONG_COLUMNS = (
    "frame", "time_s", "joint", "x_px", "y_px", "x_mm", "y_mm", "z_mm", "confidence", "state",
)  # fmt: skip


def write_wide(path: Path, records: np.ndarray, scorer: str) -> None:
    """Writes DeepLabCut's layout: three header rows, then x, y and likelihood of every joint.

    A missing joint has empty cells, which are read as NaN, and likelihood 0. Frames that are absent
    or could not be read have a row, too: the time base is regular.
    """
    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scorer"] + [scorer] * 3 * len(JOINTS))
        writer.writerow(["bodyparts"] + [joint for joint in JOINTS for _ in range(3)])
        writer.writerow(["coords"] + ["x", "y", "likelihood"] * len(JOINTS))
        missing = ["", "", "0"] * len(JOINTS)
        for number, _, record in rows(records):
            cells = missing
            if record is not None:
                values = zip(record["xy"].tolist(), record["confidence"].tolist(), strict=True)
                cells = [c for (x, y), score in values for c in (_px(x), _px(y), f"{score:.4f}")]
            writer.writerow([number, *cells])


def write_long(path: Path, records: np.ndarray) -> None:
    """Writes a row per frame and joint, with positions in mm where the intrinsics are known."""
    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LONG_COLUMNS)
        for number, time_s, record in rows(records):
            for joint, name in enumerate(JOINTS):
                cells = [""] * 5 + ["0", MISSING]
                if record is not None:
                    cells = [
                        *map(_px, record["xy"][joint].tolist()),
                        *map(_mm, record["mm"][joint].tolist()),
                        f"{record['confidence'][joint]:.4f}",
                        STATES[record["state"][joint]],
                    ]
                writer.writerow([number, f"{time_s:.6f}", name, *cells])


def _px(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _mm(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1f}"
