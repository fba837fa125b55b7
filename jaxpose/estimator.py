"""A model for use: `estimator = jaxpose.load()`, then `pose = estimator(frames_mm)`.

An estimator reads a recording at the recording's own rate: it finds the frames that are as far
apart as those that the model was trained on. See docs/predict.md.
"""

import importlib.resources
import math
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxpose.body.geometry import check_frames
from jaxpose.errors import DataError, ModelError
from jaxpose.lowering import Lowering
from jaxpose.model import Model
from jaxpose.nets.compute import check_batch_size
from jaxpose.prediction.pose import Pose, of_image, stack
from jaxpose.prediction.stream import Counts, Stream
from jaxpose.prediction.view import View
from jaxpose.recordings.recording import (
    DEEPEST_MM,
    RATE_HZ,
    Frame,
    as_seconds,
    check_depth,
    check_rate,
)
from jaxpose.runtime import load_model

SHIPPED = "models"
"""Folder inside the package with the model that is loaded by default."""


def load(
    path: Path | str | None = None,
    *,
    runtime: str = "jax",
    lowering: Lowering | str | None = None,
    precision: str = "float32",
) -> "Estimator":
    """Loads a model file, by default the one that jaxpose ships, for prediction.

    `runtime` computes the nets: jax, onnxruntime or openvino; the last two also read the ONNX files
    that `jaxpose export` writes. `lowering` and `precision` are as in `jaxpose.Model`; `lowering`
    is for jax alone, and onnxruntime has no bfloat16.

    Raises:
      ModelError: the file cannot be used, or no path is passed and jaxpose ships no model.
      UserError: the runtime is unknown, or its package is not installed.
    """
    path = shipped_model() if path is None else path
    return Estimator(load_model(path, runtime=runtime, lowering=lowering, precision=precision))


def shipped_model() -> Path:
    """Returns the path of the model that jaxpose ships.

    Raises:
      ModelError: it ships none.
    """
    folder = Path(str(importlib.resources.files("jaxpose"))) / SHIPPED
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(
            "this version of jaxpose ships no model; pass the path of a model.safetensors, such as "
            "one that `python -m experiments.run` wrote"
        )
    return files[-1]


class Estimator:
    """Estimates poses from depth recordings. Several threads may use one estimator at once.

    Attributes:
      model: the nets, and all that surrounds them.
      batch_size: number of clips that are computed at a time. With 1, a stream's poses come as
        early as possible.
      overlap: True if a frame is in the middle of its clip; False if three frames share a clip,
        which takes a third of the time.
    """

    def __init__(self, model: Model, *, batch_size: int = 8, overlap: bool = True):
        """Creates an estimator of a model.

        Raises:
          ModelError: the model was trained on frames that are not in time order.
          ValueError: `batch_size` is below 1.
        """
        check_batch_size(batch_size)
        if model.specification.frame_interval_s is None:
            raise ModelError(
                "the model was trained on frames that were not in time order; expected one that "
                "was trained with --builder=time_order"
            )
        self.model, self.batch_size, self.overlap = model, batch_size, overlap
        self._lock = threading.Lock()  # the nets use all cores anyway

    def __call__(
        self,
        frames_mm,
        *,
        rate_hz: float = RATE_HZ,
        time_s: Float[np.ndarray, " n"] | None = None,
        view: View | None = None,
    ) -> Pose:
        """Estimates the pose of every frame of a recording in memory.

        Args:
          frames_mm: uint16 [n rows columns], depth in mm, 0 where there is no return, in time
            order.
          rate_hz: frames per second.
          time_s: time of each frame in seconds, increasing; by default from `rate_hz`.
          view: what the nets see of an image.

        Raises:
          ValueError: `frames_mm` has another type or shape or is deeper than 6553 mm, times are
            not finite or do not increase, or there are fewer frames than a clip has.
        """
        check_frames(frames_mm)
        check_rate(rate_hz)
        if time_s is None:
            time_s = np.arange(len(frames_mm)) / rate_hz
        times = as_seconds(time_s, "time_s")
        if len(times) != len(frames_mm):
            raise ValueError(f"time_s has {len(times)} times; expected {len(frames_mm)}, one each")
        frames = (Frame(k, float(times[k]), depth) for k, depth in enumerate(frames_mm))
        return stack(list(self.stream(frames, view=view)))

    def stream(
        self,
        frames: Iterable[Frame | np.ndarray],
        *,
        rate_hz: float = RATE_HZ,
        view: View | None = None,
    ) -> Iterator[Pose]:
        """Yields the pose of each frame, in order, in constant memory.

        `frames` are uint16 images in mm, `rate_hz` of them per second, or each a `Frame` with its
        own time, whose depth is None if it could not be read. A pose comes once all frames of its
        clip, and as many other clips as make a batch, were read.

        Raises:
          ValueError: as `__call__`.
        """
        for _, pose in self.with_frames(frames, rate_hz=rate_hz, view=view):
            yield pose

    def with_frames(
        self,
        frames: Iterable[Frame | np.ndarray],
        *,
        rate_hz: float = RATE_HZ,
        view: View | None = None,
        skip: int = 0,
        counts: Counts | None = None,
    ) -> Iterator[tuple[Frame, Pose | None]]:
        """Yields each frame with its pose, as `stream` does; None for the first `skip` frames.

        Skipped frames are not computed, but they are part of other frames' clips. `counts`, if
        passed, counts the frames.
        """
        check_rate(rate_hz)
        stream = Stream(
            self.model,
            view=view or View(),
            overlap=self.overlap,
            batch_size=self.batch_size,
            skip=skip,
        )
        stream.counts = stream.counts if counts is None else counts
        for index, frame in enumerate(frames):
            if not isinstance(frame, Frame):
                frame = Frame(index, index / rate_hz, frame)
            _check(frame)
            stream.add(frame)
            yield from self._poses(stream)
        stream.finish()
        yield from self._poses(stream)

    def _poses(self, stream: Stream) -> Iterator[tuple[Frame, Pose | None]]:
        """Yields the poses that a stream has ready, each with the size of its image."""
        for frame, pose in stream.poses(self._lock):
            yield frame, None if pose is None else of_image(pose, frame.depth_mm)


def _check(frame: Frame) -> None:
    """Checks what `Stream.add` does not: that the time is finite, and depth at most `DEEPEST_MM`.

    Raises:
      DataError: one of them is not.
    """
    if not math.isfinite(frame.time_s):
        raise DataError(f"frame {frame.number}: time {frame.time_s} s; expected a finite number")
    if isinstance(frame.depth_mm, np.ndarray) and frame.depth_mm.dtype == np.uint16:
        remedy = f", such as by frames_mm[frames_mm > {DEEPEST_MM}] = 0"
        check_depth(frame.depth_mm, f"frame {frame.number}", remedy)
