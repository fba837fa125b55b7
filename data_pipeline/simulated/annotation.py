"""True joints and the surface that the camera sees -> what an annotator would have clicked."""

import numpy as np

from jaxpose.skeleton import JOINTS

HEADER = (
    "image", "head", "right_hand", "right_elbow", "right_shoulder", "neck", "left_shoulder",
    "left_elbow", "left_hand", "right_foot", "right_knee", "right_hip", "left_hip", "left_knee",
    "left_foot",
)  # fmt: skip
"""Columns of babyPose's sheets; hand is the wrist, foot the ankle."""

CLICK_PX, CLICK_LIMIT_PX = 1.9, 3.2
"""Spread per axis, and the largest error that an annotator leaves, px at 640x480: 2 px at the
median. The shoulders of the babyPose sheets, which hardly move, would ask for 2.7 per axis."""

MARGIN = 0.015
"""Metres between limb and whatever touches it, before that counts as hiding it."""


def hidden_by(
    joints: np.ndarray,
    px: np.ndarray,
    radii: np.ndarray,
    depth: np.ndarray,
    hit: np.ndarray,
    names: dict[int, str],
    opaque: set[int],
) -> list[str]:
    """What hides each joint: a name from `names`, "outside" the image, or "" when it is visible.

    joints [12 3] m in the camera frame, px [12 2], radii [12] m of their limbs; depth [h w] m and
    hit [h w], keys of `names`, of the noise-free surface. A joint is visible when its pixel's ray
    ends no more than radius + `MARGIN` in front of it; what is in `opaque` hides at any distance.
    """
    h, w = depth.shape
    causes = []
    for joint, (u, v), radius in zip(joints, np.rint(px).astype(int), radii, strict=True):
        if not (0 <= u < w and 0 <= v < h):
            causes.append("outside")
            continue
        gap = joint[2] - depth[v, u]
        hides = gap > radius + MARGIN or hit[v, u] in opaque
        causes.append(names[hit[v, u]] if hides else "")
    return causes


def click(
    rng: np.random.Generator, px: np.ndarray, visible: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """(x, y) [12 2] -> integers [12 2] with the annotator's error, (-1, -1) where not visible."""
    scale = size[0] / 640
    error = rng.normal(0, CLICK_PX, px.shape)
    length = np.linalg.norm(error, axis=-1, keepdims=True)
    error *= np.minimum(1, CLICK_LIMIT_PX / length)
    clicked = np.rint(px + scale * error).astype(int).clip(0, np.array(size) - 1)
    return np.where(visible[:, None], clicked, -1)


def sheet_row(image: str, joints: np.ndarray, head: np.ndarray, neck: np.ndarray) -> str:
    """One line of a sheet from integers [12 2] in the order of `jaxpose.skeleton.JOINTS`."""
    cells = {_column(name): xy for name, xy in zip(JOINTS, joints, strict=True)}
    cells |= {"head": head, "neck": neck}
    return ";".join([image, *(f"{cells[c][0]},{cells[c][1]}" for c in HEADER[1:])])


def _column(joint: str) -> str:
    return joint.replace("wrist", "hand").replace("ankle", "foot")
