"""What a user names -> a source: a folder, a file of any known kind, or "-" for stdin."""

import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxpose.body.space import Intrinsics
from jaxpose.errors import DataError
from jaxpose.recordings.images import TIMES, image_files, open_images
from jaxpose.recordings.recording import DEEPEST_MM, RATE_HZ
from jaxpose.recordings.source import MILLIMETRES, Source, Units, of_one_size
from jaxpose.recordings.stacks import open_array, open_stream, open_utd_mhad
from jaxpose.recordings.state import state_of
from jaxpose.recordings.video import open_video

STDIN = "-"
"""What names the standard input."""
CAMERA = "camera.json"
"""File with the camera's intrinsics: in the folder of images, or beside a file."""
KINDS = "a folder of 16-bit PNG or TIFF images, .npy, .npz, UTD-MHAD's .mat, 16-bit .mkv, or -"


@dataclasses.dataclass(frozen=True)
class Format:
    """What is known about frames beside their files.

    Attributes:
      rate_hz: frames per second of a recording without times of its own; None: `RATE_HZ`.
      mm_per_unit, farthest_mm: as of `jaxpose.recordings.source.Units`.
      size: (width, height) px of raw frames on stdin.

    Raises:
      DataError: `mm_per_unit` or `farthest_mm` is out of range.
    """

    rate_hz: float | None = None
    mm_per_unit: float | None = None
    farthest_mm: float | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self):
        if self.farthest_mm is not None and not 0 < self.farthest_mm <= DEEPEST_MM:
            raise DataError(
                f"--farthest={self.farthest_mm:g}: expected mm, above 0 and at most {DEEPEST_MM}"
            )
        if self.mm_per_unit is not None and not 0 < self.mm_per_unit < math.inf:
            raise DataError(
                f"--mm_per_unit={self.mm_per_unit:g}: expected the millimetres of one unit, above "
                "0, such as 1000 for metres"
            )

    @property
    def units(self) -> Units:
        """What the values of images mean."""
        return Units(self.mm_per_unit, self.farthest_mm)


def name_of(place: str) -> str:
    """Returns the name of a recording, which its results get, without opening it."""
    if place == STDIN:
        return "stdin"
    path = Path(place)
    return path.resolve().name if path.is_dir() else path.stem


def check_size(places: Sequence[str], size: tuple[int, int] | None) -> None:
    """Checks that `size` is passed where a recording is a stream, and nowhere else.

    Raises:
      DataError: it is missing, or would have no effect.
    """
    if STDIN in places and size is None:
        raise DataError("-: raw frames need --size=WIDTHxHEIGHT, such as --size=640x480")
    if STDIN not in places and size is not None:
        raise DataError(
            f"--size={size[0]}x{size[1]} is for raw frames on stdin (-) alone; files say their "
            "size; leave it out"
        )


def open_source(place: str, how: Format) -> Source:
    """Opens a recording.

    Raises:
      DataError: there is no such recording, it cannot be used, or it has times of its own and
        `how` has a rate.
    """
    try:
        source = _open(place, how)
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{error.filename or place}: cannot be read ({why})") from error
    if source.times and how.rate_hz is not None:
        raise DataError(
            f"{source.path}: has times of its own, {source.times}; leave out "
            f"--rate={how.rate_hz:g}, or correct these times"
        )
    return of_one_size(source)


def _open(place: str, how: Format) -> Source:
    rate_hz = RATE_HZ if how.rate_hz is None else how.rate_hz
    scale = {"rate_hz": rate_hz, "units": how.units}
    if place == STDIN:
        check_size([place], how.size)
        return open_stream(sys.stdin.buffer, how.size, **scale)
    path = Path(place)
    if path.is_dir():
        files = sorted([*image_files(path), path / TIMES, path / CAMERA])
        return dataclasses.replace(open_images(path, **scale), state=state_of(files))
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {KINDS}")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        source = open_array(path, **scale)
    elif suffix == ".mat":
        if how.rate_hz is not None or how.units != MILLIMETRES:
            raise DataError(
                f"{path}: UTD-MHAD's frames are {RATE_HZ:g} per second in mm; leave out --rate, "
                "--mm_per_unit and --farthest"
            )
        source = open_utd_mhad(path)
    elif suffix == ".mkv":
        source = open_video(path, units=how.units)
    else:
        raise DataError(f"{path}: unknown kind of recording; expected {KINDS}")
    camera = path.parent / CAMERA
    return dataclasses.replace(
        source,
        intrinsics_file=camera if camera.is_file() else None,
        state=state_of([path, camera]),
    )


def read_intrinsics(path: Path) -> tuple[Intrinsics, tuple[int, int] | None]:
    """Reads a camera.json: an object with fx, fy, cx, cy in px, and maybe width, height.

    Returns the intrinsics, and the (width, height) px of the images that they are of, if known.

    Raises:
      DataError: the file is missing, damaged, or lacks one of them.
    """
    names = ("fx", "fy", "cx", "cy")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        numbers = [float(values[name]) for name in names]
        known = "width" in values and "height" in values
        size = (int(values["width"]), int(values["height"])) if known else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error!r}); expected a JSON object with fx, fy, cx, cy"
        ) from error
    return checked_intrinsics(numbers, str(path)), size


def checked_intrinsics(numbers: list[float], name: str) -> Intrinsics:
    """Returns intrinsics; raises `DataError` unless they are finite, and focal lengths positive."""
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or min(numbers[:2]) <= 0:
        raise DataError(f"{name}: {numbers}; expected fx, fy above 0 and cx, cy, px of the images")
    return Intrinsics(*numbers)
