"""Noise-free depth -> the image of a structured-light sensor: uint16 mm, 0 = no return."""

import dataclasses
import math
from statistics import NormalDist
from typing import Annotated

import cv2
import numpy as np

from data_pipeline.simulated.ranges import Bounds, Checked, Share

Correlation = Annotated[float, Bounds(0.1, 100)]
"""Standard deviation of a Gaussian, px."""


@dataclasses.dataclass(frozen=True)
class Sensor(Checked):
    """A camera that sees a projected pattern and measures disparities; `_px` are px of 640x480.

    The values are those of a short-range structured-light camera. At 0.7 m a disparity of one px is
    16 mm, so they give steps of 1 mm and a noise of 0.9 mm, which both grow with the square of the
    distance. Real frames of other makes have a noise of 0.4 to 1.4 mm at 1 m, correlated over 1.4
    to 2.5 px, and hardly a speck (`python -m data_pipeline.look`).
    """

    baseline_m: Annotated[float, Bounds(0.01, 0.3)] = 0.055
    """Distance between the projector, at the left, and the camera: the width of the shadows."""
    window_px: Annotated[float, Bounds(1, 5)] = 5.0
    """Side of the window that is matched with the pattern. What is less than half as wide, such as
    a thin cable, is not seen, and corners are rounded."""
    noise_px: Annotated[float, Bounds(0, 2)] = 0.06
    """Standard deviation of the disparity's noise."""
    noise_alike_px: Correlation = 1.5
    """Correlation length of that noise."""
    quantum_px: Annotated[float, Bounds(0.001, 2)] = 1 / 16
    """Step of the disparity."""
    jagged_px: Annotated[float, Bounds(0, 20)] = 0.7
    """Standard deviation of the place that a pixel's value is taken from, so that edges fray."""
    flying: Share = 0.3
    """Share of the pixels on an edge that get a depth between the two sides."""
    specks: Annotated[float, Bounds(0, 0.5)] = 0.0005
    """Share of the image that is lost in specks, apart from shadows and edges."""
    lost_on_poor_material: Share = 0.5
    """Share of hair, hoses and clear walls that returns nothing, in patches."""
    patch_px: Correlation = 8.0
    """Correlation length of these patches."""


DEFAULT = Sensor()


def sense(
    rng: np.random.Generator,
    depth: np.ndarray,
    focal: float,
    sensor: Sensor = DEFAULT,
    poor: np.ndarray | None = None,
) -> np.ndarray:
    """Returns uint16 mm [h w] from z in metres [h w]; `poor` [h w] marks badly reflecting material.

    A pixel's place in the projector's image is u + f b / z. A pixel is in shadow where another one
    to its left has a place further right: that one is between the projector and this one.
    """
    h, w = depth.shape
    scale = w / 640
    side = 2 * int(0.5 * sensor.window_px * scale) + 1
    disparity = cv2.medianBlur((focal * sensor.baseline_m / depth).astype(np.float32), side)
    depth = focal * sensor.baseline_m / disparity
    place = np.arange(w, dtype=np.float32) + disparity
    lost = np.maximum.accumulate(place, axis=1) > place + 0.25 * scale

    dx, dy = (cv2.Sobel(depth, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    slope = cv2.GaussianBlur(np.hypot(dx, dy), (0, 0), 0.6) * focal / depth
    lost |= slope > rng.uniform(20, 40, (h, w)).astype(np.float32)
    blobs = _smooth(rng, (h, w), 1.0)
    lost |= blobs > _below(1 - sensor.specks)
    if poor is not None:
        wide = cv2.morphologyEx(
            poor.astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8)
        )
        patches = _smooth(rng, (h, w), sensor.patch_px * scale)
        lost |= (wide > 0) & (patches < _below(sensor.lost_on_poor_material))

    frayed = sensor.jagged_px * scale
    u, v = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    u += frayed * _smooth(rng, (h, w), 0.8)
    v += frayed * _smooth(rng, (h, w), 0.8)
    seen = cv2.remap(disparity, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    low, high = (f(disparity, np.ones((3, 3), np.uint8)) for f in (cv2.erode, cv2.dilate))
    # 1 px of disparity within a pixel's neighbours is 16 mm: an edge.
    flying = (high - low > scale) & (rng.random((h, w), np.float32) < sensor.flying)
    seen = np.where(flying, low + (high - low) * rng.random((h, w), np.float32), seen)

    seen = seen / scale + sensor.noise_px * _smooth(rng, (h, w), sensor.noise_alike_px * scale)
    seen = np.rint(seen / sensor.quantum_px) * sensor.quantum_px
    mm = 1000 * focal / scale * sensor.baseline_m / np.maximum(seen, 0.5)
    return np.where(lost, 0, np.rint(mm).clip(0, 65535)).astype(np.uint16)


def _below(share: float) -> float:
    """Returns the quantile of the standard normal distribution; -inf and inf for 0 and 1."""
    return NormalDist().inv_cdf(share) if 0 < share < 1 else math.copysign(math.inf, share - 0.5)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Returns normal noise [h w], mean 0, deviation 1, correlated over about `sigma` pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma)
    row = cv2.getGaussianKernel(2 * round(3 * sigma) + 1, sigma)
    return noise / float((row**2).sum())
