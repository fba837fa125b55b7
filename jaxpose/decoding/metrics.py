"""Poses and maps against the truth -> RMSD (eq. 1), missed rate, PCK, Dice, and baselines.

Positions [n 12 2] are (x, y); lengths and errors have their unit, which is px of the grid unless
the caller converted it. Where nothing counts, a number is NaN in an array and None in a dictionary.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from jaxpose.body.skeleton import HIPS, JOINTS, LIMBS, SHOULDERS

Positions = Float[np.ndarray, "n 12 2"]
Flags = Bool[np.ndarray, "n 12"]

_LIMB_JOINTS = np.array(list(LIMBS.values()))


def limb_rmsd(
    predicted_xy: Positions, true_xy: Positions, counted: Flags
) -> Float[np.ndarray, "n 4"]:
    """Returns the root-mean-square distance per frame and limb (eq. 1), in the positions' unit.

    The mean is over the limb's joints that are `counted`; NaN where none of them is.
    """
    squared = ((predicted_xy - true_xy).astype(np.float64) ** 2).sum(axis=-1)
    total = np.where(counted, squared, 0)[:, _LIMB_JOINTS].sum(axis=-1)
    return np.sqrt(_ratio(total, counted[:, _LIMB_JOINTS].sum(axis=-1)))


def error_table(rmsd: Float[np.ndarray, "n 4"]) -> dict[str, dict[str, float | None]]:
    """Returns median, interquartile range (p75 - p25) and mean per limb; `all` pools the limbs.

    paper: unclear, "the median RMSD" taken as an RMSD per frame and limb, then the median over
    frames.
    """
    columns = dict(zip(LIMBS, rmsd.T, strict=True)) | {"all": rmsd.ravel()}
    return {name: _spread(values[~np.isnan(values)]) for name, values in columns.items()}


def _spread(values: Float[np.ndarray, "n"]) -> dict[str, float | None]:
    if not len(values):
        return {"median": None, "iqr": None, "mean": None}
    low, median, high = np.percentile(values, (25, 50, 75))
    return {"median": float(median), "iqr": float(high - low), "mean": float(values.mean())}


def missed_rate(found: Flags, visible: Flags) -> float | None:
    """Returns the share of the visible joints that were not found."""
    return _share(~found[visible])


def hidden_found_rate(found: Flags, visible: Flags) -> float | None:
    """Returns the share of the joints without truth that were found nevertheless."""
    return _share(found[~visible])


def pck(
    predicted_xy: Positions, true_xy: Positions, counted: Flags, torso_px: Float[np.ndarray, "n"]
) -> dict[str, float | None]:
    """Returns the shares of counted joints within half and a quarter of the torso's length.

    Frames whose torso length is NaN do not count. Joints that were not found should be counted, at
    their fallback position: without them, a decoder would gain by reporting fewer joints.
    """
    distance = np.linalg.norm(predicted_xy - true_xy, axis=-1)
    counted = counted & ~np.isnan(torso_px)[:, None]
    return {
        name: _share((distance <= part * torso_px[:, None])[counted])
        for name, part in (("half_torso", 0.5), ("quarter_torso", 0.25))
    }


def torso_length(
    true_xy: Positions, visible: Flags, subject: Shaped[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Returns each frame's torso length: the median of its subject, from mid-shoulders to mid-hips.

    The median is over the frames in which both shoulders and both hips are visible. A subject
    without such a frame gets the median of the other subjects' lengths; if no subject has one, all
    lengths are NaN.
    """
    shoulders, hips = (true_xy[:, list(pair)].mean(axis=1) for pair in (SHOULDERS, HIPS))
    length = np.linalg.norm(shoulders - hips, axis=-1).astype(np.float64)
    complete = visible[:, list(SHOULDERS + HIPS)].all(axis=1)
    medians = {s: np.median(length[complete & (subject == s)]) for s in set(subject[complete])}
    other = np.median(list(medians.values())) if medians else np.nan
    return np.array([medians.get(s, other) for s in subject], dtype=np.float64)


def map_counts(
    predicted: Bool[np.ndarray, "*frames maps"], truth: Bool[np.ndarray, "*frames maps"]
) -> Int[np.ndarray, "3 maps"]:
    """Counts the true positive, false positive and false negative pixels of every map.

    Counts of several batches add up; `dice_recall` turns their sum into scores.
    """
    axes = tuple(range(truth.ndim - 1))
    parts = (predicted & truth, predicted & ~truth, ~predicted & truth)
    return np.stack([part.sum(axis=axes) for part in parts])


def dice_recall(counts: Int[np.ndarray, "3 20"]) -> dict[str, dict[str, float | None]]:
    """Returns Dice 2tp / (2tp + fp + fn) and recall tp / (tp + fn) from `map_counts`.

    Each is {"joints", "connections"}: the mean over the joint maps, and over the connection maps,
    of the score of each map. A map without a pixel to score is left out.
    """
    tp, fp, fn = counts
    scores = {"dice": _ratio(2 * tp, 2 * tp + fp + fn), "recall": _ratio(tp, tp + fn)}
    return {
        name: {
            "joints": _share(score[: len(JOINTS)]),
            "connections": _share(score[len(JOINTS) :]),
        }
        for name, score in scores.items()
    }


def mean_pose(xy: Positions, visible: Flags) -> Float[np.ndarray, "12 2"]:
    """Returns each joint's mean position over the frames in which it is visible.

    A joint that is never visible gets the mean of the other joints' means, because a baseline must
    predict every joint. NaN if no joint is ever visible.
    """
    total = np.where(visible[..., None], xy, 0).sum(axis=0, dtype=np.float64)
    count = visible.sum(axis=0)[:, None]
    ever_visible = count > 0
    means = total / np.maximum(count, 1)
    return np.where(
        ever_visible, means, _ratio(means.sum(axis=0, where=ever_visible), ever_visible.sum(axis=0))
    )


def subject_mean_poses(
    xy: Positions, visible: Flags, subject: Shaped[np.ndarray, "n"]
) -> dict[str | int, Float[np.ndarray, "12 2"]]:
    """Returns the `mean_pose` of each subject."""
    return {
        s: mean_pose(xy[subject == s], visible[subject == s]) for s in np.unique(subject).tolist()
    }


def previous_pose(
    xy: Positions, visible: Flags, starts: Bool[np.ndarray, "n"]
) -> tuple[Positions, Flags]:
    """Returns each joint's last true position before the frame, and whether it has one.

    Frames are in time order within each sequence; `starts` marks the first frame of each. A
    position is NaN where its sequence has no earlier truth. This baseline is an oracle: it knows
    the truth of the frame before.
    """
    frame = np.arange(len(xy))
    seen = np.maximum.accumulate(np.where(visible, frame[:, None], -1), axis=0)
    before = np.concatenate([np.full((1, len(JOINTS)), -1), seen])[:-1]
    first = np.maximum.accumulate(np.where(starts, frame, 0))[:, None]
    exists = before >= first
    previous = np.take_along_axis(xy, np.maximum(before, 0)[..., None], axis=0)
    return np.where(exists[..., None], previous, np.asarray(np.nan, xy.dtype)), exists


def _ratio(part: Shaped[np.ndarray, "*n"], whole: Shaped[np.ndarray, "*#n"]) -> np.ndarray:
    """Divides part by whole, elementwise; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _share(values: Shaped[np.ndarray, "n"]) -> float | None:
    """Returns the mean of the values that are not NaN; None if there is none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
