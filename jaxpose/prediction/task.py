"""One recording to predict, and the folder of its results."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxpose.body.space import Intrinsics
from jaxpose.errors import DataError, UserError
from jaxpose.files import write_json
from jaxpose.prediction.view import View
from jaxpose.recordings.opening import Format, name_of, open_source, read_intrinsics
from jaxpose.recordings.recording import RATE_HZ
from jaxpose.recordings.source import Source

if TYPE_CHECKING:
    from jaxpose.estimator import Estimator

NAMES = {"state": "state of the recording's files", "video": "choice of --video"}
"""Setting -> how a message calls it, where its name does not say it."""
JOB, JOURNAL, QUALITY = "job.json", "poses.part", "quality.json"
"""Files of an output folder: the settings, what is done so far, and the sign that all is done."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One recording to predict.

    Attributes:
      source: the recording.
      out: folder of the results.
      view: what the nets see of an image.
      format: how the recording was opened.
      intrinsics: of the camera; None: those beside the frames, if there are any.
      calibrated_size: (width, height) px of the images that the intrinsics are of; None: unknown.
      video: if overlay.mp4 is written.
    """

    source: Source
    out: Path
    view: View
    format: Format
    intrinsics: Intrinsics | None = None
    calibrated_size: tuple[int, int] | None = None
    video: bool = True

    @property
    def rate_hz(self) -> float | None:
        """Frames per second that times follow from; None if the recording has times of its own."""
        if self.source.times:
            return None
        return RATE_HZ if self.format.rate_hz is None else self.format.rate_hz

    def settings(self, estimator: "Estimator") -> dict:
        """Returns all that the results depend on; a killed prediction goes on with the same
        alone."""
        path = self.source.path
        place = path if path == "-" else str(Path(path).resolve())  # from any working directory
        return {
            "recording": place,
            "state": self.source.state,
            "frames": self.source.count,
            "model": estimator.model.digest,
            "runtime": estimator.model.runtime,
            "precision": estimator.model.precision,
            "overlap": estimator.overlap,
            "view": dataclasses.asdict(self.view),
            "format": {**dataclasses.asdict(self.format), "rate_hz": self.rate_hz},
            "intrinsics": dataclasses.asdict(self.intrinsics) if self.intrinsics else None,
            "video": self.video,
        }


@dataclasses.dataclass(frozen=True)
class Request:
    """A recording to predict that is not opened yet: all else is known.

    Attributes:
      place: what the user named.
      view: what the nets see of an image; without a crop, that of the recording, if it has one.
      out, format, intrinsics, video: as of `Task`.
    """

    place: str
    out: Path
    view: View
    format: Format
    intrinsics: Intrinsics | None = None
    video: bool = True

    def open(self) -> Task:
        """Opens the recording.

        Raises:
          DataError: it cannot be used.
        """
        source = open_source(self.place, self.format)
        view = self.view.within(source.crop)
        return Task(source, self.out, view, self.format, self.intrinsics, video=self.video)


def with_intrinsics(task: Task) -> Task:
    """Returns the task with the intrinsics that lie beside the frames, unless it has others."""
    if task.intrinsics is None and task.source.intrinsics_file is not None:
        intrinsics, size = read_intrinsics(task.source.intrinsics_file)
        task = dataclasses.replace(task, intrinsics=intrinsics, calibrated_size=size)
    return task


def check_calibrated_size(task: Task, size: tuple[int, int]) -> None:
    """Checks that the intrinsics are of images of this size (width, height), if that is known.

    Raises:
      DataError: they are of another size, so positions in mm would be wrong.
    """
    if task.calibrated_size not in (None, size):
        raise DataError(
            "camera.json is of images of {}x{} pixels, the frames have {}x{}; pass --intrinsics of "
            "these frames, or correct the file".format(*task.calibrated_size, *size)
        )


def prepare(task: Task, settings: dict) -> None:
    """Creates the output folder, or finds out that it belongs to this task.

    Raises:
      DataError: the folder cannot be written, or holds something else.
    """
    settings = json.loads(json.dumps(settings))  # as they are read again
    try:
        task.out.mkdir(parents=True, exist_ok=True)
        (task.out / ".write.part").touch()
        (task.out / ".write.part").unlink()
        contents = [path for path in task.out.iterdir() if path.suffix != ".part"]
        known = (task.out / JOB).exists()
        if not known:
            if contents:
                raise DataError(
                    f"{task.out}: the folder is not empty; choose another --out, or empty it"
                )
            write_json(task.out / JOB, settings)
    except OSError as error:
        raise DataError(
            f"{task.out}: cannot be written ({error.strerror}); choose another --out"
        ) from error
    try:
        before = json.loads((task.out / JOB).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{task.out / JOB}: cannot be read ({error}); remove the folder") from error
    other = [NAMES.get(k, k) for k in settings if k not in before or before[k] != settings[k]]
    if known and task.source.state is None:
        other.append("stream: what came through a pipe cannot be compared, nor read again")
    if other:
        raise DataError(
            f"{task.out}: holds a prediction with another {' and '.join(other)}; choose another "
            "--out, or remove the folder"
        )


def folders(places: Sequence[str], out: Path) -> list[Path]:
    """Returns an output folder per recording: `out` for one, `out`/NAME for several.

    No recording is opened.

    Where two have one name, as in A/depth and B/depth, the folder above is put before it: A_depth.

    Raises:
      UserError: two recordings have one name even so.
    """
    names = [name_of(place) for place in places]
    if len(names) == 1:
        return [out]
    above = [Path(place).resolve().parent.name for place in places]
    unique = [
        f"{parent}_{name}" if names.count(name) > 1 else name
        for parent, name in zip(above, names, strict=True)
    ]
    for name in unique:
        if unique.count(name) > 1:
            raise UserError(f"two recordings are called {name}; predict them in two calls")
    return [out / name for name in unique]
