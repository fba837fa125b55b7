"""Both nets in a row as one function: depth -> detection probabilities and confidence maps."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxpose.lowering import Lowering, Recorder
from jaxpose.nets.compute import Computation, Folded, apply_folded, record_folded
from jaxpose.nets.layers import Net

Nets = Mapping[str, Net]
"""The nets "detection" and "regression"."""
Weights = Mapping[str, Mapping[str, Folded]]
"""Name of a net -> its weights by layer, batch norms folded."""
Predict = Callable[[Float[np.ndarray, "b t h w 1"]], tuple[np.ndarray, np.ndarray]]
"""depth -> probabilities and confidence maps, float32 [b t h w 20]."""

SHAPES = 2  # a recording's batches and a live camera's single clips; each has its own kernels
"""Number of shapes of clips for which a recorded program is kept; the least recently used one is
dropped first."""


def predictor(nets: Nets, weights: Weights, computation: Computation) -> Predict:
    """Returns the function that computes both nets: as one program where the lowering can record
    one, else as a jitted function."""
    if computation.lowering.recorder is None:
        return _jitted(nets, weights, computation)
    return _recorded(nets, weights, computation.lowering, computation.dtype)


def compute(
    nets: Nets, weights: Weights, computation: Computation, depth: Float[Array, "b t h w 1"]
) -> tuple[Float[Array, "b t h w maps"], Float[Array, "b t h w maps"]]:
    """Computes probabilities and confidence maps, inside a jitted function."""
    logits = apply_folded(nets["detection"], weights["detection"], computation, depth)
    maps = jax.nn.sigmoid(logits)
    return maps, apply_folded(nets["regression"], weights["regression"], computation, depth, maps)


def _jitted(nets: Nets, weights: Weights, computation: Computation) -> Predict:
    @jax.jit
    def both(weights, depth):
        return compute(nets, weights, computation, depth)

    def predict(depth):
        maps, confidence = both(weights, depth)
        return np.asarray(maps), np.asarray(confidence)

    return predict


def _recorded(nets: Nets, weights: Weights, lowering: Lowering, dtype: str) -> Predict:
    @functools.lru_cache(maxsize=SHAPES)
    def program(shape: tuple[int, ...]):
        recorder = lowering.recorder(dtype)
        return recorder.finish(*record(nets, weights, recorder, shape))

    return lambda depth: tuple(program(depth.shape)(depth))


def record(
    nets: Nets, weights: Weights, recorder: Recorder, shape: tuple[int, ...]
) -> tuple[Any, Any]:
    """Records both nets for clips of a shape; returns the nodes of probabilities and maps."""
    depth = recorder.input(shape)
    logits = record_folded(nets["detection"], weights["detection"], recorder, depth)
    maps = recorder.sigmoid(logits)
    confidence = record_folded(nets["regression"], weights["regression"], recorder, depth, maps)
    return maps, confidence
