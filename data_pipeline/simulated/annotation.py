"""True joints and the surface that the camera sees -> what an annotator would have clicked."""

import dataclasses
from typing import Annotated

import numpy as np

from data_pipeline.simulated.ranges import Ascending, Bounds, Checked
from jaxpose.body.skeleton import JOINTS

HEADER = (
    "image", "head", "right_hand", "right_elbow", "right_shoulder", "neck", "left_shoulder",
    "left_elbow", "left_hand", "right_foot", "right_knee", "right_hip", "left_hip", "left_knee",
    "left_foot",
)  # fmt: skip
"""Columns of babyPose's sheets; `hand` is the wrist, `foot` the ankle."""

MARGIN = 0.015
"""Distance in front of a limb from which an object hides it, metres; a nearer one touches it."""

SLANT = 3.0
"""Number of radii by which a limb's own surface may be in front of the joint at its end.

The surface is that far in front where the limb is tilted by 70 degrees towards the camera, as
1 / cos 70 is 2.9. An annotator sees where such a limb ends; one that is steeper hides its end."""

MEETING = {
    f"{side}_{joint}": {f"{side}_{joint}", inner.format(side=side)}
    for side in ("right", "left")
    for joint, inner in (
        ("shoulder", "thorax"), ("elbow", "{side}_shoulder"), ("wrist", "{side}_elbow"),
        ("hip", "pelvis"), ("knee", "{side}_hip"), ("ankle", "{side}_knee"),
    )
}  # fmt: skip
"""Names of the two parts of the body that meet in a joint."""


Pixels = Annotated[float, Bounds(0, 20)]
Factor = Annotated[float, Bounds(0, 5)]


@dataclasses.dataclass(frozen=True)
class Annotator(Checked):
    """Parameters of the error with which joints are clicked, px of 640x480."""

    click_px: Annotated[tuple[Pixels, Pixels], Ascending()] = (2.3, 3.1)
    """Standard deviation per axis, drawn per sheet: half of the clicks are within 1.8 px per axis.

    The value follows from the infants that hardly move (6 of the 14 babyPose sheets). Between
    frames their joints move by a median of 0.65 to 1.2 px of 128x96, and by 1.8 and 2.6 times
    that at p90 and p99, as independent clicks with 2 to 3.6 px of 640x480 per axis would."""
    click_by_kind: tuple[(Factor,) * 6] = (0.95, 1.0, 1.0, 1.15, 1.0, 0.87)
    """Factors of `click_px` at shoulder, elbow, wrist, hip, knee and ankle.

    The hip's is the largest: it lies deep, often under a nappy."""


def draw_clicks(rng: np.random.Generator, annotator: Annotator) -> np.ndarray:
    """Draws the standard deviation per axis of one sheet's clicks, px of 640x480 [14].

    The order is that of the joints, then head and neck."""
    arm, leg = np.split(np.array(annotator.click_by_kind), 2)
    return rng.uniform(*annotator.click_px) * np.concatenate([arm, arm, leg, leg, (1, 1)])


def hidden_by(
    joints: np.ndarray,
    inside: np.ndarray,
    radii: np.ndarray,
    depth: np.ndarray,
    hit: np.ndarray,
    names: dict[int, str],
    opaque: set[int],
) -> np.ndarray:
    """Returns what hides each joint: a name of `names`, "outside", or "" for a visible joint.

    `joints` [n 3] are metres in the camera's frame, `inside` [n] says which are in the image,
    `radii` [n] are those of their limbs, metres. `depth` [n] (metres) and `hit` [n] (keys of
    `names`) describe the noise-free surface at their pixels. A joint is visible when that surface
    is at most `visible_depth` in front of it; objects in `opaque` hide it at any distance.
    """
    causes = []
    for j in range(len(joints)):
        behind = joints[j, 2] - depth[j]
        hides = behind > visible_depth(j, names[hit[j]], radii[j]) or hit[j] in opaque
        causes.append((names[hit[j]] if hides else "") if inside[j] else "outside")
    return np.array(causes, dtype="U16")


def visible_depth(joint: int, part: str, radius: float) -> float:
    """Returns the largest depth, metres, at which a joint is visible below the surface of `part`.

    `joint` is an index into `skeleton.JOINTS`, larger for head and neck; `radius` is metres.
    """
    own = joint < len(JOINTS) and part in MEETING[JOINTS[joint]]
    return radius * (SLANT if own else 1) + MARGIN


def click(
    rng: np.random.Generator,
    spread_px: np.ndarray,
    px: np.ndarray,
    visible: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """Returns (x, y) [n 2] with the annotator's error, as integers; (-1, -1) where not visible.

    `spread_px` [n] are standard deviations per axis, px of 640x480. An error is at most three
    times as long.
    """
    scale, spread = size[0] / 640, spread_px[:, None]
    error = rng.normal(0, spread, px.shape)
    length = np.linalg.norm(error, axis=-1, keepdims=True)
    error *= np.minimum(1, 3 * spread / np.maximum(length, 1e-9))
    clicked = np.rint(px + scale * error).astype(int).clip(0, np.array(size) - 1)
    return np.where(visible[:, None], clicked, -1)


def sheet_row(image: str, clicks: np.ndarray) -> str:
    """Returns one line of a sheet from integers [14 2]: `skeleton.JOINTS`, then head and neck."""
    names = [*map(_column, JOINTS), "head", "neck"]
    cells = dict(zip(names, clicks, strict=True))
    return ";".join([image, *(f"{cells[c][0]},{cells[c][1]}" for c in HEADER[1:])])


def _column(joint: str) -> str:
    return joint.replace("wrist", "hand").replace("ankle", "foot")
