"""A net's layers -> a table of their costs in the form of the paper's Table I."""

from collections.abc import Sequence

from jaxpose.cost.accounting import Cost, layer_costs, net_cost
from jaxpose.nets.layers import Layer

PAPER = {
    **{f"layer{n}/{part}": (kernel, cout) for n, cout in enumerate((64, 128, 256, 256), 1)
       for part, kernel in zip("abc", ("1x3x1", "1x1x3", "3x1x1"), strict=True)},
    "layer5": ("1x1x1", 256),
    "output": ("1x1x1", 20),
}  # fmt: skip
"""Layer of the Asy-regression -> its kernel and channels in the paper's Table I."""

HEADER = ["name", "kernel (size / stride)", "channels", "weights", "MMAC nominal", "useful"]
HEADER += ["MB moved", "MB stored", "FLOP/B", "training: MMAC useful", "MB moved"]
"""Columns of the table of layers."""
THE_PAPER = "the paper's, width 1"
"""Title of the column with the paper's layers."""


def table(header: list[str], rows: list[list[str]]) -> str:
    """Returns a Markdown table; the first column is left-aligned, the others right-aligned."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def layer_table(layers: Sequence[Layer], clip: tuple[int, int, int], *, paper: bool = False) -> str:
    """Returns a table with a row per layer and one of their sum, for one clip in float32.

    `clip` is (frames, rows, columns). `paper` says that the layers are those of the Asy-regression;
    then a column has those of the paper's Table I.
    """
    frames, maps = clip[0], layers[0].cin
    rows = [["Input", "-", f"{frames}x{maps}", *[""] * 8, f"3x{maps}"]]
    for layer, cost in zip(layers, layer_costs(layers, clip), strict=True):
        kernel, stride = ("x".join(map(str, n)) for n in (layer.kernel, layer.stride))
        groups = f", {layer.groups} groups" if layer.groups > 1 else ""
        way = " transposed" if layer.transposed else ""
        row = [layer.name, f"{kernel} / {stride}{way}{groups}", f"{frames}x{layer.cout}"]
        row += costs(cost)
        if paper:
            size, channels = PAPER[layer.name]
            row.append(f"{size}, 3x{channels}")
        rows.append(row)
    rows.append(["sum", "", "", *costs(net_cost(layers, clip)), ""])
    header = [*HEADER, THE_PAPER] if paper else HEADER
    return table(header, [row[: len(header)] for row in rows])


def costs(cost: Cost) -> list[str]:
    """Returns the cells of a layer's cost."""
    return [
        f"{cost.kernel_weights:,}",
        f"{cost.macs_nominal / 1e6:,.1f}",
        f"{cost.macs_useful / 1e6:,.1f}",
        f"{cost.bytes / 1e6:,.1f}",
        f"{cost.train_stored_bytes / 1e6:,.1f}",
        f"{cost.intensity:,.0f}",
        f"{cost.train_macs_useful / 1e6:,.1f}",
        f"{cost.train_bytes / 1e6:,.1f}",
    ]
