"""A recording -> its poses, one record per frame, in a journal, and drawn in a video."""

import sys
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt16
from tqdm import tqdm

from jaxpose.body.space import joints_in_mm
from jaxpose.errors import DataError
from jaxpose.estimator import Estimator
from jaxpose.outputs.overlay import Overlay
from jaxpose.prediction.journal import Journal, record
from jaxpose.prediction.pose import Pose
from jaxpose.prediction.stream import Counts
from jaxpose.prediction.task import Task, check_calibrated_size
from jaxpose.prediction.upright import Upright
from jaxpose.prediction.view import cut
from jaxpose.recordings.ahead import Behind
from jaxpose.recordings.orientation import Box
from jaxpose.recordings.recording import Frame

VIDEO = "overlay.mp4"
DISTANCES = 100
"""Number of frames whose median depth is looked at."""


def median_depth(depth_mm: UInt16[np.ndarray, "h w"], crop: Box | None) -> float | None:
    """Returns the median depth, mm, of an image's crop (x, y, width, height); None without any.

    Of large images, every fourth row and column is looked at, where they have depth.
    """
    seen = cut(depth_mm, crop)
    coarse = seen[::4, ::4]
    known = coarse[coarse > 0] if coarse.any() else seen[seen > 0]
    return float(np.median(known)) if known.size else None


class Recorder:
    """Reads a recording, predicts it, and appends what comes of it to the journal and the video.

    Attributes:
      problems: number of a frame that could not be read -> why.
      size: (width, height) px of the images.
      counts: places of frames in their clips.
      overlay: the video, None without one.
      upright: which turn of the images suits the model.
      distances_mm: median depth of each of the first frames that have depth where the nets look.
      warnings: what the user should look at.
    """

    def __init__(self, estimator: Estimator, task: Task):
        """Opens the output files of a task, whose folder is prepared."""
        self.problems: dict[int, str] = {}
        self.size: tuple[int, int] | None = None
        self.counts = Counts()
        self.overlay = Overlay(task.out / VIDEO) if task.video else None
        self.upright = Upright(estimator, task.view)
        self.distances_mm: list[float] = []
        self.warnings: list[str] = []
        self._estimator, self._task = estimator, task

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

    @property
    def distance_mm(self) -> float | None:
        """Median of `distances_mm`; None where there is no depth to look at."""
        return float(np.median(self.distances_mm)) if self.distances_mm else None

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
            if frame.depth_mm is not None and len(self.distances_mm) < DISTANCES:
                distance_mm = median_depth(frame.depth_mm, self._task.view.crop)
                if distance_mm is not None:
                    self.distances_mm.append(distance_mm)
            yield frame
            self.upright.add(frame)  # once it was found to fit those before

    def _record(self, frame: Frame, pose: Pose) -> np.void:
        readable, mm = frame.depth_mm is not None, None
        if readable and self._task.intrinsics is not None:
            mm = joints_in_mm(pose.xy, frame.depth_mm, self._task.intrinsics)
        return record(pose, readable, mm)[()]
