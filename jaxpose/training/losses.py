"""Maps and their targets -> one number: the paper's losses and validation measures, Sec. III-B.

paper: unclear, "adapted for multiple maps" taken as the mean over maps, frames and pixels.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Maps = Float[Array, "b t h w maps"]


def cross_entropy(logits: Maps, target: Maps) -> Float[Array, ""]:
    """Binary cross-entropy per pixel, in nats; trains the detection net.

    With one exponential and one logarithm a pixel, where -t log s(x) - (1 - t) log s(-x) has two of
    each; the value is as exact for large logits, the gradient s(x) - t to the rounding of s(x)."""
    positive = jnp.maximum(logits, 0)  # logits - 2 positive = -|logits|, with 0 for slope at 0
    near = jnp.log1p(jnp.exp(logits - 2 * positive))
    return jnp.mean(positive - logits * target + near)


def squared_error(maps: Maps, target: Maps) -> Float[Array, ""]:
    """Mean squared error; trains the regression net."""
    return jnp.mean((maps - target) ** 2)


def pixel_accuracy(logits: Maps, target: Maps) -> Float[Array, " b"]:
    """Share of pixels on the right side of probability 1/2, per clip; the best detection epoch is
    the highest.

    paper: unclear, "detection accuracy" taken as Keras's binary accuracy. Some 99 % of the pixels
    are background, so read its distance from 1.
    """
    return jnp.mean((logits > 0) == (target > 0.5), axis=(1, 2, 3, 4))


def absolute_error(maps: Maps, target: Maps) -> Float[Array, " b"]:
    """Mean absolute error per clip; the best regression epoch is the lowest."""
    return jnp.mean(jnp.abs(maps - target), axis=(1, 2, 3, 4))
