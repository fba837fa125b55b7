"""A benchmark's result -> a picture of time against MACs, and of the roofline with every layer."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.bench.weights import layers_of
from experiments.pictures import plt, save
from jaxpose.cost.accounting import Cost, layer_costs

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink",
           "tab:olive", "tab:cyan", "tab:gray")  # fmt: skip
"""One colour per pair of implementation and lowering, of which there are fewer."""
MARKERS = {"forward": "o", "train_step": "^"}
LABELS = {"forward": "forward pass", "train_step": "training step"}
VARIANTS = {"asy": ("o", "0.2", -1), "full": ("s", "0.5", 1)}
"""Variant -> marker of its nets, grey of its layers, side on which the layers' names are."""
TICKS = (1, 2, 5)
"""Leading digits of the numbers along an axis of MACs."""
CLOSE = 1.35
"""Layers share a name where their intensities differ by less than this factor."""


def draw(result: dict, path: Path) -> None:
    """Draws a result to a PNG file; the same result gives the same bytes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6.2), layout="constrained")
    rows = [
        row
        for row in result["rows"]
        if row.get("macs_nominal") and row["dtype"] == "float32" and row["what"] in MARKERS
    ]
    pairs = list(dict.fromkeys((r["implementation"], r["lowering"]) for r in rows))
    colours = dict(zip(pairs, itertools.cycle(COLOURS), strict=False))
    time_against_macs(left, rows, colours)
    roofline(right, result, colours)
    handles = [
        Line2D([], [], marker="s", linestyle="", color=colour, label=" ".join(filter(None, pair)))
        for pair, colour in colours.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9, frameon=False)
    if result["loaded"]:
        figure.suptitle("measured while the machine was busy: not to be relied on", color="red")
    save(figure, path)


def time_against_macs(axes, rows: list[dict], colours: dict) -> None:
    """Draws the median time of every net, forward and training step, against its MACs.

    Both axes are logarithmic, so equal rates are on diagonals.
    """
    for row in rows:
        axes.plot(
            row["macs_nominal"] / 1e9,
            row["median_ms"],
            MARKERS[row["what"]],
            color=colours[row["implementation"], row["lowering"]],
            alpha=0.8,
        )
    axes.set(xscale="log", yscale="log", xlabel="nominal GMACs", ylabel="median ms")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=TICKS))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.set_title("time against MACs, float32")
    drawn = [what for what in MARKERS if any(row["what"] == what for row in rows)]
    _name_markers(axes, {LABELS[what]: MARKERS[what] for what in drawn}, "upper left")


def roofline(axes, result: dict, colours: dict) -> None:
    """Draws the machine's roof, every layer on it, and the rate that each net reached forward.

    The horizontal axis is the arithmetic intensity: FLOP, without those of padding, per byte.
    """
    flops, speed = result["ceilings"]["float32"], result["ceilings"]["bytes"]
    x = np.logspace(0, 4, 200)
    axes.plot(x, np.minimum(flops, x * speed) / 1e9, color="black")
    for variant in VARIANTS:
        layers = layers_of("regression", variant, result["width"])
        costs = layer_costs(layers, tuple(result["clip"]))
        named = [
            (2 * cost.macs_useful / cost.bytes, layer.name)
            for layer, cost in zip(layers, costs, strict=True)
        ]
        for intensities, name in _neighbours(sorted(named)):
            bounds = [min(flops, one * speed) / 1e9 for one in intensities]
            _draw_layers(axes, name, intensities, bounds, variant)
        _draw_nets(axes, result["rows"], variant, costs, colours)
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="useful GFLOP/s")
    axes.set_ylim(flops / 1e9 / 30, flops / 1e9 * 5)
    axes.set_title("roofline: layers (ticks), forward passes of whole nets of one clip (points)")
    _name_markers(axes, {name: marker for name, (marker, _, _) in VARIANTS.items()}, "lower right")


def _name_markers(axes, markers: dict[str, str], place: str) -> None:
    handles = [
        Line2D([], [], marker=marker, linestyle="", color="0.4", label=label)
        for label, marker in markers.items()
    ]
    axes.legend(handles=handles, loc=place, fontsize=9)


def _neighbours(named: list[tuple[float, str]]) -> Iterator[tuple[list[float], str]]:
    """Yields runs of layers of almost one intensity, with their names joined."""
    run: list[tuple[float, str]] = []
    for entry in named:
        if run and entry[0] > CLOSE * run[0][0]:
            yield [intensity for intensity, _ in run], _joined([name for _, name in run])
            run = []
        run.append(entry)
    yield [intensity for intensity, _ in run], _joined([name for _, name in run])


def _joined(names: list[str]) -> str:
    """Joins the names of layers: layer3/a, layer3/b, output -> layer3, output."""
    return ", ".join(sorted({name.split("/")[0] for name in names}))


def _draw_layers(
    axes, name: str, intensities: list[float], bounds: list[float], variant: str
) -> None:
    """Draws layers as ticks on the roof with their name beside them."""
    _, grey, side = VARIANTS[variant]
    axes.plot(intensities, bounds, "|", color=grey, markersize=10)
    axes.annotate(
        f"{variant} {name}",
        (float(np.exp(np.log(intensities).mean())), bounds[-1]),
        rotation=90,
        xytext=(0, 10 * side),
        textcoords="offset points",
        color=grey,
        fontsize=8,
        ha="center",
        va="top" if side < 0 else "bottom",
    )


def _draw_nets(axes, rows: list[dict], variant: str, costs: list[Cost], colours: dict) -> None:
    """Draws a point per implementation of a variant's forward pass of one clip in float32."""
    flop = sum(2 * cost.macs_useful for cost in costs)
    intensity = flop / sum(cost.bytes for cost in costs)
    case = ("regression", variant, "forward", 1, "float32")
    fields = ("net", "variant", "what", "batch", "dtype")
    matching = [row for row in rows if tuple(row[field] for field in fields) == case]
    for row in matching:
        axes.plot(
            intensity,
            flop / row["median_ms"] / 1e6,
            VARIANTS[variant][0],
            color=colours[row["implementation"], row["lowering"]],
            alpha=0.8,
            linestyle="",
        )
