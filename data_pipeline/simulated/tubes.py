"""The first pose -> hoses, leads and lines from the infant to the edge of the crib.

They lie on whatever the camera sees below them, as cloths do, and one end follows the infant. A
hose bridges hollows and hides what is under it. A cable is drawn one pixel wide: neither the
sensor's matching window nor an annotator sees it, and it hides nothing.
"""

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from data_pipeline.simulated.camera import Camera, window
from data_pipeline.simulated.ranges import Ascending, Bounds, Checked, Share

Hose = Annotated[float, Bounds(0.005, 0.03)]
Cable = Annotated[float, Bounds(0.0005, 0.005)]


@dataclasses.dataclass(frozen=True)
class Lines(Checked):
    """What is attached to an infant. Shares are chances per infant; `_m` is metres.

    The values are chosen by hand after what is usual in a neonatal ward: breathing support by one
    or two hoses, three chest leads, a feeding tube, an infusion line at a hand, a saturation
    probe at a foot.
    """

    hose: Share = 0.35
    """A hose leads from the nose over a shoulder."""
    hose_diameter_m: Annotated[tuple[Hose, Hose], Ascending()] = (0.009, 0.014)
    leads: Share = 0.5
    """Three leads come from the chest together."""
    feeding_tube: Share = 0.3
    infusion: Share = 0.25
    """A line comes from a wrist."""
    probe: Share = 0.35
    """A cable comes from a foot."""
    cable_diameter_m: Annotated[tuple[Cable, Cable], Ascending()] = (0.002, 0.004)
    slack: Annotated[float, Bounds(0, 2)] = 0.35
    """Standard deviation of a line's sideways bend, as a share of its length."""


NARROWEST = 256
"""Width of an image, px, below which cables are left out: the sensor's window is then one pixel,
and would see them."""

BRIDGES = 0.06
"""A hose bridges hollows that are narrower than this, metres."""


@dataclasses.dataclass(frozen=True)
class Tube:
    """A hose or a cable.

    Attributes:
      starts: the point that it is fastened to: an index into the 12 joints, then head and neck.
      offset: metres [3], world axes, from that point to the tube's first one.
      bend, end: metres [2], the other two points of a quadratic Bezier curve.
      diameter: metres.
      hose: whether it is a hose; else it is a cable.
    """

    starts: int
    offset: np.ndarray
    bend: np.ndarray
    end: np.ndarray
    diameter: float
    hose: bool

    def mask(self, points: np.ndarray, camera: Camera) -> np.ndarray:
        """Returns the pixels that show the tube, 1 or 0: uint8 [h w].

        `points` [14 3] m are the joints, head and neck in the world.
        """
        mask = np.zeros((camera.height, camera.width), np.uint8)
        if not self.hose and camera.width < NARROWEST:
            return mask
        start = points[self.starts] + self.offset
        t = np.linspace(0, 1, 24)[:, None]
        xy = (1 - t) ** 2 * start[:2] + 2 * t * (1 - t) * self.bend + t**2 * self.end
        # The height only places it in the image; how high it lies is up to what is below.
        z = np.clip(start[2] * (1 - 2 * t), 0.01, None)
        px = camera.project(camera.to_camera(np.hstack([xy, z])))
        width = max(1, round(self.diameter * camera.focal / camera.position[2])) if self.hose else 1
        cv2.polylines(mask, [np.rint(px * 16).astype(np.int32)], False, 1, width, shift=4)
        return mask

    def lay(self, below: np.ndarray, mask: np.ndarray, camera: Camera) -> None:
        """Lays the tube, round on top, where `mask` is set: changes the depth `below` (m [h w])."""
        px_per_m = camera.focal / camera.position[2]
        span = 2 * round(0.5 * BRIDGES * px_per_m) + 1 if self.hose else 1
        patch = window(mask, 2 * span)
        if not mask[patch].any():
            return
        depth = below[patch].astype(np.float32)
        if self.hose:
            depth = cv2.erode(depth, np.ones((span, span), np.uint8))
            depth = cv2.blur(depth, (span, span), borderType=cv2.BORDER_REPLICATE)
        radius = 0.5 * self.diameter
        inside = cv2.distanceTransform(mask[patch], cv2.DIST_L2, 3) / px_per_m
        top = radius + np.sqrt(np.maximum(radius**2 - np.maximum(radius - inside, 0) ** 2, 0))
        below[patch] = np.where(mask[patch] > 0, depth - top, below[patch])


def draw_tubes(rng: np.random.Generator, lines: Lines, points: np.ndarray) -> list[Tube]:
    """Draws one infant's tubes; `points` [14 3] m are joints, head and neck of the first pose."""
    head, neck = 12, 13
    tubes = []

    def add(starts, offset, direction, diameter, hose=False) -> None:
        start = points[starts][:2] + offset[:2]
        reach = rng.uniform(0.3, 0.45)
        way = reach * np.array([np.cos(direction), np.sin(direction)])
        side = np.array([-way[1], way[0]]) * lines.slack * rng.normal()
        tubes.append(
            Tube(starts, np.array(offset), start + 0.5 * way + side, start + way, diameter, hose)
        )

    # World y points to the feet, the head's end of the crib is at -90 degrees.
    side = rng.choice((-1, 1))
    towards = np.radians(90 - side * rng.uniform(60, 120))
    if rng.uniform() < lines.hose:
        add(head, (0, 0, 0.05), towards, rng.uniform(*lines.hose_diameter_m), hose=True)
    thin = lines.cable_diameter_m
    if rng.uniform() < lines.leads:
        for x in (-0.025, 0.0, 0.025):
            away = towards + rng.normal(0, 0.25)
            add(neck, (x, 0.04, 0.03), away, rng.uniform(*thin))
    if rng.uniform() < lines.feeding_tube:
        add(head, (0.01, 0, 0.05), towards + rng.normal(0, 0.4), rng.uniform(*thin))
    for share, joints in ((lines.infusion, (2, 5)), (lines.probe, (8, 11))):
        if rng.uniform() < share:
            joint = joints[rng.integers(2)]
            outwards = 0 if points[joint][0] > points[neck][0] else np.pi
            away = outwards + rng.normal(0, 0.5)
            # Taped to the hand or to the toes, not to the joint.
            beside = (0.03 * np.cos(away), 0.03 * np.sin(away), 0.02)
            add(joint, beside, away, rng.uniform(*thin))
    return tubes
