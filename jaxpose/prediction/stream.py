"""Frames of a recording, one after the other -> their poses, in constant memory."""

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from jaxpose.body import geometry
from jaxpose.decoding.confidence import MISSING
from jaxpose.decoding.evidence import evidence
from jaxpose.errors import DataError
from jaxpose.prediction.planner import Clip, Planner
from jaxpose.prediction.pose import Pose, frame_of, no_pose, pose_of
from jaxpose.prediction.view import View
from jaxpose.recordings.orientation import Box, turn_back
from jaxpose.recordings.recording import Frame

if TYPE_CHECKING:
    from jaxpose.model import Model


@dataclasses.dataclass
class Counts:
    """How many frames were in which place of their clip.

    Attributes:
      middle: in the middle.
      end: first or last of their clip, at the recording's ends, beside gaps, or if clips do not
        overlap.
      incomplete: the frame itself stood in for a missing neighbour.
      missing: without a pose, as the frame could not be read.
    """

    middle: int = 0
    end: int = 0
    incomplete: int = 0
    missing: int = 0

    def add(self, clip: Clip | None) -> None:
        """Counts one more frame."""
        if clip is None:
            self.missing += 1
        elif not clip.complete:
            self.incomplete += 1
        elif clip.position == len(clip.frames) // 2:
            self.middle += 1
        else:
            self.end += 1


class Stream:
    """The frames of one recording that were read and whose poses were not yielded yet."""

    def __init__(
        self,
        model: "Model",
        *,
        view: View,
        overlap: bool = True,
        batch_size: int = 8,
        skip: int = 0,
    ):
        """Begins a recording; the arguments are those of `Estimator`."""
        specification = model.specification
        self.counts = Counts()
        self._model, self._view, self._skip, self._batch = model, view, skip, batch_size
        self._planner = Planner(
            specification.clip_frames, specification.frame_interval_s, overlap=overlap
        )
        self._size: tuple[int, int] | None = None
        self._part: Box | None = None  # of the turned image, without margins
        self._crop: Box | None = None  # of the turned image, with margins
        self._count, self._ended = 0, False
        self._frames: dict[int, Frame] = {}  # not yet yielded
        self._grids: dict[int, np.ndarray] = {}  # images of clips to come
        self._planned: list[tuple[int, Clip | None]] = []

    def add(self, frame: Frame) -> None:
        """Adds the next frame; one without depth, or without a valid pixel, has no pose.

        Raises:
          DataError: the frame has another type or size than it must have, or its time is not later
            than that of the frame before.
        """
        usable = frame.depth_mm is not None
        if usable:
            self._check(frame)
            image = self._view.image(frame.depth_mm)
            usable = bool(image.any())
        if usable:
            self._grids[self._count] = self._model.to_grid(image[None], self._crop)[0]
        self._frames[self._count] = frame
        self._count += 1
        self._planned.extend(self._planner.add(frame.time_s, usable))

    def finish(self) -> None:
        """Says that no frame will follow.

        Raises:
          DataError: there were fewer frames than a clip has.
        """
        length = self._model.specification.clip_frames
        if self._count < length:
            count = "1 frame" if self._count == 1 else f"{self._count} frames"
            raise DataError(f"{count}; expected at least {length}, one clip")
        self._ended = True
        self._planned.extend(self._planner.finish())

    def poses(self, lock: AbstractContextManager) -> Iterator[tuple[Frame, Pose | None]]:
        """Yields the frames whose clips fill a batch, with their poses; at the end, all others.

        `lock` is held while the nets compute.
        """
        while self._planned:
            part, clips = self._next_batch()
            if 0 < len(clips) < self._batch and not self._ended:
                return
            del self._planned[: len(part)]
            poses = self._compute(part, clips, lock)
            for index, clip in part:
                frame = self._frames.pop(index)
                self.counts.add(clip)
                missing = None if index < self._skip else no_pose(frame.number, frame.time_s)
                yield frame, poses.get(index, missing)
            later = (k for _, clip in self._planned if clip for k in clip.frames)
            oldest = min([self._planner.oldest, *later])
            self._grids = {k: grid for k, grid in self._grids.items() if k >= oldest}

    def _check(self, frame: Frame) -> None:
        depth = frame.depth_mm
        if not isinstance(depth, np.ndarray) or depth.dtype != np.uint16 or depth.ndim != 2:
            kind = f"{depth.dtype} {[*depth.shape]}" if isinstance(depth, np.ndarray) else depth
            raise DataError(
                f"frame {frame.number} is {kind}; expected uint16 [rows columns], depth in mm"
            )
        size = (depth.shape[1], depth.shape[0])
        if self._size is None:
            self._size, self._part = size, self._view.part(size)
            self._crop = self._view.box(size, self._model.specification.grid)
        elif size != self._size:
            raise DataError(
                f"frame {frame.number}: {size[0]}x{size[1]} pixels; expected {self._size[0]}x"
                f"{self._size[1]} as before; use one size for all frames of a recording"
            )

    def _next_batch(self) -> tuple[list[tuple[int, Clip | None]], dict[tuple[int, ...], int]]:
        """Returns the next frames whose clips fit into a batch, and the clips, numbered."""
        clips: dict[tuple[int, ...], int] = {}
        for count, (index, clip) in enumerate(self._planned):
            if clip is not None and index >= self._skip and clip.frames not in clips:
                if len(clips) == self._batch:
                    return self._planned[:count], clips
                clips[clip.frames] = len(clips)
        return list(self._planned), clips

    def _compute(self, part, clips: dict[tuple[int, ...], int], lock) -> dict[int, Pose]:
        """Returns the poses of the frames that have a clip and are not skipped, by index.

        The nets may find joints in the margins, where they see nothing. One that is at most a cell
        of the grid outside of what they see is moved to its border; others are missing.
        """
        todo = [(k, clip) for k, clip in part if clip is not None and k >= self._skip]
        if not todo:
            return {}
        model = self._model
        depth = np.stack([np.stack([self._grids[k] for k in frames]) for frames in clips])
        inputs = model.clips(depth)
        with lock:
            maps = model.maps(inputs, self._batch)
        clip = np.array([clips[clip.frames] for _, clip in todo])
        position = np.array([clip.position for _, clip in todo])
        maps = type(maps)(*(net[clip, position] for net in maps))
        poses = model.decode(model.decoded_maps(maps))
        calibration, known = model.specification.calibration, None
        if calibration is not None:
            radius_px = model.specification.decoding.radius_px
            known = evidence(*maps, inputs[clip, position, :, :, 0], poses, radius_px)
        xy = geometry.joints_from_grid(poses.xy, np.array(self._crop), model.specification.grid)
        cell_px = np.array(self._crop[2:]) / np.array(model.specification.grid[::-1])
        xy, near = geometry.moved_into(xy, self._part, cell_px)
        xy = turn_back(xy, self._size, self._view.turn)
        frames = [self._frames[k] for k, _ in todo]
        pose = pose_of(
            poses._replace(xy=xy),
            np.array([frame.number for frame in frames]),
            np.array([frame.time_s for frame in frames], np.float64),
            calibration,
            known,
        )
        pose = _without(pose, ~near)
        return {k: frame_of(pose, row) for row, (k, _) in enumerate(todo)}


def _without(pose: Pose, lost: Bool[np.ndarray, "n 12"]) -> Pose:
    """Returns poses whose `lost` joints are missing."""
    return dataclasses.replace(
        pose,
        xy=np.where(lost[..., None], np.float32(np.nan), pose.xy),
        confidence=np.where(lost, np.float32(0), pose.confidence),
        state=np.where(lost, MISSING, pose.state),
    )
