"""Which clips a recording is divided into, and in which of them each frame is."""

import numpy as np
from jaxtyping import Int


def clip_plan(
    frames: int, clip: int, stride: int
) -> tuple[Int[np.ndarray, " clips"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Divides frames into clips.

    Returns:
      The first frame of each clip, the clip of each frame, and the frame's position in that clip.
      With a stride of 1 a frame is in the middle of its clip, except at both ends. With another
      one clips do not overlap, except that the last clip always ends with the last frame.
    """
    frame = np.arange(frames)
    if stride == 1:
        starts = np.arange(frames - clip + 1)
        clip_of = np.clip(frame - clip // 2, 0, len(starts) - 1)
    else:
        starts = np.minimum(np.arange(0, frames, clip), frames - clip)
        clip_of = frame // clip
    return starts, clip_of, frame - starts[clip_of]
