"""A recording -> its poses, one record per frame, in a journal, and drawn in a video."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from jaxpose.body.space import joints_in_mm
from jaxpose.estimator import Estimator
from jaxpose.outputs.inspection import Inspection
from jaxpose.outputs.overlay import Overlay
from jaxpose.prediction.journal import Journal, record
from jaxpose.prediction.pose import Pose
from jaxpose.prediction.stream import Counts
from jaxpose.prediction.task import Task, check_calibrated_size
from jaxpose.recordings.ahead import Behind
from jaxpose.recordings.recording import Frame
from jaxpose.recordings.source import Reading

VIDEO = "overlay.mp4"


class Recorder:
    """Reads a recording, predicts it, and appends what comes of it to the journal and the video.

    Attributes:
      inspection: what does not suit the recording's frames.
      counts: places of frames in their clips.
      overlay: the video, None without one.
    """

    def __init__(self, estimator: Estimator, task: Task):
        """Opens the output files of a task, whose folder is prepared."""
        source = dataclasses.replace(task.source, read=lambda: _readings(task))
        self.inspection = Inspection(estimator, source, task.view)
        self.counts = Counts()
        self.overlay = Overlay(task.out / VIDEO) if task.video else None
        self._task = task

    def run(self, journal: Journal, progress: bool) -> None:
        """Predicts the frames that the journal lacks, and draws all.

        Raises:
          DataError: the recording cannot be used.
          OSError: an output cannot be written.
        """
        if self.overlay is None:
            self._run(journal, progress, None)
            return
        try:
            drawing = Behind(self.overlay.add)
            try:
                self._run(journal, progress, drawing)
            finally:
                drawing.close()
            self.overlay.close()
        finally:
            self.overlay.discard()  # of a finished video, nothing

    def _run(self, journal: Journal, progress: bool, drawing: Behind | None) -> None:
        task, before, stored = self._task, journal.count, journal.records()
        pairs = self.inspection.predicted(skip=before, counts=self.counts)
        total, name = task.source.count, task.source.name
        with tqdm(pairs, total=total, desc=name, unit="frame", disable=not progress) as bar:
            for index, (frame, pose) in enumerate(bar):
                if pose is None:
                    one = stored[index]
                else:
                    one = self._record(frame, pose)
                    journal.append(one)
                if drawing is not None:
                    drawing(frame.depth_mm, one)
        if drawing is not None:
            drawing.finish()

    def _record(self, frame: Frame, pose: Pose) -> np.void:
        readable, mm = frame.depth_mm is not None, None
        if readable and self._task.intrinsics is not None:
            mm = joints_in_mm(pose.xy, frame.depth_mm, self._task.intrinsics)
        return record(pose, readable, mm)[()]


def _readings(task: Task) -> Iterator[Reading]:
    """Yields the readings of a recording, once the size of its images was checked."""
    checked = False
    for reading in task.source.read():
        depth = reading.frame.depth_mm
        if depth is not None and not checked:
            check_calibrated_size(task, (depth.shape[1], depth.shape[0]))
            checked = True
        yield reading
