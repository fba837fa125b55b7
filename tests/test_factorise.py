"""Factorisations as data: what each stands for, and its weights, derived in the comments."""

import math

import pytest

from jaxpose.nets.factorise import VARIANTS, Stage, asy, dwsep, full, r2plus1d, scaled
from jaxpose.nets.regression import layers

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
    "thin": 27 * (21 * 42 + 42 * 84 + 84 * 169 + 169 * 169) + 169 * 169 + 169 * 20,
}

GOLDEN = {
    "full": 2_982_336,
    "asy": 1_303_488,
    "r2plus1d": 2_980_323,
    "dwsep": 191_159,
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
    found = layers(VARIANTS[variant], width)
    return sum(math.prod(x.kernel) * x.cin // x.groups * x.cout for x in found)


def test_every_variant_has_a_golden_number():
    assert GOLDEN.keys() == VARIANTS.keys() == KERNEL_WEIGHTS.keys()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_kernel_weights_of_every_variant(variant):
    assert net_weights(variant) == KERNEL_WEIGHTS[variant] == GOLDEN[variant]


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


@pytest.mark.parametrize("factorise", [v.factorise for v in VARIANTS.values()])
def test_every_factorisation_reaches_3_frames_by_3x3_pixels_and_ends_on_the_channels(factorise):
    stages = factorise(24, 40)
    reach = [1 + sum(stage.kernel[axis] - 1 for stage in stages) for axis in range(3)]
    assert reach == [3, 3, 3]
    assert stages[-1].features == 40


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_sees_9_frames_by_9x9_pixels(variant):
    # four layers, each one more on every side
    found = layers(VARIANTS[variant])
    assert [1 + sum(x.kernel[a] - 1 for x in found) for a in range(3)] == [9, 9, 9]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_net_hands_every_layer_what_the_one_before_makes(variant):
    found = layers(VARIANTS[variant], 0.25)
    assert found[0].cin == 21 and found[-1].cout == 20
    assert all(a.cout == b.cin for a, b in zip(found, found[1:], strict=False))
    assert len({x.name for x in found}) == len(found)


def test_table_i_layer_by_layer():
    table = [(x.name, x.kernel, x.cin, x.cout) for x in layers(VARIANTS["asy"])]
    assert table[:4] == [
        ("layer1a", (1, 3, 1), 21, 64),
        ("layer1b", (1, 1, 3), 64, 64),
        ("layer1c", (3, 1, 1), 64, 64),
        ("layer2a", (1, 3, 1), 64, 128),
    ]
    assert table[9:] == [
        ("layer4a", (1, 3, 1), 256, 256),
        ("layer4b", (1, 1, 3), 256, 256),
        ("layer4c", (3, 1, 1), 256, 256),
        ("layer5", (1, 1, 1), 256, 256),
        ("output", (1, 1, 1), 256, 20),
    ]


def test_batch_norm_and_relu_follow_every_convolution_but_the_output():
    for variant in VARIANTS.values():
        *hidden, output = layers(variant)
        assert all(x.norm and x.relu for x in hidden)
        assert not output.norm and not output.relu


@pytest.mark.parametrize("width", [0.25, 0.5, 0.75, 1.0, 2.0])
def test_thin_weighs_what_asy_weighs_at_every_width(width):
    assert net_weights("thin", width) == pytest.approx(net_weights("asy", width), rel=0.03)


def test_widths_are_rounded_and_never_zero():
    assert scaled((64, 128, 256), 0.25) == (16, 32, 64)
    # 42 / 4 = 10.5 and 169 / 4 = 42.25; Python rounds a half to the even number
    assert scaled((42, 169), 0.25) == (10, 42)
    assert scaled((64, 32), 0.001) == (1, 1)
