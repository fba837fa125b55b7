"""Factorisations as data: what each stands for, and its weights, derived in the comments."""

import math

import pytest

from jaxpose.nets import detection
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS, Stage, dwsep, r2plus1d, scaled
from jaxpose.nets.regression import net

full, asy = FACTORISATIONS["full"], FACTORISATIONS["asy"]

ORDERS = ("asy_xyt", "asy_ytx", "asy_xty", "asy_tyx", "asy_txy")
"""The other orders of the paper's three kernels."""

TAIL = 256 * 256 + 256 * 20
"""Weights of layer 5 and the output, 1x1x1, at full width: 70,656."""

# Layers 1 to 4 take 21 -> 64 -> 128 -> 256 -> 256 channels.
PAIRS = 21 * 64 + 64 * 128 + 128 * 256 + 256 * 256
"""Input times output channels, summed: 107,840."""
SQUARES = 64**2 + 128**2 + 256**2 + 256**2
"""Output channels squared, summed: 151,552."""

KERNEL_WEIGHTS = {
    "full": 27 * PAIRS + TAIL,
    # the first of three kernels changes the channels, the other two keep them
    "asy": 3 * PAIRS + 6 * SQUARES + TAIL,
    # between: 36288 // 381 = 95, 221184 // 960 = 230, 884736 // 1920 = 460, 1769472 // 3072 = 576
    # and 9 cin + 3 cout weights for each channel between
    "r2plus1d": 95 * 381 + 230 * 960 + 460 * 1920 + 576 * 3072 + TAIL,
    # 27 a channel, then 1x1x1
    "dwsep": 27 * (21 + 64 + 128 + 256) + PAIRS + TAIL,
    # the kernel that comes first has the smaller number of input channels; all have 3 taps
    **dict.fromkeys(ORDERS, 3 * PAIRS + 6 * SQUARES + TAIL),
    "asy_linear": 3 * PAIRS + 6 * SQUARES + TAIL,
    # between: 28608 // 381 = 75, 122880 // 960 = 128, 491520 // 1920 = 256, 589824 // 3072 = 192
    "r2plus1d_asy": 75 * 381 + 128 * 960 + 256 * 1920 + 192 * 3072 + TAIL,
    "planar": 9 * PAIRS + TAIL,
    "planar_shift": 9 * PAIRS + TAIL,
    # a quarter of the channels between: 16, 32, 64, 64
    "bottleneck": 16 * 21 + 32 * 64 + 64 * 128 + 64 * 256
    + 27 * (16**2 + 32**2 + 64**2 + 64**2)
    + 16 * 64 + 32 * 128 + 64 * 256 + 64 * 256
    + TAIL,
    "thin": 27 * (21 * 42 + 42 * 84 + 84 * 169 + 169 * 169) + 169 * 169 + 169 * 20,
}  # fmt: skip

GOLDEN = {
    "full": 2_982_336,
    "asy": 1_303_488,
    "r2plus1d": 2_980_323,
    "dwsep": 191_159,
    **dict.fromkeys(ORDERS, 1_303_488),
    "asy_linear": 1_303_488,
    "r2plus1d_asy": 1_303_455,
    "planar": 1_041_216,
    "planar_shift": 1_041_216,
    "bottleneck": 391_248,
    "thin": 1_305_450,
}


def kernel_weights(stages, cin: int) -> int:
    """Counted here, not by `jaxpose.cost.accounting`."""
    total = 0
    for stage in stages:
        total += math.prod(stage.kernel) * cin // stage.groups * stage.features
        cin = stage.features
    return total


def net_weights(variant: str, width: float = 1.0) -> int:
    return sum(math.prod(x.kernel_shape) for x in net(VARIANTS[variant], width).layers)


def test_every_variant_has_a_golden_number():
    assert GOLDEN.keys() == VARIANTS.keys() >= KERNEL_WEIGHTS.keys()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_kernel_weights_of_every_variant(variant):
    assert net_weights(variant) == GOLDEN[variant]
    assert KERNEL_WEIGHTS.get(variant, GOLDEN[variant]) == GOLDEN[variant]


def test_the_saving_of_the_paper_s_factorisation_is_56_percent():
    assert round(1 - GOLDEN["asy"] / GOLDEN["full"], 3) == 0.563


def test_asy_goes_along_rows_then_columns_then_time_as_in_table_i():
    assert [stage.kernel for stage in asy(21, 64)] == [(1, 3, 1), (1, 1, 3), (3, 1, 1)]
    assert [stage.features for stage in asy(21, 64)] == [64, 64, 64]
    # 3 * 21 * 64 + 3 * 64 * 64 * 2
    assert kernel_weights(asy(21, 64), 21) == 4_032 + 12_288 + 12_288


def test_asy_saves_most_where_the_channels_stay_the_same():
    ratios = [
        round(kernel_weights(full(a, b), a) / kernel_weights(asy(a, b), a), 2)
        for a, b in ((21, 64), (64, 128), (128, 256), (256, 256))
    ]
    assert ratios == [1.27, 1.80, 1.80, 3.00]  # 27/9 where cin = cout


def test_r2plus1d_spends_at_most_what_full_spends_and_less_than_one_channel_below():
    for cin, cout in ((21, 64), (64, 128), (5, 3), (256, 256)):
        spare = 27 * cin * cout - kernel_weights(r2plus1d(cin, cout), cin)
        assert 0 <= spare < 9 * cin + 3 * cout


def test_dwsep_is_one_filter_a_channel_and_a_1x1x1_convolution():
    assert dwsep(8, 5) == (Stage((3, 3, 3), 8, groups=8), Stage((1, 1, 1), 5))


def in_time(convolutions) -> bool:
    """Tells whether neighbouring frames meet; they do not in `planar`."""
    return any(x.kernel[0] > 1 or x.shift for x in convolutions)


def reach(convolutions) -> list[int]:
    """Extent (t, y, x) of what one output sees; a shift in time reaches one frame on each side."""
    grown = [
        sum(one.kernel[axis] - 1 + (2 if one.shift and axis == 0 else 0) for one in convolutions)
        for axis in range(3)
    ]
    return [1 + more for more in grown]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_factorisation_reaches_as_far_as_3x3x3_and_ends_on_the_channels(variant):
    stages = VARIANTS[variant].factorise(24, 40)
    assert reach(stages) == [3 if in_time(stages) else 1, 3, 3]
    assert stages[-1].features == 40


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_sees_9_frames_by_9x9_pixels(variant):
    # four layers, each one more on every side; planar sees one frame
    layers = net(VARIANTS[variant]).layers
    assert reach(layers) == [9 if in_time(layers) else 1, 9, 9]


def test_the_orders_are_the_six_permutations_of_the_same_three_kernels():
    orders = {tuple(s.kernel for s in FACTORISATIONS[name](21, 64)) for name in ("asy", *ORDERS)}
    assert len(orders) == 6 and {frozenset(order) for order in orders} == {
        frozenset({(1, 3, 1), (1, 1, 3), (3, 1, 1)})
    }
    axes = {(1, 3, 1): "y", (1, 1, 3): "x", (3, 1, 1): "t"}
    for name in ORDERS:
        stages = FACTORISATIONS[name](21, 64)
        assert name == "asy_" + "".join(axes[stage.kernel] for stage in stages)


def test_asy_linear_has_the_kernels_of_asy_and_one_batch_norm_and_relu_after_the_last():
    stages = FACTORISATIONS["asy_linear"](21, 64)
    assert [stage.kernel for stage in stages] == [stage.kernel for stage in asy(21, 64)]
    assert [(stage.norm, stage.relu) for stage in stages] == [(False, False)] * 2 + [(True, True)]


@pytest.mark.parametrize("cin, cout", [(21, 64), (64, 128), (5, 3), (256, 256)])
def test_r2plus1d_asy_has_at_most_the_weights_of_asy_and_less_than_one_channel_below(cin, cout):
    stages = FACTORISATIONS["r2plus1d_asy"](cin, cout)
    spare = kernel_weights(asy(cin, cout), cin) - kernel_weights(stages, cin)
    assert 0 <= spare < 9 * cin + 3 * cout


def test_bottleneck_narrows_to_a_quarter():
    assert FACTORISATIONS["bottleneck"](21, 64) == (
        Stage((1, 1, 1), 16),
        Stage((3, 3, 3), 16),
        Stage((1, 1, 1), 64),
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_net_hands_every_layer_what_the_one_before_makes(variant):
    layers = net(VARIANTS[variant], 0.25).layers
    assert layers[0].cin == 21 and layers[-1].cout == 20
    assert all(a.cout == b.cin for a, b in zip(layers, layers[1:], strict=False))
    assert len({x.name for x in layers}) == len(layers)


def test_table_i_layer_by_layer():
    table = [(x.name, x.kernel, x.cin, x.cout) for x in net(VARIANTS["asy"]).layers]
    assert table[:4] == [
        ("layer1/a", (1, 3, 1), 21, 64),
        ("layer1/b", (1, 1, 3), 64, 64),
        ("layer1/c", (3, 1, 1), 64, 64),
        ("layer2/a", (1, 3, 1), 64, 128),
    ]
    assert table[9:] == [
        ("layer4/a", (1, 3, 1), 256, 256),
        ("layer4/b", (1, 1, 3), 256, 256),
        ("layer4/c", (3, 1, 1), 256, 256),
        ("layer5", (1, 1, 1), 256, 256),
        ("output", (1, 1, 1), 256, 20),
    ]


def test_batch_norm_and_relu_follow_every_convolution_but_the_output():
    for name, variant in VARIANTS.items():
        *hidden, output = net(variant).layers
        linear = {x.name for x in hidden if not (x.norm and x.relu)}
        cascades = {f"layer{n}/{part}" for n in range(1, 5) for part in "ab"}
        assert linear == (cascades if name == "asy_linear" else set())
        assert not output.norm and not output.relu


@pytest.mark.parametrize("width", [0.25, 0.5, 0.75, 1.0, 2.0])
def test_thin_weighs_what_asy_weighs_at_every_width(width):
    assert net_weights("thin", width) == pytest.approx(net_weights("asy", width), rel=0.03)


def test_widths_are_rounded_and_never_zero():
    assert scaled((64, 128, 256), 0.25) == (16, 32, 64)
    # 42 / 4 = 10.5 and 169 / 4 = 42.25; Python rounds a half to the even number
    assert scaled((42, 169), 0.25) == (10, 42)
    assert scaled((64, 32), 0.001) == (1, 1)


BRANCHES = 2 * (64**2 + 128**2 + 256**2 + 512**2 + 32**2 + 64**2 + 128**2 + 256**2)
"""Channels squared of the 3x3x3 convolutions on the way down and up, summed: 870,400. The stem
has another, 1 -> 64."""
REST = 31_142_848 - 27 * (64 + BRANCHES)
"""Weights of the detection net that no factorisation changes."""

DETECTION_WEIGHTS = {
    "full": REST + 27 * (64 + BRANCHES),
    "asy": REST + 3 * 64 + 6 * 64**2 + 9 * BRANCHES,
    # 27 c / 12 channels between give exactly 27 c^2; the stem has 27 * 64 // (9 + 3 * 64) = 8
    "r2plus1d": REST + 8 * (9 + 3 * 64) + 27 * BRANCHES,
    "dwsep": REST + 27 + 64 + 2 * 27 * (64 + 128 + 256 + 512 + 32 + 64 + 128 + 256) + BRANCHES,
    **dict.fromkeys(ORDERS, REST + 3 * 64 + 6 * 64**2 + 9 * BRANCHES),
    "asy_linear": REST + 3 * 64 + 6 * 64**2 + 9 * BRANCHES,
    # 9 c^2 / 12 c = 3 c / 4 channels between; the stem has 24768 // 201 = 123
    "r2plus1d_asy": REST + 123 * 201 + 9 * BRANCHES,
    "planar": REST + 9 * (64 + BRANCHES),
    "planar_shift": REST + 9 * (64 + BRANCHES),
    # c^2 / 4 down, 27 c^2 / 16, c^2 / 4 up; the stem has 16 channels between, and one input
    "bottleneck": REST + 16 + 27 * 16**2 + 16 * 64 + 35 * BRANCHES // 16,
}
DETECTION_GOLDEN = {
    "full": 31_142_848,
    "asy": 15_498_688,
    "r2plus1d": 31_142_728,
    "dwsep": 8_588_571,
    **dict.fromkeys(ORDERS, 15_498_688),
    "asy_linear": 15_498_688,
    "r2plus1d_asy": 15_498_643,
    "planar": 15_474_496,
    "planar_shift": 15_474_496,
    "bottleneck": 9_552_272,
}


@pytest.mark.parametrize("name", FACTORISATIONS)
def test_the_kernel_weights_of_the_detection_net_under_every_factorisation(name):
    factorise = FACTORISATIONS[name]
    replaced = [(1, 64), *2 * [(c, c) for c in (64, 128, 256, 512, 32, 64, 128, 256)]]
    weights = REST + sum(kernel_weights(factorise(cin, cout), cin) for cin, cout in replaced)
    layers = detection.net(factorise=factorise).layers
    assert sum(math.prod(x.kernel_shape) for x in layers) == weights
    assert DETECTION_WEIGHTS.get(name, weights) == DETECTION_GOLDEN.get(name, weights) == weights


def test_a_factorised_detection_net_replaces_its_17_3x3x3_convolutions_and_no_other():
    full, asy = (detection.net(0.25, FACTORISATIONS[name]).layers for name in ("full", "asy"))
    assert sum(x.kernel == (3, 3, 3) for x in full) == 17  # a stem, two branches of 4 + 4 levels
    assert not [x for x in asy if x.kernel == (3, 3, 3)]
    assert len(asy) == len(full) + 2 * 17
    others = [x for x in full if x.kernel != (3, 3, 3)]
    assert [x for x in asy if x in others] == others
    assert [x.name for x in asy[:3]] == ["stem/a", "stem/b", "stem/c"]
