"""UTD-MHAD's own files -> depth frames, the joints seen in each, and a crop that holds the body.

    Depth/a{action}_s{subject}_t{trial}_depth.mat        d_depth  [240 320 T], mm, 0 = no person
    Skeleton/a{action}_s{subject}_t{trial}_skeleton.mat  d_skel   [20 3 T], metres, camera frame

The images are mirror images: the person's right arm is on the right. Joint names are the person's
own, as everywhere in the project. Joints are the Kinect SDK's, with 1 to 3 px of noise.

Source: Chen, Jafari and Kehtarnavaz, ICIP 2015; the lag and the projection were measured.
"""

import dataclasses
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt16

from data_pipeline.errors import DataError
from jaxpose.recordings.utd_mhad import HEIGHT, WIDTH, body_crop, read_array, read_depth

LAG = 2
"""Raw frames by which the skeleton leads: `skeleton[t]` belongs to `depth[t + LAG]`."""
MIN_FRAMES = 3
"""Kept frames without which a recording holds not even one clip."""

KINECT_JOINTS = (8, 9, 10, 4, 5, 6, 16, 17, 18, 12, 13, 14)
"""Rows of `d_skel` in the order of `jaxpose.body.skeleton.JOINTS`."""

LAYOUT = (
    "expected Depth/a1_s1_t1_depth.mat ... and Skeleton/a1_s1_t1_skeleton.mat ...; "
    "unpack UTD-MHAD's depth and skeleton archives side by side"
)


class TooShort(DataError):
    """A sound recording with fewer than `MIN_FRAMES` kept frames."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """One person's one performance of one action, and the two files that hold it."""

    subject: int
    action: int
    trial: int
    depth: Path
    skeleton: Path

    @property
    def sequence(self) -> str:
        return f"a{self.action}_t{self.trial}"


class Frames(NamedTuple):
    """The kept frames of a recording, in time order, as `data_pipeline.schema` wants them.

    Attributes:
        depth: mm, 0 = no person.
        joints: (x, y) px, (0, 0) is the centre of the top-left pixel; (-1, -1) if not visible.
        visible: inside the image.
        frame: number of the raw depth frame, from 0.
        crop: (x, y, width, height) px, 4:3, the same for the whole recording.
    """

    depth: UInt16[np.ndarray, "n 240 320"]
    joints: Float[np.ndarray, "n 12 2"]
    visible: Bool[np.ndarray, "n 12"]
    frame: Int32[np.ndarray, " n"]
    crop: Int32[np.ndarray, "4"]


def find_recordings(folder: Path) -> list[Recording]:
    """Pairs the files of `folder`, sorted by subject, action, trial; opens none of them.

    A `.mat` file with another name is left out with a warning. `DataError` if a folder is absent,
    a file lacks its partner, or nothing is found.
    """
    folder = Path(folder)
    result = {kind: _keys(folder, kind) for kind in ("depth", "skeleton")}
    if not any(result.values()):
        raise DataError(f"{folder}: no recordings; {LAYOUT}")
    for kind, other in (("depth", "skeleton"), ("skeleton", "depth")):
        if alone := sorted(result[kind] - result[other]):
            raise DataError(
                f"{_path(folder, kind, alone[0])}: expected {_path(folder, other, alone[0])} too; "
                f"{kind} files without one: {len(alone)}; add what is missing or take these away"
            )
    return [
        Recording(*key, _path(folder, "depth", key), _path(folder, "skeleton", key))
        for key in sorted(result["depth"])
    ]


def usable(recordings: Sequence[Recording], every: int) -> dict[Recording, int]:
    """Returns the recordings with at least `MIN_FRAMES` kept frames, and how many each has; warns
    of each that is left out.

    Reads every file once (0.03 s a pair), so that a damaged one is met before anything is written.
    `DataError` for a damaged file, or if nothing is left.
    """
    stored = {}
    for recording in recordings:
        try:
            stored[recording] = len(read(recording, every).frame)
        except TooShort as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    if not stored:
        raise DataError(
            f"none of the {len(recordings)} recordings has {MIN_FRAMES} kept frames at "
            f"every={every}; keep frames more often or add longer recordings"
        )
    return stored


def read(recording: Recording, every: int) -> Frames:
    """Depth frames 2, 2 + every, 2 + 2 every ... with the skeleton of two raw frames before.

    Depth frames that no skeleton belongs to are dropped. `DataError` for a damaged file,
    `TooShort` for fewer than `MIN_FRAMES` frames.
    """
    depth = read_depth(recording.depth)
    skeleton = read_array(recording.skeleton, "d_skel", (20, 3), np.float64)
    frame = np.arange(LAG, min(len(depth), skeleton.shape[2] + LAG), every, dtype=np.int32)
    if len(frame) < MIN_FRAMES:
        raise TooShort(
            f"{recording.depth}: {len(depth)} depth and {skeleton.shape[2]} skeleton frames "
            f"leave {len(frame)} at every={every}; expected at least {MIN_FRAMES}"
        )
    depth = np.ascontiguousarray(depth[frame])
    if not depth.any():
        raise DataError(
            f"{recording.depth}: depth is 0 in every kept frame; expected millimetres; "
            "fetch the file again or take the recording away"
        )
    points = np.moveaxis(skeleton[KINECT_JOINTS, :][:, :, frame - LAG], 2, 0)
    joints, visible = project(points)
    if not visible.any():
        raise DataError(
            f"{recording.skeleton}: no joint falls inside the image in any kept frame; expected "
            "metres before the camera; fetch the file again or take the recording away"
        )
    return Frames(depth, joints, visible, frame, body_crop(depth))


def project(
    points: Float[np.ndarray, "*n 3"],
) -> tuple[Float[np.ndarray, "*n 2"], Bool[np.ndarray, "*n"]]:
    """Metres of the camera's frame (x right, y up, z away) to (x, y) px of the depth image.

    (0, 0) is the centre of the top-left pixel. A point is visible where it falls on a pixel;
    elsewhere, behind the camera, or where the sensor gave no number, it is (-1, -1).
    """
    x, y, z = np.moveaxis(points, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = 160 + 285.63 * x / z
        v = 120 - 285.63 * y / z
        visible = (z > 0) & (u >= -0.5) & (u < WIDTH - 0.5) & (v >= -0.5) & (v < HEIGHT - 0.5)
    xy = np.where(visible[..., None], np.stack([u, v], -1), -1).astype(np.float32)
    return xy, visible


def _path(folder: Path, kind: str, key: tuple[int, int, int]) -> Path:
    subject, action, trial = key
    return folder / kind.capitalize() / f"a{action}_s{subject}_t{trial}_{kind}.mat"


def _keys(folder: Path, kind: str) -> set[tuple[int, int, int]]:
    """(subject, action, trial) of the files of one kind."""
    inside = folder / kind.capitalize()
    if not inside.is_dir():
        raise DataError(f"{folder}: no folder {inside.name} in it; {LAYOUT}")
    name = re.compile(rf"a([1-9]\d*)_s([1-9]\d*)_t([1-9]\d*)_{kind}\.mat")
    keys = set()
    for path in sorted(inside.glob("*.mat")):
        if match := name.fullmatch(path.name):
            action, subject, trial = map(int, match.groups())
            keys.add((subject, action, trial))
        else:
            expected = f"a{{action}}_s{{subject}}_t{{trial}}_{kind}.mat"
            warnings.warn(f"left out: {path}: not named {expected}", stacklevel=3)
    return keys
