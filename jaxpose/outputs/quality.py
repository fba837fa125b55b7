"""Records -> how much of a recording can be used, and why not the rest."""

import numpy as np

from jaxpose.body.skeleton import JOINTS
from jaxpose.decoding.confidence import FOUND, MISSING, STATES, WEAK, Calibration
from jaxpose.kinematics.table import LEAST_COVERAGE
from jaxpose.outputs.rows import interval_s
from jaxpose.outputs.usable import frames_without_gaps, usable
from jaxpose.recordings.numbering import absent_before


def present(records: np.ndarray) -> np.ndarray:
    """Tells which joints [n 12] have a position."""
    return records["state"] != STATES.index(MISSING)


def coverage(records: np.ndarray) -> dict[str, float]:
    """Returns the share of frames with each joint, absent frames counted as frames without."""
    total = frames_without_gaps(records)
    return dict(zip(JOINTS, (present(records).sum(0) / total).round(4).tolist(), strict=True))


def longest_gaps_s(records: np.ndarray) -> dict[str, float]:
    """Returns the longest time without each joint: between its neighbours, or up to an end."""
    gaps = {}
    time_s, has = records["time_s"], present(records)
    for joint, name in enumerate(JOINTS):
        seen = time_s[has[:, joint]]
        edges = np.concatenate([time_s[:1], seen, time_s[-1:]])
        step_s = np.median(np.diff(time_s)) if len(time_s) > 1 else 0.0
        longest = np.diff(edges).max()
        gaps[name] = round(float(longest), 4) if longest > 1.5 * step_s else 0.0
    return gaps


def quality(records: np.ndarray, calibration: Calibration | None = None) -> dict:
    """Returns the part of quality.json that follows from the poses, and from what judged them."""
    limits = {}
    if calibration is not None:
        limits = {"weak_from": calibration.weak_from, "found_from": calibration.found_from}
    numbers, time_s = records["number"].astype(np.int64), records["time_s"]
    return {
        "frames": len(records),
        "frames_absent": int(absent_before(numbers).sum()),
        "frames_unreadable": int((~records["readable"]).sum()),
        "duration_s": round(float(time_s[-1] - time_s[0]), 4),
        "frame_interval_s": interval_s(records),
        "confidence": "uncalibrated" if calibration is None else "calibrated",
        "joints_weak_share": round(float((records["state"] == STATES.index(WEAK)).mean()), 4),
        "joints_found_share": round(float((records["state"] == STATES.index(FOUND)).mean()), 4),
        "coverage": coverage(records),
        "longest_gap_s": longest_gaps_s(records),
        "limbs": usable(records),
        "thresholds": {"least_coverage": LEAST_COVERAGE, **limits},
    }
