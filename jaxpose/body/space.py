"""Joints in camera pixels and depth -> joints in space, in mm.

The camera's frame has x to the right, y down and z away from the camera. A depth camera sees the
surface, so a joint's position is that of the skin above it.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt16

RADIUS_SHARE = 1 / 128
"""Radius of the disc around a joint in which depth is read, as a share of the image's width."""
SURFACE_MM = 60.0
"""Depths up to this much behind the nearest ones belong to the body, the others to the bed."""
LEAST_VALID = 0.25
"""Smallest share of a disc's pixels that must have depth."""


@dataclasses.dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: focal lengths and principal point, in px of its image."""

    fx: float
    fy: float
    cx: float
    cy: float


def check_images(xy: np.ndarray, depth_mm: np.ndarray) -> None:
    """Raises `ValueError` unless there is one depth image for each set of points."""
    if depth_mm.ndim < 2 or depth_mm.shape[:-2] != xy.shape[:-2]:
        expected = ", ".join([*map(str, xy.shape[:-2]), "rows", "columns"])
        raise ValueError(
            f"depth_mm is [{', '.join(map(str, depth_mm.shape))}], the points are "
            f"[{', '.join(map(str, xy.shape))}]; expected depth [{expected}]: one image for each "
            "frame of the points, in their order"
        )


def joints_in_mm(
    xy: Float[np.ndarray, "*n joints 2"],
    depth_mm: UInt16[np.ndarray, "*n h w"],
    intrinsics: Intrinsics,
) -> Float[np.ndarray, "*n joints 3"]:
    """Returns each joint's position (x, y, z) in mm; NaN where it or its depth is missing.

    Raises:
      ValueError: there is not one image for each set of joints.
    """
    z = surface_depth(xy, depth_mm)
    x = (xy[..., 0] - intrinsics.cx) / intrinsics.fx * z
    y = (xy[..., 1] - intrinsics.cy) / intrinsics.fy * z
    return np.stack([x, y, z], axis=-1).astype(np.float32)


def surface_depth(
    xy: Float[np.ndarray, "*n joints 2"], depth_mm: UInt16[np.ndarray, "*n h w"]
) -> Float[np.ndarray, "*n joints"]:
    """Reads the depth of the body's surface around each point (x, y), in mm.

    It is the median over the disc's pixels that are at most `SURFACE_MM` behind the disc's nearest
    tenth: the rest is the bed beside a limb. NaN where the point is NaN or outside of the image, or
    fewer than `LEAST_VALID` of the disc's pixels have depth.

    Raises:
      ValueError: there is not one image for each set of points.
    """
    check_images(xy, depth_mm)
    h, w = depth_mm.shape[-2:]
    images, points = depth_mm.reshape(-1, h, w), xy.reshape(-1, *xy.shape[-2:])
    radius = max(1, round(RADIUS_SHARE * w))
    span = np.arange(-radius, radius + 1)
    dy, dx = np.nonzero(span[:, None] ** 2 + span**2 <= radius**2)
    known = np.isfinite(points).all(axis=-1)
    centre = np.round(np.where(known[..., None], points, -1)).astype(int)
    column, row = (centre[..., k, None] + d for k, d in ((0, dx - radius), (1, dy - radius)))
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    image = np.arange(len(images))[:, None, None]
    values = images[image, np.clip(row, 0, h - 1), np.clip(column, 0, w - 1)].astype(np.float32)
    values = np.sort(np.where(inside & (values > 0), values, np.inf), axis=-1)
    count = np.isfinite(values).sum(axis=-1)
    nearest = np.take_along_axis(values, (count // 10)[..., None], axis=-1)
    surface = (values <= nearest + SURFACE_MM).sum(axis=-1)
    low, high = (
        np.take_along_axis(values, np.maximum(k, 0)[..., None], axis=-1)[..., 0]
        for k in ((surface - 1) // 2, surface // 2)
    )
    in_image = np.all((centre >= 0) & (centre < (w, h)), axis=-1)
    seen = known & in_image & (count >= LEAST_VALID * len(dx)) & (count > 0)
    return np.where(seen, (low + high) / 2, np.nan).astype(np.float32).reshape(xy.shape[:-1])
