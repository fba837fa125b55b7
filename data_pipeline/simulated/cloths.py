"""The first pose -> blankets, dressings and nappy cloths, laid over what is below them.

The physics has no cloths. A cloth is laid over the rendered depth, so it lies on the moving limbs
and never intersects them.
"""

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from data_pipeline.simulated.camera import Camera, window
from data_pipeline.simulated.curves import HZ, onsets, wander
from data_pipeline.simulated.quota import Quota
from data_pipeline.simulated.ranges import Bounds, Checked, Seconds, SecondsRange, Share

THICKNESS = 0.004
"""Thickness of a cloth with the air in it, metres."""

FALL = 0.7
"""Slope of a cloth beside what supports it, so the shape of a limb below it is smoothed."""

SPAN = 0.06
"""Distance from its support within which a cloth hangs free, metres."""

STRIDE = 2
"""Step of the erosion that computes the slope, px."""


@dataclasses.dataclass(frozen=True)
class Bedding(Checked):
    """Parameters of what covers an infant.

    Shares are probabilities per infant, `_m` is metres, `_s` seconds. The values are set so that
    joints are missing as often, and for as long, as in the 14 babyPose sheets: 6 infants have a
    limb that is nearly always hidden, and most have a shoulder or a hip that appears and
    disappears within half a second.
    """

    blanket: Share = 0.02
    """A blanket covers the legs or the lower trunk, from the feet upwards."""
    blanket_stays_s: Seconds = 150.0
    """Mean time until the blanket is taken off or put on."""
    wrapped_arm: Share = 0.22
    """An arm is in a splint or a mitten, from wrist to elbow, for the whole recording."""
    both_arms: Share = 0.25
    """Share of these infants whose other arm is wrapped too."""
    wrap_reaches_shoulder: Share = 0.3
    wrapped_leg: Share = 0.07
    """A leg is wrapped from knee to foot for the whole recording, of an infant with bare arms."""
    at_shoulder: Share = 0.31
    """Probability per shoulder that an edge of a cloth reaches it."""
    at_hip: Share = 0.28
    """Probability per hip that an edge of a cloth reaches it."""
    edge_m: tuple[Annotated[float, Bounds(-0.1, 0.1)], Annotated[float, Bounds(0, 0.1)]] = (
        0.007,
        0.005,
    )
    """Mean and standard deviation of the distance between such an edge and the joint."""
    sway_m: Annotated[float, Bounds(0, 0.05)] = 0.003
    """Standard deviation of a cloth's random movement on the breathing, moving infant."""
    sway_s: SecondsRange = (0.1, 0.3)
    """Time between two values of that movement."""


@dataclasses.dataclass(frozen=True)
class Cloth:
    """One cloth, which lies at a place of the world or follows a limb.

    Attributes:
      corners: [n 2] m around the anchor, along the world's axes or along and across the limb.
      anchor: [2] m, a point of the world; not used where the cloth follows a limb.
      follows: indices of the limb's two joints, of which the first is the anchor, or None.
      present: bool [raw frames].
      sway: [raw frames 2] m, displacement.
      wrinkles: [12 16] m, height of wrinkles, resized to the image.
    """

    corners: np.ndarray
    anchor: np.ndarray
    follows: tuple[int, int] | None
    present: np.ndarray
    sway: np.ndarray
    wrinkles: np.ndarray

    def outline(self, raw: int, joints: np.ndarray) -> np.ndarray:
        """Returns the corners in the world [n 3] m, for joints [12 3] m."""
        if self.follows is None:
            corners = self.corners + self.anchor
            height = np.full((len(corners), 1), 0.03)
        else:
            start, end = joints[list(self.follows)]
            along = (end - start)[:2] / max(np.linalg.norm((end - start)[:2]), 1e-3)
            across = np.array([-along[1], along[0]])
            corners = start[:2] + self.corners @ np.stack([along, across])
            height = np.full((len(corners), 1), start[2] + 0.01)
        return np.hstack([corners + self.sway[raw], height])

    def mask(self, raw: int, joints: np.ndarray, camera: Camera) -> np.ndarray:
        """Returns the pixels that show the cloth, 1 or 0: uint8 [h w]."""
        outline = camera.project(camera.to_camera(self.outline(raw, joints)))
        mask = np.zeros((camera.height, camera.width), np.uint8)
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 1, shift=4)
        return mask

    def drape(self, below: np.ndarray, mask: np.ndarray, camera: Camera) -> None:
        """Lays the cloth where `mask` is set: brings the depth `below` (m [h w], changed) nearer.

        It is a tent over what is below it: from every point it falls with slope `FALL`.
        """
        px_per_m = camera.focal / camera.position[2]
        patch = window(mask, round(SPAN * px_per_m))
        under = below[patch].astype(np.float32)
        depth = under.copy()
        stride = np.ones((2 * STRIDE + 1, 2 * STRIDE + 1), np.uint8)
        for _ in range(round(SPAN * px_per_m / STRIDE)):
            depth = np.minimum(depth, cv2.erode(depth, stride) + STRIDE * FALL / px_per_m)
        size = 2 * round(0.01 * px_per_m) + 1
        depth = np.minimum(under, cv2.GaussianBlur(depth, (size, size), 0))
        size = (camera.width, camera.height)
        wrinkles = cv2.resize(self.wrinkles.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        depth -= THICKNESS + np.maximum(wrinkles[patch], 0)
        below[patch] = np.where(mask[patch] > 0, depth, below[patch])


def draw_cloths(
    rng: np.random.Generator, bedding: Bedding, frames: int, joints: np.ndarray, quota: Quota
) -> list[Cloth]:
    """Draws one infant's cloths.

    `frames` counts raw frames; `joints` [12 3] m is the first pose in the world.
    """
    xy = joints[:, :2]
    always = np.ones(frames, bool)
    cloths = []

    def add(corners, anchor=(0, 0), follows=None, present=always) -> None:
        sway = bedding.sway_m * wander(rng, 2, 1.0, bedding.sway_s, np.arange(frames) / HZ)
        wrinkles = rng.normal(0, 0.004, (12, 16))
        cloths.append(Cloth(corners, np.array(anchor), follows, present, sway, wrinkles))

    if quota.covered < bedding.blanket:
        # It reaches from between the belly and the knees to beyond the feet; y points to the feet.
        hips = xy[[6, 9]].mean(0)
        top = hips[1] + rng.uniform(-0.06, 0.08)
        half = (rng.uniform(0.12, 0.2), 0.17)
        add(
            _sheet(rng, half, rng.normal(0, 12)),
            (hips[0], top + 0.17),
            present=_on_and_off(rng, frames, bedding.blanket_stays_s),
        )
    arms, legs = _wrapped(bedding, quota.wrapped)
    sides = ((0, 1, 2, 6, 7, 8), (3, 4, 5, 9, 10, 11))
    for k, (shoulder, elbow, wrist, hip, knee, ankle) in enumerate(sides):
        if arms[k]:
            forearm = np.linalg.norm(joints[wrist] - joints[elbow])
            upper = np.linalg.norm(joints[shoulder] - joints[elbow])
            reaches = rng.uniform() < bedding.wrap_reaches_shoulder
            add(_sleeve(rng, -0.02, forearm + 0.05, 0.035), follows=(elbow, wrist))
            if reaches:
                add(_sleeve(rng, -0.02, upper + 0.02, 0.035), follows=(shoulder, elbow))
        if legs[k]:
            shank = np.linalg.norm(joints[ankle] - joints[knee])
            start = max(rng.normal(*bedding.edge_m), 0)
            add(_sleeve(rng, start, shank + 0.05, 0.04), follows=(knee, ankle))
        for joint, quantile, share, ways_deg in (
            (shoulder, quota.shoulders[k], bedding.at_shoulder, (0, 90, 180, 270)),
            # Cloth at a hip is a nappy's: on the trunk, towards the head or the other hip.
            (hip, quota.hips[k], bedding.at_hip, (270, 180 * (1 - k))),
        ):
            if quantile < share:
                half = rng.uniform((0.02, 0.03), (0.04, 0.05))
                angle = rng.normal(rng.choice(ways_deg), 20)
                add(_edge_at(rng, half, angle, bedding.edge_m), xy[joint])
    return cloths


def _wrapped(bedding: Bedding, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns which arms and which legs are wrapped, bool [2] each (right, left).

    `quantile` in [0, 1) selects among the cases.
    """
    both = bedding.both_arms * bedding.wrapped_arm
    one, leg = (bedding.wrapped_arm - both) / 2, bedding.wrapped_leg / 2
    shares = (one, one, both, leg, leg)
    k = np.searchsorted(np.cumsum(shares), quantile, side="right")
    return np.array([k in (0, 2), k in (1, 2)]), np.array([k == 3, k == 4])


def _sheet(rng: np.random.Generator, half, degrees: float) -> np.ndarray:
    """Returns an uneven rectangle [20 2] around the origin, turned by `degrees`."""
    sides = np.linspace(-1, 1, 6)[:-1]
    edge = np.concatenate(
        [[(s, -1) for s in sides], [(1, s) for s in sides], [(-s, 1) for s in sides],
         [(-1, -s) for s in sides]]
    )  # fmt: skip
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (edge * np.array(half) + rng.normal(0, 0.004, edge.shape)) @ turn.T


def _edge_at(rng: np.random.Generator, half, degrees: float, short_of) -> np.ndarray:
    """Returns a sheet [20 2] with one edge near the origin.

    `short_of` is the mean and the standard deviation of the edge's distance to the origin, metres.
    """
    corners = _sheet(rng, half, 0.0) + (half[0] + rng.normal(*short_of), 0.0)
    angle = np.radians(degrees)
    return corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _sleeve(rng: np.random.Generator, start: float, end: float, half_width: float) -> np.ndarray:
    """Returns a sheet [20 2] along a limb, from `start` to `end` metres beyond its inner joint."""
    half = (0.5 * (end - start), half_width * rng.uniform(0.9, 1.2))
    return _sheet(rng, half, 0.0) + (0.5 * (start + end), 0.0)


def _on_and_off(rng: np.random.Generator, frames: int, mean_s: float) -> np.ndarray:
    """Returns bool [frames] that changes at random times; three in four start as true."""
    changes = onsets(rng, frames / HZ, mean_s)
    return (np.searchsorted(changes, np.arange(frames) / HZ) + (rng.uniform() < 0.25)) % 2 == 0
