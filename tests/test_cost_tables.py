"""The tables of costs that are counted from the layers: numbers by hand, and a real file."""

import numpy as np
import pytest

from experiments.blocks import BLOCKS
from experiments.blocks.growth import SETTINGS, cost_growth, cost_layers, moved_bytes, stored_bytes
from experiments.blocks.source import Source
from experiments.config import ConfigError
from jaxpose import model_file
from jaxpose.cost.accounting import net_cost
from jaxpose.nets import regression
from jaxpose.nets.compute import LayerWeights
from jaxpose.nets.factorise import VARIANTS


def cells(text: str, setting: str, net: str) -> list[str]:
    """The cells of a net's row, in the part of the table with the setting's name."""
    part = text.split(f"**{setting}**")[1].split("| **")[0]
    line = next(line for line in part.splitlines() if line.startswith(f"| {net} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_paper_s_sizes_have_the_numbers_that_were_derived_by_hand():
    text = cost_growth([])
    full, asy = (cells(text, SETTINGS[0].name, net) for net in ("full", "asy"))
    assert full[:4] == ["full", "2,985,236", "109.94", "85.08"]
    assert asy[:5] == ["asy", "1,310,612", "48.05", "44.16", "0.52"]
    assert (full[5], asy[5]) == ("301", "710")


def test_useful_products_of_longer_clips_approach_the_nominal_ratio():
    # of 3 t taps along time, 3 t - 2 are inside: 7/9 at 3 frames, 25/27 at 9
    text = cost_growth([])
    shares = {}
    for setting, frames in ((SETTINGS[0].name, 3), ("5 frames", 5), ("9 frames", 9)):
        row = cells(text, setting, "asy")
        full = cells(text, setting, "full")
        assert float(full[2]) == pytest.approx(109.94 * frames / 3, abs=0.01)
        shares[frames] = float(row[4])
    assert shares[3] > shares[5] > shares[9] > 0.44


@pytest.mark.parametrize(
    ("setting", "factor"), [("64x48", 1 / 4), ("256x192", 4), ("width 1/2", 1 / 4)]
)
def test_products_grow_with_pixels_and_with_the_square_of_the_width(setting, factor):
    text = cost_growth([])
    base, changed = (float(cells(text, name, "asy")[2]) for name in (SETTINGS[0].name, setting))
    assert changed / base == pytest.approx(factor, rel=0.02)


def test_a_batch_reads_its_kernels_once():
    cost = net_cost(regression.net(VARIANTS["full"], 1.0).layers, (3, 96, 128))
    assert moved_bytes(cost, 1) == cost.bytes
    kernels = 4 * 2_982_336
    assert 16 * moved_bytes(cost, 16) == pytest.approx(16 * cost.bytes - 15 * kernels)


def test_layers_add_up_to_the_net():
    lines = cost_layers([], net="full").splitlines()
    weights = [int(line.split("|")[4].replace(",", "")) for line in lines[3:]]
    assert sum(weights[:-1]) == weights[-1] == 2_982_336


def test_the_size_of_a_file_is_that_of_its_arrays(tmp_path):
    net = regression.net(VARIANTS["asy"], 0.25)
    weights = {}
    for layer in net.layers:
        kernel = np.zeros((*layer.kernel, layer.cin // layer.groups, layer.cout), np.float32)
        vector = np.zeros(layer.cout, np.float32)
        weights[layer.name] = LayerWeights(kernel, vector, *([vector] * 4 if layer.norm else []))
    arrays = model_file._tensors({"regression": weights}).values()
    assert sum(array.nbytes for array in arrays) == stored_bytes("asy", 0.25)


def test_blocks_that_are_counted_take_no_files_and_know_their_nets(tmp_path):
    for name in ("cost_growth", "cost_layers", "cost_files"):
        with pytest.raises(ConfigError, match=f"`{name}` takes no files"):
            BLOCKS[name]([Source((tmp_path / "x.json",))])
    with pytest.raises(ConfigError, match="unknown net 'asym'; one of: detection, full"):
        cost_layers([], net="asym")
    with pytest.raises(ConfigError, match="cost_layers"):
        cost_layers([], width="broad")
