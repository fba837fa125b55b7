"""A model and frames -> the maps of clips, from the input that the model was trained with."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float, Int

from data_pipeline.examples.clips import clip_frames
from data_pipeline.examples.frames import Frames
from jaxpose.body.masks import Target
from jaxpose.model import Maps, Model
from jaxpose.nets.compute import Numerics, apply_folded, fold_net

BATCH = 16
"""Number of clips that are computed at a time."""

Predict = Callable[[Float[np.ndarray, "b t h w 1"], Int[np.ndarray, " b"]], Maps]
"""(clips, first frame of each in `Frames`) -> both nets' maps [b t h w 20]."""


def predictor(model: Model, frames: Frames) -> Predict:
    """Returns what computes the maps of up to `BATCH` clips of `frames`.

    A regression net that was trained on true masks (`--regression.input_masks=true`) is given those
    of the frames; the detection maps are the detection net's all the same.
    """
    if model.specification.provenance.get("input_masks") != "true":
        return lambda clips, starts: model.maps(clips, BATCH)
    specification = model.specification
    net, scale = specification.nets()["regression"], specification.target_scale
    weights = fold_net(model.weights["regression"], specification.bn_epsilon)
    target = Target(specification.decoding.radius_px)
    numerics = Numerics(model.lowering, model.precision)

    @jax.jit
    def regress(weights, depth, masks):
        return apply_folded(net, weights, numerics, depth, masks) / scale

    def predict(clips, starts) -> Maps:
        index = clip_frames(starts)
        masks = target.draw(np, frames.xy[index], frames.visible[index], frames.grid)
        detected = model.maps(clips, BATCH).detection
        return Maps(detected, np.asarray(regress(weights, clips, masks)))

    return predict


def overlapping_maps(
    predict: Predict,
    model: Model,
    frames: Frames,
    possible: Int[np.ndarray, " clips"],
    index: Int[np.ndarray, " n"],
) -> Iterator[Maps]:
    """Yields the maps of the frames of `index`, from overlapping clips, in batches [b h w 20].

    A frame's maps are those of the clip in whose middle it is. The first and the last frame of a
    run take theirs from its first and last clip. `possible` has the first frame of every clip.
    """
    # The clip in whose middle a frame is begins one frame before it; at an end, 0 or 2 before.
    choices = index[:, None] - np.array([1, 0, 2])
    exists = np.isin(choices, possible)
    start = choices[np.arange(len(index)), exists.argmax(axis=1)]
    for first in range(0, len(index), BATCH):
        chosen = slice(first, first + BATCH)
        maps = predict(model.clips(frames.depth_mm[clip_frames(start[chosen])]), start[chosen])
        position = index[chosen] - start[chosen]
        yield Maps(*(m[np.arange(len(position)), position] for m in maps))
