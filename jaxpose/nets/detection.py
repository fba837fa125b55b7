"""Depth clip -> rough maps of joints and connections: the two-branch 3-D U-Net of stage one.

paper: unclear, the net is "the one presented in [4]" (Moccia et al. 2020), whose table could not
be had; this is the 3-D form of Du et al. 2018, which [4] follows: two branches side by side
(joints, connections), concatenated after every block, strided convolutions instead of pooling,
time never reduced.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxpose.body.skeleton import CONNECTIONS, JOINTS
from jaxpose.nets.factorise import scaled
from jaxpose.nets.layers import Conv, Layer, Numerics, side_by_side

DOWN = (64, 128, 256, 512)
"""Width of each branch on the way down; level k works on 1/2^k of rows and columns."""
UP = (32, 64, 128, 256)
"""The same on the way up, by level."""
SKIPS = (2, 3)
"""Levels whose merged maps are handed across from the way down to the way up."""
BRANCHES = ("joints", "connections")
SHRINK = 2 ** len(DOWN)
"""Rows and columns of a clip must divide by it."""


def layers(width: float = 1.0) -> dict[str, Layer]:
    """Every convolution by name, in the order in which it runs."""
    down, up = scaled(DOWN, width), scaled(UP, width)
    found = []

    def add(name, cin, cout, kernel=(1, 1, 1), **options):
        found.append(Layer(name, cin, cout, kernel, **options))

    cin = scaled((64,), width)[0]
    add("stem", 1, cin, (3, 3, 3))
    for level, w in enumerate(down, 1):
        fine, coarse = 2 ** (level - 1), 2**level
        for branch in BRANCHES:
            add(f"down{level}/{branch}/halve", cin, w, (1, 2, 2), stride=(1, 2, 2), shrink=fine)
            add(f"down{level}/{branch}/conv", w, w, (3, 3, 3), shrink=coarse)
        add(f"down{level}/merge", 2 * w, 2 * w, shrink=coarse)
        cin = 2 * w
    for level, w in reversed(list(enumerate(up, 1))):
        fine, coarse = 2 ** (level - 1), 2**level
        for branch in BRANCHES:
            add(
                f"up{level}/{branch}/double",
                *(cin, w, (1, 2, 2)),
                stride=(1, 2, 2),
                transposed=True,
                shrink=coarse,
            )
            add(f"up{level}/{branch}/conv", w, w, (3, 3, 3), shrink=fine)
        skip = 2 * down[level - 2] if level - 1 in SKIPS else 0
        add(f"up{level}/merge", 2 * w + skip, 2 * w, shrink=fine)
        cin = 2 * w
    for branch, maps in zip(BRANCHES, (JOINTS, CONNECTIONS), strict=True):
        add(f"out/{branch}", cin, len(maps), norm=False, relu=False)
    return {layer.name: layer for layer in found}


class DetectionNet(nnx.Module):
    """Logits of 12 joint maps, then 8 connection maps."""

    def __init__(
        self,
        *,
        width: float = 1.0,
        output_bias: float = 0.0,
        numerics: Numerics = Numerics(),  # noqa: B008 (frozen)
        rngs: nnx.Rngs,
    ):
        """`output_bias` is the first guess of every pixel's log-odds: about 1 % of pixels are
        positive, and a net that starts at even odds spends its first epochs on learning that."""
        self.convs = nnx.Dict(
            {name: Conv(layer, numerics, rngs=rngs) for name, layer in layers(width).items()}
        )
        for branch in BRANCHES:
            bias = self.convs[f"out/{branch}"].bias
            bias[...] = jnp.full_like(bias[...], output_bias)

    def __call__(self, depth: Float[Array, "b t h w 1"], *, train: bool):
        """float32 [b t h w 20]; h and w divide by `SHRINK`."""

        def run(name, x):
            return self.convs[name](x, train=train)

        def both(level, resize, x):
            return [run(f"{level}/{b}/conv", run(f"{level}/{b}/{resize}", x)) for b in BRANCHES]

        x, merged = run("stem", depth), {}
        for level in range(1, len(DOWN) + 1):
            branches = both(f"down{level}", "halve", x)
            x = merged[level] = run(f"down{level}/merge", jnp.concatenate(branches, axis=-1))
        for level in range(len(UP), 0, -1):
            branches = both(f"up{level}", "double", x)
            skip = [merged[level - 1]] if level - 1 in SKIPS else []
            x = run(f"up{level}/merge", jnp.concatenate(branches + skip, axis=-1))
        maps = side_by_side([self.convs[f"out/{b}"] for b in BRANCHES], x)
        return maps.astype(jnp.float32)
