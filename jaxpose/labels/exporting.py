"""A recording and an estimator -> a folder with frames to correct and their predicted joints."""

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float, UInt16
from tqdm import tqdm

from jaxpose import __version__
from jaxpose.errors import DataError
from jaxpose.files import written_whole
from jaxpose.labels import coco, tools
from jaxpose.labels.choice import Choice, Clip, choose, clips_of
from jaxpose.labels.package import COCO, DEPTH, IMAGES, Exported, Package
from jaxpose.labels.pictures import stretched
from jaxpose.outputs.inspection import Inspection
from jaxpose.prediction.journal import record
from jaxpose.prediction.view import View, cropped
from jaxpose.recordings.orientation import Size, turn, turn_back
from jaxpose.recordings.source import Source

if TYPE_CHECKING:
    from jaxpose.estimator import Estimator


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Creates the folder; if the block raises, all that was written into it is removed.

    Raises:
      DataError: it cannot be written, or holds something.
    """
    existed = out.exists()
    try:
        if existed and any(out.iterdir()):
            raise DataError(f"{out}: the folder is not empty; choose another --out, or remove it")
        for folder in (out / IMAGES, out / DEPTH, (out / COCO).parent):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); choose another --out"
        ) from error
    try:
        yield
    except BaseException:  # Ctrl-C, too: the same command can be repeated
        for path in out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            out.rmdir()
        raise


def shown(depth_mm: UInt16[np.ndarray, "h w"], view: View) -> UInt16[np.ndarray, "_ _"]:
    """Returns what the nets see of an image: cut first, then turned."""
    return turn(cropped(depth_mm, view.crop), view.turn)


def joints_shown(
    xy: Float[np.ndarray, "*n 2"], view: View, size: Size
) -> Float[np.ndarray, "*n 2"]:
    """Maps joints from px of the camera's image to px of `shown`, which has this `size`."""
    corner = (0, 0) if view.crop is None else view.crop[:2]
    return turn_back(xy - np.array(corner), size, -view.turn % 360)


def predicted(inspection: Inspection, source: Source, progress: bool) -> np.ndarray:
    """Returns the records [n] of all frames, and warns of what does not suit them.

    Raises:
      DataError: the recording cannot be used.
    """
    records = []
    with tqdm(
        inspection.predicted(),
        total=source.count,
        desc=source.name,
        unit="frame",
        disable=not progress,
    ) as bar:
        try:
            for frame, pose in bar:
                records.append(record(pose, frame.depth_mm is not None, None))
        except DataError as error:
            raise DataError(f"{source.path}: {error}") from error
    inspection.check_distance()
    inspection.check_orientation(np.stack(records))
    return np.stack(records)


def export(
    estimator: "Estimator",
    source: Source,
    view: View,
    out: Path,
    *,
    frames: int,
    how: Choice,
    facts: dict,
    progress: bool = True,
) -> Package:
    """Writes the folder, labels.json last; `out` is as in `claimed`.

    `view` is what the nets see of an image, and what is exported of it. `facts` are written to
    labels.json.

    Raises:
      DataError: the recording cannot be used.
      OSError: a file cannot be written.
    """
    records = predicted(Inspection(estimator, source, view), source, progress)
    specification = estimator.model.specification
    length, interval_s = specification.clip_frames, specification.frame_interval_s
    candidates = clips_of(
        records["number"], records["time_s"], records["readable"], length, interval_s
    )
    try:
        clips = choose(candidates, records["confidence"], frames // length, how)
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from None
    if length * len(clips) < frames:
        print(f"{length * len(clips)} frames in {len(clips)} clips, not {frames}", file=sys.stderr)
    written, size = _write_frames(source, view, out, records["xy"], clips)
    package = Package(out, size, tuple(written), facts)
    info = {"description": "joints predicted by jaxpose, to correct", "version": __version__}
    coco.write(out / COCO, package, info)
    tools.write(package)
    package.write()
    return package


def _write_frames(
    source: Source,
    view: View,
    out: Path,
    joints: Float[np.ndarray, "n 12 2"],
    clips: list[Clip],
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
        depth = shown(frame.depth_mm, view)
        size = (depth.shape[1], depth.shape[0])
        xy = tuple(
            None if not np.isfinite(p).all() else (round(float(p[0]), 2), round(float(p[1]), 2))
            for p in joints_shown(joints[index], view, size)
        )
        data = _png(depth)
        one = Exported(
            number, frame.number, frame.time_s, clip, xy, hashlib.sha256(data).hexdigest()
        )
        for path, content in (
            (out / DEPTH / one.depth, data),
            (out / IMAGES / one.image, _png(stretched(depth))),
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
