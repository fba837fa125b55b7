"""One simulated recording -> its files, in babyPose's layout.

pz<ID>/<n>_16bit.png   uint16 mm, 0 = no return, n = 1, 6, 11, ...
pz<ID>/camera.json     fx fy cx cy (px), width, height
pz<ID>/truth.npz       joints_mm [n 12 3], joints_px [n 12 2], visible [n 12], hidden_by [n 12],
                       the same of head and neck: head_neck_mm [n 2 3], ...
pz<ID>/scene.xml       MJCF: infant, crib, nest and the carer's arms (below the mattress);
                       keyframe `settled`: the posture before the first frame
result_pz<ID>.csv      written last: a recording with a sheet is complete
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.errors import DataError
from data_pipeline.simulated import annotation
from data_pipeline.simulated.parameters import Parameters
from data_pipeline.simulated.recording import Recording
from jaxpose.body.skeleton import JOINTS
from jaxpose.files import write_text


def sheet_path(out: Path, infant: int) -> Path:
    return out / f"result_pz{infant}.csv"


def write_recording(
    out: Path,
    infant: int,
    *,
    seed: int,
    size: tuple[int, int],
    frames: int,
    parameters: Parameters,
    images: bool,
    tick: Callable[[], None],
) -> None:
    """Writes infant `infant` of `seed` below `out`; `tick` is called after every frame.

    Frames are written to `pz<ID>.partial/`, which is renamed when complete; then the sheet is
    written.
    """
    folder, partial = out / f"pz{infant}", out / f"pz{infant}.partial"
    for leftover in (folder, partial):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        recording = Recording(seed, infant, size, frames, parameters)
        sheet = _write_frames(recording, partial, images, tick)
        partial.rename(folder)
        write_text(sheet_path(out, infant), sheet)
    except BaseException as error:
        # For example a full disk: delete an incomplete recording, and a folder without a sheet.
        shutil.rmtree(partial, ignore_errors=True)
        if not sheet_path(out, infant).exists():
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, DataError):
            raise DataError(f"infant {infant} of seed {seed}: {error}") from None
        raise


def _write_frames(
    recording: Recording, folder: Path, images: bool, tick: Callable[[], None]
) -> str:
    """Writes the frames of a recording to its folder and returns the text of its sheet."""
    rows = [";".join(annotation.HEADER)]
    points, hidden = [], []
    for frame in recording.frames(every=int(images)):
        if images:
            _write_png(folder / f"{frame.number}_16bit.png", recording.sense(frame))
        rows.append(annotation.sheet_row(f"{frame.number}_8bit.png", recording.click(frame)))
        points.append(frame.points)
        hidden.append(frame.causes)
        tick()
    points, hidden = np.stack(points), np.stack(hidden)
    px = recording.camera.project(points)
    joints, others = slice(len(JOINTS)), slice(len(JOINTS), None)
    np.savez(
        folder / "truth.npz",
        joints_mm=1000 * points[:, joints],
        joints_px=px[:, joints],
        visible=hidden[:, joints] == "",
        hidden_by=hidden[:, joints],
        head_neck_mm=1000 * points[:, others],
        head_neck_px=px[:, others],
        head_neck_visible=hidden[:, others] == "",
        head_neck_hidden_by=hidden[:, others],
    )
    (folder / "camera.json").write_text(json.dumps(recording.camera.intrinsics(), indent=1) + "\n")
    (folder / "scene.xml").write_text(recording.scene.xml)
    return "\n".join(rows) + "\n"


def _write_png(path: Path, image: np.ndarray) -> None:
    # cv2.imwrite does not report a full disk; write_bytes does.
    ok, data = cv2.imencode(".png", image, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    assert ok, f"could not encode {path}"
    path.write_bytes(data.tobytes())
