"""A recording -> a few of its clips, as the nets see them, in constant memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxpose.errors import DataError
from jaxpose.prediction.planner import Planner
from jaxpose.prediction.view import View
from jaxpose.recordings.source import Source

if TYPE_CHECKING:
    from jaxpose.model import Model

INTERVAL_S = 1 / 6
"""Seconds between frames of a clip for models that were trained on frames without an order."""
_FINER = 4
"""How many times more clips than are returned are stored, so that these can be evenly spread."""


def excerpt(
    model: "Model", source: Source, view: View, count: int
) -> Float[np.ndarray, "b t h w 1"]:
    """Returns up to `count` clips that do not overlap, evenly spread over the recording.

    `view` is what the nets see of an image; without a crop, it has that of the recording.

    Raises:
      DataError: the recording has no clip of readable frames, or the crop is not inside of it.
    """
    specification = model.specification
    interval_s = specification.frame_interval_s or INTERVAL_S
    stored: list[np.ndarray] = []
    step = 1  # every step-th clip is stored
    for number, clip in enumerate(_clips(model, source, view.within(source.crop), interval_s)):
        if number % step:
            continue
        if len(stored) == _FINER * count:
            stored, step = stored[::2], 2 * step
        if number % step == 0:
            stored.append(clip)
    if not stored:
        raise DataError(
            f"{source.path}: no clip of {specification.clip_frames} readable frames, "
            f"{1e3 * interval_s:.0f} ms apart; choose another recording"
        )
    places = np.linspace(0, len(stored) - 1, min(count, len(stored))).round().astype(int)
    return model.clips(np.stack([stored[place] for place in places]))


def _clips(
    model: "Model", source: Source, view: View, interval_s: float
) -> Iterator[Float[np.ndarray, "t h w"]]:
    """Yields the clips of a recording that do not overlap, in mm on the nets' grid."""
    specification = model.specification
    planner = Planner(specification.clip_frames, interval_s, overlap=False)
    grids: dict[int, np.ndarray] = {}  # images of clips to come
    taken: set[int] = set()  # frames of clips that were yielded

    def complete(planned):
        for _, clip in planned:
            if clip is not None and clip.complete and taken.isdisjoint(clip.frames):
                taken.update(clip.frames)
                yield np.stack([grids[k] for k in clip.frames])

    for index, (frame, _) in enumerate(source.read()):
        depth = frame.depth_mm
        if depth is not None:
            box = view.box((depth.shape[1], depth.shape[0]), specification.grid)
            image = view.image(depth)
            if image.any():
                grids[index] = model.to_grid(image[None], box)[0]
        yield from complete(planner.add(frame.time_s, index in grids))
        grids = {k: grid for k, grid in grids.items() if k >= planner.oldest}
        taken = {k for k in taken if k >= planner.oldest}
    yield from complete(planner.finish())
