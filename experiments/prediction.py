"""A model and frames -> the maps of clips, from the input that the model was trained with."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipeline.examples.clips import CLIP, clip_frames, runs
from data_pipeline.examples.frames import Frames
from jaxpose.body.masks import Target
from jaxpose.model import Maps, Model
from jaxpose.nets.compute import Computation, apply_folded, fold_net
from jaxpose.recordings.clips import clip_plan

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
        return lambda clips, starts: maps_of(model, clips)
    specification = model.specification
    net, scale = specification.nets()["regression"], specification.target_scale
    weights = fold_net(model.weights["regression"], specification.bn_epsilon)
    target = Target(specification.decoding.radius_px)
    computation = Computation(model.lowering, model.precision)

    @jax.jit
    def regress(weights, depth, masks):
        return apply_folded(net, weights, computation, depth, masks) / scale

    def predict(clips, starts) -> Maps:
        index = clip_frames(starts)
        masks = target.draw(np, frames.xy[index], frames.visible[index], frames.grid)
        detected = maps_of(model, clips).detection
        return Maps(detected, np.asarray(regress(weights, clips, masks)))

    return predict


def maps_of(model: Model, clips: Float[np.ndarray, "b t h w 1"]) -> Maps:
    """Computes both nets' maps [b t h w 20] of clips that are as long as those of a training.

    The clips of a model that sees one frame are shorter.
    """
    count, frames, length = *clips.shape[:2], model.specification.clip_frames
    parts = clips.reshape(-1, length, *clips.shape[2:])
    maps = model.maps(parts, BATCH * frames // length)
    return Maps(*(m.reshape(count, frames, *m.shape[2:]) for m in maps))


def overlapping_maps(
    predict: Predict,
    model: Model,
    frames: Frames,
    used: Bool[np.ndarray, " n_frames"],
    index: Int[np.ndarray, " n"],
) -> Iterator[Maps]:
    """Yields the maps of the frames of `index`, from overlapping clips, in batches [b h w 20].

    Each run of consecutive frames that are `used` is divided as `clip_plan` does with a stride
    of 1.
    """
    start_of = np.zeros(len(frames), np.int64)
    for first, end in runs(frames, used):
        if end - first >= CLIP:
            starts, clip_of, _ = clip_plan(end - first, CLIP, stride=1)
            start_of[first:end] = first + starts[clip_of]
    for first in range(0, len(index), BATCH):
        chosen = index[first : first + BATCH]
        starts = start_of[chosen]
        maps = predict(model.clips(frames.depth_mm[clip_frames(starts)]), starts)
        position = chosen - starts
        yield Maps(*(m[np.arange(len(position)), position] for m in maps))
