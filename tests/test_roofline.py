"""The least time of a net: the study's predictions, and a layer by hand."""

import pytest

from jaxpose.cost.roofline import Ceilings, least_seconds
from jaxpose.nets import regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Layer

CLIP = (3, 96, 128)
MACHINES = {
    "two AVX-512 cores": Ceilings(358e9, 20e9),
    "RTX 2080": Ceilings(10.07e12, 448e9),
    "H200 in TF32": Ceilings(494e12, 4.3e12),
}


@pytest.mark.parametrize(
    "machine, how, full_ms, asy_ms, speedup",
    [
        ("two AVX-512 cores", {"fused": True}, 615, 269, 2.28),
        ("two AVX-512 cores", {}, 629, 304, 2.07),
        ("two AVX-512 cores", {"training": True}, 1902, 965, 1.97),
        ("RTX 2080", {}, 23, 11, 2.02),
        ("RTX 2080", {"training": True}, 68, 36, 1.91),
        ("H200 in TF32", {}, 1, 0, 1.36),
        ("H200 in TF32", {"training": True}, 2, 1, 1.20),
    ],
)
def test_asy_gains_less_where_memory_is_slow_beside_arithmetic(
    machine, how, full_ms, asy_ms, speedup
):
    full, asy = (
        1e3 * least_seconds(regression.net(VARIANTS[v]).layers, CLIP, MACHINES[machine], **how)
        for v in ("full", "asy")
    )
    assert (round(full), round(asy), round(full / asy, 2)) == (full_ms, asy_ms, speedup)


def test_a_layer_takes_as_long_as_its_arithmetic_or_its_data():
    # 1x1x1, 2 -> 3 channels, 4 pixels: 24 MACs; 32 B in, 24 B of weights, 48 B out
    layers = [Layer("a", 2, 3, norm=False)]
    clip = (1, 2, 2)
    assert least_seconds(layers, clip, Ceilings(48.0, 1e9)) == pytest.approx(1)
    assert least_seconds(layers, clip, Ceilings(1e9, 104.0)) == pytest.approx(1)
    # of three clips the activations are read three times, the weights once
    assert least_seconds(layers, clip, Ceilings(1e9, 264.0), batch=3) == pytest.approx(1)
    assert least_seconds(layers, clip, Ceilings(48.0, 1e9), batch=3) == pytest.approx(3)


def test_batch_norm_and_relu_pass_over_the_output_twice_forward_and_nine_times_in_training():
    layers, clip, machine = [Layer("a", 2, 3)], (1, 2, 2), Ceilings(1e12, 104.0)
    assert least_seconds(layers, clip, machine, fused=True) == pytest.approx(1)
    assert least_seconds(layers, clip, machine) == pytest.approx(1 + 2 * 48 / 104)
    # the first layer's input needs no gradient: two convolutions, not three
    assert least_seconds(layers, clip, machine, training=True) == pytest.approx(2 + 9 * 48 / 104)


def test_taps_on_padding_can_be_left_out():
    layers, machine = [Layer("a", 1, 1, (3, 1, 1), norm=False)], Ceilings(2.0, 1e9)
    # 3 frames of 4 pixels: 36 taps, 28 of them on frames
    assert least_seconds(layers, (3, 2, 2), machine) == pytest.approx(36)
    assert least_seconds(layers, (3, 2, 2), machine, useful=True) == pytest.approx(28)
