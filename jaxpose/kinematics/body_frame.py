"""Positions in the camera's frame -> positions relative to the trunk, and angles of joints."""

import numpy as np
from jaxtyping import Float

from jaxpose.body.skeleton import HIPS, JOINTS, SHOULDERS

ANGLES = {
    f"{side}_{name}": tuple(JOINTS.index(f"{side}_{joint}") for joint in joints)
    for side in ("right", "left")
    for name, joints in {
        "shoulder": ("hip", "shoulder", "elbow"),
        "elbow": ("shoulder", "elbow", "wrist"),
        "hip": ("shoulder", "hip", "knee"),
        "knee": ("hip", "knee", "ankle"),
    }.items()
}
"""Name of an angle -> the joints that span it; the angle is at the middle one."""


def torso_length(positions: Float[np.ndarray, "n 12 axes"]) -> float:
    """Returns the median distance between the middle of the shoulders and that of the hips."""
    trunk = positions[:, HIPS].mean(axis=1) - positions[:, SHOULDERS].mean(axis=1)
    length = np.linalg.norm(trunk, axis=1)
    known = length[np.isfinite(length)]
    return float(np.median(known)) if len(known) else float("nan")


def to_trunk(positions: Float[np.ndarray, "n 12 axes"]) -> Float[np.ndarray, "n 12 2"]:
    """Returns positions in the image plane relative to the trunk, in torso lengths.

    Arms are relative to the middle of the shoulders, legs to that of the hips. y points from the
    shoulders to the hips, x to the right-hand side of someone who looks along y from above the bed,
    as in an upright image.
    """
    plane = positions[..., :2]
    shoulders, hips = plane[:, SHOULDERS].mean(axis=1), plane[:, HIPS].mean(axis=1)
    down = hips - shoulders
    down = down / np.linalg.norm(down, axis=1, keepdims=True)
    across = np.stack([down[:, 1], -down[:, 0]], axis=1)
    arms = np.array(["hip" not in j and "knee" not in j and "ankle" not in j for j in JOINTS])
    origin = np.where(arms[:, None], shoulders[:, None], hips[:, None])
    relative = (plane - origin) / torso_length(positions)
    x, y = ((relative * axis[:, None]).sum(axis=-1) for axis in (across, down))
    return np.stack([x, y], axis=-1)


def angle(
    positions: Float[np.ndarray, "n 12 axes"], joints: tuple[int, int, int]
) -> Float[np.ndarray, " n"]:
    """Returns the angle at the middle joint in degrees: 180 for a straight limb."""
    first, middle, last = (positions[:, joint] for joint in joints)
    one, other = first - middle, last - middle
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine = (one * other).sum(axis=1) / np.where(norms > 0, norms, np.nan)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
