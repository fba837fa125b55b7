"""A model and recordings -> poses of all frames, in files. The work of `jaxpose predict`."""

import contextlib
import dataclasses
import json
import sys
import time

import numpy as np

from jaxpose import __version__
from jaxpose.errors import DataError, UserError
from jaxpose.estimator import Estimator
from jaxpose.files import remove_parts, write_json
from jaxpose.outputs.coco import write_coco
from jaxpose.outputs.doubts import about_problems, doubts
from jaxpose.outputs.movements import SETTINGS, write_kinematics
from jaxpose.outputs.quality import quality
from jaxpose.outputs.report import write_report
from jaxpose.outputs.rows import rate_hz
from jaxpose.outputs.tables import write_long, write_wide
from jaxpose.prediction.journal import Journal
from jaxpose.prediction.task import (
    JOB,
    JOURNAL,
    QUALITY,
    Request,
    Task,
    prepare,
    with_intrinsics,
)
from jaxpose.recorder import VIDEO, Recorder

OUTPUTS = (
    "pose.csv", "pose_long.csv", "pose_coco.json", "kinematics.csv", "report.html", QUALITY,
)  # fmt: skip
"""Files that are written once all poses are there."""
MOST_PROBLEMS = 1000
"""Largest number of unreadable frames that quality.json names."""


def predict(estimator: Estimator, task: Task, *, progress: bool = True) -> dict:
    """Predicts a recording, or goes on where a killed prediction stopped; returns quality.json.

    Raises:
      UserError: the recording or the output folder cannot be used.
      OSError: an output cannot be written.
    """
    task = with_intrinsics(task)
    settings = task.settings(estimator)
    prepare(task, settings)
    # No other process writes into the folder until the journal is closed.
    with contextlib.closing(Journal(task.out / JOURNAL)) as journal:
        if is_complete(task):
            journal.remove()
            print(f"{task.out}: is complete, nothing was computed", file=sys.stderr)
            return json.loads((task.out / QUALITY).read_text())
        for name in OUTPUTS:
            remove_parts(task.out / name)
        recorder = Recorder(estimator, task)
        before, began = journal.count, time.perf_counter()
        try:
            recorder.run(journal, progress)
        except DataError as error:
            if not journal.records()["readable"].any():
                remove_all(task, journal)
            raise DataError(f"{task.source.path}: {error}") from error
        rate = (journal.count - before) / max(time.perf_counter() - began, 1e-9)
        result = write_all(estimator, task, recorder, journal.records(), settings, rate)
        journal.remove()
    return result


def remove_all(task: Task, journal: Journal) -> None:
    """Removes what there is of a recording that turned out to be unusable; it has no poses."""
    journal.remove()
    (task.out / JOB).unlink()
    with contextlib.suppress(OSError):  # there may be other files
        task.out.rmdir()


def write_all(
    estimator: Estimator,
    task: Task,
    recorder: Recorder,
    records: np.ndarray,
    settings: dict,
    rate: float,
) -> dict:
    """Writes all files of a recording whose poses are there; returns quality.json."""
    specification, inspection = estimator.model.specification, recorder.inspection
    found = doubts(
        records,
        recorder.counts,
        specification.frame_interval_s,
        task.intrinsics,
        inspection.size,
        task.source.times,
    )
    for text in found:
        inspection.warn(text)
    inspection.check_distance()
    for text in about_problems(inspection.problems, len(records)):
        inspection.warn(text)
    orientation, distance_mm = inspection.check_orientation(records), inspection.distance_mm
    named = list(inspection.problems.items())[:MOST_PROBLEMS]
    result = {
        **settings,
        "format": {**settings["format"], "rate_hz": task.rate_hz or rate_hz(records)},
        "jaxpose": __version__,
        **quality(records, specification.calibration),
        "distance_mm": None if distance_mm is None else round(distance_mm),
        "clips": dataclasses.asdict(recorder.counts),
        "unreadable": [{"frame": number, "why": why} for number, why in named],
        "orientation": orientation,
        "warnings": inspection.warnings,
        "frames_per_s": round(rate, 2),
    }
    pictures = recorder.overlay.pictures if recorder.overlay is not None else []
    write_outputs(task, records, inspection.size, result, pictures)
    return result


def is_complete(task: Task) -> bool:
    """Tells whether all files of a task's results are there.

    Where only some are, such as after one was deleted, it says so: all are written again.
    """
    names = (*OUTPUTS, VIDEO) if task.video else OUTPUTS
    lacking = [name for name in names if not (task.out / name).exists()]
    if lacking and (task.out / QUALITY).exists():
        print(f"{task.out}: lacks {', '.join(lacking)}; all is computed again", file=sys.stderr)
        (task.out / QUALITY).unlink()
    return not lacking


def write_outputs(
    task: Task, records: np.ndarray, size: tuple[int, int], result: dict, pictures: list
) -> None:
    """Writes all files of a recording; quality.json, the last, says that they are complete."""
    out, scorer = task.out, f"jaxpose_{result['model'][:12]}"
    write_wide(out / "pose.csv", records, scorer)
    write_long(out / "pose_long.csv", records)
    info = {"description": "poses by jaxpose", "version": __version__, "model": result["model"]}
    write_coco(out / "pose_coco.json", records, size, info, task.source.image_name)
    unit = write_kinematics(out / "kinematics.csv", records)
    write_report(out, records, result, pictures)
    write_json(out / QUALITY, result | {"kinematics": {"unit": unit, **SETTINGS}})


def predict_all(estimator: Estimator, requests: list[Request], *, progress: bool = True) -> dict:
    """Opens and predicts recordings one after the other; returns what the command prints.

    Where there are several, an unusable one does not stop the others: it is under `failed`. Of
    those that are done, none is in memory.

    Raises:
      UserError: the only recording cannot be used.
    """
    rows, failed = [], []
    for request in requests:
        try:
            result = predict(estimator, request.open(), progress=progress)
        except UserError as error:
            if len(requests) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            failed.append({"recording": request.place, "why": str(error)})
            continue
        keys = (
            "recording", "frames", "frames_unreadable", "joints_found_share", "joints_weak_share",
            "frames_per_s", "warnings",
        )  # fmt: skip
        rows.append({"out": str(request.out), **{key: result[key] for key in keys}})
    frames = sum(row["frames"] for row in rows)
    shares = [row["joints_found_share"] + row["joints_weak_share"] for row in rows]
    present = sum(row["frames"] * share for row, share in zip(rows, shares, strict=True))
    return {
        "frames": frames,
        "frames_per_s": min((row["frames_per_s"] for row in rows), default=0.0),
        "missing_share": round(1 - present / max(frames, 1), 4),
        "recordings": rows,
        **({"failed": failed} if failed else {}),
    }
