"""A recording -> a few of its clips, as the nets see them."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxpose.errors import DataError
from jaxpose.prediction.planner import Clip, Planner
from jaxpose.recordings.orientation import widened
from jaxpose.recordings.source import Source

if TYPE_CHECKING:
    from jaxpose.model import Model

INTERVAL_S = 1 / 6
"""Seconds between frames of a clip for models that were trained on frames without an order."""


def excerpt(model: "Model", source: Source, count: int) -> Float[np.ndarray, "b t h w 1"]:
    """Returns up to `count` clips that do not overlap, evenly spread over the recording.

    Raises:
      DataError: the recording has no clip of readable frames.
    """
    specification = model.specification
    interval_s = specification.frame_interval_s or INTERVAL_S
    planner = Planner(specification.clip_frames, interval_s, overlap=False)
    rows, columns = specification.grid
    grids: list[np.ndarray | None] = []
    planned: list[tuple[int, Clip | None]] = []
    for frame, _ in source.read():
        grid = None
        if frame.depth_mm is not None and frame.depth_mm.any():
            height, width = frame.depth_mm.shape
            crop = source.crop or widened((0, 0, width, height), columns / rows)
            grid = model.to_grid(frame.depth_mm[None], crop)[0]
        grids.append(grid)
        planned.extend(planner.add(frame.time_s, grid is not None))
    planned.extend(planner.finish())
    clips = sorted({clip.frames for _, clip in planned if clip is not None and clip.complete})
    if not clips:
        raise DataError(
            f"{source.path}: no clip of {specification.clip_frames} readable frames, "
            f"{1e3 * interval_s:.0f} ms apart; choose another recording"
        )
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int))
    return model.clips(np.stack([np.stack([grids[k] for k in clips[index]]) for index in chosen]))
