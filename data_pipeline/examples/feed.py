"""Frames -> batches of clips as dictionaries of numpy arrays, computed by numpy alone.

It serves evaluation, and machines without TensorFlow. `data_pipeline.examples.batches` prepares the
same batches with tf.data, in parallel; a test compares the two.

    depth    float32 [b 3 h w 1], mean removed per image, in units of `scale_mm`
    xy       float32 [b 3 12 2], px of the grid
    visible  bool [b 3 12]
    masks    float32 [b 3 h w 20], only if the feed draws them
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int

from data_pipeline.examples.clips import clip_frames
from data_pipeline.examples.frames import Frames
from jaxpose.body.geometry import standardise
from jaxpose.body.masks import Target

Batch = dict[str, np.ndarray]

Feed = Callable[[Int[np.ndarray, " clips"], int], Iterator[Batch]]
"""(clip starts in order, batch size) -> batches; the last one may be smaller."""


def feed(frames: Frames, scale_mm: float, target: Target | None) -> Feed:
    """Returns a feed of the frames' clips. `scale_mm` is the unit of depth.

    Masks are drawn for `target`; None leaves them to the jitted step.
    """

    def batches(starts: Int[np.ndarray, " clips"], batch_size: int) -> Iterator[Batch]:
        for first in range(0, len(starts), batch_size):
            index = clip_frames(starts[first : first + batch_size])
            depth = standardise(frames.depth_mm[index.ravel()], scale_mm)
            batch = {
                "depth": depth.reshape(*index.shape, *frames.grid, 1),
                "xy": frames.xy[index],
                "visible": frames.visible[index],
            }
            if target is not None:
                batch["masks"] = target.draw(np, batch["xy"], batch["visible"], frames.grid)
            yield batch

    return batches
