"""Confidence maps [h w maps] -> candidates (x, y, score) of each map, best first (Sec. II-B).

Points are (x, y) in pixels of the map; (0, 0) is the centre of the top-left pixel. A blob may be
a Gaussian or a flat disc, exact or as a net regresses it, and the border may cut it. Maxima are
therefore searched for in maps smoothed to the scale of the masks: on a flat disc all pixels are
equal, and the first of them lies a whole radius off the centre.
"""

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int

MEAN_SHIFTS = 6
"""Number of mean shifts. Each at least halves the remaining error, on a disc and on a Gaussian."""

BACKGROUND = 0.25
"""Share of a window's maximum below which a pixel has no weight in its centroid."""


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How maps become poses.

    Attributes:
      radius_px: radius of the masks. Blobs are searched for at this scale; of two peaks that are
        closer than it, the better one is a candidate.
      min_score: value of a map below which nothing is a candidate; a perfect peak is about 1.
      max_candidates: largest number of candidates per joint map.
      points: number of points along a segment at which its connection map is read.
    """

    radius_px: float
    min_score: float = 0.05
    max_candidates: int = 5
    points: int = 10


class Peaks(NamedTuple):
    """The candidates of every map, and the position of a joint that has none."""

    candidates: list[Float[np.ndarray, "k 3"]]
    """Per map, rows (x, y, score), best first; k may be 0."""
    fallback: Float[np.ndarray, "maps 3"]
    """(x, y, score) of each map's maximum, whatever its value."""


def sample(
    maps: Float[np.ndarray, "h w maps"],
    channel: Int[np.ndarray, "*#n"] | int,
    xy: Float[np.ndarray, "*#n 2"],
) -> Float[np.ndarray, "*n"]:
    """Reads map `channel` at each point (x, y), bilinearly; outside, at the nearest border."""
    h, w, c = maps.shape
    x, y = np.clip(xy[..., 0], 0, w - 1), np.clip(xy[..., 1], 0, h - 1)
    left, top = np.minimum(x.astype(int), w - 2), np.minimum(y.astype(int), h - 2)
    x, y = x - left, y - top
    flat, corner = maps.reshape(-1), (top * w + left) * c + channel
    upper = flat[corner] * (1 - x) + flat[corner + c] * x
    corner = corner + w * c
    lower = flat[corner] * (1 - x) + flat[corner + c] * x
    return upper * (1 - y) + lower * y


def find_peaks(maps: Float[np.ndarray, "h w maps"], decoding: Decoding) -> Peaks:
    """Finds the candidates of every map (Sec. II-B; steps of Du et al. 2018).

    1. The map is smoothed to the scale of the masks. Its pixels that are no lower than their 4
       neighbours, and at least half of its maximum, are peaks.
    2. Each peak is moved to the centroid of the original map around it; its score is the original
       map's value there.
    3. Peaks with a score of at least `min_score`, and no better one within `radius_px`, are the
       candidates.

    The fallback is the smoothed map's maximum, moved in the same way.
    """
    maps = np.ascontiguousarray(maps)
    xy, channel = _smoothed_maxima(maps, decoding)
    xy = _centroids(maps, channel, xy, decoding.radius_px)
    peaks = np.column_stack([xy, sample(maps, channel, xy)])
    ends = np.searchsorted(channel, np.arange(maps.shape[2] + 1))
    per_map = [peaks[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
    return Peaks(
        candidates=[suppress(p[p[:, 2] >= decoding.min_score], decoding) for p in per_map],
        fallback=peaks[ends[:-1]],
    )


def suppress(peaks: Float[np.ndarray, "k 3"], decoding: Decoding) -> Float[np.ndarray, "_ 3"]:
    """Removes the peaks (x, y, score) that lie within `radius_px` of a better one.

    Returns at most `max_candidates` of the others, best first.
    """
    peaks = peaks[np.argsort(-peaks[:, 2], kind="stable")]
    apart = peaks[:, None, :2] - peaks[:, :2]
    near = (apart**2).sum(axis=2) <= decoding.radius_px**2
    selected, suppressed = [], np.zeros(len(peaks), bool)
    for number in range(len(peaks)):
        if not suppressed[number] and len(selected) < decoding.max_candidates:
            selected.append(number)
            suppressed |= near[number]
    return peaks[selected]


def _smoothed_maxima(
    maps: Float[np.ndarray, "h w maps"], decoding: Decoding
) -> tuple[Float[np.ndarray, "k 2"], Int[np.ndarray, "k"]]:
    """Returns the pixels (x, y) and the maps of the local maxima after smoothing.

    They are sorted by map, then highest first. Every map has at least one, its maximum, and only
    that one if all its values are below `min_score`.
    """
    sigma = decoding.radius_px / 2  # along one axis, the standard deviation of the disc
    kernel = cv2.getGaussianKernel(2 * round(decoding.radius_px) + 1, sigma)
    # Zeros beyond the border: repeated border pixels would pull a blob that is cut towards them.
    smooth = cv2.sepFilter2D(maps, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    smooth = smooth.reshape(maps.shape)  # cv2 drops the axis of a single map
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    maximal = smooth == cv2.dilate(smooth, cross).reshape(maps.shape)

    count = maps.shape[2]
    flat = smooth.reshape(-1, count)
    top = flat.argmax(axis=0), np.arange(count)
    empty = maps.max(axis=0).max(axis=0) < decoding.min_score  # faster than axis=(0, 1)
    maximal &= smooth >= np.where(empty, np.inf, flat[top] / 2).astype(smooth.dtype)
    maximal.reshape(-1, count)[top] = True

    index = np.flatnonzero(maximal)
    pixel, channel = np.divmod(index, count)
    order = np.lexsort((-smooth.reshape(-1)[index], channel))
    pixel, channel = pixel[order], channel[order]
    # The maps of an untrained net are nearly constant, with a maximum at every other pixel.
    rank = np.arange(len(channel)) - np.searchsorted(channel, channel)
    few = rank < 4 * decoding.max_candidates
    pixel, channel = pixel[few], channel[few]
    y, x = np.divmod(pixel, maps.shape[1])
    return np.column_stack([x, y]).astype(np.float64), channel


def _centroids(
    maps: Float[np.ndarray, "h w maps"],
    channel: Int[np.ndarray, "k"],
    xy: Float[np.ndarray, "k 2"],
    radius_px: float,
) -> Float[np.ndarray, "k 2"]:
    """Moves each point to the centroid of the disc of radius `radius_px` around it, repeatedly.

    A pixel whose mirror image about the point lies outside the map does not count: what is left
    of a blob cut by the border is then still symmetric about the blob's centre.
    """
    h, w, _ = maps.shape
    half = int(radius_px)
    span = np.arange(-half, half + 1)
    disc = span[:, None] ** 2 + span**2 <= radius_px**2
    planes = np.ascontiguousarray(np.moveaxis(maps, -1, 0)).reshape(-1)
    first, around = (channel * h * w)[:, None, None], np.arange(-half, half + 2)
    last = np.array([w, h]) - 1.0
    for _ in range(MEAN_SHIFTS):
        # All pixels of a disc lie equally far between pixels of the map: one patch, two blends.
        corner = np.floor(xy).astype(int)
        column = np.clip(corner[:, :1] + around, 0, w - 1)[:, None, :]
        row = np.clip(corner[:, 1:] + around, 0, h - 1)[:, :, None]
        right, below = (xy - corner).T.astype(maps.dtype)[..., None, None]
        patch = planes[first + row * w + column]
        patch = patch[:, :, :-1] * (1 - right) + patch[:, :, 1:] * right
        values = patch[:, :-1] * (1 - below) + patch[:, 1:] * below
        reach = np.minimum(xy, last - xy)[..., None] + 0.5  # to the nearer edge of border pixels
        within = np.abs(span) <= reach
        values *= within[:, 1, :, None] & within[:, 0, None, :] & disc
        weights = np.maximum(values - BACKGROUND * values.max(axis=(1, 2), keepdims=True), 0)
        across, down = weights.sum(axis=1), weights.sum(axis=2)
        mass = across.sum(axis=1)
        shift = np.stack([(across * span).sum(axis=1), (down * span).sum(axis=1)], axis=1)
        xy = np.clip(xy + shift / np.where(mass > 0, mass, 1)[:, None], 0, last)
    return xy
