"""A few clips of a recording, in all four turns -> in which of them the nets are most confident.

A model that has only seen heads at one side of the image is silently wrong on others, but its
confidence is lower there. See LOG.md for how much.
"""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from jaxpose.prediction.planner import Clip, Planner
from jaxpose.prediction.view import View
from jaxpose.recordings.orientation import TURNS
from jaxpose.recordings.recording import Frame

if TYPE_CHECKING:
    from jaxpose.estimator import Estimator

CLIPS, APART_S = 8, 2.0
"""Largest number of clips that are compared, and the least time between their first frames."""
CLEARLY = 1.15
"""Factor by which another turn's mean confidence must be above that of the turn in use."""
_FAR_S = 60.0


class Upright:
    """Collects the clips of one recording, in constant memory, and compares the turns.

    Attributes:
      turn: degrees clockwise of the turn in use.
      confidence: turn in degrees -> mean confidence of all joints, missing ones as 0; empty before
        `compare`, or if there was no complete clip.
      clips: number of clips that were collected.
    """

    def __init__(self, estimator: "Estimator", view: View):
        """`view` is the one in use."""
        self.turn = view.turn
        self.confidence: dict[int, float] = {}
        self.clips = 0
        self._estimator, self._view = estimator, view
        specification = estimator.model.specification
        self._length, self._interval_s = specification.clip_frames, specification.frame_interval_s
        self._planner = Planner(self._length, self._interval_s)
        self._waiting: dict[int, Frame] = {}  # frames of clips to come, numbered by the planner
        self._frames: list[Frame] = []
        self._count, self._next_s = 0, -np.inf

    @property
    def full(self) -> bool:
        """Tells whether there are enough clips."""
        return self.clips == CLIPS

    def add(self, frame: Frame) -> None:
        """Adds the recording's next frame; most of them are not stored.

        The neighbours of a frame are those that its pose comes from.
        """
        if self.full or frame.time_s < self._next_s:
            return
        depth = frame.depth_mm
        usable = depth is not None and bool(self._view.image(depth).any())
        if usable:
            self._waiting[self._count] = frame
        self._count += 1
        self._take(self._planner.add(frame.time_s, usable))

    def _take(self, planned: Iterable[tuple[int, Clip | None]]) -> None:
        """Stores the first complete clip, and plans the next one from `APART_S` later on."""
        for _, clip in planned:
            if clip is None or not clip.complete:
                continue
            images = [self._waiting[k] for k in clip.frames]
            for place, one in enumerate(images):
                time_s = _FAR_S * self.clips + place * self._interval_s
                self._frames.append(Frame(len(self._frames), time_s, one.depth_mm))
            self._next_s = images[0].time_s + APART_S
            self._planner = Planner(self._length, self._interval_s)
            self._waiting, self._count = {}, 0
            self.clips += 1
            return
        oldest = self._planner.oldest
        self._waiting = {k: frame for k, frame in self._waiting.items() if k >= oldest}

    def compare(self) -> None:
        """Computes the confidence of each turn, and forgets the clips."""
        self._take(self._planner.finish())
        frames, self._frames = self._frames, []
        if not frames:
            return
        for turn in TURNS:
            poses = self._estimator.stream(frames, view=dataclasses.replace(self._view, turn=turn))
            confidence = [pose.confidence for pose in poses]
            self.confidence[turn] = float(np.mean(confidence))

    def warning(self) -> str:
        """Returns what to say to the user after `compare`; "" if no other turn is much better."""
        if not self.confidence:
            return (
                f"whether the images are turned was not checked: no {self._length} frames are "
                f"{self._interval_s:.3g} s apart, as in the model's training; look at the poses, "
                "and if they are wrong, try another --rotate"
            )
        actual, best = self.turn, max(self.confidence, key=self.confidence.__getitem__)
        if self.confidence[best] <= CLEARLY * self.confidence[actual]:
            return ""
        return (
            f"the images look turned for this model: its mean confidence is "
            f"{self.confidence[actual]:.2f} with --rotate={actual} and {self.confidence[best]:.2f} "
            f"with --rotate={best}; compare with --rotate={best} and another --out"
        )
