"""A model and recordings -> poses of all frames, in files. The work of `jaxpose predict`."""

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxpose import __version__
from jaxpose.body.space import joints_in_mm
from jaxpose.errors import DataError
from jaxpose.estimator import Estimator
from jaxpose.files import remove_parts, write_json
from jaxpose.outputs.anatomy import anatomy, trained_direction
from jaxpose.outputs.coco import write_coco
from jaxpose.outputs.doubts import doubts
from jaxpose.outputs.movements import SETTINGS, write_kinematics
from jaxpose.outputs.overlay import Overlay
from jaxpose.outputs.quality import quality
from jaxpose.outputs.report import write_report
from jaxpose.outputs.tables import write_long, write_wide
from jaxpose.prediction.journal import Journal, record
from jaxpose.prediction.pose import Pose
from jaxpose.prediction.stream import Counts
from jaxpose.prediction.task import (
    JOB,
    JOURNAL,
    QUALITY,
    Task,
    check_calibrated_size,
    prepare,
    with_intrinsics,
)
from jaxpose.prediction.upright import Upright
from jaxpose.recordings.ahead import Behind
from jaxpose.recordings.recording import Frame

VIDEO = "overlay.mp4"
OUTPUTS = (
    "pose.csv", "pose_long.csv", "pose_coco.json", "kinematics.csv", "report.html", QUALITY,
)  # fmt: skip
"""Files that are written once all poses are there."""
MOST_PROBLEMS = 1000
"""Largest number of unreadable frames that quality.json names."""


class Recorder:
    """Reads a recording, predicts it, and appends what comes of it to the journal and the video.

    Attributes:
      problems: number of a frame that could not be read -> why.
      size: (width, height) px of the images.
      counts: places of frames in their clips.
      overlay: the video, None without one.
      upright: which turn of the images suits the model.
      warnings: what the user should look at.
    """

    def __init__(self, estimator: Estimator, task: Task):
        """Opens the output files of a task, whose folder is prepared."""
        self.problems: dict[int, str] = {}
        self.size: tuple[int, int] | None = None
        self.counts = Counts()
        self.overlay = Overlay(task.out / VIDEO) if task.video else None
        self.upright = Upright(estimator, task.view)
        self.warnings: list[str] = []
        self._estimator, self._task = estimator, task

    def run(self, journal: Journal, progress: bool) -> None:
        """Predicts the frames that the journal lacks, and draws all.

        Raises:
          DataError: the recording cannot be used.
          OSError: an output cannot be written.
        """
        drawing = None if self.overlay is None else Behind(self.overlay.add)
        try:
            self._run(journal, progress, drawing)
        finally:
            if drawing is not None:
                drawing.close()
        if self.overlay is not None:
            self.overlay.close()

    def _run(self, journal: Journal, progress: bool, drawing: Behind | None) -> None:
        task, before, stored = self._task, journal.count, journal.records()
        pairs = self._estimator.with_frames(
            self._frames(), view=task.view, skip=before, counts=self.counts
        )
        total, name = task.source.count, task.source.name
        with tqdm(pairs, total=total, desc=name, unit="frame", disable=not progress) as bar:
            for index, (frame, pose) in enumerate(bar):
                if self.upright.full and not self.upright.confidence:
                    self._compare_turns()
                if pose is None:
                    one = stored[index]
                else:
                    one = self._record(frame, pose)
                    journal.append(one)
                if drawing is not None:
                    drawing(frame.depth_mm, one)
        if not journal.records()["readable"].any():
            first = next(iter(self.problems.values()))
            raise DataError(f"no frame can be read; the first: {first}")
        if not self.upright.confidence:
            self._compare_turns()
        if drawing is not None:
            drawing.finish()

    def warn(self, text: str) -> None:
        """Prints a warning to stderr, and keeps it for quality.json."""
        self.warnings.append(text)
        tqdm.write(f"warning: {self._task.source.path}: {text}", file=sys.stderr)

    def _compare_turns(self) -> None:
        self.upright.compare()
        if text := self.upright.warning():
            self.warn(text)

    def _frames(self) -> Iterator[Frame]:
        for frame, problem in self._task.source.read():
            if problem:
                self.problems[frame.number] = problem
            elif self.size is None:
                self.size = (frame.depth_mm.shape[1], frame.depth_mm.shape[0])
                check_calibrated_size(self._task, self.size)
            self.upright.add(frame)
            yield frame

    def _record(self, frame: Frame, pose: Pose) -> np.void:
        readable, mm = frame.depth_mm is not None, None
        if readable and self._task.intrinsics is not None:
            mm = joints_in_mm(pose.xy, frame.depth_mm, self._task.intrinsics)
        return record(pose, readable, mm)[()]


def predict(estimator: Estimator, task: Task, *, progress: bool = True) -> dict:
    """Predicts a recording, or goes on where a killed prediction stopped; returns quality.json.

    Raises:
      UserError: the recording or the output folder cannot be used.
      OSError: an output cannot be written.
    """
    task = with_intrinsics(task)
    settings = task.settings(estimator)
    if prepare(task, settings):
        print(f"{task.out}: is complete, nothing was computed", file=sys.stderr)
        return json.loads((task.out / QUALITY).read_text())
    for name in OUTPUTS:
        remove_parts(task.out / name)
    journal, recorder = Journal(task.out / JOURNAL), Recorder(estimator, task)
    before, began = journal.count, time.perf_counter()
    try:
        recorder.run(journal, progress)
        records = journal.records()
    except DataError as error:  # the recording is unusable: nothing of it is left
        (task.out / JOURNAL).unlink()
        (task.out / JOB).unlink()
        raise DataError(f"{task.source.path}: {error}") from error
    finally:
        journal.close()
        if recorder.overlay is not None:
            recorder.overlay.discard()
    rate = (len(records) - before) / max(time.perf_counter() - began, 1e-9)
    wanted_s = estimator.model.specification.frame_interval_s
    for text in doubts(records, recorder.counts, wanted_s, task.intrinsics, recorder.size):
        recorder.warn(text)
    named = list(recorder.problems.items())[:MOST_PROBLEMS]
    result = {
        **settings,
        "jaxpose": __version__,
        **quality(records, estimator.model.specification.calibration),
        "clips": dataclasses.asdict(recorder.counts),
        "unreadable": [{"frame": number, "why": why} for number, why in named],
        "orientation": orientation(estimator, recorder, records),
        "warnings": recorder.warnings,
        "frames_per_s": round(rate, 2),
    }
    pictures = recorder.overlay.pictures if recorder.overlay is not None else []
    write_outputs(task.out, records, recorder.size, result, pictures)
    (task.out / JOURNAL).unlink()
    return result


def orientation(estimator: Estimator, recorder: Recorder, records: np.ndarray) -> dict:
    """Returns which way the head points, and what each turn of the images gave; warns."""
    specification, turn = estimator.model.specification, recorder.upright.turn
    trained = trained_direction(
        np.array(specification.mean_pose), specification.grid[0], degrees=turn
    )
    found, warnings = anatomy(records, trained, recorder.size[0])
    for text in warnings:
        recorder.warn(text)
    compared = {str(turn): round(value, 4) for turn, value in recorder.upright.confidence.items()}
    return {
        "turn": turn,
        "mean_confidence_by_turn": compared,
        "clips_compared": recorder.upright.clips,
        **found,
    }


def write_outputs(
    out: Path, records: np.ndarray, size: tuple[int, int], result: dict, pictures: list
) -> None:
    """Writes all files of a recording; quality.json, the last, says that they are complete."""
    scorer = f"jaxpose_{result['model'][:12]}"
    write_wide(out / "pose.csv", records, scorer)
    write_long(out / "pose_long.csv", records)
    info = {"description": "poses by jaxpose", "version": __version__, "model": result["model"]}
    write_coco(out / "pose_coco.json", records, size, info)
    unit = write_kinematics(out / "kinematics.csv", records)
    write_report(out, records, result, pictures)
    write_json(out / QUALITY, result | {"kinematics": {"unit": unit, **SETTINGS}})


def predict_all(estimator: Estimator, tasks: list[Task], *, progress: bool = True) -> dict:
    """Predicts recordings one after the other; returns what the command prints.

    Raises:
      UserError: a recording cannot be used; those before it are complete.
    """
    rows = []
    for task in tasks:
        result = predict(estimator, task, progress=progress)
        keys = (
            "recording", "frames", "frames_unreadable", "joints_found_share", "joints_weak_share",
            "frames_per_s", "warnings",
        )  # fmt: skip
        rows.append({"out": str(task.out), **{key: result[key] for key in keys}})
    frames = sum(row["frames"] for row in rows)
    shares = [row["joints_found_share"] + row["joints_weak_share"] for row in rows]
    present = sum(row["frames"] * share for row, share in zip(rows, shares, strict=True))
    return {
        "frames": frames,
        "frames_per_s": min(row["frames_per_s"] for row in rows),
        "missing_share": round(1 - present / max(frames, 1), 4),
        "recordings": rows,
    }
