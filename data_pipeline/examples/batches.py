"""Frames -> batches of clips with their masks, prepared by tf.data beside the training step."""

import contextlib
import os
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from data_pipeline.examples.clips import clip_frames
from data_pipeline.examples.feed import Batch, Feed
from data_pipeline.examples.frames import Frames
from jaxpose.body.masks import Target

SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0"}
"""TensorFlow does not print its notes on the CPU into the progress bars, and computes by itself."""


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Sets `SETTINGS` while TensorFlow, which reads them only then, is imported.

    What the user has set remains.
    """
    ours = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    os.environ |= ours
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


with _settings():
    import tensorflow as tf
    import tensorflow.experimental.numpy as tnp

tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's


def feed(frames: Frames, scale_mm: float, target: Target | None) -> Feed:
    """Returns a feed of the batches of `examples.feed.feed`, prepared in parallel and ahead."""
    # The thread of autotune sleeps for longer and longer, and an iterator that is done waits for
    # it: 10 s now and then.
    options = tf.data.Options()
    options.autotune.enabled = False
    depth_mm = tf.constant(frames.depth_mm)
    xy, visible = tf.constant(frames.xy), tf.constant(frames.visible)

    def clip(index) -> dict[str, tf.Tensor]:
        depth = tf.gather(depth_mm, index)
        depth = (depth - tf.reduce_mean(depth, axis=(1, 2), keepdims=True)) / scale_mm
        example = {
            "depth": depth[..., None],
            "xy": tf.gather(xy, index),
            "visible": tf.gather(visible, index),
        }
        if target is not None:
            example["masks"] = target.draw(tnp, example["xy"], example["visible"], frames.grid)
        return example

    def batches(starts: Int[np.ndarray, " clips"], batch_size: int) -> Iterator[Batch]:
        dataset = tf.data.Dataset.from_tensor_slices(clip_frames(starts))
        dataset = dataset.map(clip, num_parallel_calls=os.cpu_count(), deterministic=True)
        return dataset.batch(batch_size).prefetch(2).with_options(options).as_numpy_iterator()

    return batches
