"""Maps and their targets -> one number: the paper's losses and validation measures, Sec. III-B.

paper: unclear, "adapted for multiple maps" taken as the mean over maps, frames and pixels.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Maps = Float[Array, "b t h w maps"]


def cross_entropy(logits: Maps, target: Maps) -> Float[Array, ""]:
    """Returns the mean binary cross-entropy per pixel, in nats; it trains the detection net.

    This form needs one exponential and one logarithm per pixel, where -t log s(x) - (1 - t) log
    s(-x), with the sigmoid s, needs two of each. It is exact for large logits, too; its gradient is
    s(x) - t to the rounding of s(x).
    """
    positive = jnp.maximum(logits, 0)  # logits - 2 positive = -|logits|, whose slope at 0 is 0
    near = jnp.log1p(jnp.exp(logits - 2 * positive))
    return jnp.mean(positive - logits * target + near)


def squared_error(maps: Maps, target: Maps) -> Float[Array, ""]:
    """Returns the mean squared error; it trains the regression net."""
    return jnp.mean((maps - target) ** 2)


def pixel_accuracy(logits: Maps, target: Maps) -> Float[Array, " b"]:
    """Returns the share of pixels on the right side of probability 1/2, per clip.

    The best epoch of the detection net has the highest.

    paper: unclear, "detection accuracy" taken as Keras's binary accuracy. About 99 % of the
    pixels are background, so its distance from 1 is what tells nets apart.
    """
    return jnp.mean((logits > 0) == (target > 0.5), axis=(1, 2, 3, 4))


def absolute_error(maps: Maps, target: Maps) -> Float[Array, " b"]:
    """Returns the mean absolute error per clip.

    The best epoch of the regression net has the lowest.
    """
    return jnp.mean(jnp.abs(maps - target), axis=(1, 2, 3, 4))
