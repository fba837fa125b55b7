"""A pinhole camera above the mattress: rays, noise-free depth, projection.

Camera frame: x right, y down, z away, as in the images. Pixel (0, 0) is the centre of the top-left
pixel; u = fx X/Z + cx with cx = (width - 1) / 2. Depth is z, not the length of the ray.
"""

import dataclasses
from typing import Annotated

import cv2
import mujoco
import numpy as np

from data_pipeline.errors import DataError
from data_pipeline.simulated.ranges import Bounds, Checked, Degrees, Share

FOCAL_AT_640 = 570.0
"""Focal length, px, of a structured-light camera of 58 degrees (Astra, Xtion, Kinect v1)."""

FAR_BELOW = 50.0
"""Distance under the mattress from which undersides are seen, metres."""


@dataclasses.dataclass(frozen=True)
class Camera:
    """Intrinsics in px, pose in the world: a point p (metres) is `rotation @ (p - position)` here.

    Attributes:
      rotation: [3 3], rows are the camera's x, y and z axes in the world.
    """

    width: int
    height: int
    focal: float
    position: np.ndarray
    rotation: np.ndarray

    @property
    def centre(self) -> tuple[float, float]:
        return (self.width - 1) / 2, (self.height - 1) / 2

    def intrinsics(self) -> dict[str, float]:
        """Returns the content of `camera.json`."""
        cx, cy = self.centre
        size = {"width": self.width, "height": self.height}
        return {"fx": self.focal, "fy": self.focal, "cx": cx, "cy": cy, **size}

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Maps points [*n 3] m from the world's frame to the camera's."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> np.ndarray:
        """Maps points [*n 3] of the camera's frame, in any unit, to (x, y) px [*n 2]."""
        return self.focal * points[..., :2] / points[..., 2:] + np.array(self.centre)

    def rays(self) -> np.ndarray:
        """Returns unit vectors in the world [h w 3], one through the centre of every pixel."""
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        cx, cy = self.centre
        x, y = (u - cx) / self.focal, (v - cy) / self.focal
        directions = np.stack([x, y, np.ones_like(x)], axis=-1) @ self.rotation
        return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


Distance = Annotated[float, Bounds(0.3, 3)]
Aside = Annotated[float, Bounds(0, 0.5)]


@dataclasses.dataclass(frozen=True)
class View(Checked):
    """How a camera is mounted above an infant; names end in their unit.

    Distances and places are those of the 14 babyPose sheets, which have segments of 43 to 56 px of
    640x480, and the middle of the trunk at (315, 232) with a standard deviation of (40, 50) px.
    """

    focal_at_640: Annotated[float, Bounds(300, 2000)] = FOCAL_AT_640
    focal_spread: Annotated[float, Bounds(0, 0.1)] = 0.01
    distance_m: Distance = 0.71
    """Distance for an infant of 42.5 cm; for others it is in proportion to the length."""
    distance_spread: Share = 0.07
    """Standard deviation, as a share of the distance. The segments of one babyPose infant differ
    from the median infant's by a common factor with a standard deviation of 0.12."""
    nearest_m: Distance = 0.6
    farthest_m: Distance = 0.9
    tilt_deg: tuple[Degrees, Degrees, Degrees] = (5.0, 4.0, 6.0)
    """Standard deviations about the image's x axis, its y axis, and in its plane."""
    steepest_deg: Annotated[float, Bounds(0, 20)] = 12.0
    """Largest tilt. At twice this the widest lens still has the horizon outside its image."""
    aside_m: tuple[Aside, Aside] = (0.045, 0.045)
    """Standard deviation of the image's middle around the trunk's: across and along the infant."""

    def __post_init__(self):
        super().__post_init__()
        if self.nearest_m > self.farthest_m:
            raise DataError(
                f"nearest_m is {self.nearest_m:g}; expected at most farthest_m, {self.farthest_m:g}"
            )


def draw_camera(
    rng: np.random.Generator,
    view: View,
    size: tuple[int, int],
    crown_heel: float,
    middle: tuple[float, float],
) -> Camera:
    """Draws a camera whose image the infant fills; `middle` of the trunk in the world is metres."""
    width, height = size
    look_at = np.array([*rng.normal(middle, view.aside_m), 0.0])
    focal = view.focal_at_640 * width / 640 * rng.normal(1, view.focal_spread)
    distance = view.distance_m * crown_heel / 0.425 * rng.normal(1, view.distance_spread)
    distance = np.clip(distance, view.nearest_m, view.farthest_m)
    steepest = view.steepest_deg
    tilt, lean, roll = np.radians(rng.normal(0, view.tilt_deg).clip(-steepest, steepest))
    # Looking straight down: the image's x is the world's, y and z are the opposite.
    down = np.diag([1.0, -1.0, -1.0])
    rotation = _about(2, roll) @ _about(1, lean) @ _about(0, tilt) @ down
    return Camera(width, height, focal, look_at - distance * rotation[2], rotation)


def cast(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    camera: Camera,
    rays: np.ndarray,
    geoms: np.ndarray,
    group: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns z of one group's geoms, metres [h w], inf where no ray hits, and their ids (or -1).

    Only the rays within the box of `geoms` on the image are cast.
    """
    h, w = rays.shape[:2]
    depth, hit = np.full((h, w), np.inf), np.full((h, w), -1, np.int32)
    rows, columns = _patch(model, data, camera, geoms)
    patch = np.ascontiguousarray(rays[rows, columns])
    if patch.size:
        z, ids = glance(model, data, camera, patch.reshape(-1, 3), group)
        depth[rows, columns] = z.reshape(patch.shape[:2])
        hit[rows, columns] = ids.reshape(patch.shape[:2])
    return depth, hit


def glance(
    model: mujoco.MjModel, data: mujoco.MjData, camera: Camera, rays: np.ndarray, group: int
) -> tuple[np.ndarray, np.ndarray]:
    """Casts a few rays [n 3], as `cast` does: z in m [n], inf where none hits, and geom ids."""
    distance, ids = _multi_ray(model, data, camera.position, rays, group)
    return np.where(ids >= 0, distance * (rays @ camera.rotation[2]), np.inf), ids


def underside(
    model: mujoco.MjModel, data: mujoco.MjData, points: np.ndarray, group: int
) -> np.ndarray:
    """Returns the lowest z, metres [*n], of one group's geoms above points of the world [*n 3].

    It is inf where there is none. The rays come from so far below that they are nearly parallel:
    over 0.1 m they stray by 0.8 mm at most.
    """
    eye = np.array([0.0, 0.0, -FAR_BELOW])
    rays = points.reshape(-1, 3) - eye
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    distance, ids = _multi_ray(model, data, eye, rays, group)
    z = np.where(ids >= 0, distance * rays[:, 2] - FAR_BELOW, np.inf)
    return z.reshape(points.shape[:-1])


def _multi_ray(model, data, eye: np.ndarray, rays: np.ndarray, group: int):
    """Returns m to the nearest of one group's geoms along unit rays [n 3], and its id or -1."""
    n = len(rays)
    only = np.zeros(6, np.uint8)
    only[group] = 1
    distance, ids = np.empty(n), np.empty(n, np.int32)
    mujoco.mj_multiRay(model, data, eye, rays.ravel(), only, 1, -1, ids, distance, None, n, 1e3)
    return distance, ids


def window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Returns rows and columns of the smallest box around a mask [h w], with a margin, px."""
    left, top, width, height = cv2.boundingRect(mask)
    rows = slice(max(top - margin, 0), top + height + margin)
    return rows, slice(max(left - margin, 0), left + width + margin)


def _patch(model, data, camera: Camera, geoms: np.ndarray) -> tuple[slice, slice]:
    """Returns rows and columns of the image that hold the geoms' bounding spheres."""
    centre = camera.to_camera(data.geom_xpos[geoms])
    radius = model.geom_rbound[geoms]
    near = np.maximum(centre[:, 2] - radius, 0.05)
    px = camera.project(centre)
    # A sphere off the axis projects to an ellipse, which is at most this much wider in the image.
    reach = (1.2 * camera.focal * radius / near)[:, None] + 1
    low = np.floor((px - reach).min(0)).astype(int)
    high = np.ceil((px + reach).max(0)).astype(int) + 1
    (left, top), (right, bottom) = (
        np.clip(v, 0, (camera.width, camera.height)) for v in (low, high)
    )
    return slice(top, bottom), slice(left, right)


def _about(axis: int, angle: float) -> np.ndarray:
    """Returns the rotation matrix [3 3] about the axis x, y or z."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    m = np.eye(3)
    m[i, i] = m[j, j] = np.cos(angle)
    m[i, j], m[j, i] = -np.sin(angle), np.sin(angle)
    return m
