"""Weights, parameters, MACs and bytes: golden numbers, real modules, brute force and XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxpose import detection, regression
from jaxpose.accounting import Cost, layer_cost, net_cost
from jaxpose.convolution import convolve, upsample
from jaxpose.factorise import VARIANTS
from jaxpose.layers import Layer

CLIP = (3, 96, 128)
PIXELS = 3 * 96 * 128
"""36,864: output pixels of every layer of the regression net."""

# Taps that do not fall on padding, per axis: (3n - 2) of 3n over n positions.
T, H, W = 3 * 3 - 2, 3 * 96 - 2, 3 * 128 - 2
"""7, 286 and 382."""


def regression_cost(variant: str, width: float = 1.0) -> Cost:
    return net_cost(regression.layers(VARIANTS[variant], width), CLIP)


def detection_cost() -> Cost:
    return net_cost(detection.layers().values(), CLIP)


@pytest.mark.parametrize(
    "variant, weights, hidden",
    [
        # hidden: channels of the layers before the output, each with bias, scale and shift
        ("full", 2_982_336, 64 + 128 + 256 + 256 + 256),
        ("asy", 1_303_488, 3 * (64 + 128 + 256 + 256) + 256),
        ("r2plus1d", 2_980_323, 95 + 230 + 460 + 576 + 64 + 128 + 256 + 256 + 256),
        ("dwsep", 191_159, 21 + 64 + 128 + 256 + 64 + 128 + 256 + 256 + 256),
        ("thin", 1_305_450, 42 + 84 + 169 + 169 + 169),
    ],
)
def test_parameters_are_weights_three_a_hidden_channel_and_20_output_biases(
    variant, weights, hidden
):
    cost = regression_cost(variant)
    assert (cost.kernel_weights, cost.parameters) == (weights, weights + 3 * hidden + 20)
    # stride 1 and the size kept: every weight is used once at every pixel
    assert cost.macs_nominal == weights * PIXELS


def test_the_paper_s_two_nets():
    assert regression_cost("full").parameters == 2_985_236
    assert regression_cost("asy").parameters == 1_310_612
    assert round(regression_cost("full").macs_nominal / 1e9, 2) == 109.94
    assert round(regression_cost("asy").macs_nominal / 1e9, 2) == 48.05


def test_useful_macs_of_the_paper_s_two_nets():
    pairs = 21 * 64 + 64 * 128 + 128 * 256 + 256 * 256
    squares = 64**2 + 128**2 + 256**2 + 256**2
    tail = (256 * 256 + 256 * 20) * PIXELS
    full = pairs * T * H * W + tail
    asy = pairs * 3 * H * 128 + squares * (3 * 96 * W + T * 96 * 128) + tail
    assert regression_cost("full").macs_useful == full == 85_076_812_544
    assert regression_cost("asy").macs_useful == asy == 44_157_124_608
    assert (round(full / 1e9, 2), round(asy / 1e9, 2)) == (85.08, 44.16)


USEFUL = {
    "full": 85_076_812_544,
    "asy": 44_157_124_608,
    # 1x3x3 to the channels between, 3x1x1 from there
    "r2plus1d": (21 * 95 + 64 * 230 + 128 * 460 + 256 * 576) * 3 * H * W
    + (95 * 64 + 230 * 128 + 460 * 256 + 576 * 256) * T * 96 * 128
    + 70_656 * PIXELS,
    # 3x3x3 a channel, 1x1x1 across them
    "dwsep": (21 + 64 + 128 + 256) * T * H * W + (107_840 + 70_656) * PIXELS,
    "thin": (21 * 42 + 42 * 84 + 84 * 169 + 169 * 169) * T * H * W
    + (169 * 169 + 169 * 20) * PIXELS,
}


def test_every_variant_has_a_golden_number_of_useful_macs():
    assert USEFUL.keys() == VARIANTS.keys()
    assert {v: regression_cost(v).macs_useful for v in VARIANTS} == USEFUL


def test_the_detection_net():
    # kernel weights: the 3x3x3 ones alone are 27 (64 + 2 sum of w^2 over both ways)
    spatial = 27 * 64 + 2 * 27 * sum(w * w for w in (64, 128, 256, 512, 256, 128, 64, 32))
    halve = 2 * 4 * (64 * 64 + 128 * 128 + 256 * 256 + 512 * 512)
    double = 2 * 4 * (1024 * 256 + 512 * 128 + 256 * 64 + 128 * 32)
    merge = 128**2 + 256**2 + 512**2 + 1024**2
    merge += (512 + 512) * 512 + (256 + 256) * 256 + 128 * 128 + 64 * 64
    cost = detection_cost()
    assert cost.kernel_weights == spatial + halve + double + merge + 64 * 20 == 31_142_848
    assert cost.parameters == 31_168_980
    assert round(cost.macs_nominal / 1e9, 1) == 20.3
    assert cost.macs_useful == 15_862_904_576


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width", [1.0, 0.25])
def test_counted_parameters_are_those_of_the_regression_net(variant, width):
    net = nnx.eval_shape(
        lambda: regression.RegressionNet(VARIANTS[variant], width=width, rngs=nnx.Rngs(0))
    )
    assert count(net) == regression_cost(variant, width).parameters


def test_counted_parameters_are_those_of_the_detection_net():
    net = nnx.eval_shape(lambda: detection.DetectionNet(rngs=nnx.Rngs(0)))
    assert count(net) == detection_cost().parameters


def count(net) -> int:
    return sum(x.size for x in jax.tree.leaves(nnx.state(net, nnx.Param)))


SMALL = [
    Layer("3x3x3", 2, 3, (3, 3, 3)),
    Layer("1x3x1", 3, 2, (1, 3, 1)),
    Layer("1x1x3", 3, 2, (1, 1, 3)),
    Layer("3x1x1", 3, 2, (3, 1, 1)),
    Layer("1x3x3", 1, 4, (1, 3, 3)),
    Layer("1x1x1", 5, 2),
    Layer("depth-wise", 4, 4, (3, 3, 3), groups=4),
    Layer("in two groups", 4, 6, (1, 3, 3), groups=2),
    Layer("on half the grid", 2, 2, (3, 3, 3), shrink=2),
    Layer("halve", 3, 2, (1, 2, 2), stride=(1, 2, 2)),
    Layer("double", 3, 2, (1, 2, 2), stride=(1, 2, 2), transposed=True, shrink=2),
]
CLIPS = [(3, 4, 8), (1, 2, 4), (2, 6, 2)]


def run(layer: Layer, x, kernel):
    if layer.transposed:
        return upsample(x, kernel, lowering="conv3d")
    return convolve(x, kernel, stride=layer.stride, groups=layer.groups, lowering="conv3d")


def shapes(layer: Layer, clip):
    t, h, w = clip
    x = (1, t, h // layer.shrink, w // layer.shrink, layer.cin)
    return x, (*layer.kernel, layer.cin // layer.groups, layer.cout)


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_useful_macs_are_the_products_without_padding(layer, clip):
    # with ones everywhere, every product that is not with padding adds one to the output
    x, kernel = shapes(layer, clip)
    found = run(layer, jnp.ones(x), jnp.ones(kernel))
    assert layer_cost(layer, clip).macs_useful == int(found.sum())


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_nominal_macs_are_the_products_on_an_endless_image(layer, clip):
    # ones in the middle of a large field of ones: every output pixel inside meets every tap
    x, kernel = shapes(layer, clip)
    cost = layer_cost(layer, clip)
    if layer.stride != (1, 1, 1):
        assert cost.macs_nominal == cost.macs_useful
        return
    padded = jnp.ones((1, *(n + 2 for n in x[1:4]), x[4]))
    inner = run(layer, padded, jnp.ones(kernel))[:, 1:-1, 1:-1, 1:-1]
    assert cost.macs_nominal == int(inner.sum())


def xla_macs(layer: Layer, clip) -> float:
    """XLA counts two FLOPs for every product without padding, in float32."""
    x, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes(layer, clip))
    lowered = jax.jit(lambda x, k: run(layer, x, k)).lower(x, kernel)
    return lowered.cost_analysis()["flops"] / 2


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_xla_counts_the_same_useful_macs(layer):
    assert layer_cost(layer, (3, 4, 8)).macs_useful == xla_macs(layer, (3, 4, 8))


@pytest.mark.parametrize("net", [*VARIANTS, "detection"])
def test_xla_counts_the_same_useful_macs_layer_by_layer(net):
    if net == "detection":
        layers = detection.layers().values()
    else:
        layers = regression.layers(VARIANTS[net])
    for layer in layers:  # a float32 has 24 bits; the count is rounded once
        counted = layer_cost(layer, CLIP).macs_useful
        assert xla_macs(layer, CLIP) == pytest.approx(counted, rel=2**-23), layer.name


def test_bytes_of_a_layer_by_hand():
    # 2 -> 3 channels on 3 frames of 4x8: 192 in, 162 weights, 288 out, 4 bytes each
    cost = layer_cost(Layer("a", 2, 3, (3, 3, 3)), (3, 4, 8))
    assert (cost.bytes, cost.activation_bytes) == (4 * (192 + 162 + 288), 4 * 288)
    # halved to 2x4: 3 * 2 * 4 * 3 out; doubled from 2x4 (shrink 2): 3 * 4 * 8 * 3 out
    halve = Layer("h", 2, 3, (1, 2, 2), stride=(1, 2, 2))
    double = Layer("d", 2, 3, (1, 2, 2), stride=(1, 2, 2), transposed=True, shrink=2)
    assert layer_cost(halve, (3, 4, 8)).activation_bytes == 4 * 72
    assert layer_cost(double, (3, 4, 8)).activation_bytes == 4 * 288


def test_asy_moves_more_data_than_full():
    # 301 and 710 MB a clip
    full, asy = (regression_cost(v).bytes for v in ("full", "asy"))
    assert (round(full / 1e6), round(asy / 1e6)) == (301, 710)


def test_the_cost_of_a_net_is_the_sum_over_its_layers():
    costs = [layer_cost(layer, CLIP) for layer in regression.layers(VARIANTS["asy"])]
    assert regression_cost("asy").activation_bytes == sum(c.activation_bytes for c in costs)
    assert Cost(1, 2, 3, 4, 5, 6) + Cost(10, 20, 30, 40, 50, 60) == Cost(11, 22, 33, 44, 55, 66)
    assert np.array_equal(net_cost([], CLIP).bytes, 0)
