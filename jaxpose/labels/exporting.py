"""A recording and an estimator -> a folder with frames to correct and their predicted joints."""

import contextlib
import dataclasses
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from jaxpose import __version__
from jaxpose.errors import DataError
from jaxpose.files import written_whole
from jaxpose.labels import coco, tools
from jaxpose.labels.choice import Choice, Clip, choose, clips_of
from jaxpose.labels.package import COCO, DEPTH, IMAGES, Exported, Package
from jaxpose.labels.pictures import stretched
from jaxpose.prediction.pose import Pose, stack
from jaxpose.prediction.view import View, check_inside, cropped
from jaxpose.recordings.orientation import turn
from jaxpose.recordings.recording import Frame
from jaxpose.recordings.source import Reading, Source

if TYPE_CHECKING:
    from jaxpose.estimator import Estimator


def claim(out: Path) -> None:
    """Creates the folder.

    Raises:
      DataError: it cannot be written, or holds something.
    """
    try:
        if out.exists() and any(out.iterdir()):
            raise DataError(f"{out}: the folder is not empty; choose another --out, or remove it")
        for folder in (out / IMAGES, out / DEPTH, (out / COCO).parent):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); choose another --out"
        ) from error


def remove_empty(out: Path) -> None:
    """Removes the folders that `claim` created where nothing was written to them."""
    for folder in (out / IMAGES, out / DEPTH, (out / COCO).parent, out):
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()


def seen(source: Source, view: View) -> Source:
    """Returns a recording whose images are what the nets see: cut first, then turned."""

    def cut(frame: Frame) -> Frame:
        depth = frame.depth_mm
        if view.crop is not None:
            check_inside(view.crop, (depth.shape[1], depth.shape[0]))
            depth = cropped(depth, view.crop)
        return frame._replace(depth_mm=turn(depth, view.turn))

    def read() -> Iterator[Reading]:
        for frame, problem in source.read():
            yield Reading(frame if frame.depth_mm is None else cut(frame), problem)

    return dataclasses.replace(source, read=read, crop=None)


def predicted(estimator: "Estimator", source: Source, progress: bool) -> tuple[Pose, np.ndarray]:
    """Returns the poses [n] of all frames, and which are readable [n].

    Raises:
      DataError: the recording cannot be used.
    """
    readable, poses = [], []
    frames = (reading.frame for reading in source.read())
    pairs = estimator.with_frames(frames)
    for frame, pose in tqdm(
        pairs, total=source.count, desc=source.name, unit="frame", disable=not progress
    ):
        readable.append(frame.depth_mm is not None)
        poses.append(pose)
    return stack(poses), np.array(readable)


def export(
    estimator: "Estimator",
    source: Source,
    out: Path,
    *,
    frames: int,
    how: Choice,
    facts: dict,
    progress: bool = True,
) -> Package:
    """Writes the folder, labels.json last; `source` is as from `seen`, `out` as from `claim`.

    `facts` are written to labels.json.

    Raises:
      DataError: the recording cannot be used.
      OSError: a file cannot be written.
    """
    pose, readable = predicted(estimator, source, progress)
    if not readable.any():
        raise DataError(f"{source.path}: no frame can be read")
    specification = estimator.model.specification
    length, interval_s = specification.clip_frames, specification.frame_interval_s
    candidates = clips_of(pose.number, pose.time_s, readable, length, interval_s)
    try:
        clips = choose(candidates, pose.confidence, frames // length, how)
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from None
    if length * len(clips) < frames:
        print(f"{length * len(clips)} frames in {len(clips)} clips, not {frames}", file=sys.stderr)
    written, size = _write_frames(source, out, pose, clips)
    package = Package(out, size, tuple(written), facts)
    info = {"description": "joints predicted by jaxpose, to correct", "version": __version__}
    coco.write(out / COCO, package, info)
    tools.write(package)
    package.write()
    return package


def _write_frames(
    source: Source, out: Path, pose: Pose, clips: list[Clip]
) -> tuple[list[Exported], tuple[int, int]]:
    """Writes depth and picture of the chosen frames; returns them, and (width, height) px."""
    place = {
        index: (number, k)
        for k, clip in enumerate(clips)
        for index, number in zip(clip.frames, clip.numbers, strict=True)
    }
    written, size = [], (0, 0)
    for index, (frame, _) in enumerate(source.read()):
        if index not in place:
            continue
        number, clip = place.pop(index)
        size = frame.depth_mm.shape[::-1]
        xy = tuple(
            None if not np.isfinite(p).all() else (round(float(p[0]), 2), round(float(p[1]), 2))
            for p in pose.xy[index]
        )
        data = _png(frame.depth_mm)
        one = Exported(
            number, frame.number, frame.time_s, clip, xy, hashlib.sha256(data).hexdigest()
        )
        for path, content in (
            (out / DEPTH / one.depth, data),
            (out / IMAGES / one.image, _png(stretched(frame.depth_mm))),
        ):
            with written_whole(path) as beside:
                beside.write_bytes(content)
        written.append(one)
        if not place:
            break
    return written, size


def _png(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", image)
    assert done
    return data.tobytes()
