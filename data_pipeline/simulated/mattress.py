"""A soft mattress under a sheet with folds -> the depth of its surface in every frame.

The physics has a rigid plane at z = 0. The sheet is `SINK` above it and gives way to what rests on
the plane, so bodies lie in dents, as on foam.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from data_pipeline.simulated.camera import Camera

SINK = 0.006
"""Depth of a resting body in the flat sheet, metres. A guess: one to three kilogrammes on foam."""

RIM = 0.4
"""Slope of the sheet around a dent."""

CELL = 0.004
"""Side of a cell of the grid on which dents are computed, metres."""


@dataclasses.dataclass(frozen=True)
class Mattress:
    """Height z(x, y) of a sheet that nothing presses on, metres.

    Attributes:
      waves: [n 4] long undulations: wave numbers along x and y (rad/m), phase, height (m).
      folds: [m 5] creases: a point x, y, the direction of the ridge (rad), width and height (m).
    """

    waves: np.ndarray
    folds: np.ndarray

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z = np.full_like(x, SINK)
        for kx, ky, phase, height in self.waves:
            z += height * np.sin(kx * x + ky * y + phase)
        crease = np.zeros_like(x)
        for x0, y0, angle, width, height in self.folds:
            along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
            across = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
            # A ridge of bounded length with a steep and a gentle side, as cloth folds over.
            shape = np.exp(-(np.abs(across / width) ** 1.5) * np.where(across > 0, 2.5, 1))
            crease = np.maximum(crease, height * shape * np.exp(-((along / 0.12) ** 2)))
        return z + crease

    def depth(self, camera: Camera, rays: np.ndarray) -> np.ndarray:
        """Returns z, metres [h w] along the rays by four fixed-point steps; slopes are small."""
        x, y, z = np.moveaxis(rays, -1, 0)
        t = (SINK - camera.position[2]) / z
        for _ in range(4):
            height = self.height(camera.position[0] + t * x, camera.position[1] + t * y)
            t = (height - camera.position[2]) / z
        return t * (rays @ camera.rotation[2])


def dents(rest: np.ndarray, underside: np.ndarray) -> np.ndarray:
    """Returns the depth of the dents, metres [n m], in a sheet of heights `rest`.

    `rest` and the bodies' `underside` are metres [n m] on a grid of `CELL`; `underside` is inf
    where there is no body. A dent has rounded rims of slope `RIM`.
    """
    dent = np.maximum(rest - underside, 0).astype(np.float32)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for _ in range(int(np.ceil(dent.max() / (RIM * CELL)))):
        dent = np.maximum(dent, cv2.dilate(dent, cross) - RIM * CELL)
    return np.maximum(dent, cv2.GaussianBlur(dent, (0, 0), 1.5))


class Bed:
    """A mattress of `width` x `length` m around y = `middle`, seen by one camera.

    Attributes:
      depth: z in metres [h w] of the sheet that nothing presses on, along the camera's `rays`.
    """

    def __init__(self, mattress: Mattress, camera: Camera, rays: np.ndarray, width, length, middle):
        self.depth = mattress.depth(camera, rays)
        away = rays @ camera.rotation[2]
        ground = camera.position + rays * (self.depth / away)[..., None]
        low = np.array([-0.5 * width, middle - 0.5 * length])
        self.beyond = ((ground[..., :2] < low) | (ground[..., :2] > low + (width, length))).any(-1)
        self._cells = np.moveaxis((ground[..., :2] - low) / CELL, -1, 0).astype(np.float32)
        across, along = (CELL * np.arange(size / CELL + 1) for size in (width, length))
        x, y = np.meshgrid(low[0] + across, low[1] + along)
        self._points = np.stack([x, y, np.zeros_like(x)], axis=-1)
        self._rest = mattress.height(x, y)
        self._per_metre = -away / rays[..., 2]

    def dented(self, underside: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Returns `depth` with dents under the bodies.

        `underside` maps points of the plane z = 0 [n m 3] to the lowest z of bodies above, metres
        [n m], inf where there is no body.
        """
        dent = dents(self._rest, underside(self._points))
        return self.depth + self._per_metre * cv2.remap(dent, *self._cells, cv2.INTER_LINEAR)


def draw_mattress(rng: np.random.Generator) -> Mattress:
    """Draws six waves of 8 to 40 cm, up to 2 mm high each; four to nine creases of 2 to 5 mm."""
    n, m = 6, rng.integers(4, 10)
    number = 2 * np.pi / rng.uniform(0.08, 0.40, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    waves = (number * np.cos(angle), number * np.sin(angle), 10 * angle, rng.uniform(0, 0.001, n))
    folds = (
        *rng.uniform(-0.35, 0.35, (2, m)),
        rng.uniform(0, np.pi, m),
        rng.uniform(0.008, 0.02, m),
        rng.uniform(0.002, 0.005, m),
    )
    return Mattress(np.stack(waves, axis=1), np.stack(folds, axis=1))
