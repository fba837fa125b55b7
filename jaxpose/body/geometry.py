"""Camera pixels to the net's grid and back: depth by area mean, joints by the half-pixel rule.

On both grids (0, 0) is the centre of the top-left pixel, x points right and y down. A crop
(x, y, width, height) covers the pixels x ... x + width - 1, that is the stretch from x - 0.5 to
x + width - 0.5. Scaling is therefore about corners, as in `cv2.resize`; plain multiplication
would shift every joint by 0.4 px of a grid five times coarser.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Num, UInt16

UNIT_MM = 0.1
"""Step of depth on the grid, far below any sensor's noise; prepared files hold its multiples."""


def cell_weights(start: int, length: int, cells: int, size: int) -> Float[np.ndarray, "cells size"]:
    """Returns the share of each of an axis's `size` pixels that falls into each cell.

    The pixels start ... start + length - 1 are divided into `cells` equal cells.
    """
    edges = start + length * np.arange(cells + 1) / cells
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.clip(overlap, 0, None).astype(np.float32)


def check_frames(frames_mm) -> None:
    """Raises `ValueError` for anything but depth images in mm."""
    if not isinstance(frames_mm, np.ndarray):
        actual = f"a {type(frames_mm).__name__}"
    elif frames_mm.dtype != np.uint16 or frames_mm.ndim != 3:
        actual = f"{frames_mm.dtype} {[*frames_mm.shape]}"
    else:
        return
    raise ValueError(
        f"frames_mm is {actual}; expected a NumPy array, uint16 [n rows columns], of depth in mm, "
        "0 where there is no return; metres become mm by np.round(1000 * metres).astype(np.uint16)"
    )


def check_crop(crop) -> None:
    """Raises `ValueError` unless `crop` is (x, y, width, height) in whole pixels, at least 1x1."""
    whole = all(isinstance(value, int | np.integer) for value in crop)
    if len(crop) != 4 or not whole or min(crop[2:]) < 1:
        raise ValueError(f"crop={crop}: expected (x, y, width, height), whole px, at least 1x1")


def depth_to_grid(
    depth_mm: UInt16[np.ndarray, "n h w"],
    crop: tuple[int, int, int, int],
    grid: tuple[int, int],
    background_mm: float = 0.0,
) -> Float[np.ndarray, "n rows cols"]:
    """Reduces depth images to the net's grid: every cell is the mean over its valid pixels, in mm.

    A pixel is valid where it is not 0, and weighs as much as the area of it that lies in the cell.
    `crop` is (x, y, width, height) px, `grid` (rows, columns). A cell without a valid pixel becomes
    the image's lower median cell + `background_mm`, which is 0 where a hole is a gap in a surface,
    and more where a removed background was further away. Values are
    multiples of `UNIT_MM`, as prepared files hold them: a net sees the same depth in training and
    in prediction.

    paper: unclear, it does not say how the images were reduced, nor what fills their holes.
    """
    _, _, width, height = crop
    depth = depth_mm.astype(np.float32)
    valid = (depth_mm > 0).astype(np.float32)
    reduce = _reduction(depth_mm.shape[1:], crop, grid)
    weight = reduce(valid, crop, grid)
    empty = weight < 1e-6 * grid[0] * grid[1] / (height * width)
    mean = reduce(depth, crop, grid) / np.where(empty, 1, weight)
    if empty.any():
        mean = np.where(empty, _lower_median(mean, empty)[:, None, None] + background_mm, mean)
    return np.round(mean / UNIT_MM).astype(np.float32) * np.float32(UNIT_MM)


def _reduction(size, crop, grid):
    """Chooses how area means are computed in an image of `size` (rows, columns).

    OpenCV is many times faster. It gives the same means where cells are no smaller than pixels and
    the crop lies inside the image.
    """
    x, y, width, height = crop
    in_image = 0 <= x <= size[1] - width and 0 <= y <= size[0] - height
    return _resize if in_image and height >= grid[0] and width >= grid[1] else _products


def _products(images, crop, grid):
    """Returns area means [n rows cols] by the cells' weights; outside of the image all is 0."""
    x, y, width, height = crop
    rows = cell_weights(y, height, grid[0], images.shape[1])
    cols = cell_weights(x, width, grid[1], images.shape[2])
    return rows @ images @ cols.T * (grid[0] * grid[1] / (height * width))


def _resize(images, crop, grid):
    """Returns the same as `_products`, by OpenCV."""
    x, y, width, height = crop
    size, inside = (grid[1], grid[0]), images[:, y : y + height, x : x + width]
    return np.stack([cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in inside])


def _lower_median(mean: Float[np.ndarray, "n rows cols"], empty) -> Float[np.ndarray, " n"]:
    """Returns each image's lower median over the cells that are not empty; 0 where all are."""
    ordered = np.sort(np.where(empty, np.inf, mean).reshape(len(mean), -1), axis=1)
    middle = np.maximum(np.sum(~empty, axis=(1, 2)) - 1, 0) // 2
    median = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0]
    return np.where(np.isfinite(median), median, 0).astype(np.float32)


def joints_to_grid(
    xy: Num[np.ndarray, "*n 2"], crop: Int[np.ndarray, "*m 4"], grid: tuple[int, int]
) -> Float[np.ndarray, "*n 2"]:
    """Maps points (x, y) from camera pixels to pixels of the grid (rows, columns).

    `crop` is the part of the image, (x, y, width, height) px, that the grid covers.
    """
    corner, size = crop[..., :2], crop[..., 2:]
    cells = np.array(grid[::-1], np.float32)
    return ((xy + 0.5 - corner) * (cells / size) - 0.5).astype(np.float32)


def joints_from_grid(
    xy: Num[np.ndarray, "*n 2"], crop: Int[np.ndarray, "*m 4"], grid: tuple[int, int]
) -> Float[np.ndarray, "*n 2"]:
    """Maps points (x, y) from the grid back to camera pixels: the inverse of `joints_to_grid`."""
    corner, size = crop[..., :2], crop[..., 2:]
    cells = np.array(grid[::-1], np.float32)
    return ((xy + 0.5) * (size / cells) + corner - 0.5).astype(np.float32)


def moved_into(
    xy: Float[np.ndarray, "*n 2"],
    box: tuple[int, int, int, int],
    most_px: Float[np.ndarray, "2"],
) -> tuple[Float[np.ndarray, "*n 2"], Bool[np.ndarray, "*n"]]:
    """Moves points (x, y) to the nearest pixel of a box (x, y, width, height) px.

    Also tells which of them were at most `most_px` (x, y) outside of it.
    """
    first, last = np.array(box[:2]), np.array(box[:2]) + np.array(box[2:]) - 1
    outside = np.maximum(np.maximum(first - 0.5 - xy, xy - last - 0.5), 0)
    return np.clip(xy, first, last).astype(np.float32), np.all(outside <= most_px, axis=-1)


def inside(xy: Float[np.ndarray, "*n 2"], grid: tuple[int, int]) -> Bool[np.ndarray, "*n"]:
    """Tells which points (x, y) lie on the grid (rows, columns), whose pixels reach from -0.5."""
    return np.all((xy >= -0.5) & (xy < np.array(grid[::-1]) - 0.5), axis=-1)


def standardise(grid_mm: Float[np.ndarray, "n h w"], scale_mm: float) -> Float[np.ndarray, "n h w"]:
    """Subtracts each image's own mean (the paper, Sec. III-B), and divides by `scale_mm`."""
    return (grid_mm - grid_mm.mean(axis=(1, 2), keepdims=True)) / np.float32(scale_mm)
