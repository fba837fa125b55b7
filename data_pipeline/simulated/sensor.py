"""Noise-free depth -> what a structured-light sensor would return: uint16 mm, 0 = no return."""

from statistics import NormalDist

import cv2
import numpy as np

BASELINE = 0.050
"""Metres between projector (to the camera's left) and camera: the width of the shadows."""

NOISE_MM = 1.2
"""Standard deviation at 0.75 m; it grows with the square of the distance."""

HOLES = 0.002
"""Share of the image lost in specks, apart from shadows and edges."""


def sense(rng: np.random.Generator, depth: np.ndarray, focal: float) -> np.ndarray:
    """z in metres [h w] -> uint16 mm [h w] with noise, shadows, lost grazing surfaces and specks.

    A pixel's place in the projector's image is u + f b / z. Where another one to its left has a
    place further right, that one stands between the projector and this one: a shadow.
    """
    h, w = depth.shape
    u = np.arange(w, dtype=np.float32)
    seen_from_projector = u + focal * BASELINE / depth
    shadow = np.maximum.accumulate(seen_from_projector, axis=1) > seen_from_projector + 0.25
    smooth = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), 0.6)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    slope = np.hypot(dx, dy) * focal / depth
    specks = cv2.GaussianBlur(rng.standard_normal((h, w), np.float32), (0, 0), 1.0)
    # The blur of unit noise has a standard deviation of 1 / (2 sqrt(pi) sigma).
    specks = specks * 2 * np.sqrt(np.pi) > NormalDist().inv_cdf(1 - HOLES)
    sigma = NOISE_MM * (depth / 0.75) ** 2 * (1 + 0.5 * np.minimum(slope, 4))
    mm = 1000 * depth + sigma * rng.standard_normal((h, w), np.float32)
    lost = shadow | (slope > rng.uniform(5, 9, (h, w))) | specks
    return np.where(lost, 0, np.rint(mm)).astype(np.uint16)
