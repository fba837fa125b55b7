"""Descriptions and weights -> maps: the computation of a layer, and of a net in prediction.

Prediction needs no flax. Batch norms are folded into the kernels, and the net's topology is walked
with plain arrays.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxpose.lowering import LOWERINGS, Lowering, Recorder, add_bias, convolve, upsample
from jaxpose.nets.layers import Layer, Net


@dataclasses.dataclass(frozen=True)
class Computation:
    """How a net is computed, as opposed to what it is.

    Attributes:
      lowering: how its convolutions are computed.
      dtype: type of activations and products; parameters and statistics are always float32.
      bn_momentum: weight of the old running mean and variance in a training step's update.
      bn_epsilon: number that batch norm adds to the variance.
    """

    lowering: Lowering = LOWERINGS["folded"]
    dtype: Literal["float32", "bfloat16"] = "float32"
    bn_momentum: float = 0.99
    bn_epsilon: float = 1e-3


class LayerWeights(NamedTuple):
    """The arrays of one `Layer`, numpy or JAX. The last four are None without batch norm."""

    kernel: Any
    """float32 [kt kh kw ci/groups co]."""
    bias: Any
    """float32 [co], and so are all below."""
    scale: Any = None
    shift: Any = None
    mean: Any = None
    variance: Any = None


class Folded(NamedTuple):
    """The convolution that equals a layer and its batch norm in prediction."""

    kernel: Any
    """float32 [kt kh kw ci/groups co]."""
    bias: Any
    """float32 [co]."""


def fold(weights: LayerWeights, epsilon: float) -> Folded:
    """Folds batch norm in evaluation mode into kernel and bias.

    It is one factor and one summand per channel. A layer without batch norm is returned as it is.
    """
    if weights.scale is None:
        return Folded(weights.kernel, weights.bias)
    factor = weights.scale / (weights.variance + epsilon) ** 0.5
    bias = (weights.bias - weights.mean) * factor + weights.shift
    return Folded(weights.kernel * factor[None, None, None, None], bias)


def fold_net(weights: Mapping[str, LayerWeights], epsilon: float) -> dict[str, Folded]:
    """Folds every layer of a net; see `fold`."""
    return {name: fold(layer, epsilon) for name, layer in weights.items()}


def shift_in_time(x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
    """Moves the first eighth of the channels one frame back in time, the second eighth ahead.

    A frame then has, in the first c // 8 channels, what the next frame had, and in as many channels
    after them what the previous frame had: zeros where there is no such frame. A convolution within
    frames thus sees three, without a weight or a product of its own (Lin et al. 2019).
    """
    part = x.shape[-1] // 8
    later, earlier, rest = x[..., :part], x[..., part : 2 * part], x[..., 2 * part :]
    none = jnp.zeros_like(later[:, :1])
    later = jnp.concatenate([later[:, 1:], none], axis=1)
    earlier = jnp.concatenate([none, earlier[:, :-1]], axis=1)
    return jnp.concatenate([later, earlier, rest], axis=-1)


def shift_kernel_in_time(
    kernel: Float[np.ndarray, "1 kh kw ci co"],
) -> Float[np.ndarray, "3 kh kw ci co"]:
    """Returns the kernel over three frames that equals `shift_in_time`, then this one.

    Raises:
      ValueError: the kernel spans several frames, whose padding would differ.
    """
    if len(kernel) != 1:
        raise ValueError(f"kernel {kernel.shape}: expected an extent of 1 frame after a shift")
    part = kernel.shape[3] // 8
    shifted = np.zeros((3, *kernel.shape[1:]), kernel.dtype)
    shifted[2, :, :, :part] = kernel[0, :, :, :part]
    shifted[0, :, :, part : 2 * part] = kernel[0, :, :, part : 2 * part]
    shifted[1, :, :, 2 * part :] = kernel[0, :, :, 2 * part :]
    return shifted


def convolve_layer(
    layer: Layer,
    computation: Computation,
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None,
    *,
    relu: bool,
) -> Float[Array, "b t2 h2 w2 co"]:
    """Computes a layer's convolution, then adds the bias and applies ReLU where asked to.

    x, kernel and bias have one type. Errors as in `jaxpose.lowering.convolve`.
    """
    if layer.shift:
        x = shift_in_time(x)
    if layer.transposed:
        y = upsample(x, kernel, lowering=computation.lowering)
        y = add_bias(y, bias)
        return jax.nn.relu(y) if relu else y
    return convolve(
        x,
        kernel,
        bias,
        stride=layer.stride,
        groups=layer.groups,
        relu=relu,
        lowering=computation.lowering,
    )


def concatenate(parts: list[Float[Array, "b t h w _"]]) -> Float[Array, "b t h w c"]:
    """Joins activations along their channels."""
    return jnp.concatenate(parts, axis=-1)


def apply_folded(
    net: Net,
    weights: Mapping[str, Folded],
    computation: Computation,
    *inputs: Float[Array, "b t h w _"],
) -> Float[Array, "b t h w maps"]:
    """Computes the output, in float32, of a net whose batch norms are folded.

    The detection net has one input, depth; the regression net has two, depth and the detection
    net's probabilities.
    """
    layers = {layer.name: layer for layer in net.layers}
    dtype = jnp.dtype(computation.dtype)

    def run(name: str, x: Float[Array, "b t h w _"]) -> Float[Array, "b t2 h2 w2 _"]:
        kernel, bias = (jnp.asarray(array, dtype) for array in weights[name])
        layer = layers[name]
        return convolve_layer(layer, computation, x.astype(dtype), kernel, bias, relu=layer.relu)

    return net.walk(run, concatenate, *inputs).astype(jnp.float32)


def check_batch_size(size: int) -> None:
    """Raises `ValueError` for a number of clips below 1."""
    if size < 1:
        raise ValueError(f"batch_size={size}: expected 1 or more")


def fill_up(clips: np.ndarray, size: int) -> np.ndarray:
    """Repeats the last clip until there are `size`, so that only one shape is compiled."""
    missing = size - len(clips)
    return np.concatenate([clips, np.repeat(clips[-1:], missing, axis=0)]) if missing else clips


def record_folded(net: Net, weights: Mapping[str, Folded], recorder: Recorder, *inputs: Any) -> Any:
    """Records what `apply_folded` computes; inputs and output are nodes of the recorder."""
    layers = {layer.name: layer for layer in net.layers}

    def run(name: str, x: Any) -> Any:
        layer, (kernel, bias) = layers[name], map(np.asarray, weights[name])
        return recorder.convolve(
            x,
            shift_kernel_in_time(kernel) if layer.shift else kernel,
            bias,
            stride=layer.stride,
            groups=layer.groups,
            relu=layer.relu,
            transposed=layer.transposed,
        )

    return net.walk(run, recorder.concatenate, *inputs)
