"""Files that hold a whole recording: .npy, .npz, UTD-MHAD's .mat, raw frames."""

import dataclasses
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from jaxpose.errors import DataError
from jaxpose.recordings import utd_mhad
from jaxpose.recordings.recording import RATE_HZ, as_seconds
from jaxpose.recordings.source import (
    MILLIMETRES,
    Reading,
    Source,
    Units,
    in_mm,
    of_recording,
    reading,
    reading_in_mm,
)


def open_array(path: Path, *, rate_hz: float = RATE_HZ, units: Units = MILLIMETRES) -> Source:
    """Opens a .npy of depth [n rows columns], or a .npz with that as `depth`, and maybe `time_s`.

    A .npy is read from disk frame by frame; the array of a .npz is in memory.

    Raises:
      DataError: the file is damaged, or holds something else.
    """
    expected = "expected depth [frames rows columns]"
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                depth, times = stored["depth"], stored.get("time_s")
        else:
            depth, times = np.load(path, mmap_mode="r", allow_pickle=False), None
    except KeyError:
        raise DataError(f"{path}: no array named depth; {expected} under that name") from None
    except (
        Exception
    ) as error:  # numpy raises many kinds on damage: zlib.error, BadZipFile, EOFError
        raise DataError(f"{path}: cannot be read ({error}); {expected}") from error
    if depth.ndim != 3 or depth.dtype.kind not in "uif":
        raise DataError(f"{path}: {depth.dtype} {[*depth.shape]}; {expected}")
    in_mm(np.zeros((1, 1), depth.dtype), units, str(path))
    place = "" if times is None else "the array time_s"
    if times is None:
        times = np.arange(len(depth)) / rate_hz
    else:
        times = as_seconds(times, f"{path}: time_s")
        if len(times) != len(depth) or not (np.diff(times) > 0).all():
            raise DataError(f"{path}: time_s must have {len(depth)} increasing times in seconds")

    def read() -> Iterator[Reading]:
        for number, image in enumerate(depth):
            yield reading_in_mm(number, float(times[number]), np.asarray(image), units)

    return Source(name=path.stem, path=str(path), count=len(depth), read=read, times=place)


def open_utd_mhad(path: Path) -> Source:
    """Opens a depth file of UTD-MHAD; the nets see the part around the body, as in training.

    Raises:
      DataError: the file is damaged or another one.
    """
    recording = utd_mhad.open_depth(path, subject=path.stem, sequence="")
    source = of_recording(recording, path.stem, crop=recording.crop)
    return dataclasses.replace(source, times=f"{RATE_HZ:g} frames per second, as UTD-MHAD has")


def open_stream(
    stream: BufferedIOBase,
    size: tuple[int, int],
    *,
    rate_hz: float = RATE_HZ,
    units: Units = MILLIMETRES,
) -> Source:
    """Opens raw frames, uint16 little-endian row by row, of `size` (width, height).

    A stream that ends inside a frame has a last reading that says so.
    """
    width, height = size

    def read() -> Iterator[Reading]:
        number = 0
        while data := stream.read(2 * width * height):
            if len(data) < 2 * width * height:
                problem = DataError(
                    f"the stream ends inside frame {number}: {len(data)} of "
                    f"{2 * width * height} bytes"
                )
                yield reading(number, number / rate_hz, problem)
                return
            image = np.frombuffer(data, "<u2").reshape(height, width).astype(np.uint16)
            yield reading_in_mm(number, number / rate_hz, image, units)
            number += 1

    return Source(name="stdin", path="-", count=None, read=read)
