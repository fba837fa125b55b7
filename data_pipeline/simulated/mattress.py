"""A sheet with folds -> what the camera sees of it: the ground of every frame."""

import dataclasses

import numpy as np

from data_pipeline.simulated.camera import Camera


@dataclasses.dataclass(frozen=True)
class Mattress:
    """A sheet that lies below z = 0, where the physics has its plane: z(x, y) in metres.

    Attributes:
      waves: [n 4] long undulations: wave numbers along x and y (rad/m), phase, height (m).
      folds: [m 5] creases: a point x, y, the direction of the ridge (rad), width and height (m).
    """

    waves: np.ndarray
    folds: np.ndarray

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z = np.zeros_like(x)
        for kx, ky, phase, height in self.waves:
            z += height * (np.sin(kx * x + ky * y + phase) - 1)
        crease = np.zeros_like(x)
        for x0, y0, angle, width, height in self.folds:
            along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
            across = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
            # A ridge of bounded length with a steep and a gentle side, as cloth folds over.
            shape = np.exp(-(np.abs(across / width) ** 1.5) * np.where(across > 0, 2.5, 1))
            crease = np.maximum(crease, height * shape * np.exp(-((along / 0.12) ** 2)))
        return z + crease - self.folds[:, 4].max()

    def depth(self, camera: Camera, rays: np.ndarray) -> np.ndarray:
        """z in metres [h w] along the rays, by four fixed-point steps (the slopes are small)."""
        x, y, z = np.moveaxis(rays, -1, 0)
        t = -camera.position[2] / z
        for _ in range(4):
            height = self.height(camera.position[0] + t * x, camera.position[1] + t * y)
            t = (height - camera.position[2]) / z
        return t * (rays @ camera.rotation[2])


def draw_mattress(rng: np.random.Generator) -> Mattress:
    """Six waves of 8 to 40 cm, up to 2 mm high each; four to nine creases of 2 to 5 mm."""
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
