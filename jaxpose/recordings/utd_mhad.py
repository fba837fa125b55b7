"""UTD-MHAD's depth files: `a{action}_s{subject}_t{trial}_depth.mat`, d_depth [240 320 T], mm.

0 = no person: the background is removed. Source: Chen, Jafari and Kehtarnavaz, ICIP 2015.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Shaped, UInt16
from scipy import ndimage
from scipy.io import loadmat

from jaxpose.errors import DataError

HEIGHT, WIDTH = 240, 320
MARGIN = 0.05
"""Added to each side of the body's box, as a share of the box's longer side."""
SPECK = 0.01
"""Connected pixels fewer than this share of a frame's largest piece are not the body."""


def read_depth(path: Path) -> UInt16[np.ndarray, "t 240 320"]:
    """Reads every raw frame of a depth file, in mm.

    Raises:
      DataError: a damaged file, or one of another kind.
    """
    return np.moveaxis(read_array(path, "d_depth", (HEIGHT, WIDTH), np.uint16), 2, 0)


def body_crop(depth: UInt16[np.ndarray, "n h w"]) -> Int32[np.ndarray, "4"]:
    """The smallest 4:3 window (x, y, width, height) around the body in all frames, with a margin.

    Uses depth alone, so that it works without annotations. Width is 4k and height 3k px;
    the window is centred on the body, then pushed inside the image, which must be 4:3 and hold a
    body. Where the image ends, so does the margin. With fewer frames it may be smaller.
    """
    image = np.array(depth.shape[:0:-1])
    ys, xs = np.nonzero(np.any([_largest_pieces(frame > 0) for frame in depth], axis=0))
    low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()]) + 1
    margin = int(np.ceil(MARGIN * (high - low).max()))
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, image)
    ratio = np.array([4, 3])
    size = ratio * np.ceil((high - low) / ratio).max().astype(int)
    corner = np.clip((low + high - size) // 2, 0, image - size)
    return np.concatenate([corner, size]).astype(np.int32)


def _largest_pieces(occupied: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Drops specks: the floor leaves some up to 23 px off the feet, of 35 px in 5,000 at most."""
    pieces, _ = ndimage.label(occupied, np.ones((3, 3)))
    pixels = np.bincount(pieces.ravel())
    pixels[0] = 0
    return occupied & (pixels >= SPECK * pixels.max())[pieces]


def read_array(
    path: Path, key: str, shape: tuple[int, int], dtype: type[np.number]
) -> Shaped[np.ndarray, "a b t"]:
    """The variable `key`, of shape `[*shape T]` and of `dtype`, or a `DataError`."""
    again = "fetch or unpack the file again"
    try:
        values = loadmat(path, variable_names=[key]).get(key)
    except Exception as error:  # scipy meets damage with many kinds, IndexError and zlib.error too
        raise DataError(
            f"{path}: cannot be read as a MATLAB 5 file ({error}); it is cut short or of another "
            f"kind; {again}"
        ) from error
    if values is None:
        raise DataError(f"{path}: no variable {key}; expected UTD-MHAD's own file; {again}")
    # MATLAB keeps whole numbers in the narrowest type that holds them, so uint8 is uint16 too
    if values.dtype.kind != np.dtype(dtype).kind or not np.can_cast(values.dtype, dtype):
        raise DataError(
            f"{path}: {key} is {values.dtype}; expected {np.dtype(dtype)}; {again}, unconverted"
        )
    if values.ndim != 3 or values.shape[:2] != shape:
        raise DataError(
            f"{path}: {key} is {list(values.shape)}; expected [{shape[0]}, {shape[1]}, T]; {again}"
        )
    if not values.shape[2]:
        raise DataError(f"{path}: {key} has no frames; {again}")
    return values.astype(dtype, copy=False)
