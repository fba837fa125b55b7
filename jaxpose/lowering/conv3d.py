"""The lowering `conv3d`: XLA's own 3-D convolution, forward and backward. The others are tested
against it."""

from jax import lax
from jaxtyping import Array, Float

from jaxpose.lowering.lowering import Extent, Lowering, add_bias_and_relu

_NDHWC = ("NDHWC", "DHWIO", "NDHWC")


def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None,
    *,
    stride: Extent,
    groups: int,
    relu: bool,
) -> Float[Array, "b t2 h2 w2 co"]:
    """See `jaxpose.lowering.convolve`."""
    padding = [
        ((taps - 1) // 2, taps // 2) if step == 1 else (0, 0)
        for taps, step in zip(kernel.shape[:3], stride, strict=True)
    ]
    y = lax.conv_general_dilated(
        x, kernel, stride, padding, dimension_numbers=_NDHWC, feature_group_count=groups
    )
    return add_bias_and_relu(y, bias, relu)


def upsample(
    x: Float[Array, "b t h w ci"], kernel: Float[Array, "1 kh kw ci co"]
) -> Float[Array, "b t h2 w2 co"]:
    """See `jaxpose.lowering.upsample`."""
    # lax correlates with the dilated input, which mirrors every tile
    mirrored = kernel[:, ::-1, ::-1]
    return lax.conv_transpose(x, mirrored, kernel.shape[:3], "VALID", dimension_numbers=_NDHWC)


def step_factor(kernel: Extent) -> float:
    """4.0. Measured on a CPU, all nets, width 1/4 and 1: 3.1 to 3.9."""
    return 4.0


CONV3D = Lowering("conv3d", convolve, upsample, step_factor)
