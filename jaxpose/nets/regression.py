"""Depth and detection maps -> confidence maps: the regression CNN, Table I, in any variant."""

from string import ascii_lowercase

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxpose.body.skeleton import MAPS
from jaxpose.nets.factorise import Variant, scaled
from jaxpose.nets.layers import Conv, Layer, Numerics


def layers(variant: Variant, width: float = 1.0) -> tuple[Layer, ...]:
    """Table I, top to bottom. Layers 1 to 4 are cascades, layer 5 and the output 1x1x1; the
    output is linear.

    paper: unclear, "batch normalization and ReLU after each convolutional layer" would clip the
    regressed maps and is taken not to mean the output (as in Du et al. 2018).
    """
    cin, found = 1 + MAPS, []
    widths = scaled(variant.widths, width)
    for number, cout in enumerate(widths[:-1], 1):
        for part, stage in enumerate(variant.factorise(cin, cout)):
            found.append(
                Layer(
                    f"layer{number}{ascii_lowercase[part]}",
                    cin,
                    stage.features,
                    stage.kernel,
                    groups=stage.groups,
                    relu=stage.relu,
                )
            )
            cin = stage.features
    found.append(Layer("layer5", cin, widths[-1]))
    found.append(Layer("output", widths[-1], MAPS, norm=False, relu=False))
    return tuple(found)


class RegressionNet(nnx.Module):
    """Refines detection maps into confidence maps; one residual-free chain of convolutions."""

    def __init__(
        self,
        variant: Variant,
        *,
        width: float = 1.0,
        zero_output: bool = False,
        numerics: Numerics = Numerics(),  # noqa: B008 (frozen)
        rngs: nnx.Rngs,
    ):
        """`zero_output` starts from all-zero maps, so that no step is spent unlearning noise."""
        self.convs = nnx.List(
            Conv(layer, numerics, rngs=rngs, zero=zero_output and layer.name == "output")
            for layer in layers(variant, width)
        )

    def __call__(
        self,
        depth: Float[Array, "b t h w 1"],
        maps: Float[Array, "b t h w maps"],
        *,
        train: bool,
    ) -> Float[Array, "b t h w maps"]:
        """`maps` are probabilities, the sigmoid of the detection net's logits."""
        x = jnp.concatenate([depth, maps], axis=-1)
        for conv in self.convs:
            x = conv(x, train=train)
        return x.astype(jnp.float32)
