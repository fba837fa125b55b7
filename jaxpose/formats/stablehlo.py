"""Both nets -> StableHLO that `jax.export.deserialize` reads, for CPUs and CUDA GPUs.

The program is pure XLA: it calls no library of ours. Weights are part of it.
"""

import jax
import numpy as np
from jax import export

from jaxpose.lowering import LOWERINGS
from jaxpose.nets.compute import Computation
from jaxpose.nets.predictor import Nets, Predict, Weights, compute

PLATFORMS = ("cpu", "cuda")


def to_stablehlo(nets: Nets, weights: Weights, clip: tuple[int, int, int]) -> bytes:
    """Returns the file's content; `clip` is (frames, rows, columns)."""
    computation = Computation(LOWERINGS["folded"])

    @jax.jit
    def both(clips):
        detection, regression = compute(nets, weights, computation, clips)
        return {"detection": detection, "regression": regression}

    shape = (*export.symbolic_shape("batch"), *clip, 1)
    exported = export.export(both, platforms=PLATFORMS)(jax.ShapeDtypeStruct(shape, np.float32))
    return bytes(exported.serialize())


def read_stablehlo(content: bytes) -> Predict:
    """Returns the function of a file that `to_stablehlo` wrote, on JAX's default device."""
    exported = export.deserialize(bytearray(content))
    call = jax.jit(exported.call)

    def predict(clips):
        maps = call(clips)
        return np.asarray(maps["detection"]), np.asarray(maps["regression"])

    return predict
