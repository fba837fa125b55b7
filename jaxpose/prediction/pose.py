"""The result of a prediction: joints in camera pixels, their confidence and their state."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt16

from jaxpose.body.space import Intrinsics, joints_in_mm
from jaxpose.decoding.confidence import MISSING, Calibration, judge
from jaxpose.decoding.linking import Poses


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
    """The 12 joints of one frame (all arrays without the axes *n) or of many; arrays are read-only.

    Attributes:
      xy: joints (x, y) in px of the camera's image, (0, 0) is the centre of the top-left pixel; NaN
        where a joint is missing.
      confidence: from 0 to 1; 0 where a joint is missing.
      state: "found", "weak" or "missing". A weak joint has a position, but too little confidence
        for measurements.
      number: number of the frame within the recording.
      time_s: time of the frame in seconds.
    """

    xy: Float[np.ndarray, "*n 12 2"]
    confidence: Float[np.ndarray, "*n 12"]
    state: np.ndarray
    number: Int[np.ndarray, "*n"]
    time_s: Float[np.ndarray, "*n"]

    def __post_init__(self):
        for field in dataclasses.fields(self):
            getattr(self, field.name).setflags(write=False)

    def to_mm(
        self, depth_mm: UInt16[np.ndarray, "*n h w"], intrinsics: Intrinsics
    ) -> Float[np.ndarray, "*n 12 3"]:
        """Returns the joints (x, y, z) in mm, in the camera's frame: x right, y down, z away.

        `depth_mm` is the depth of the same frames. Depth is read robustly around each joint, on the
        body's surface (`jaxpose.body.space`). NaN where a joint is missing or has no depth.
        """
        return joints_in_mm(self.xy, depth_mm, intrinsics)


def pose_of(
    poses: Poses,
    number: Int[np.ndarray, " n"],
    time_s: Float[np.ndarray, " n"],
    calibration: Calibration | None = None,
    evidence: dict[str, Float[np.ndarray, "n 12"]] | None = None,
) -> Pose:
    """Converts decoded poses, with positions in px of the camera; confidence as in `judge`."""
    confidence, state = judge(poses, calibration, evidence)
    return Pose(
        xy=np.where((state == MISSING)[..., None], np.float32(np.nan), poses.xy),
        confidence=confidence,
        state=state,
        number=number,
        time_s=time_s,
    )


def no_pose(number: int, time_s: float) -> Pose:
    """Returns the pose of a frame that cannot be read: all joints are missing."""
    return Pose(
        xy=np.full((12, 2), np.nan, np.float32),
        confidence=np.zeros(12, np.float32),
        state=np.full(12, MISSING),
        number=np.array(number),
        time_s=np.array(time_s),
    )


def frame_of(pose: Pose, index: int) -> Pose:
    """Returns one frame of many."""
    return Pose(*(np.asarray(getattr(pose, f.name)[index]) for f in dataclasses.fields(Pose)))


def stack(poses: list[Pose]) -> Pose:
    """Joins poses of single frames."""
    return Pose(*(np.stack([getattr(p, f.name) for p in poses]) for f in dataclasses.fields(Pose)))
