"""Depth clip -> rough maps of joints and connections: the two-branch 3-D U-Net of stage one.

paper: unclear, the net is "the one presented in [4]" (Moccia et al. 2020), whose table was not
available; this is the 3-D form of Du et al. 2018, which [4] follows: two branches side by side
(joints, connections), concatenated after every block, strided convolutions instead of pooling,
time never reduced.
"""

from jaxpose.body.skeleton import MAPS
from jaxpose.nets.factorise import FACTORISATIONS, Factorisation, scaled
from jaxpose.nets.layers import Concat, Layer, Net, Run, X, factorised

STEM = 64
"""Channels of the first layer."""
DOWN = (64, 128, 256, 512)
"""Channels of each branch on the way down, by level; level k has 1/2^k of the rows and columns."""
UP = (32, 64, 128, 256)
"""Channels of each branch on the way up, by level."""
SKIPS = (2, 3)
"""Levels whose merged maps are passed from the way down to the way up."""
BRANCHES = ("joints", "connections")
"""Names of the two branches, in the order of their channels."""
SHRINK = 2 ** len(DOWN)
"""Number by which the rows and the columns of a clip must be divisible."""


def net(width: float = 1.0, factorise: Factorisation = FACTORISATIONS["full"]) -> Net:
    """Describes the detection net.

    `width` multiplies every number of channels; `factorise` replaces each 3x3x3 convolution.
    """
    stem, *widths = scaled((STEM, *DOWN, *UP), width)
    down, up = widths[: len(DOWN)], widths[len(DOWN) :]
    blocks = {"stem": factorised("stem", 1, stem, factorise)}
    cin = stem
    for level, cout in enumerate(down, 1):
        fine, coarse = 2 ** (level - 1), 2**level
        for branch in BRANCHES:
            halve, conv = f"down{level}/{branch}/halve", f"down{level}/{branch}/conv"
            blocks[halve] = (
                Layer(halve, cin, cout, kernel=(1, 2, 2), stride=(1, 2, 2), shrink=fine),
            )
            blocks[conv] = factorised(conv, cout, cout, factorise, shrink=coarse)
        merge = f"down{level}/merge"
        blocks[merge] = (Layer(merge, 2 * cout, 2 * cout, shrink=coarse),)
        cin = 2 * cout
    for level, cout in reversed(list(enumerate(up, 1))):
        fine, coarse = 2 ** (level - 1), 2**level
        for branch in BRANCHES:
            double, conv = f"up{level}/{branch}/double", f"up{level}/{branch}/conv"
            blocks[double] = (
                Layer(
                    double,
                    cin,
                    cout,
                    kernel=(1, 2, 2),
                    stride=(1, 2, 2),
                    transposed=True,
                    shrink=coarse,
                ),
            )
            blocks[conv] = factorised(conv, cout, cout, factorise, shrink=fine)
        skip = 2 * down[level - 2] if level - 1 in SKIPS else 0
        merge = f"up{level}/merge"
        blocks[merge] = (Layer(merge, 2 * cout + skip, 2 * cout, shrink=fine),)
        cin = 2 * cout
    # Two 1x1x1 heads on the same channels, joints and connections, are one convolution.
    blocks["out"] = (Layer("out", cin, MAPS, norm=False, relu=False),)
    return Net(blocks, flow)


def flow(run: Run, concat: Concat, depth: X) -> X:
    """Connects the blocks: depth [b t h w 1] -> logits [b t h w 20].

    The logits are those of 12 joint maps, then 8 connection maps. `run(block, x)` computes one
    block.
    """

    def branches(level: str, resize: str, x: X) -> list[X]:
        return [run(f"{level}/{b}/conv", run(f"{level}/{b}/{resize}", x)) for b in BRANCHES]

    x, merged = run("stem", depth), {}
    for level in range(1, len(DOWN) + 1):
        x = run(f"down{level}/merge", concat(branches(f"down{level}", "halve", x)))
        merged[level] = x
    for level in range(len(UP), 0, -1):
        skip = [merged[level - 1]] if level - 1 in SKIPS else []
        x = run(f"up{level}/merge", concat(branches(f"up{level}", "double", x) + skip))
    return run("out", x)
