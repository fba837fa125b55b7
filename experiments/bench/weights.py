"""The nets' layers -> random weights and inputs, numpy arrays, the same for all implementations."""

from collections.abc import Iterable

import numpy as np

from experiments.recipe import STAGES
from jaxpose.body.masks import Target
from jaxpose.body.skeleton import MAPS
from jaxpose.nets import detection, regression
from jaxpose.nets.compute import LayerWeights
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Layer, Net


def net_of(net: str, variant: str, width: float) -> Net:
    """Describes the detection net, or the regression net of a variant."""
    if net == "detection":
        return detection.net(width)
    return regression.net(VARIANTS[variant], width)


def layers_of(net: str, variant: str, width: float) -> tuple[Layer, ...]:
    """Returns the layers of one net, or of both for `pipeline`."""
    if net in STAGES:
        return net_of(net, variant, width).layers
    return net_of("detection", "", width).layers + net_of("regression", variant, width).layers


def draw(layers: Iterable[Layer], seed: int = 0) -> dict[str, LayerWeights]:
    """Draws weights that resemble trained ones: every statistic has its own value, and outputs are
    of the order of 1."""
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in layers:
        c, cin = layer.cout, layer.cin // layer.groups
        # He's scale, over the taps of one output pixel.
        taps = 1 if layer.transposed else np.prod(layer.kernel)
        kernel = rng.normal(size=(*layer.kernel, cin, c)) * (2 / (taps * cin)) ** 0.5
        arrays = [kernel, 0.1 * rng.normal(size=c)]
        if layer.norm:
            arrays += [rng.uniform(0.5, 1.5, c), 0.1 * rng.normal(size=c)]
            arrays += [0.1 * rng.normal(size=c), rng.uniform(0.5, 1.5, c)]
        arrays = [a.astype(np.float32) for a in arrays]
        weights[layer.name] = LayerWeights(*arrays, *[None] * (6 - len(arrays)))
    return weights


NEEDS = {
    ("detection", "forward"): ("depth",),
    ("detection", "train_step"): ("depth", "masks"),
    ("regression", "forward"): ("depth", "maps"),
    ("regression", "train_step"): ("depth", "maps", "masks"),
}
"""(net, what) -> the arrays that are its arguments, in order."""


def inputs(
    names: Iterable[str], batch: int, clip: tuple[int, int, int], count: int
) -> list[dict[str, np.ndarray]]:
    """Draws `count` batches of random clips: float32 depth [b t h w 1], maps, masks [b t h w 20].

    A clip's values depend on its number alone, so a larger batch begins with the smaller one.
    """

    def array(name: str, item: int, number: int):
        rng = np.random.default_rng([ord(name[0]), ord(name[1]), item, number])
        if name == "depth":
            return rng.standard_normal((*clip, 1), np.float32)
        values = rng.random((*clip, MAPS), np.float32)
        return values if name == "maps" else (values < 0.05).astype(np.float32)

    return [
        {name: np.stack([array(name, item, k) for k in range(batch)]) for name in names}
        for item in range(count)
    ]


def drawn_maps(count: int, grid: tuple[int, int], radius: float) -> np.ndarray:
    """Draws maps float32 [count h w 20], like those of a trained net for difficult frames.

    They have Gaussians at random joints, a second, weaker one in every map, and noise.
    """
    rng = np.random.default_rng(3)
    xy = rng.uniform([radius] * 2, [grid[1] - radius, grid[0] - radius], (2, count, 12, 2))
    seen = np.ones((count, 12), bool)
    draw_maps = Target(radius, radius / 3).draw
    first, second = (draw_maps(np, p.astype(np.float32), seen, grid) for p in xy)
    noise = 0.03 * rng.standard_normal(first.shape)
    return (np.maximum(first, 0.7 * second) + noise).astype(np.float32)


def deviation(actual: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference, as a share of the largest expected value."""
    return float(np.max(np.abs(actual - expected)) / np.max(np.abs(expected)))
