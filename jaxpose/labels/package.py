"""The folder that `jaxpose label export` writes.

    labels.json                                  what was exported, and the predictions
    images/<n>_8bit.png                          what a person looks at
    annotations/person_keypoints_default.json    the predictions as COCO keypoints
    depth/<n>_16bit.png                          the same frames, uint16 mm, untouched
    cvat_labels.json, label_studio.xml, ...      what tools need beside them, see `tools`

n is the frame's number in a sheet, at 30 frames per second.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxpose.body.skeleton import JOINTS
from jaxpose.errors import DataError
from jaxpose.files import write_json

FORMAT = "jaxpose labels 1"
NOTE = "labels.json"
IMAGES, DEPTH = "images", "depth"
COCO = "annotations/person_keypoints_default.json"
"""The place and the name that CVAT gives to COCO keypoints, and that datumaro looks for."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """One exported frame.

    Attributes:
      number: number of the frame in a sheet.
      frame: number of the frame in its recording.
      time_s: time of the frame in its recording.
      clip: index of the clip that the frame belongs to.
      xy: predicted joints, (x, y) px or None where missing.
      sha256: hash of the file with its depth.
    """

    number: int
    frame: int
    time_s: float
    clip: int
    xy: tuple[tuple[float, float] | None, ...]
    sha256: str

    @property
    def image(self) -> str:
        """Name of the picture."""
        return f"{self.number}_8bit.png"

    @property
    def depth(self) -> str:
        """Name of the file with the depth."""
        return f"{self.number}_16bit.png"

    def joints(self) -> Float[np.ndarray, "12 2"]:
        """Returns the predicted joints; NaN where missing."""
        return np.array([(np.nan, np.nan) if p is None else p for p in self.xy], float)


@dataclasses.dataclass(frozen=True)
class Package:
    """What labels.json says.

    Attributes:
      folder: the folder that was written.
      size: (width, height) px of the images.
      frames: the exported frames, in time order.
      facts: recording, model, view and version, for people.
    """

    folder: Path
    size: tuple[int, int]
    frames: tuple[Exported, ...]
    facts: dict[str, Any]

    def write(self) -> None:
        """Writes labels.json, the last file of a folder.

        Raises:
          OSError: it cannot be written.
        """
        frames = [dataclasses.asdict(frame) for frame in self.frames]
        values = {"format": FORMAT, **self.facts, "size": self.size, "joints": JOINTS}
        write_json(self.folder / NOTE, values | {"frames": frames})


def read_package(folder: Path) -> Package:
    """Reads a folder that was exported.

    Raises:
      DataError: it is no such folder, or one that is incomplete or damaged.
    """
    path, remedy = folder / NOTE, "expected a folder that `jaxpose label export` wrote"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {remedy}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise DataError(f"{path}: format {values['format']!r}, expected {FORMAT!r}")
        width, height = values["size"]
        frames = tuple(
            Exported(
                number=int(frame["number"]),
                frame=int(frame["frame"]),
                time_s=float(frame["time_s"]),
                clip=int(frame["clip"]),
                xy=tuple(None if p is None else (float(p[0]), float(p[1])) for p in frame["xy"]),
                sha256=str(frame["sha256"]),
            )
            for frame in values["frames"]
        )
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; {remedy}, and that is complete") from None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: cannot be read ({error!r}); {remedy}") from error
    if not frames or any(len(frame.xy) != len(JOINTS) for frame in frames):
        raise DataError(f"{path}: expected frames with {len(JOINTS)} joints each; export again")
    return Package(folder, (int(width), int(height)), frames, {})


def depth_files(package: Package) -> dict[int, Path]:
    """Returns the file with the depth of each frame, by number.

    Raises:
      DataError: one is missing, or is not what was exported.
    """
    files = {}
    for frame in package.frames:
        path = package.folder / DEPTH / frame.depth
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); copy it back, or export again"
            ) from None
        if digest != frame.sha256:
            raise DataError(
                f"{path}: is not the image that was exported; depth must stay untouched; copy it "
                "back, or export again"
            )
        files[frame.number] = path
    return files
