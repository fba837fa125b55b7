"""Weights, parameters, MACs and bytes: golden numbers, real modules, brute force and XLA."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from lowerings import CONV3D

from jaxpose.body.skeleton import MAPS
from jaxpose.cost.accounting import Cost, layer_cost, layer_costs, net_cost
from jaxpose.lowering import convolve, upsample
from jaxpose.nets import detection, regression
from jaxpose.nets.compute import concatenate
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Layer
from jaxpose.nets.modules import DetectionNet, RegressionNet

CLIP = (3, 96, 128)
PIXELS = 3 * 96 * 128
"""36,864: output pixels of every layer of the regression net."""

# Taps that do not fall on padding, per axis: (3n - 2) of 3n over n positions.
T, H, W = 3 * 3 - 2, 3 * 96 - 2, 3 * 128 - 2
"""7, 286 and 382."""


def regression_cost(variant: str, width: float = 1.0) -> Cost:
    return net_cost(regression.net(VARIANTS[variant], width).layers, CLIP)


def detection_cost() -> Cost:
    return net_cost(detection.net().layers, CLIP)


@pytest.mark.parametrize(
    "variant, weights, hidden",
    [
        # hidden: channels of the layers before the output, each with bias, scale and shift
        ("full", 2_982_336, 64 + 128 + 256 + 256 + 256),
        ("asy", 1_303_488, 3 * (64 + 128 + 256 + 256) + 256),
        ("r2plus1d", 2_980_323, 95 + 230 + 460 + 576 + 64 + 128 + 256 + 256 + 256),
        ("dwsep", 191_159, 21 + 64 + 128 + 256 + 64 + 128 + 256 + 256 + 256),
        ("asy_tyx", 1_303_488, 3 * (64 + 128 + 256 + 256) + 256),
        ("r2plus1d_asy", 1_303_455, 75 + 128 + 256 + 192 + 64 + 128 + 256 + 256 + 256),
        ("planar", 1_041_216, 64 + 128 + 256 + 256 + 256),
        ("planar_shift", 1_041_216, 64 + 128 + 256 + 256 + 256),
        ("bottleneck", 391_248, 2 * (16 + 32 + 64 + 64) + 64 + 128 + 256 + 256 + 256),
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


def test_a_linear_cascade_has_one_batch_norm_and_three_biases():
    linear, asy = regression_cost("asy_linear"), regression_cost("asy")
    assert linear.parameters == asy.parameters - 2 * 2 * (64 + 128 + 256 + 256)
    assert (linear.biases, linear.macs_useful) == (asy.biases, asy.macs_useful)


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


PAIRS = 21 * 64 + 64 * 128 + 128 * 256 + 256 * 256
SQUARES = 64**2 + 128**2 + 256**2 + 256**2
ALONG = {"x": 3 * 96 * W, "y": 3 * H * 128, "t": T * 96 * 128}
"""Axis -> useful taps of a kernel along it, over all pixels."""


def cascade(order: str) -> int:
    """Useful MACs of a net of three kernels, of which the first changes the channels."""
    first, *others = (ALONG[axis] for axis in order)
    return PAIRS * first + SQUARES * sum(others) + 70_656 * PIXELS


USEFUL = {
    "full": 85_076_812_544,
    "asy": 44_157_124_608,
    # 1x3x3 to the channels between, 3x1x1 from there
    "r2plus1d": (21 * 95 + 64 * 230 + 128 * 460 + 256 * 576) * 3 * H * W
    + (95 * 64 + 230 * 128 + 460 * 256 + 576 * 256) * T * 96 * 128
    + 70_656 * PIXELS,
    # 3x3x3 a channel, 1x1x1 across them
    "dwsep": (21 + 64 + 128 + 256) * T * H * W + (107_840 + 70_656) * PIXELS,
    **{f"asy_{order}": cascade(order) for order in ("xyt", "ytx", "xty", "tyx", "txy")},
    "asy_linear": cascade("yxt"),
    "r2plus1d_asy": (21 * 75 + 64 * 128 + 128 * 256 + 256 * 192) * 3 * H * W
    + (75 * 64 + 128 * 128 + 256 * 256 + 192 * 256) * T * 96 * 128
    + 70_656 * PIXELS,
    "planar": PAIRS * 3 * H * W + 70_656 * PIXELS,
    "planar_shift": PAIRS * 3 * H * W + 70_656 * PIXELS,  # zeros that were shifted in count
    "bottleneck": (16**2 + 32**2 + 64**2 + 64**2) * T * H * W
    + (16 * (21 + 64) + 32 * (64 + 128) + 64 * (128 + 256) + 64 * (256 + 256) + 70_656) * PIXELS,
    "thin": (21 * 42 + 42 * 84 + 84 * 169 + 169 * 169) * T * H * W
    + (169 * 169 + 169 * 20) * PIXELS,
}


def test_the_useful_macs_of_the_variants_are_those_that_were_derived():
    assert {v: regression_cost(v).macs_useful for v in USEFUL} == USEFUL


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
    net = nnx.eval_shape(lambda: RegressionNet(VARIANTS[variant], width=width, rngs=nnx.Rngs(0)))
    assert count(net) == regression_cost(variant, width).parameters


def test_counted_parameters_are_those_of_the_detection_net():
    net = nnx.eval_shape(lambda: DetectionNet(rngs=nnx.Rngs(0)))
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
        return upsample(x, kernel, lowering=CONV3D)
    return convolve(x, kernel, stride=layer.stride, groups=layer.groups, lowering=CONV3D)


def shapes(layer: Layer, clip):
    t, h, w = clip
    x = (1, t, h // layer.shrink, w // layer.shrink, layer.cin)
    return x, (*layer.kernel, layer.cin // layer.groups, layer.cout)


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_useful_macs_are_the_products_without_padding(layer, clip):
    # with ones everywhere, every product that is not with padding adds one to the output
    x, kernel = shapes(layer, clip)
    actual = run(layer, jnp.ones(x), jnp.ones(kernel))
    assert layer_cost(layer, clip).macs_useful == int(actual.sum())


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
        layers = detection.net().layers
    else:
        layers = regression.net(VARIANTS[net]).layers
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
    layers = regression.net(VARIANTS["asy"]).layers
    costs = layer_costs(layers, CLIP)
    for field in dataclasses.fields(Cost):
        total = sum(getattr(cost, field.name) for cost in costs)
        assert getattr(regression_cost("asy"), field.name) == total
    assert net_cost([], CLIP) == Cost(*[0] * len(dataclasses.fields(Cost)))


def test_parameters_are_weights_biases_and_batch_norm_and_statistics_stand_apart():
    full, asy = regression_cost("full"), regression_cost("asy")
    assert (full.biases, asy.biases) == (980, 2388)
    assert (full.norm_parameters, asy.norm_parameters) == (1920, 4736)
    assert (full.running_statistics, asy.running_statistics) == (1920, 4736)
    for cost in (full, asy):
        assert cost.parameters == cost.kernel_weights + cost.biases + cost.norm_parameters
    # what Keras would print, statistics included
    assert full.parameters + full.running_statistics == 2_987_156
    assert asy.parameters + asy.running_statistics == 1_315_348


@pytest.mark.parametrize(
    "variant, layer, intensity",
    [("full", 0, 211), ("full", 1, 559), ("full", 2, 1084), ("full", 3, 1580), ("full", 4, 64)]
    + [("asy", 0, 24), ("asy", 1, 48), ("asy", 3, 64), ("asy", 6, 127), ("asy", 9, 190)],
)
def test_arithmetic_intensity_is_two_flop_a_nominal_mac_over_bytes(variant, layer, intensity):
    cost = layer_costs(regression.net(VARIANTS[variant]).layers, CLIP)[layer]
    assert round(cost.intensity) == intensity


def test_training_is_three_convolutions_a_layer_but_two_in_the_first():
    full, asy = regression_cost("full"), regression_cost("asy")
    first = 36_288 * PIXELS, 21 * 64 * 3 * PIXELS
    assert full.train_macs_nominal == 3 * full.macs_nominal - first[0]
    assert asy.train_macs_nominal == 3 * asy.macs_nominal - first[1]
    assert round(full.train_macs_nominal / asy.train_macs_nominal, 3) == 2.281
    # outputs of the convolutions and again after batch norm: 16 clips, 4 bytes, in GB
    assert round(16 * full.train_stored_bytes / 1e9, 1) == 4.6
    assert round(16 * asy.train_stored_bytes / 1e9, 1) == 11.2


def test_asy_shrinks_the_half_of_the_pipeline_that_is_rich_in_macs_but_poor_in_parameters():
    full, asy = (detection_cost() + regression_cost(v) for v in ("full", "asy"))
    assert round(full.macs_nominal / asy.macs_nominal, 3) == 1.905
    assert round(1 - asy.macs_nominal / full.macs_nominal, 3) == 0.475
    assert round(1 - asy.parameters / full.parameters, 3) == 0.049


def bare(net: str, clip, width: float = 1.0):
    """The net's convolutions alone, connected by the net itself: (kernels, *inputs) -> maps, the
    shapes of its arguments, and its layers."""
    inputs = [(1, *clip, 1), (1, *clip, MAPS)]
    if net == "detection":
        description, inputs = detection.net(width), inputs[:1]
    else:
        description = regression.net(VARIANTS[net], width)
    layers = {layer.name: layer for layer in description.layers}
    kernels = {name: shapes(layer, clip)[1] for name, layer in layers.items()}

    def maps(kernels, *inputs):
        return description.walk(
            lambda name, x: run(layers[name], x, kernels[name]), concatenate, *inputs
        )

    arguments = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
        (kernels, *inputs),
        is_leaf=lambda x: isinstance(x, tuple) and isinstance(x[0], int),
    )
    return maps, arguments, description.layers


@pytest.mark.parametrize("clip, width", [(CLIP, 1.0), ((5, 32, 48), 0.25)])
@pytest.mark.parametrize("net", [*VARIANTS, "detection"])
def test_xla_counts_the_same_useful_macs_in_the_whole_net(net, clip, width):
    maps, arguments, layers = bare(net, clip, width)
    flops = jax.jit(maps).lower(*arguments).cost_analysis()["flops"]
    assert flops / 2 == pytest.approx(net_cost(layers, clip).macs_useful, rel=1e-6)


@pytest.mark.parametrize("net", [*VARIANTS, "detection"])
def test_xla_counts_the_same_useful_macs_in_training(net):
    maps, arguments, layers = bare(net, CLIP)

    def both_ways(kernels, *inputs):
        out, back = jax.vjp(lambda kernels: maps(kernels, *inputs), kernels)
        return out, back(jnp.ones_like(out))  # no loss, so that only convolutions are counted

    flops = jax.jit(both_ways).lower(*arguments).cost_analysis()["flops"]
    # One addition an element wherever a map's gradients meet: two branches, and on
    # levels 2 and 3 a skip. In channels of the full grid: stem, way down, way up.
    meet = 64 + (128 / 4 + 2 * 256 / 16 + 2 * 512 / 64 + 1024 / 256)
    meet += 512 / 64 + 256 / 16 + 128 / 4
    flops -= meet * PIXELS if net == "detection" else 0
    assert flops / 2 == pytest.approx(net_cost(layers, CLIP).train_macs_useful, rel=1e-6)
