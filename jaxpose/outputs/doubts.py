"""Records -> warnings about times that do not fit, pauses, and poses and mm that are not there."""

import numpy as np

from jaxpose.body.space import Intrinsics
from jaxpose.decoding.confidence import MISSING, STATES
from jaxpose.kinematics.series import LONGEST_GAP_S
from jaxpose.kinematics.table import LEAST_COVERAGE
from jaxpose.outputs.rows import interval_s
from jaxpose.outputs.usable import known_positions, lost_in_mm, unit_of
from jaxpose.prediction.stream import Counts

MOST_INCOMPLETE = 0.05
"""Share of frames without neighbours in time from which there is a warning."""
MOST_PAUSES = 0.3
"""Longest time without frames, as a share of the time with frames, without a warning."""
LEAST_PRESENT = 0.5
"""Share of joints with a position below which there is a warning: more are missing than not."""

DISTANCES_MM = {"simulated": (450, 1150)}
"""Data set that a model was trained on -> median depth of images that it knows. The simulated
camera is 0.6 to 0.9 m above the bed."""


def doubts(
    records: np.ndarray,
    counts: Counts,
    wanted_s: float,
    intrinsics: Intrinsics | None,
    size: tuple[int, int],
    times: str = "",
) -> list[str]:
    """Returns all warnings about a prediction.

    `wanted_s` is the time between the frames of a clip in the model's training, `size` the (width,
    height) px of the images, and `times` where the frames' times are from, as of `Source`.
    """
    found = about_times(records, counts, wanted_s, times)
    found += about_pauses(records) + about_poses(records)
    if intrinsics is None:
        return found
    return found + about_intrinsics(intrinsics, size) + about_unit(records)


def about_times(records: np.ndarray, counts: Counts, wanted_s: float, times: str = "") -> list[str]:
    """Returns a warning if many frames lack the neighbours `wanted_s` before and after them."""
    share, usual_s = counts.incomplete / max(len(records), 1), interval_s(records)
    if share <= MOST_INCOMPLETE or usual_s is None:
        return []
    remedy = (
        "correct these times"
        if times
        else "pass the true --rate, or for a folder, times in seconds in timestamps.csv"
    )
    return [
        f"{100 * share:.0f} % of the frames have no neighbours {wanted_s:.3g} s before or after "
        f"them, as the model was trained with: frames are {usual_s:.3g} s apart, going by "
        f"{times or 'their numbers and --rate'}; if that is wrong, {remedy}; poses of these frames "
        "come from the frame alone"
    ]


def about_pauses(records: np.ndarray) -> list[str]:
    """Returns a warning if much of the time has no frames: all shares are of the whole time.

    It says where the longest pause is, and to split the recording there where that would help.
    """
    usual_s = interval_s(records)
    if usual_s is None:
        return []
    times, numbers = records["time_s"].astype(np.float64), records["number"]
    with_frames_s, whole_s = usual_s * len(times), float(np.ptp(times)) + usual_s
    if whole_s <= (1 + MOST_PAUSES) * with_frames_s:
        return []
    pauses_s = np.diff(times)
    at = int(pauses_s.argmax())
    if pauses_s[at] > max(LONGEST_GAP_S, 3 * usual_s):
        remedy = (
            "split the recording there and predict the parts one by one, or use the rows of single "
            "minutes"
        )
    else:
        remedy = (
            "look for what lost frames in the recording, or predict those that are evenly apart, "
            "such as every third number"
        )
    return [
        f"the frames cover {100 * with_frames_s / whole_s:.0f} % of the {whole_s:.4g} s from the "
        f"first to the last, at {usual_s:.3g} s each; the longest pause, of {pauses_s[at]:.4g} s, "
        f"is between frames {numbers[at]} and {numbers[at + 1]}; time without frames counts as "
        "time in which no joint was found, and kinematics.csv has no number below "
        f"{100 * LEAST_COVERAGE:.0f} %: {remedy}"
    ]


def about_poses(records: np.ndarray) -> list[str]:
    """Returns a warning if more joints are missing than have a position."""
    share = float((records["state"] != STATES.index(MISSING)).mean())
    if share >= LEAST_PRESENT:
        return []
    return [
        f"{100 * share:.0f} % of the joints have a position, and some may be wrong with a high "
        "confidence: look at overlay.mp4; does --crop, or where the camera is mounted, cut the "
        "infant, is the depth in mm, does the head point to the side that the model knows "
        "(--rotate)?"
    ]


def about_problems(problems: dict[int, str], count: int) -> list[str]:
    """Returns a warning if some of `count` frames have no depth; `problems` says why, by number."""
    if not problems:
        return []
    number, why = next(iter(problems.items()))
    first = why if why.startswith(f"frame {number}:") else f"frame {number}: {why}"
    return [
        f"{len(problems)} of {count} frames cannot be used, see `unreadable` in quality.json; the "
        f"first is {first}"
    ]


def about_intrinsics(intrinsics: Intrinsics, size: tuple[int, int]) -> list[str]:
    """Returns a warning if the principal point is far from the middle of an image of this size."""
    cx, cy = intrinsics.cx, intrinsics.cy
    off = max(abs(cx / size[0] - 0.5), abs(cy / size[1] - 0.5))
    if off <= 0.25:
        return []
    return [
        f"the camera's principal point ({cx:g}, {cy:g}) is far from the middle of images of "
        f"{size[0]}x{size[1]} pixels; are the intrinsics of another resolution? positions in mm "
        "would be wrong"
    ]


def about_unit(records: np.ndarray) -> list[str]:
    """Returns a warning if movements are measured in px although the camera is known."""
    found, in_mm = known_positions(records)
    if unit_of(records) == "mm" or not found.any():
        return []
    lost, names = lost_in_mm(records), ""
    if lost:
        names = (
            f"; in mm, {', '.join(lost)} would be known in less than "
            f"{100 * LEAST_COVERAGE:.0f} % of the time, and not be measured"
        )
    return [
        f"kinematics.csv is in px: {100 * in_mm.sum() / found.sum():.0f} % of the found joints "
        f"have a position in mm{names}; the others lack depth around them, such as holes in the "
        "images; pose_long.csv has the mm that there are"
    ]


def about_distance(distance_mm: float | None, dataset: str | None) -> list[str]:
    """Returns a warning if a median depth is not among those of the model's training images.

    It is that of the part of the images that the nets see; None if there is no depth.
    """
    low, high = DISTANCES_MM.get(dataset, (0, float("inf")))
    if distance_mm is None or low <= distance_mm <= high:
        return []
    return [
        f"the median depth is {distance_mm:.0f} mm; the model was trained on {low} to {high} mm: "
        "if one unit of the depth is not 1 mm, pass --mm_per_unit; else expect more errors, or "
        "train the model on (docs/label.md)"
    ]
