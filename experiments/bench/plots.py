"""A benchmark's result -> a picture of time against MACs, and of the roofline with every layer."""

from pathlib import Path

import numpy as np

from experiments.bench.weights import layers_of
from experiments.pictures import plt, save
from jaxpose.cost.accounting import Cost, layer_costs

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink",
           "tab:olive", "tab:cyan", "tab:gray")  # fmt: skip
"""One colour per pair of implementation and lowering, of which there are fewer."""
MARKERS = {"forward": "o", "train_step": "^"}
VARIANTS = {"asy": ("o", "0.2", -1), "full": ("s", "0.6", 1)}
"""Variant -> marker of its nets, grey of its layers, side on which the layers' names are."""


def draw(result: dict, path: Path) -> None:
    """Draws a result to a PNG file; the same result gives the same bytes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5.5), layout="constrained")
    time_against_macs(left, result)
    roofline(right, result)
    if result["loaded"]:
        figure.suptitle("measured while the machine was busy: not to be relied on", color="red")
    save(figure, path)


def time_against_macs(axes, result: dict) -> None:
    """Draws the median time of every float32 net, forward and training step, against its MACs.

    Both axes are logarithmic, so equal rates are on diagonals.
    """
    rows = [r for r in result["rows"] if r.get("macs_nominal") and r["dtype"] == "float32"]
    pairs = list(dict.fromkeys((r["implementation"], r["lowering"]) for r in rows))
    for number, (implementation, lowering) in enumerate(pairs):
        matching = [r for r in rows if (r["implementation"], r["lowering"]) == pairs[number]]
        for what, marker in MARKERS.items():
            points = [(r["macs_nominal"], r["median_ms"]) for r in matching if r["what"] == what]
            if points:
                label = f"{implementation} {lowering} {what}".replace("  ", " ")
                x, y = zip(*points, strict=True)
                colour = COLOURS[number % len(COLOURS)]
                axes.scatter(x, y, marker=marker, label=label, color=colour, alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="nominal MACs", ylabel="median ms")
    axes.set_title("time against MACs")
    if rows:
        axes.legend(fontsize=7)


def roofline(axes, result: dict) -> None:
    """Draws the machine's roof, every layer on it, and the rate that each net reached forward.

    The horizontal axis is the arithmetic intensity, FLOP per byte.
    """
    flops, speed = result["ceilings"]["float32"], result["ceilings"]["bytes"]
    x = np.logspace(0, 4, 200)
    axes.plot(x, np.minimum(flops, x * speed) / 1e9, color="black", label="measured ceilings")
    for variant in VARIANTS:
        layers = layers_of("regression", variant, result["width"])
        costs = layer_costs(layers, tuple(result["clip"]))
        for layer, cost in zip(layers, costs, strict=True):
            bound = min(flops, cost.intensity * speed) / 1e9
            _draw_layer(axes, f"{variant} {layer.name}", cost.intensity, bound, variant)
        _draw_nets(axes, result["rows"], variant, costs)
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="GFLOP/s, nominal")
    axes.set_ylim(flops / 1e9 / 30, flops / 1e9 * 5)
    axes.set_title("roofline: layers (ticks), forward passes of whole nets (points)")
    axes.legend(fontsize=7, loc="lower right")


def _draw_layer(axes, name: str, intensity: float, bound: float, variant: str) -> None:
    """Draws a layer as a tick on the roof with its name beside it."""
    _, grey, side = VARIANTS[variant]
    axes.plot(intensity, bound, "|", color=grey, markersize=10)
    axes.annotate(
        name,
        (intensity, bound),
        rotation=90,
        xytext=(0, 10 * side),
        textcoords="offset points",
        color=grey,
        fontsize=6,
        ha="center",
        va="top" if side < 0 else "bottom",
    )


def _draw_nets(axes, rows: list[dict], variant: str, costs: list[Cost]) -> None:
    """Draws a point per implementation of a variant's forward pass of one clip in float32."""
    intensity = sum(2 * c.macs_nominal for c in costs) / sum(c.bytes for c in costs)
    case = ("regression", variant, "forward", 1, "float32")
    fields = ("net", "variant", "what", "batch", "dtype")
    matching = [row for row in rows if tuple(row[field] for field in fields) == case]
    for number, row in enumerate(matching):
        axes.plot(
            intensity,
            row["gflop_per_s"],
            VARIANTS[variant][0],
            label=f"{variant}: {row['implementation']} {row['lowering']}",
            color=COLOURS[number % len(COLOURS)],
            alpha=0.8,
            linestyle="",
        )
