"""Frames -> batches of clips as dicts of numpy arrays, with numpy alone.

For machines without TensorFlow and for evaluation; `data_pipeline.examples.batches` makes the same
batches with tf.data, several at a time, and a test holds the two equal.

    depth    float32 [b 3 h w 1], mean removed per image, in units of `scale_mm`
    xy       float32 [b 3 12 2], px of the grid
    visible  bool [b 3 12]
    masks    float32 [b 3 h w 20], if `Target` is given and drawn here
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
"""(clip starts in order, batch size) -> batches; the last may be smaller."""


def feed(frames: Frames, scale_mm: float, target: Target | None) -> Feed:
    """Batches for a training loop; `target` None leaves the masks to the jitted step."""

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
