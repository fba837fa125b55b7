"""Annotation sheets -> 87 named numbers about movement and missing joints.

Simulated and real sheets are described by the same numbers. Lengths are in px of 128x96 (one is
five px of 640x480), times in annotated frames (1/6 s).
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.babypose.sheets import Sheet
from jaxpose.body.skeleton import CONNECTION_NAMES, CONNECTIONS, JOINTS, LIMBS
from jaxpose.decoding.metrics import limb_rmsd, mean_pose, previous_pose

GRID_WIDTH = 128
"""Columns of the image in whose px lengths are."""
TRAIN_SHARE = 0.751
"""Share of an infant's frames, the first in time, from which its mean pose is computed; the others
are tested (751 and 249 of 1000 in the paper, Sec. III-A)."""
LAGS = (1, 6, 30)
"""Annotated frames between the two positions of an autocorrelation."""
STILL_PX = 1.5
"""Two neighbouring frames are still if the joints that are visible in both have moved by less, in
root mean square. Clicks alone, two px of 640x480 off per axis, come to 0.8."""
JOINT_KINDS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
SHARES = (50, 90, 99)
"""Percentiles of the displacement between neighbouring frames."""


@dataclasses.dataclass(frozen=True)
class Infant:
    """What one sheet contributes to the numbers; arrays of frames are in time order.

    Attributes:
      subject: the infant's id; a bootstrap can draw an infant twice.
      pose: mean pose of the first frames, which are those that train [12 2].
      test_xy: joints (x, y) of the other frames [n 12 2].
      test_visible: whether each of these joints is visible [n 12].
      mean_same: RMSD per limb of `pose` in the test frames [n 4]; NaN where no joint counts.
      previous: the same of the position last seen before the frame [n 4].
      lengths: median length per connection [8]; NaN where it was never visible.
      steps: displacement of each joint between neighbours [m 12]; NaN where not visible in both.
      moved: root mean square of `steps` [k], for neighbours with a joint that is visible in both.
      missing: whether each joint is missing [n 12], in all frames.
      runs: per joint, the lengths of its runs of missing frames; a gap in the numbers ends a run.
      products: per lag, sums of x(t) x(t + lag) and of their mean square, over joints and axes.
    """

    subject: str
    pose: Float[np.ndarray, "12 2"]
    test_xy: Float[np.ndarray, "n 12 2"]
    test_visible: Bool[np.ndarray, "n 12"]
    mean_same: Float[np.ndarray, "n 4"]
    previous: Float[np.ndarray, "n 4"]
    lengths: Float[np.ndarray, " 8"]
    steps: Float[np.ndarray, "m 12"]
    moved: Float[np.ndarray, " k"]
    missing: Bool[np.ndarray, "n 12"]
    runs: tuple[np.ndarray, ...]
    products: Float[np.ndarray, "3 2"]


def describe(sheet: Sheet, width: int = 640) -> Infant:
    """Describes one sheet, whose rows may be in any order; `width` is that of its images in px."""
    sheet = sheet.in_time_order()
    visible, scale = sheet.visible, GRID_WIDTH / width
    xy = np.where(visible[..., None], sheet.joints.astype(float) * scale, np.nan)
    neighbours = _spacing(sheet.frames)
    starts = np.concatenate([[True], np.diff(sheet.frames) != neighbours])
    first_test = round(TRAIN_SHARE * len(xy))
    pose = _mean_pose(xy[:first_test], visible[:first_test])
    test_xy, test_visible = xy[first_test:], visible[first_test:]
    before, known = (a[first_test:] for a in previous_pose(xy, visible, starts))
    steps = np.linalg.norm(np.diff(xy, axis=0), axis=-1)[~starts[1:]]
    paired = ~np.isnan(steps).all(axis=1)  # frames that have a joint in common
    return Infant(
        subject=sheet.subject,
        pose=pose,
        test_xy=test_xy,
        test_visible=test_visible,
        mean_same=_errors(pose, test_xy, test_visible),
        previous=limb_rmsd(before, test_xy, test_visible & known),
        lengths=_lengths(xy),
        steps=steps,
        moved=np.sqrt(np.nanmean(steps[paired] ** 2, axis=1)),
        missing=~visible,
        runs=tuple(_runs(~visible[:, j], starts) for j in range(len(JOINTS))),
        products=np.array([_products(xy, sheet.frames, lag * neighbours) for lag in LAGS]),
    )


def statistics(infants: list[Infant]) -> dict[str, float]:
    """Returns all numbers by name; NaN where there is nothing to measure, such as runs of a joint
    that is never missing.

        mean_same        median over frames of a limb's RMSD, if the infant's own mean pose is the
                         prediction
        mean_other       the same with the mean of the other infants' mean poses
        previous         the same with each joint's last true position
        length           median of the infants' median lengths of a connection
        length_spread    their standard deviation
        step_p50, p90, p99    percentiles of the displacement between neighbours, frames pooled
        missing          share of the frames in which a joint is missing
        missing_run      median length of runs of missing frames, runs pooled
        all_visible      share of the frames in which no joint is missing
        autocorrelation  of the position around the infant's mean, mean over infants
        still            share of the pairs of neighbours that are still; see `STILL_PX`
    """
    numbers = {}

    def add(name: str, parts, values) -> None:
        for part, value in zip(parts, values, strict=True):
            numbers[f"{name}/{part}"] = float(value)

    for name, errors in (
        ("mean_same", [i.mean_same for i in infants]),
        ("mean_other", [_against_others(i, infants) for i in infants]),
        ("previous", [i.previous for i in infants]),
    ):
        add(name, LIMBS, map(_median, np.concatenate(errors).T))
    lengths = np.stack([i.lengths for i in infants]).T
    add("length", CONNECTION_NAMES, map(_median, lengths))
    add("length_spread", CONNECTION_NAMES, map(_spread, lengths))
    steps = np.concatenate([i.steps for i in infants]).T
    for share in SHARES:
        add(f"step_p{share}", JOINTS, (_median(joint, share) for joint in steps))
    missing = np.concatenate([i.missing for i in infants])
    add("missing", JOINTS, missing.mean(axis=0))
    for kind in JOINT_KINDS:
        joints = [j for j, name in enumerate(JOINTS) if name.endswith(kind)]
        runs = np.concatenate([i.runs[j] for i in infants for j in joints])
        numbers[f"missing_run/{kind}"] = _median(runs)
    numbers["all_visible"] = float((~missing.any(axis=1)).mean())
    products = np.stack([i.products for i in infants])
    with np.errstate(invalid="ignore"):  # 0 / 0: no two frames so far apart
        correlations = (products[..., 0] / products[..., 1]).T
    add("autocorrelation", LAGS, (_mean(c) for c in correlations))
    numbers["still"] = _mean(np.concatenate([i.moved for i in infants]) < STILL_PX)
    return numbers


def _seen(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _mean(values: np.ndarray) -> float:
    values = _seen(values)
    return float(values.mean()) if len(values) else float("nan")


def _median(values: np.ndarray, share: float = 50) -> float:
    """Returns the percentile `share` of the values that are not NaN."""
    values = _seen(values)
    return float(np.percentile(values, share)) if len(values) else float("nan")


def _spread(values: np.ndarray) -> float:
    """Returns the sample standard deviation of the values that are not NaN."""
    values = _seen(values)
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _spacing(frames: np.ndarray) -> int:
    """Returns the usual difference of successive frame numbers: 5 in babyPose."""
    return int(np.median(np.diff(frames)))


def _mean_pose(xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Returns `jaxpose.decoding.metrics.mean_pose`, but NaN for a joint that is never visible."""
    pose = mean_pose(xy, visible)
    pose[~visible.any(axis=0)] = np.nan
    return pose


def _errors(pose: np.ndarray, xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Returns the RMSD [n 4] of a constant pose; its joints that are NaN are left out."""
    predicted = np.broadcast_to(pose, xy.shape)
    return limb_rmsd(predicted, xy, visible & ~np.isnan(pose).any(axis=-1))


def _against_others(infant: Infant, infants: list[Infant]) -> np.ndarray:
    """Returns the RMSD [n 4] of the mean of the other infants' mean poses; NaN without others."""
    others = [i.pose for i in infants if i.subject != infant.subject]
    if not others:
        return np.full((len(infant.test_xy), len(LIMBS)), np.nan)
    poses = np.stack(others)
    known = ~np.isnan(poses)
    pose = np.where(known, poses, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
    return _errors(pose, infant.test_xy, infant.test_visible)


def _lengths(xy: np.ndarray) -> np.ndarray:
    """Returns the median length of each connection [8]."""
    inner, outer = np.array(CONNECTIONS).T
    lengths = np.linalg.norm(xy[:, inner] - xy[:, outer], axis=-1)
    return np.array([_median(length) for length in lengths.T])


def _runs(missing: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Returns the lengths of the runs of True; a gap in the frame numbers divides a run in two."""
    begins = missing & (starts | np.concatenate([[True], ~missing[:-1]]))
    last = np.concatenate([starts[1:] | ~missing[1:], [True]])
    return np.flatnonzero(missing & last) - np.flatnonzero(begins) + 1


def _products(xy: np.ndarray, frames: np.ndarray, lag: int) -> tuple[float, float]:
    """Returns the sums of a b and of (a^2 + b^2) / 2, where a and b are positions `lag` apart.

    Positions are around the mean; sums are over the joints that are visible in both, and both axes.
    """
    later = np.searchsorted(frames, frames + lag)
    paired = np.flatnonzero(frames[np.minimum(later, len(frames) - 1)] == frames + lag)
    mean = np.array([[_mean(axis) for axis in joint] for joint in np.moveaxis(xy, 0, -1)])
    a, b = (xy - mean)[paired], (xy - mean)[later[paired]]
    seen = ~np.isnan(a) & ~np.isnan(b)
    a, b = a[seen], b[seen]
    return float((a * b).sum()), float((a**2 + b**2).sum() / 2)
