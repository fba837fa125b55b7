"""A folder in babyPose's layout -> a contact sheet of its infants, or a video of one.

    python -m data_pipeline.simulated.picture DIR --out=sheet.png
    python -m data_pipeline.simulated.picture DIR --out=infant.mp4 --infant=3

Near is bright, violet is no return, dots are the annotated joints, lines the limbs.
"""

import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np
import tyro

from data_pipeline.babypose.frames import Infant, read_depth, read_infants
from data_pipeline.errors import DataError
from data_pipeline.outputs import check_output
from jaxpose.body.skeleton import CONNECTIONS, LIMBS
from jaxpose.commands import run_command
from jaxpose.options import parse_options

COLOURS = ((80, 160, 255), (80, 255, 255), (255, 200, 80), (120, 255, 120))
"""One colour (blue, green, red) per limb, in the order of `LIMBS`."""
NO_RETURN = (90, 0, 60)
DEEP_MM = 300
"""Distance beyond the nearest 1 % of the pixels at which the picture is black."""


def shaded(depth: np.ndarray, deep_mm: float = DEEP_MM) -> np.ndarray:
    """Returns colours [h w 3] for depth in uint16 mm [h w], 0 = no return.

    The nearest 1 % of the pixels is white; black is `deep_mm` farther away.
    """
    some = depth > 0
    near = np.percentile(depth[some], 1) if some.any() else 0
    grey = np.clip(255 * (1 - (depth - near) / deep_mm), 0, 255).astype(np.uint8)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    picture[~some] = NO_RETURN
    return picture


def drawn(infant: Infant, index: int) -> np.ndarray:
    """Returns one frame of an infant with its joints: colours [h w 3]."""
    picture = shaded(read_depth(infant.images[index], infant.bits))
    joints, visible = infant.sheet.joints[index], infant.sheet.visible[index]
    width = max(1, picture.shape[1] // 320)
    for k, (a, b) in enumerate(CONNECTIONS):
        if visible[a] and visible[b]:
            cv2.line(picture, _at(joints[a]), _at(joints[b]), COLOURS[k // 2], width, cv2.LINE_AA)
    for limb, members in enumerate(LIMBS.values()):
        for j in members:
            if visible[j]:
                cv2.circle(picture, _at(joints[j]), 2 * width, COLOURS[limb], -1, cv2.LINE_AA)
    return picture


def _at(xy: np.ndarray) -> tuple[int, int]:
    return int(round(float(xy[0]))), int(round(float(xy[1])))


def contact_sheet(folder: Path, columns: int = 4, tiles: int = 8, width: int = 320) -> bytes:
    """Returns a PNG with one frame of each of the first infants, spread over a recording."""
    infants = read_infants(folder)[:tiles]
    pictures = []
    for k, infant in enumerate(infants):
        index = (2 * k + 1) * len(infant.images) // (2 * len(infants))
        picture = drawn(infant, index)
        size = (width, width * picture.shape[0] // picture.shape[1])
        pictures.append(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    columns = min(columns, len(pictures))
    while len(pictures) % columns:
        pictures.append(np.zeros_like(pictures[0]))
    rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    ok, data = cv2.imencode(".png", np.vstack(rows), (cv2.IMWRITE_PNG_COMPRESSION, 9))
    assert ok, "could not encode the contact sheet"
    return data.tobytes()


def write_video(infant: Infant, out: Path, frames_per_s: float = 6.0) -> int:
    """Writes every annotated frame of an infant to a video and returns their number.

    The default speed is that of the recording.
    """
    height, width = read_depth(infant.images[0], infant.bits).shape
    codec = cv2.VideoWriter_fourcc(*("mp4v" if out.suffix == ".mp4" else "MJPG"))
    writer = cv2.VideoWriter(str(out), codec, frames_per_s, (width, height))
    if not writer.isOpened():
        raise DataError(f"{out}: no video can be written there")
    for index in range(len(infant.images)):
        writer.write(drawn(infant, index))
    writer.release()
    return len(infant.images)


@dataclasses.dataclass(frozen=True)
class Options:
    """Draws a contact sheet of a babyPose folder, or a video of one infant."""

    dir: tyro.conf.Positional[Path]
    """Folder in babyPose's layout."""
    out: Path
    """File to write: FILE.png for a contact sheet, FILE.mp4 or FILE.avi for a video."""
    infant: str | None = None
    """Id of the infant in the video. None: the first infant."""


def run(options: Options) -> dict:
    folder, out = options.dir, options.out
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}; expected one in babyPose's layout")
    check_output(out, ["png", "mp4", "avi"])
    if out.suffix == ".png":
        out.write_bytes(contact_sheet(folder))
        return {"frames": 1, "out": str(out)}
    infants = {i.sheet.subject: i for i in read_infants(folder)}
    subject = options.infant or next(iter(infants))
    if subject not in infants:
        raise DataError(f"no infant {subject!r}; one of: {', '.join(infants)}")
    return {"frames": write_video(infants[subject], out), "out": str(out)}


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.picture")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
