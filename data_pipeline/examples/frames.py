"""Annotated frames on the nets' grid, in memory and as one file.

`python -m data_pipeline.prepare` writes such a file. Reading it needs no TensorFlow, so a machine
without it can train, too.
"""

import dataclasses
import hashlib
import json
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipeline.errors import DataError
from jaxpose.body.geometry import UNIT_MM
from jaxpose.body.skeleton import MIRROR
from jaxpose.files import written_whole
from jaxpose.recordings.recording import DEEPEST_MM, RATE_HZ

FORMAT = "jaxpose frames 1"
_DAMAGE = (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
"""Exceptions that numpy raises for a file that is damaged, or that `save` did not write."""


@dataclasses.dataclass(frozen=True)
class Frames:
    """Annotated frames of one data set, in time order within each recording."""

    dataset: str
    """Name of the data set."""
    depth_mm: Float[np.ndarray, "n h w"]
    """Depth in mm, the area mean over valid pixels; it has no holes."""
    xy: Float[np.ndarray, "n 12 2"]
    """Joints (x, y), px of the grid, (0, 0) is the centre of the top-left pixel; (-1, -1) if not
    visible."""
    visible: Bool[np.ndarray, "n 12"]
    subject: np.ndarray
    """str [n], the infant or person."""
    sequence: np.ndarray
    """str [n], the recording within the subject."""
    frame: Int[np.ndarray, " n"]
    """Number of the raw frame within the recording."""
    crop: Int[np.ndarray, "n 4"]
    """(x, y, width, height) px of the sensor's image that became the grid."""
    step: int
    """Difference of the numbers of annotated neighbours; 0 where every next row is a neighbour."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def grid(self) -> tuple[int, int]:
        """Size of a frame, (rows, columns)."""
        return self.depth_mm.shape[1:]

    @property
    def interval_s(self) -> float | None:
        """Seconds between neighbouring annotated frames; None in row order, where it differs."""
        return self.step / RATE_HZ if self.step else None

    def follows(self) -> Bool[np.ndarray, " n"]:
        """Tells which frames follow the one before without a gap, in the same recording."""
        same = (self.subject[1:] == self.subject[:-1]) & (self.sequence[1:] == self.sequence[:-1])
        near = np.diff(self.frame) == self.step if self.step else True
        return np.concatenate([[False], same & near])

    def with_mirror_images(self) -> "Frames":
        """Returns all frames, followed by the mirror image of each.

        In a mirror image columns are reversed, so x of a joint becomes w - 1 - x, and right limbs
        become left ones. `crop` is that of the original.
        """
        xy = self.xy[:, MIRROR].copy()
        xy[..., 0] = self.grid[1] - 1 - xy[..., 0]
        visible = self.visible[:, MIRROR]
        other = dataclasses.replace(
            self,
            depth_mm=self.depth_mm[:, :, ::-1],
            xy=np.where(visible[..., None], xy, self.xy.dtype.type(-1)),
            visible=visible,
            sequence=np.char.add(self.sequence, " mirrored"),
        )
        fields = (f.name for f in dataclasses.fields(self))
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in fields}
        both = {n: np.concatenate(p) for n, p in pairs.items() if isinstance(p[0], np.ndarray)}
        return dataclasses.replace(self, **both)

    def digest(self) -> str:
        """Returns a hash of all contents, 16 hexadecimal digits."""
        names = [self.subject.tolist(), self.sequence.tolist()]
        facts = [self.dataset, self.step, *self.depth_mm.shape, names]
        state = hashlib.sha256(json.dumps(facts).encode())
        for name in ("depth_mm", "xy", "visible", "frame", "crop"):
            state.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return state.hexdigest()[:16]


def grid_of(text: str) -> tuple[int, int]:
    """Parses the option --grid: "64x48" -> (48, 64), rows and columns.

    Raises:
      DataError: another form, or a number below 1.
    """
    try:
        cols, rows = (int(part) for part in text.split("x"))
    except ValueError:
        cols = rows = 0
    if rows < 1 or cols < 1:
        raise DataError(f"--grid={text}: expected COLUMNSxROWS, such as 64x48")
    return rows, cols


def usual_step(frame: Int[np.ndarray, " n"]) -> int:
    """Returns the most common difference of successive frame numbers: 5 in babyPose.

    Raises:
      DataError: no number is followed by a higher one.
    """
    ahead = np.diff(frame)
    ahead = ahead[ahead > 0]
    if not len(ahead):
        raise DataError("no two frames follow one another; expected runs of consecutive frames")
    values, counts = np.unique(ahead, return_counts=True)
    return int(values[counts.argmax()])


def save(frames: Frames, path: Path) -> None:
    """Writes frames beside `path`, then renames the file, so that it is always complete.

    Raises:
      DataError: the file's format cannot represent some depth.
      OSError: the file cannot be written; the error names `path`.
    """
    arrays = {f.name: getattr(frames, f.name) for f in dataclasses.fields(Frames)}
    depth = np.round(arrays.pop("depth_mm") / UNIT_MM)
    fits = ((depth >= 0) & (depth <= np.iinfo(np.uint16).max)).all((1, 2))
    if not fits.all():
        k = int(fits.argmin())
        low, high = depth[k].min() * UNIT_MM, depth[k].max() * UNIT_MM
        recording = " ".join(filter(None, (str(frames.subject[k]), str(frames.sequence[k]))))
        raise DataError(
            f"{frames.dataset}, recording {recording}, frame {frames.frame[k]}: depth runs from "
            f"{low:.0f} to {high:.0f} mm; expected 0 to {DEEPEST_MM} mm; is the depth in mm?"
        )
    header = {"format": FORMAT, "dataset": arrays.pop("dataset"), "step": arrays.pop("step")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(
            file, header=json.dumps(header), depth=depth.astype(np.uint16), **arrays
        )


def load(path: Path) -> Frames:
    """Reads a file that `save` wrote. Warns of infants whose depth looks like grey levels.

    Raises:
      DataError: the file is missing, damaged, or of another format.
    """
    expected = "expected a file written by `python -m data_pipeline.prepare`"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        header = json.loads(str(arrays.pop("header")))
        if header.pop("format") != FORMAT:
            raise DataError(
                f"{path}: of another format; {expected} of this version; write it again"
            )
        depth_mm = arrays.pop("depth").astype(np.float32) * np.float32(UNIT_MM)
        frames = Frames(**header, depth_mm=depth_mm, **arrays)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {expected}") from None
    except _DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read ({error}); {expected}; write it again") from error
    _warn_of_grey_levels(frames)
    return frames


def _warn_of_grey_levels(frames: Frames) -> None:
    """Warns of infants without depth above 255 mm: no sensor sees so near, but 8-bit images have
    such values."""
    deep = frames.subject[(frames.depth_mm > 255.5).any((1, 2))]
    if grey := sorted(set(frames.subject.tolist()) - set(deep.tolist())):
        warnings.warn(
            f"{frames.dataset}: no depth above 255 in {', '.join(grey)}: grey levels of 8-bit "
            "images, not millimetres",
            stacklevel=3,
        )
