"""UTD-MHAD's own files -> depth frames, the visible joints of each, and a crop around the body.

    Depth/a{action}_s{subject}_t{trial}_depth.mat        d_depth  [240 320 T], mm, 0 = no person
    Skeleton/a{action}_s{subject}_t{trial}_skeleton.mat  d_skel   [20 3 T], metres, camera frame

The images are mirror images: the person's right arm is on the right. Right and left in joint names
are the person's own, as everywhere in the project. Joints are the Kinect SDK's, with 1 to 3 px of
noise.

Source: Chen, Jafari and Kehtarnavaz, ICIP 2015. `LAG` and the projection were measured.
"""

import dataclasses
import functools
import re
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt16

from data_pipeline.errors import DataError
from jaxpose.recordings.recording import Recording
from jaxpose.recordings.utd_mhad import HEIGHT, WIDTH, open_depth, read_array

LAG = 2
"""Raw frames by which the skeleton leads: `skeleton[t]` belongs to `depth[t + LAG]`."""
MIN_FRAMES = 3
"""Least number of used frames of a recording: one clip."""

KINECT_JOINTS = (8, 9, 10, 4, 5, 6, 16, 17, 18, 12, 13, 14)
"""Row of `d_skel` of each joint, in the order of `jaxpose.body.skeleton.JOINTS`."""

LAYOUT = (
    "expected Depth/a1_s1_t1_depth.mat ... and Skeleton/a1_s1_t1_skeleton.mat ...; "
    "unpack UTD-MHAD's depth and skeleton archives side by side"
)
KINDS = ("depth", "skeleton")


class TooShort(DataError):
    """A recording is undamaged, but fewer than `MIN_FRAMES` of its frames are used."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """The two files of one trial: one person performs one action once."""

    subject: int
    action: int
    trial: int
    depth: Path
    skeleton: Path

    @property
    def sequence(self) -> str:
        """Name of the recording within the subject, such as a1_t1."""
        return f"a{self.action}_t{self.trial}"


@dataclasses.dataclass(frozen=True, eq=False)
class Annotated:
    """The frames of a recording that are used, in time order.

    Attributes:
      recording: the recording of these frames alone; its crop contains the body in all of them.
      joints: (x, y) px, (0, 0) is the centre of the top-left pixel; (-1, -1) if not visible.
      visible: whether each joint is inside the image.
    """

    recording: Recording
    joints: Float[np.ndarray, "n 12 2"]
    visible: Bool[np.ndarray, "n 12"]

    @functools.cached_property
    def depth(self) -> UInt16[np.ndarray, "n 240 320"]:
        """Depth of all frames, mm, 0 = no person."""
        return np.stack([frame.depth_mm for frame in self.recording.frames()])


def find_recordings(folder: Path) -> list[Pair]:
    """Pairs the files of `folder`, sorted by subject, action and trial, without opening them.

    A `.mat` file with another name is left out with a warning.

    Raises:
      DataError: a folder is missing, a file lacks its partner, or there is no recording.
    """
    folder = Path(folder)
    keys = {kind: _keys(folder, kind) for kind in KINDS}
    if not any(keys.values()):
        raise DataError(f"{folder}: no recordings; {LAYOUT}")
    for kind, other in (KINDS, KINDS[::-1]):
        if alone := sorted(keys[kind] - keys[other]):
            raise DataError(
                f"{_path(folder, kind, alone[0])}: expected {_path(folder, other, alone[0])} too; "
                f"{kind} files without one: {len(alone)}; add what is missing or remove these"
            )
    return [
        Pair(*key, _path(folder, "depth", key), _path(folder, "skeleton", key))
        for key in sorted(keys["depth"])
    ]


def read(pair: Pair, every: int) -> Annotated:
    """Reads every `every`-th depth frame from frame 2 on, each with the skeleton 2 frames before.

    Depth frames without a skeleton are left out.

    Raises:
      DataError: a file is damaged, or no joint is inside the image.
      TooShort: fewer than `MIN_FRAMES` frames are used.
    """
    skeleton = read_array(pair.skeleton, "d_skel", (20, 3), np.float64)

    def choose(length: int) -> np.ndarray:
        end = min(length, skeleton.shape[2] + LAG)
        numbers = np.arange(LAG, end, every)
        if len(numbers) < MIN_FRAMES:
            raise TooShort(
                f"{pair.depth}: {length} depth and {skeleton.shape[2]} skeleton frames leave "
                f"{len(numbers)} at every={every}; expected at least {MIN_FRAMES}"
            )
        return numbers

    recording = open_depth(
        pair.depth, subject=str(pair.subject), sequence=pair.sequence, choose=choose
    )
    points = np.moveaxis(skeleton[KINECT_JOINTS, :][:, :, np.array(recording.numbers) - LAG], 2, 0)
    joints, visible = project(points)
    if not visible.any():
        raise DataError(
            f"{pair.skeleton}: no joint falls inside the image in any frame that is used; "
            "expected metres in front of the camera; fetch the file again or remove the recording"
        )
    return Annotated(recording=recording, joints=joints, visible=visible)


def project(
    points: Float[np.ndarray, "*n 3"],
) -> tuple[Float[np.ndarray, "*n 2"], Bool[np.ndarray, "*n"]]:
    """Projects points in metres (x right, y up, z away from the camera) to (x, y) px of depth.

    (0, 0) is the centre of the top-left pixel. A point is visible if it is on a pixel of the
    image. All others, also those behind the camera or NaN, are (-1, -1).
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
    """Returns (subject, action, trial) of the files of one kind."""
    inside = folder / kind.capitalize()
    if not inside.is_dir():
        raise DataError(f"{folder}: no folder {inside.name} in it; {LAYOUT}")
    name = re.compile(rf"a([1-9][0-9]*)_s([1-9][0-9]*)_t([1-9][0-9]*)_{kind}\.mat")
    keys = set()
    for path in sorted(p for p in inside.iterdir() if p.suffix.lower() == ".mat"):
        if match := name.fullmatch(path.name):
            action, subject, trial = map(int, match.groups())
            keys.add((subject, action, trial))
        else:
            expected = f"a{{action}}_s{{subject}}_t{{trial}}_{kind}.mat"
            warnings.warn(f"left out: {path}: not named {expected}", stacklevel=3)
    return keys
