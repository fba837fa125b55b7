"""One prediction, in a process of its own -> its time by stage, its memory, its poses.

A stage's time is what the functions of `STAGES` take, in whichever thread. Stages of several
threads overlap, so they may add up to more than the whole; the nets use all cores.
"""

import contextlib
import dataclasses
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import psutil

from jaxpose import predict, recorder
from jaxpose.estimator import Estimator
from jaxpose.model import Model
from jaxpose.outputs.overlay import Overlay
from jaxpose.prediction.task import Task
from jaxpose.prediction.view import View
from jaxpose.recordings.opening import Format, open_source
from jaxpose.recordings.source import Source
from jaxpose.runtime import load_model

STAGES: tuple[tuple[str, object, str], ...] = (
    ("grid", Model, "to_grid"),
    ("nets", Model, "maps"),
    ("decoding", Model, "decoded_maps"),
    ("decoding", Model, "decode"),
    ("mm", recorder, "joints_in_mm"),
    ("video", Overlay, "add"),
    ("video", Overlay, "close"),
    ("files", predict, "write_outputs"),
)
"""Name of a stage, and where a function of it is."""
RESULTS = "results"
"""Folder within a job's `out`."""
WARM_UP = 24
"""Number of frames that are predicted before, and not timed."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What one process predicts.

    Attributes:
      frames: folder of depth images.
      out: folder for the folder of results; it does not exist.
      model: model file.
      runtime: what computes the nets.
      lowering: of the runtime jax; None: the fastest.
      precision: type of activations, float32 or bfloat16.
      video: if overlay.mp4 is written, too.
      rate_hz: frames per second of the recording.
      count: number of frames; None: all.
    """

    frames: str
    out: str
    model: str
    runtime: str
    lowering: str | None
    precision: str
    video: bool
    rate_hz: float
    count: int | None = None


class Stages:
    """Adds up the seconds of each stage."""

    def __init__(self):
        """Begins at 0."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def timed(self, stage: str, function: Callable) -> Callable:
        """Returns a function whose time is added to a stage."""

        def run(*arguments, **options):
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.add(stage, time.perf_counter() - began)

        return run

    def add(self, stage: str, seconds: float) -> None:
        """Adds to a stage."""
        with self._lock:
            self.seconds[stage] += seconds

    @contextlib.contextmanager
    def of_all(self) -> Iterator[None]:
        """Times the functions of `STAGES` within the block."""
        with contextlib.ExitStack() as patches:
            for stage, place, name in STAGES:
                timed = self.timed(stage, getattr(place, name))
                patches.enter_context(mock.patch.object(place, name, timed))
            yield


def run(job: Job) -> dict:
    """Predicts a recording and returns the row of a result.

    Raises:
      UserError: the model, the recording or the runtime cannot be used.
    """
    began = time.perf_counter()
    model = load_model(
        job.model, runtime=job.runtime, lowering=job.lowering, precision=job.precision
    )
    estimator = Estimator(model)
    predict.predict(estimator, _task(job, "warm-up", WARM_UP), progress=False)
    load_s, stages, memory = time.perf_counter() - began, Stages(), []
    task = _task(job, RESULTS, job.count, stages, memory)
    began = time.perf_counter()
    with stages.of_all():
        result = predict.predict(estimator, task, progress=False)
    seconds = time.perf_counter() - began
    memory.append(psutil.Process().memory_info().rss)
    frames = result["frames"] if job.count is None else job.count
    return {
        "runtime": job.runtime,
        "lowering": model.lowering.name if model.lowering else None,
        "precision": model.precision,
        "video": job.video,
        "frames": frames,
        "frames_per_s": round(frames / seconds, 2),
        "load_s": round(load_s, 1),
        "stage_ms": {
            stage: round(1e3 * value / frames, 3) for stage, value in stages.seconds.items()
        },
        "memory_mb": [round(rss / 1e6, 1) for rss in memory],
    }


def _task(
    job: Job,
    name: str,
    count: int | None,
    stages: Stages | None = None,
    memory: list[int] | None = None,
) -> Task:
    """Returns the first `count` frames as a task, whose results go to the folder `name`.

    Memory is observed ten times while frames are read.
    """
    known = Format(rate_hz=job.rate_hz)
    source = open_source(job.frames, known)
    total = source.count if count is None else min(count, source.count)

    def read() -> Iterator:
        readings, process = source.read(), psutil.Process()
        for index in range(total):
            began = time.perf_counter()
            reading = next(readings)
            if stages is not None:
                stages.add("waiting for frames", time.perf_counter() - began)
            if memory is not None and index % max(total // 10, 1) == 0:
                memory.append(process.memory_info().rss)
            yield reading
        readings.close()

    part: Source = dataclasses.replace(source, read=read, count=total)
    return Task(
        source=part,
        out=Path(job.out) / name,
        view=View(source.crop, stretch=source.crop is not None),
        format=known,
        video=job.video,
    )


if __name__ == "__main__":
    print(json.dumps(run(Job(**json.loads(sys.argv[1])))))
