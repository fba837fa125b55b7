"""What hides an infant in a ward, and when: a mattress below, cloths over it, a carer's arm.

A cloth is no body of the physics: it is draped over whatever the camera sees below it, so it lies
on the moving limbs and never cuts through them.
"""

import dataclasses

import cv2
import numpy as np

from data_pipeline.simulated.camera import Camera
from data_pipeline.simulated.movement import HZ, minimum_jerk, onsets

CLOTH_THICKNESS = 0.004
DRAPE = 0.045
"""Metres; a cloth spans hollows narrower than this, so no limb shows under it in detail."""

CARER_GAP_S, CARER_STAY_S = 20.0, (2.0, 7.0)


@dataclasses.dataclass(frozen=True)
class Mattress:
    """A sheet with folds that all lie below z = 0: z(x, y) in metres, a sum of a few waves."""

    waves: np.ndarray
    """[n 4]: wave numbers along x and y (rad/m), phase, height (m)."""

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        kx, ky, phase, height = self.waves[:, :, None, None].transpose(1, 0, 2, 3)
        return (height * (np.sin(kx * x + ky * y + phase) - 1)).sum(0)

    def depth(self, camera: Camera, rays: np.ndarray) -> np.ndarray:
        """z in metres [h w] along the rays, by four fixed-point steps (the slopes are small)."""
        x, y, z = np.moveaxis(rays, -1, 0)
        t = -camera.position[2] / z
        for _ in range(4):
            height = self.height(camera.position[0] + t * x, camera.position[1] + t * y)
            t = (height - camera.position[2]) / z
        return t * (rays @ camera.rotation[2])


def draw_mattress(rng: np.random.Generator) -> Mattress:
    """Six waves of 8 to 40 cm, up to 2 mm high each."""
    n = 6
    number = 2 * np.pi / rng.uniform(0.08, 0.40, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    waves = (number * np.cos(angle), number * np.sin(angle), 10 * angle, rng.uniform(0, 0.001, n))
    return Mattress(np.stack(waves, axis=1))


@dataclasses.dataclass(frozen=True)
class Cloth:
    """Where a cloth lies and when: corners in the world, metres [n 2], and per raw frame or not."""

    corners: np.ndarray
    present: np.ndarray
    wrinkles: np.ndarray
    """[12 16] metres, stretched over the image."""

    def drape(self, below: np.ndarray, camera: Camera) -> np.ndarray:
        """Depth of what lies below, m [h w] -> depth of the cloth, inf where it is not.

        The mean over a window of the nearest depth within the same window is nowhere farther than
        `below`: every value that is averaged is the minimum of a window that holds the pixel.
        """
        size = (camera.width, camera.height)
        points = np.column_stack([self.corners, np.full(len(self.corners), 0.03)])
        outline = camera.project(camera.to_camera(points))
        mask = np.zeros(below.shape, np.uint8)
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 1, shift=4)
        window = 2 * round(0.5 * DRAPE * camera.focal / camera.position[2]) + 1
        depth = cv2.erode(below.astype(np.float32), np.ones((window, window), np.uint8))
        depth = cv2.blur(depth, (window, window), borderType=cv2.BORDER_REPLICATE)
        wrinkles = cv2.resize(self.wrinkles.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        depth -= CLOTH_THICKNESS + np.maximum(wrinkles, 0)
        return np.where(mask > 0, depth, np.inf)


def draw_cloths(rng: np.random.Generator, frames: int, joints: np.ndarray) -> list[Cloth]:
    """At most one over the legs or the hips, one over an arm; `joints` is the first pose [12 3]."""
    xy = joints[:, :2]
    hips = xy[[6, 9]].mean(0)
    cloths = []
    lower = rng.uniform()
    if lower < 0.12:  # a blanket from somewhere between belly and knees down past the feet
        top = hips[1] + rng.uniform(-0.05, 0.08)
        cloths.append(((hips[0], top + 0.17), (rng.uniform(0.12, 0.2), 0.17)))
    elif lower < 0.23:  # a nappy cloth or a folded sheet over the hips or a thigh
        centre = hips + rng.uniform((-0.05, -0.03), (0.05, 0.03))
        cloths.append((centre, (rng.uniform(0.05, 0.10), rng.uniform(0.025, 0.05))))
    elif lower < 0.29:  # one foot or both
        centre = xy[[8, 11]][rng.integers(2)] + rng.normal(0, 0.015, 2)
        cloths.append((centre, rng.uniform(0.035, 0.08, 2)))
    if rng.uniform() < 0.35:  # a bib or a swaddle over a part of an arm
        right = rng.uniform() < 0.5
        shoulder, wrist = xy[[0, 2] if right else [3, 5]]
        centre = shoulder + rng.uniform(-0.1, 1.1) * (wrist - shoulder)
        cloths.append((centre, rng.uniform((0.03, 0.03), (0.075, 0.10))))
    return [_cloth(rng, frames, np.array(centre), np.array(half)) for centre, half in cloths]


def _cloth(rng: np.random.Generator, frames: int, centre: np.ndarray, half: np.ndarray) -> Cloth:
    """An uneven rectangle, turned by up to 20 degrees or so, that is put on and taken off."""
    sides = np.linspace(-1, 1, 6)[:-1]
    edge = np.concatenate(
        [[(s, -1) for s in sides], [(1, s) for s in sides], [(-s, 1) for s in sides],
         [(-1, -s) for s in sides]]
    )  # fmt: skip
    angle = np.radians(rng.normal(0, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # World y points up the image, the rectangle's sides are symmetric: no sign to care about.
    corners = centre + (edge * half + rng.normal(0, 0.004, edge.shape)) @ turn.T
    changes = onsets(rng, frames / HZ, 60.0)
    present = (np.searchsorted(changes, np.arange(frames) / HZ) + (rng.uniform() < 0.25)) % 2 == 0
    return Cloth(corners, present, rng.normal(0, 0.004, (12, 16)))


@dataclasses.dataclass(frozen=True)
class Carer:
    """Per raw frame: where the hand is [frames 3] m, its heading rad, and whether it is there."""

    position: np.ndarray
    heading: np.ndarray
    present: np.ndarray


def draw_carer(rng: np.random.Generator, frames: int, joints: np.ndarray) -> Carer:
    """Visits of some seconds to a random joint of the first pose [12 3], from either side."""
    t = np.arange(frames) / HZ
    position, heading = np.zeros((frames, 3)), np.zeros(frames)
    present = np.zeros(frames, bool)
    free_from = 0.0
    for onset in onsets(rng, frames / HZ, CARER_GAP_S):
        start, stay = max(onset, free_from), rng.uniform(*CARER_STAY_S)
        come, go = rng.uniform(0.6, 1.4, 2)
        joint = joints[rng.integers(len(joints))]
        angle = rng.normal(0 if joint[0] > 0 else np.pi, 0.5)
        back = np.array([np.cos(angle), np.sin(angle), 0])
        target = joint * (1, 1, 0) - 0.05 * back + (*rng.normal(0, 0.02, 2), 0.125)
        away = target + 0.7 * back + (0, 0, 0.10)
        times = np.cumsum([start, come, stay / 2, stay / 2, go])
        held = target + rng.normal(0, 0.015, 3) * (1, 1, 0.3)
        now = (t >= times[0]) & (t < times[-1])
        stations = np.stack([away, target, held, target, away])
        position[now] = minimum_jerk(times, stations, t[now])
        heading[now], present[now] = angle, True
        free_from = times[-1]
    return Carer(position, heading, present)
