"""A small model with weights of its own, made without flax: tests of what models are used for."""

import numpy as np
from lowerings import FOLDED

from jaxpose.decoding.peaks import Decoding
from jaxpose.model import Model
from jaxpose.nets.compute import LayerWeights
from jaxpose.nets.layers import Layer
from jaxpose.specification import Specification

SPECIFICATION = Specification(
    grid=(32, 48),
    depth_scale_mm=200.0,
    background_mm=0.0,
    variant="asy",
    detection_width=1 / 32,
    regression_width=1 / 16,
    detection_factorise="asy",
    bn_epsilon=1e-5,
    frame_interval_s=1 / 6,
    target_scale=10.0,
    decoding=Decoding(radius_px=2.0, min_score=0.01),
    mean_pose=tuple((float(k), 2.0 * k) for k in range(12)),
    provenance={"dataset": "none", "seed": 7},
)


def make_model(specification: Specification = SPECIFICATION) -> Model:
    """Nets as after some training: every array has values of its own."""
    rng = np.random.default_rng(0)
    weights = {
        name: {layer.name: _weights(layer, rng) for layer in net.layers}
        for name, net in specification.nets().items()
    }
    return Model(specification, weights, lowering=FOLDED)


def _weights(layer: Layer, rng: np.random.Generator) -> LayerWeights:
    fan_in = np.prod(layer.kernel_shape[:4])
    kernel = rng.normal(scale=(2 / fan_in) ** 0.5, size=layer.kernel_shape)
    bias = rng.normal(scale=0.1, size=layer.cout)
    norm = [rng.uniform(0.5, 1.5, layer.cout) for _ in range(4 if layer.norm else 0)]
    return LayerWeights(*(array.astype(np.float32) for array in (kernel, bias, *norm)))
