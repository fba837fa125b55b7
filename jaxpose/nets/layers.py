"""A layer's description -> the module that computes it: convolution, batch norm, ReLU.

Nets are lists of `Layer`s; the same lists are counted by `jaxpose.cost.accounting`.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxpose.lowering import Lowering, convolve, lowering_named, upsample


@dataclasses.dataclass(frozen=True)
class Layer:
    """One convolution and what follows it."""

    name: str
    cin: int
    cout: int
    kernel: tuple[int, int, int] = (1, 1, 1)
    """(t, y, x) extent."""
    stride: tuple[int, int, int] = (1, 1, 1)
    """(t, y, x); where it is not 1 it equals the kernel, and nothing is padded."""
    transposed: bool = False
    """The stride enlarges instead of reducing."""
    groups: int = 1
    norm: bool = True
    """Batch norm follows. The convolution has a bias all the same, as in Keras."""
    relu: bool = True
    shrink: int = 1
    """Rows and columns of the *input* are this factor smaller than the clip's."""


@dataclasses.dataclass(frozen=True)
class Numerics:
    """How a net is computed, as opposed to what it is."""

    lowering: Lowering = lowering_named("folded")
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of activations and products; parameters and statistics are always float32."""
    bn_momentum: float = 0.99
    """Share of the running mean and variance kept at every step."""
    bn_epsilon: float = 1e-3


class Conv(nnx.Module):
    """A `Layer` with its weights: kernel [kt kh kw ci/groups co], bias [co], batch norm."""

    def __init__(self, layer: Layer, numerics: Numerics, *, rngs: nnx.Rngs, zero: bool = False):
        self.layer, self.numerics = layer, numerics
        shape = (*layer.kernel, layer.cin // layer.groups, layer.cout)
        init = nnx.initializers.zeros if zero else nnx.initializers.glorot_uniform()
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(layer.cout, jnp.float32))
        self.norm = (
            nnx.BatchNorm(
                layer.cout,
                momentum=numerics.bn_momentum,
                epsilon=numerics.bn_epsilon,
                dtype=jnp.dtype(numerics.dtype),
                rngs=rngs,
            )
            if layer.norm
            else None
        )

    def __call__(self, x: Float[Array, "b t h w ci"], *, train: bool):
        layer, dtype = self.layer, jnp.dtype(self.numerics.dtype)
        x, bias = x.astype(dtype), self.bias[...].astype(dtype)
        if self.norm is None:
            return self._convolved(x, bias, relu=layer.relu)
        if train and self.numerics.lowering.norm_relu is not None:
            return self._normalised_by_lowering(self._convolved(x, None))
        # Batch norm takes the bias out again, so its gradient is rounding noise, which Adam would
        # blow up to full steps.
        x = self._convolved(x, jax.lax.stop_gradient(bias))
        x = self.norm(x, use_running_average=not train)
        return nnx.relu(x) if layer.relu else x

    def _convolved(self, x, bias, relu: bool = False) -> Float[Array, "b t2 h2 w2 co"]:
        layer, lowering, kernel = self.layer, self.numerics.lowering, self.kernel[...]
        kernel = kernel.astype(x.dtype)
        if layer.transposed:
            x = upsample(x, kernel, lowering=lowering)
            x = x if bias is None else x + bias
            return nnx.relu(x) if relu else x
        strides = {"stride": layer.stride, "groups": layer.groups}
        return convolve(x, kernel, bias, **strides, relu=relu, lowering=lowering)

    def _normalised_by_lowering(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """As `nnx.BatchNorm` in training, and ReLU, in fewer passes over memory; x is without the
        convolution's bias, which only the running mean sees."""
        norm = self.norm
        y, mean, variance = self.numerics.lowering.norm_relu(
            x, norm.scale[...], norm.bias[...], norm.epsilon, self.layer.relu
        )
        mean = mean + jax.lax.stop_gradient(self.bias[...])
        for running, value in ((norm.mean, mean), (norm.var, variance)):
            running[...] = norm.momentum * running[...] + (1 - norm.momentum) * value
        return y

    def fold_norm(self) -> None:
        """Batch norm in eval mode is one factor and one summand per channel: puts them into
        kernel and bias, and the module computes the same with one pass less. Not to be trained."""
        if self.norm is None:
            return
        spread = jnp.sqrt(self.norm.var[...] + self.norm.epsilon)
        factor = self.norm.scale[...] / spread
        self.kernel[...] = self.kernel[...] * factor
        self.bias[...] = (self.bias[...] - self.norm.mean[...]) * factor + self.norm.bias[...]
        self.norm = None


def side_by_side(convs: list[Conv], x: Float[Array, "b t h w ci"]) -> Float[Array, "b t h w co"]:
    """Convolutions of the same x without batch norm and ReLU, their channels one after another:
    computed as one."""
    plain = {dataclasses.replace(c.layer, name="", cout=0) for c in convs}
    assert plain == {Layer("", x.shape[-1], 0, norm=False, relu=False)}, plain
    kernel = jnp.concatenate([c.kernel[...] for c in convs], axis=-1)
    bias = jnp.concatenate([c.bias[...] for c in convs])
    numerics = convs[0].numerics
    given = (v.astype(numerics.dtype) for v in (x, kernel, bias))
    return convolve(*given, lowering=numerics.lowering)
