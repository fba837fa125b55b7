"""Depth and detection maps -> confidence maps: the regression CNN, Table I, in any variant."""

from jaxpose.body.skeleton import MAPS
from jaxpose.nets.factorise import Variant, scaled
from jaxpose.nets.layers import Concat, Layer, Net, Run, X, factorised

BODY = ("layer1", "layer2", "layer3", "layer4")
"""Blocks whose 3x3x3 convolution the variant replaces."""
BLOCKS = (*BODY, "layer5", "output")
"""All blocks, in the order in which they run."""


def net(variant: Variant, width: float = 1.0) -> Net:
    """Describes the regression net: Table I, top to bottom.

    Layers 1 to 4 are cascades, layer 5 and the output are 1x1x1. The output is linear. `width`
    multiplies every number of channels.

    paper: unclear, "batch normalization and ReLU after each convolutional layer" would clip the
    regressed maps, so it is taken not to include the output (as in Du et al. 2018).
    """
    cin, blocks = 1 + MAPS, {}
    *widths, last = scaled(variant.widths, width)
    for block, cout in zip(BODY, widths, strict=True):
        blocks[block] = factorised(block, cin, cout, variant.factorise)
        cin = cout
    blocks["layer5"] = (Layer("layer5", cin, last),)
    blocks["output"] = (Layer("output", last, MAPS, norm=False, relu=False),)
    return Net(blocks, flow)


def flow(run: Run, concat: Concat, depth: X, maps: X) -> X:
    """Connects the blocks in a chain: depth [b t h w 1] and maps [b t h w 20] -> confidence maps.

    `maps` are the detection net's probabilities. The confidence maps are [b t h w 20].
    `run(block, x)` computes one block.
    """
    x = concat([depth, maps])
    for block in BLOCKS:
        x = run(block, x)
    return x
