"""Depth images, uint16 mm with 0 = no return -> numbers that describe the sensor.

Lengths are px of the image, as a sensor's matching window and shadows are. Sensors at different
distances can be compared by lengths in px and by noise over distance squared.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt16
from scipy import ndimage

EDGE = 0.03
"""An edge is a step by at least this share of the depth: 21 mm at 0.7 m, an infant's forearm."""
NEAR_PX = 5
"""A pixel without return belongs to an edge that is this close, in rows or columns."""
PATCH_PX = 16
"""Variation that is slower than this belongs to the surface's shape."""
LAGS = range(1, 9)
REACH_PX, SIDE_PX = 8, 4
"""A profile has `REACH_PX` pixels to either side of an edge; the outer `SIDE_PX` give the depth of
that side. An edge that is wider than the pixels between is measured too narrow."""


class Patches(NamedTuple):
    """Squares of `PATCH_PX` without a hole or an edge, and their residuals from a curved surface.

    Attributes:
        metres: mean depth.
        noise_mm: standard deviation of the residuals.
        correlation: of the residuals with those `LAGS` px further, rows and columns averaged; NaN
            where they are 0. The fit removes the slow part of the noise, too, so long correlations
            are measured too short.
    """

    metres: Float[np.ndarray, " n"]
    noise_mm: Float[np.ndarray, " n"]
    correlation: Float[np.ndarray, "n lags"]


def outer(depth: UInt16[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Returns the regions without return that reach the image's border.

    Surfaces do not cause them in UTD-MHAD, whose background is cut out, or at the left of a stereo
    camera's image, which only one of its eyes sees. In the simulated ward they are clear walls.
    """
    _, pieces = cv2.connectedComponents((depth == 0).astype(np.uint8), connectivity=8)
    rim = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    return (depth == 0) & np.isin(pieces, rim)


def filled(depth: UInt16[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Returns the depth with pixels without return replaced by the nearest depth."""
    nearest = ndimage.distance_transform_edt(
        depth == 0, return_distances=False, return_indices=True
    )
    return depth[tuple(nearest)].astype(np.float32)


def edges(depth: UInt16[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Returns where depth steps between a pixel's neighbours, holes filled, `outer` left out."""
    whole, around = filled(depth), np.ones((3, 3), np.uint8)
    step = cv2.dilate(whole, around) - cv2.erode(whole, around)
    return (step > EDGE * whole) & ~outer(depth)


def holes(frames: list[np.ndarray]) -> dict[str, float]:
    """Returns shares of pixels without return: of all, and of all but `outer` by and off edges."""
    lost, by_edge, off_edge = [], [], []
    for depth in frames:
        none, inside = depth == 0, ~outer(depth)
        width = 2 * NEAR_PX + 1
        near = cv2.dilate(edges(depth).astype(np.uint8), np.ones((width, width), np.uint8)) > 0
        lost.append(none.ravel())
        by_edge.append(none[near & inside])
        off_edge.append(none[~near & inside])
    return {
        "no_return": _mean(np.concatenate(lost)),
        "no_return_by_edges": _mean(np.concatenate(by_edge)),
        "no_return_elsewhere": _mean(np.concatenate(off_edge)),
    }


def patches(frames: list[np.ndarray]) -> Patches:
    """Returns every smooth patch of the grid of squares that divides each frame."""
    n = PATCH_PX
    v, u = (c.ravel() - (n - 1) / 2 for c in np.mgrid[:n, :n])
    surface = np.stack([np.ones(n * n), u, v, u * u, u * v, v * v], axis=1)
    rest = np.eye(n * n) - surface @ np.linalg.pinv(surface)
    squares = np.concatenate([_smooth_squares(depth) for depth in frames])
    left = squares @ rest
    power = np.maximum((left**2).sum(1), 1e-9)
    left = left.reshape(-1, n, n)
    correlation = np.empty((len(left), len(LAGS)))
    for k, lag in enumerate(LAGS):
        down = (left[:, :-lag] * left[:, lag:]).sum((1, 2))
        right = (left[:, :, :-lag] * left[:, :, lag:]).sum((1, 2))
        # n - lag of n rows have another one so far below.
        correlation[:, k] = (down + right) / 2 / power * n / (n - lag)
    correlation[power <= 1e-6] = np.nan  # a plane of whole millimetres
    degrees = n * n - surface.shape[1]
    return Patches(squares.mean(1) / 1000, np.sqrt(power / degrees), correlation)


def _smooth_squares(depth: np.ndarray) -> Float[np.ndarray, "n pixels"]:
    usable = (depth > 0) & ~edges(depth)
    n, (h, w) = PATCH_PX, depth.shape

    def squares(image):
        cut = image[: h // n * n, : w // n * n].reshape(h // n, n, w // n, n)
        return cut.swapaxes(1, 2).reshape(-1, n * n)

    return squares(depth)[squares(usable).all(1)].astype(np.float64)


def noise(result: Patches) -> dict[str, float]:
    """Returns medians over patches, which a few wrinkled ones do not change."""
    return {
        "distance_m": _median(result.metres),
        "noise_mm": _median(result.noise_mm),
        "noise_mm_at_1m": _median(result.noise_mm / result.metres**2),
        "lag_1": correlation(result)[0],
    }


def correlation(result: Patches) -> list[float]:
    """Returns the correlation of the noise with that `LAGS` px further, median over patches."""
    return [_median(column[~np.isnan(column)]) for column in result.correlation.T]


def edge_widths(frames: list[np.ndarray]) -> dict[str, float]:
    """Measures edges along a row between two flat sides without holes.

    `edge_width_px` is the median of the step over the steepest pixel (1 = sharp), `lost_at_edge_px`
    the mean number of pixels without return.
    """
    widths, lost = [], []
    for depth in frames:
        profiles, steepest = _profiles(depth)
        left, right = profiles[:, :SIDE_PX], profiles[:, -SIDE_PX:]
        step = np.abs(right.mean(1) - left.mean(1))
        covered = (left > 0).all(1) & (right > 0).all(1)
        flat = np.maximum(np.ptp(left, axis=1), np.ptp(right, axis=1)) < 0.2 * step
        stored = covered & flat & (step > EDGE * np.minimum(left.mean(1), right.mean(1)))
        widths.append(step[stored] / steepest[stored])
        lost.append((profiles[stored] == 0).sum(1))
    widths, lost = np.concatenate(widths), np.concatenate(lost)
    return {
        "edge_width_px": _median(widths),
        "lost_at_edge_px": _mean(lost),
    }


def _profiles(
    depth: UInt16[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, "n width"], Float[np.ndarray, " n"]]:
    """Returns pieces of rows around the steepest place in reach, and its slope, holes filled."""
    slope = np.abs(np.diff(filled(depth), axis=1))
    peak = (slope > 0) & (slope == ndimage.maximum_filter1d(slope, 2 * REACH_PX + 1, axis=1))
    windows = np.lib.stride_tricks.sliding_window_view(depth, 2 * REACH_PX, axis=1)
    # Pixels u and u + 1 of a slope at u are its window's middle two.
    middle = slice(REACH_PX - 1, REACH_PX - 1 + windows.shape[1])
    chosen = peak[:, middle]
    return windows[chosen].astype(np.float64), slope[:, middle][chosen].astype(np.float64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else float("nan")
