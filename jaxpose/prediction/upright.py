"""A few clips of a recording, in all four turns -> in which of them the nets are most confident.

A model that has only seen heads at one side of the image is silently wrong on others, but its
confidence is lower there. See LOG.md for how much.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from jaxpose.prediction.stream import View
from jaxpose.recordings.orientation import TURNS
from jaxpose.recordings.recording import Frame

if TYPE_CHECKING:
    from jaxpose.estimator import Estimator

CLIPS, APART_S = 8, 2.0
"""Largest number of clips that are compared, and the least time between their first frames."""
CLEARLY = 1.15
"""Factor by which another turn's mean confidence must be above that of the turn in use."""
_NEAR, _FAR_S = 0.1, 60.0


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
        self._clip: list[Frame] = []
        self._frames: list[Frame] = []
        self._next_s = -np.inf

    @property
    def full(self) -> bool:
        """Tells whether there are enough clips."""
        return self.clips == CLIPS

    def add(self, frame: Frame) -> None:
        """Adds the recording's next frame; most of them are not stored."""
        if self.full or frame.time_s < self._next_s:
            return
        if self._clip:
            ahead_s = frame.time_s - self._clip[0].time_s - len(self._clip) * self._interval_s
            if ahead_s < -_NEAR * self._interval_s:
                return
            if ahead_s > _NEAR * self._interval_s:  # a gap, or a rate that does not fit
                self._clip = []
        if frame.depth_mm is None or not frame.depth_mm.any():
            self._clip = []
            return
        self._clip.append(frame)
        if len(self._clip) == self._length:
            self._next_s = self._clip[0].time_s + APART_S
            for place, one in enumerate(self._clip):
                time_s = _FAR_S * self.clips + place * self._interval_s
                self._frames.append(Frame(len(self._frames), time_s, one.depth_mm))
            self._clip = []
            self.clips += 1

    def compare(self) -> None:
        """Computes the confidence of each turn, and forgets the clips."""
        frames, self._frames = self._frames, []
        if not frames:
            return
        for turn in TURNS:
            poses = self._estimator.stream(frames, view=dataclasses.replace(self._view, turn=turn))
            confidence = [pose.confidence for pose in poses]
            self.confidence[turn] = float(np.mean(confidence))

    def warning(self) -> str:
        """Returns what to say to the user; "" if no other turn is clearly better."""
        if not self.confidence:
            return ""
        actual, best = self.turn, max(self.confidence, key=self.confidence.__getitem__)
        if self.confidence[best] <= CLEARLY * self.confidence[actual]:
            return ""
        return (
            f"the images look turned for this model: its mean confidence is "
            f"{self.confidence[actual]:.2f} with --rotate={actual} and {self.confidence[best]:.2f} "
            f"with --rotate={best}; compare with --rotate={best} and another --out"
        )
