"""UTD-MHAD's depth files: `a{action}_s{subject}_t{trial}_depth.mat`, d_depth [240 320 T], mm.

0 = no person: the background is removed. A file is compressed as a whole, so its 10 MB are in
memory while its frames are read. Source: Chen, Jafari and Kehtarnavaz, ICIP 2015.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Int, Int32, Shaped, UInt16

from jaxpose.errors import DataError
from jaxpose.recordings.recording import Recording, check_depth

HEIGHT, WIDTH = 240, 320
MARGIN = 0.05
"""Margin on each side of the body's box, as a share of the box's longer side."""
SPECK = 0.01
"""Connected pieces with fewer pixels than this share of a frame's largest one are not the body."""

_REMEDY = "fetch or unpack the file again"


def open_depth(
    path: Path,
    *,
    subject: str,
    sequence: str,
    choose: Callable[[int], Int[np.ndarray, " n"]] = np.arange,
) -> Recording:
    """Opens the depth frames of one file, numbered from 0.

    `choose` turns the number of frames in the file into the numbers of the frames that are used,
    by default all. The crop contains the body in these frames.

    Raises:
      DataError: the file is damaged, its depth is 0 in all of these frames, or some depth is above
        `DEEPEST_MM`.
    """
    depth = read_array(path, "d_depth", (HEIGHT, WIDTH), np.uint16)
    numbers = choose(depth.shape[2])
    depth = np.ascontiguousarray(np.moveaxis(depth[:, :, numbers], 2, 0))
    if not depth.any():
        raise DataError(
            f"{path}: depth is 0 in every frame that is used; expected millimetres; fetch the "
            "file again or remove the recording"
        )
    check_depth(depth, str(path))
    x, y, width, height = body_crop(depth).tolist()
    return Recording(
        subject=subject,
        sequence=sequence,
        source=path,
        size=(WIDTH, HEIGHT),
        crop=(x, y, width, height),
        numbers=tuple(numbers.tolist()),
        read=depth.__getitem__,
    )


def body_crop(depth: UInt16[np.ndarray, "n h w"]) -> Int32[np.ndarray, "4"]:
    """Returns the smallest 4:3 window (x, y, width, height) px around the body in all frames.

    It has a margin, except where the image ends. It needs depth alone, no annotations. Width is 4k
    and height 3k px for a whole number k. The window is centred on the body, then moved inside the
    image, which must be 4:3 and contain a body. With fewer frames it may be smaller.
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
    """Removes small pieces: the floor leaves some as far as 23 px from the feet, of up to 35 px
    where the body has 5,000."""
    _, pieces = cv2.connectedComponents(occupied.astype(np.uint8), connectivity=8)
    pixels = np.bincount(pieces.ravel())
    pixels[0] = 0
    return occupied & (pixels >= SPECK * pixels.max())[pieces]


def read_array(
    path: Path, key: str, shape: tuple[int, int], dtype: type[np.number]
) -> Shaped[np.ndarray, "a b t"]:
    """Reads the variable `key`, of shape `[*shape T]` and of `dtype`, from a MATLAB 5 file.

    Raises:
      DataError: the file cannot be read, or has no such variable, type or shape, or no frames.
    """
    from scipy.io import loadmat  # only here: a folder of PNGs is read without SciPy

    try:
        values = loadmat(path, variable_names=[key]).get(key)
    except NotImplementedError as error:  # the file is an HDF5 file
        raise DataError(
            f"{path}: is a MATLAB 7.3 file; expected version 7 or older; load it in MATLAB and "
            f"save it again with save('{path.name}', '{key}', '-v7')"
        ) from error
    except Exception as error:  # scipy raises many kinds on damage, such as zlib.error, IndexError
        raise DataError(
            f"{path}: cannot be read as a MATLAB 5 file ({error}); it is cut short or of another "
            f"kind; {_REMEDY}"
        ) from error
    if values is None:
        raise DataError(f"{path}: no variable {key}; expected UTD-MHAD's own file; {_REMEDY}")
    # MATLAB stores whole numbers in the narrowest type that holds them: uint8 may stand for uint16
    if values.dtype.kind != np.dtype(dtype).kind or not np.can_cast(values.dtype, dtype):
        raise DataError(
            f"{path}: {key} is {values.dtype}; expected {np.dtype(dtype)}; {_REMEDY}, unconverted"
        )
    if values.ndim != 3 or values.shape[:2] != shape:
        raise DataError(
            f"{path}: {key} is {list(values.shape)}; expected [{shape[0]}, {shape[1]}, T]; "
            f"{_REMEDY}"
        )
    if not values.shape[2]:
        raise DataError(f"{path}: {key} has no frames; {_REMEDY}")
    return values.astype(dtype, copy=False)
