"""A seed -> the recording that the package ships, for `jaxpose demo`: infant.npz and camera.json.

    python -m data_pipeline.simulated.sample --out=jaxpose/samples

infant.npz holds `depth` [60 480 640] uint16 mm, `time_s` [60], `joints_px` [60 12 2] (the true
joints, px) and `visible` [60 12]. It is what `numpy.load` and `jaxpose predict` read, compressed by
LZMA. So that it stays below 1 MB, images are smoothed as depth cameras can do it: see `steady`.
"""

import dataclasses
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from tqdm import tqdm

from data_pipeline.outputs import check_output
from data_pipeline.simulated.recording import KEEP, Recording
from jaxpose.body.skeleton import JOINTS
from jaxpose.commands import run_command
from jaxpose.files import write_json, written_whole
from jaxpose.options import parse_options
from jaxpose.recordings.recording import RATE_HZ

SEED, INFANT, FRAMES, SIZE = 60601, 5, 60, (640, 480)
"""The infant was chosen among six of this seed because most of its joints are visible and it moves.
No model is trained or tested with this seed."""
STEADY_MM, STEP_MM, HOLD = 6, 2, 2
"""Smallest change of a pixel that is stored, unit of depth, and frames for which a pixel without
return keeps its value."""


def steady(
    images: Iterator[UInt16[np.ndarray, "h w"]],
) -> Iterator[UInt16[np.ndarray, "h w"]]:
    """Yields images in which a pixel keeps its value until it changes by more than `STEADY_MM`.

    A pixel without return keeps its value for `HOLD` frames. Values are rounded to `STEP_MM`.
    """
    before, absent = None, 0
    for image in images:
        now = image.astype(np.int32)
        absent = np.where(now == 0, absent + 1, 0)
        if before is not None:
            still = (now > 0) & (np.abs(now - before) <= STEADY_MM)
            lost = (now == 0) & (absent <= HOLD)
            now = np.where((before > 0) & (still | lost), before, now)
        before = now
        yield ((now + STEP_MM // 2) // STEP_MM * STEP_MM).astype(np.uint16)


def simulate(frames: int = FRAMES, size: tuple[int, int] = SIZE) -> tuple[dict, dict]:
    """Returns the arrays of the sample, by name, and the camera's intrinsics."""
    recording = Recording(SEED, INFANT, size, frames)
    points, visible = [], []

    def images() -> Iterator[np.ndarray]:
        for frame in tqdm(recording.frames(), total=frames, unit="frame"):
            points.append(frame.joints)
            visible.append(frame.causes[: len(JOINTS)] == "")
            yield recording.sense(frame)

    depth = np.stack(list(steady(images())))
    arrays = {
        "depth": depth,
        "time_s": np.arange(frames) * KEEP / RATE_HZ,
        "joints_px": recording.camera.project(np.stack(points)).astype(np.float32),
        "visible": np.stack(visible),
    }
    return arrays, recording.camera.intrinsics()


def write(out: Path, arrays: dict[str, np.ndarray], camera: dict) -> None:
    """Writes both files; the same arrays give the same bytes.

    Raises:
      OSError: a file cannot be written.
    """
    with written_whole(out / "infant.npz") as beside, zipfile.ZipFile(beside, "w") as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.save(data, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, data.getvalue(), zipfile.ZIP_LZMA)
    write_json(out / "camera.json", camera)


@dataclasses.dataclass(frozen=True)
class Options:
    """Simulates the recording that the package ships."""

    out: Path
    """Folder of infant.npz and camera.json, which are written."""


def run(options: Options) -> dict:
    check_output(options.out / "infant.npz", ["npz"], create_folder=True)
    arrays, camera = simulate()
    write(options.out, arrays, camera)
    return {
        "frames": len(arrays["depth"]),
        "bytes": (options.out / "infant.npz").stat().st_size,
        "visible_share": round(float(arrays["visible"].mean()), 4),
        "out": str(options.out),
    }


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.simulated.sample")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
