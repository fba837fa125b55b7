"""Descriptions of nets -> flax modules that can be trained."""

import types
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxpose.body.skeleton import CONNECTIONS, JOINTS
from jaxpose.nets import detection, regression
from jaxpose.nets.compute import Computation, LayerWeights, concatenate, convolve_layer
from jaxpose.nets.factorise import FACTORISATIONS, Factorisation, Variant
from jaxpose.nets.layers import Layer, Net

GLOROT = nnx.initializers.glorot_uniform()
"""Draws initial kernels as Keras does."""


class Conv(nnx.Module):
    """A `Layer` with its weights: kernel [kt kh kw ci/groups co], bias [co], batch norm.

    Weights are float32; kernels start as in Keras (Glorot uniform).
    """

    def __init__(
        self,
        layer: Layer,
        computation: Computation,
        *,
        rngs: nnx.Rngs,
        init: nnx.Initializer = GLOROT,
    ):
        """Creates the layer's weights; `init` draws the initial kernel."""
        self.layer, self.computation = layer, computation
        self.kernel = nnx.Param(init(rngs.params(), layer.kernel_shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(layer.cout, jnp.float32))
        self.norm = (
            nnx.BatchNorm(
                layer.cout,
                momentum=computation.bn_momentum,
                epsilon=computation.bn_epsilon,
                dtype=jnp.dtype(computation.dtype),
                rngs=rngs,
            )
            if layer.norm
            else None
        )

    def __call__(
        self, x: Float[Array, "b t h w ci"], *, train: bool
    ) -> Float[Array, "b t2 h2 w2 co"]:
        """Computes convolution, batch norm and ReLU in the precision of the computation.

        With `train`, batch norm uses the batch's own statistics and updates the running ones.
        """
        layer, dtype = self.layer, jnp.dtype(self.computation.dtype)
        x, bias = x.astype(dtype), self.bias[...].astype(dtype)
        if self.norm is None:
            return self._convolve(x, bias, relu=layer.relu)
        if train and self.computation.lowering.norm_relu:
            return self._norm_relu(self._convolve(x, None))
        # Batch norm subtracts the bias again, so its gradient is rounding noise, which Adam would
        # scale up to full steps.
        x = self._convolve(x, jax.lax.stop_gradient(bias))
        x = self.norm(x, use_running_average=not train)
        return nnx.relu(x) if layer.relu else x

    def _convolve(self, x, bias, relu: bool = False) -> Float[Array, "b t2 h2 w2 co"]:
        kernel = self.kernel[...].astype(x.dtype)
        return convolve_layer(self.layer, self.computation, x, kernel, bias, relu=relu)

    def _norm_relu(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """Computes batch norm in training mode and ReLU by the lowering.

        That takes fewer passes over memory than `nnx.BatchNorm`. x is without the convolution's
        bias, which the result does not depend on; only the running mean includes it.
        """
        norm = self.norm
        y, mean, variance = self.computation.lowering.norm_relu(
            x, norm.scale[...], norm.bias[...], norm.epsilon, self.layer.relu
        )
        mean = mean + jax.lax.stop_gradient(self.bias[...])
        for running, value in ((norm.mean, mean), (norm.var, variance)):
            running[...] = norm.momentum * running[...] + (1 - norm.momentum) * value
        return y

    def weights(self) -> LayerWeights:
        """Returns the layer's arrays."""
        kernel, bias, norm = self.kernel[...], self.bias[...], self.norm
        if norm is None:
            return LayerWeights(kernel, bias)
        return LayerWeights(
            kernel, bias, norm.scale[...], norm.bias[...], norm.mean[...], norm.var[...]
        )

    def set_weights(self, weights: LayerWeights) -> None:
        """Replaces the layer's arrays.

        Raises:
          ValueError: an array has another shape.
        """
        norm = self.norm
        variables = [self.kernel, self.bias]
        if norm is not None:
            variables += [norm.scale, norm.bias, norm.mean, norm.var]
        for variable, field in zip(variables, LayerWeights._fields, strict=False):
            value = jnp.asarray(getattr(weights, field))
            expected = variable.get_value().shape
            if value.shape != expected:
                raise ValueError(
                    f"{self.layer.name}: {field} has shape {value.shape}, expected {expected}"
                )
            variable.set_value(value)


class ConvNet(nnx.Module):
    """A `Net` with its weights: one `Conv` per layer, connected by the net's topology."""

    def __init__(
        self,
        net: Net,
        *,
        computation: Computation,
        rngs: nnx.Rngs,
        init: Mapping[str, nnx.Initializer] = types.MappingProxyType({}),
    ):
        """Creates the weights.

        `init` draws the initial kernels of the layers that it names, `GLOROT` those of the others.
        """
        self.net = net
        self.convs = nnx.Dict(
            {
                layer.name: Conv(layer, computation, rngs=rngs, init=init.get(layer.name, GLOROT))
                for layer in net.layers
            }
        )

    def __call__(
        self, *inputs: Float[Array, "b t h w _"], train: bool
    ) -> Float[Array, "b t h w maps"]:
        """Computes the net's output in float32."""

        def run_layer(name, x):
            return self.convs[name](x, train=train)

        return self.net.walk(run_layer, concatenate, *inputs).astype(jnp.float32)

    def weights(self) -> dict[str, LayerWeights]:
        """Returns the arrays of every layer, by the layer's name."""
        return {name: conv.weights() for name, conv in self.convs.items()}

    def set_weights(self, weights: Mapping[str, LayerWeights]) -> None:
        """Replaces the arrays of every layer; errors as in `Conv.set_weights`."""
        for name, conv in self.convs.items():
            conv.set_weights(weights[name])


class DetectionNet(ConvNet):
    """The detection net: depth -> logits of 12 joint maps, then 8 connection maps."""

    def __init__(
        self,
        *,
        width: float = 1.0,
        factorise: Factorisation = FACTORISATIONS["full"],
        output_bias: float = 0.0,
        computation: Computation = Computation(),  # noqa: B008 (frozen)
        rngs: nnx.Rngs,
    ):
        """Creates the weights. `output_bias` is the initial log-odds of every pixel.

        About 1 % of the pixels are positive. A net that starts at even odds spends its first epochs
        on learning that.
        """

        def heads(key, shape, dtype):
            """Draws the kernel as that of two layers, one for joints and one for connections."""
            joints = GLOROT(key, (*shape[:-1], len(JOINTS)), dtype)
            connections = GLOROT(rngs.params(), (*shape[:-1], len(CONNECTIONS)), dtype)
            return jnp.concatenate([joints, connections], axis=-1)

        net = detection.net(width, factorise)
        super().__init__(net, computation=computation, rngs=rngs, init={"out": heads})
        bias = self.convs["out"].bias
        bias[...] = jnp.full_like(bias[...], output_bias)

    def __call__(
        self, depth: Float[Array, "b t h w 1"], *, train: bool
    ) -> Float[Array, "b t h w maps"]:
        """Returns logits [b t h w 20]; h and w must be divisible by `detection.SHRINK`."""
        return super().__call__(depth, train=train)


class RegressionNet(ConvNet):
    """The regression net: depth and detection maps -> confidence maps."""

    def __init__(
        self,
        variant: Variant,
        *,
        width: float = 1.0,
        zero_output: bool = False,
        computation: Computation = Computation(),  # noqa: B008 (frozen)
        rngs: nnx.Rngs,
    ):
        """Creates the weights. With `zero_output`, the first maps are 0 rather than noise, which
        the first steps would have to unlearn."""
        init = {"output": nnx.initializers.zeros} if zero_output else {}
        super().__init__(
            regression.net(variant, width), computation=computation, rngs=rngs, init=init
        )

    def __call__(
        self,
        depth: Float[Array, "b t h w 1"],
        maps: Float[Array, "b t h w maps"],
        *,
        train: bool,
    ) -> Float[Array, "b t h w maps"]:
        """Returns confidence maps; `maps` are the sigmoid of the detection net's logits."""
        return super().__call__(depth, maps, train=train)
