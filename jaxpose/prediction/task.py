"""One recording to predict, and the folder of its results."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from jaxpose.body.space import Intrinsics
from jaxpose.errors import DataError, UserError
from jaxpose.files import write_json
from jaxpose.prediction.stream import View
from jaxpose.recordings.opening import Format, read_intrinsics
from jaxpose.recordings.source import Source

if TYPE_CHECKING:
    from jaxpose.estimator import Estimator

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
      video: if overlay.mp4 is written.
    """

    source: Source
    out: Path
    view: View
    format: Format
    intrinsics: Intrinsics | None = None
    video: bool = True

    def settings(self, estimator: "Estimator") -> dict:
        """Returns all that the poses depend on; a killed prediction goes on with the same alone."""
        return {
            "recording": self.source.path,
            "frames": self.source.count,
            "model": estimator.model.digest,
            "runtime": estimator.model.runtime,
            "precision": estimator.model.precision,
            "overlap": estimator.overlap,
            "view": dataclasses.asdict(self.view),
            "format": dataclasses.asdict(self.format),
            "intrinsics": dataclasses.asdict(self.intrinsics) if self.intrinsics else None,
        }


def with_intrinsics(task: Task) -> Task:
    """Returns the task with the intrinsics that lie beside the frames, unless it has others."""
    if task.intrinsics is None and task.source.intrinsics_file is not None:
        task = dataclasses.replace(task, intrinsics=read_intrinsics(task.source.intrinsics_file))
    return task


def prepare(task: Task, settings: dict) -> bool:
    """Creates the output folder, or finds out that it belongs to this task; tells if it is done.

    Raises:
      DataError: the folder cannot be written, or holds something else.
    """
    settings = json.loads(json.dumps(settings))  # as they are read again
    try:
        task.out.mkdir(parents=True, exist_ok=True)
        (task.out / ".write.part").touch()
        (task.out / ".write.part").unlink()
        contents = [path for path in task.out.iterdir() if path.suffix != ".part"]
        if not (task.out / JOB).exists():
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
    if before != settings:
        other = [name for name in settings if before.get(name) != settings[name]]
        raise DataError(
            f"{task.out}: holds a prediction with another {' and '.join(other)}; choose another "
            "--out, or remove the folder"
        )
    return (task.out / QUALITY).exists()


def folders(names: list[str], out: Path) -> list[Path]:
    """Returns an output folder per recording: `out` for one, `out`/NAME for several.

    Raises:
      UserError: two recordings have one name.
    """
    if len(names) == 1:
        return [out]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two recordings are called {name}; predict them in two calls")
    return [out / name for name in names]
