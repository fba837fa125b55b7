"""The result of a prediction: joints in camera pixels, their confidence and their state."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt16

from jaxpose.body.space import Intrinsics, check_images, joints_in_mm
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
      image_px: (width, height) of the frame's depth image; 0, 0 where it is not known.
    """

    xy: Float[np.ndarray, "*n 12 2"]
    confidence: Float[np.ndarray, "*n 12"]
    state: np.ndarray
    number: Int[np.ndarray, "*n"]
    time_s: Float[np.ndarray, "*n"]
    image_px: Int[np.ndarray, "*n 2"]

    def __post_init__(self):
        for field in dataclasses.fields(self):
            getattr(self, field.name).setflags(write=False)

    def to_mm(self, depth_mm, intrinsics: Intrinsics) -> Float[np.ndarray, "*n 12 3"]:
        """Returns the joints (x, y, z) in mm, in the camera's frame: x right, y down, z away.

        `depth_mm`, uint16 [*n rows columns], is the depth of the same frames. It is read robustly
        around each joint, on the body's surface (`jaxpose.body.space`). NaN where a joint is
        missing or has no depth.

        Raises:
          ValueError: `depth_mm` is not uint16, or has not one image per pose of the size that the
            poses were estimated from.
        """
        self._check(depth_mm)
        return joints_in_mm(self.xy, depth_mm, intrinsics)

    def _check(self, depth_mm) -> None:
        if not isinstance(depth_mm, np.ndarray) or depth_mm.dtype != np.uint16:
            actual = getattr(depth_mm, "dtype", type(depth_mm).__name__)
            raise ValueError(
                f"depth_mm is {actual}; expected the uint16 array, in mm, that the poses were "
                "estimated from"
            )
        check_images(self.xy, depth_mm)
        size = depth_mm.shape[:-3:-1]
        other = (self.image_px != size).any(axis=-1) & self.image_px.any(axis=-1)
        if other.any():
            width, height = self.image_px[other].reshape(-1, 2)[0]
            raise ValueError(
                f"depth_mm has images of {size[0]}x{size[1]} px, the poses are of images of "
                f"{width}x{height} px; pass the depth that they were estimated from, neither "
                "scaled, cropped nor turned"
            )


def pose_of(
    poses: Poses,
    number: Int[np.ndarray, " n"],
    time_s: Float[np.ndarray, " n"],
    calibration: Calibration | None = None,
    evidence: dict[str, Float[np.ndarray, "n 12"]] | None = None,
) -> Pose:
    """Converts decoded poses, with positions in px of the camera; confidence as in `judge`.

    The size of the images is not known: see `of_image`.
    """
    confidence, state = judge(poses, calibration, evidence)
    return Pose(
        xy=np.where((state == MISSING)[..., None], np.float32(np.nan), poses.xy),
        confidence=confidence,
        state=state,
        number=number,
        time_s=time_s,
        image_px=np.zeros((len(number), 2), np.int64),
    )


def no_pose(number: int, time_s: float) -> Pose:
    """Returns the pose of a frame that cannot be read: all joints are missing."""
    return Pose(
        xy=np.full((12, 2), np.nan, np.float32),
        confidence=np.zeros(12, np.float32),
        state=np.full(12, MISSING),
        number=np.array(number),
        time_s=np.array(time_s),
        image_px=np.zeros(2, np.int64),
    )


def of_image(pose: Pose, depth_mm: UInt16[np.ndarray, "h w"] | None) -> Pose:
    """Returns the pose of one frame with the size of its image; None is a frame without one."""
    if depth_mm is None:
        return pose
    return dataclasses.replace(pose, image_px=np.array(depth_mm.shape[::-1], np.int64))


def frame_of(pose: Pose, index: int) -> Pose:
    """Returns one frame of many."""
    return Pose(*(np.asarray(getattr(pose, f.name)[index]) for f in dataclasses.fields(Pose)))


def stack(poses: list[Pose]) -> Pose:
    """Joins poses of single frames."""
    return Pose(*(np.stack([getattr(p, f.name) for p in poses]) for f in dataclasses.fields(Pose)))
