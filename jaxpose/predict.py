"""A model and recordings -> poses of all frames, in files. The work of `jaxpose predict`."""

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxpose import __version__
from jaxpose.body.space import Intrinsics, joints_in_mm
from jaxpose.errors import DataError, UserError
from jaxpose.estimator import Estimator
from jaxpose.files import remove_parts, write_json
from jaxpose.outputs.coco import write_coco
from jaxpose.outputs.movements import SETTINGS, write_kinematics
from jaxpose.outputs.quality import quality
from jaxpose.outputs.tables import write_long, write_wide
from jaxpose.prediction.journal import Journal, record
from jaxpose.prediction.stream import Counts, View
from jaxpose.recordings.opening import read_intrinsics
from jaxpose.recordings.recording import Frame
from jaxpose.recordings.source import Source

JOB, JOURNAL, QUALITY = "job.json", "poses.part", "quality.json"
MOST_PROBLEMS = 1000
"""Largest number of unreadable frames that quality.json names."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One recording to predict.

    Attributes:
      source: the recording.
      out: folder of the results.
      view: what the nets see of an image.
      intrinsics: of the camera; None: those beside the frames, if there are any.
    """

    source: Source
    out: Path
    view: View
    intrinsics: Intrinsics | None = None

    def settings(self, estimator: Estimator) -> dict:
        """Returns all that the poses depend on; a killed prediction goes on with the same alone."""
        return {
            "recording": self.source.path,
            "frames": self.source.count,
            "model": estimator.model.digest,
            "overlap": estimator.overlap,
            "view": dataclasses.asdict(self.view),
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


def predict(estimator: Estimator, task: Task, *, progress: bool = True) -> dict:
    """Predicts a recording, or goes on where a killed prediction stopped; returns quality.json.

    Raises:
      UserError: the recording or the output folder cannot be used.
      OSError: an output cannot be written.
    """
    task = with_intrinsics(task)
    settings = task.settings(estimator)
    if prepare(task, settings):
        return json.loads((task.out / QUALITY).read_text())
    for name in ("pose.csv", "pose_long.csv", "pose_coco.json", "kinematics.csv", QUALITY):
        remove_parts(task.out / name)
    journal = Journal(task.out / JOURNAL)
    problems: dict[int, str] = {}
    size: list[tuple[int, int]] = []
    counts, before, began = Counts(), journal.count, time.perf_counter()

    def frames() -> Iterator[Frame]:
        for frame, problem in task.source.read():
            if problem:
                problems[frame.number] = problem
            elif not size:
                size.append((frame.depth_mm.shape[1], frame.depth_mm.shape[0]))
            yield frame

    try:
        bar = tqdm(
            total=task.source.count, desc=task.source.name, unit="frame", disable=not progress
        )
        with bar:
            pairs = estimator.with_frames(frames(), view=task.view, skip=before, counts=counts)
            for frame, pose in pairs:
                if pose is not None:
                    readable = frame.depth_mm is not None
                    mm = None
                    if readable and task.intrinsics is not None:
                        mm = joints_in_mm(pose.xy, frame.depth_mm, task.intrinsics)
                    journal.append(record(pose, readable, mm))
                bar.update()
        records = journal.records()
        if not records["readable"].any():
            raise DataError(f"no frame can be read; the first: {next(iter(problems.values()))}")
    except DataError as error:  # the recording is unusable: nothing of it is left
        (task.out / JOURNAL).unlink()
        (task.out / JOB).unlink()
        raise DataError(f"{task.source.path}: {error}") from error
    finally:
        journal.close()
    seconds = time.perf_counter() - began
    named = dict(list(problems.items())[:MOST_PROBLEMS])
    result = {
        **settings,
        "jaxpose": __version__,
        **quality(records),
        "clips": dataclasses.asdict(counts),
        "confidence": "calibrated" if estimator.model.specification.calibration else "uncalibrated",
        "unreadable": [{"frame": number, "why": why} for number, why in named.items()],
        "frames_per_s": round((len(records) - before) / max(seconds, 1e-9), 2),
    }
    write_outputs(task.out, records, size[0], result)
    (task.out / JOURNAL).unlink()
    return result


def write_outputs(out: Path, records: np.ndarray, size: tuple[int, int], result: dict) -> None:
    """Writes all files of a recording; quality.json, the last, says that they are complete."""
    scorer = f"jaxpose_{result['model'][:12]}"
    write_wide(out / "pose.csv", records, scorer)
    write_long(out / "pose_long.csv", records)
    info = {"description": "poses by jaxpose", "version": __version__, "model": result["model"]}
    write_coco(out / "pose_coco.json", records, size, info)
    unit = write_kinematics(out / "kinematics.csv", records)
    write_json(out / QUALITY, result | {"kinematics": {"unit": unit, **SETTINGS}})


def predict_all(estimator: Estimator, tasks: list[Task], *, progress: bool = True) -> dict:
    """Predicts recordings one after the other; returns what the command prints.

    Raises:
      UserError: a recording cannot be used; those before it are complete.
    """
    rows = []
    for task in tasks:
        result = predict(estimator, task, progress=progress)
        keys = ("recording", "frames", "frames_unreadable", "joints_found_share", "frames_per_s")
        rows.append({"out": str(task.out), **{key: result[key] for key in keys}})
    frames = sum(row["frames"] for row in rows)
    found = sum(row["frames"] * row["joints_found_share"] for row in rows)
    return {
        "frames": frames,
        "frames_per_s": min(row["frames_per_s"] for row in rows),
        "missing_share": round(1 - found / max(frames, 1), 4),
        "recordings": rows,
    }


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
