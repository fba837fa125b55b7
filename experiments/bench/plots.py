"""A benchmark's result -> one picture: time against MACs, and the roofline with every layer."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from experiments.bench.cases import COMPARED, Size  # noqa: E402
from experiments.bench.weights import layers_of  # noqa: E402
from jaxpose.cost.accounting import layer_costs  # noqa: E402

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink",
           "tab:olive", "tab:cyan", "tab:gray")  # fmt: skip
"""More than there are implementations and lowerings."""


def draw(result: dict, size: Size, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5.5), layout="constrained")
    time_against_macs(left, result)
    roofline(right, result, size)
    if result["loaded"]:
        figure.suptitle("measured while the machine was busy: not to be relied on", color="red")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def time_against_macs(axes, result: dict) -> None:
    """Every float32 net, forward and training step; equal rates lie on diagonals."""
    rows = [r for r in result["rows"] if r.get("macs_nominal") and r["dtype"] == "float32"]
    who = list(dict.fromkeys((r["implementation"], r["lowering"]) for r in rows))
    for number, (implementation, lowering) in enumerate(who):
        mine = [r for r in rows if (r["implementation"], r["lowering"]) == who[number]]
        for what, marker in (("forward", "o"), ("train_step", "^")):
            points = [(r["macs_nominal"], r["median_ms"]) for r in mine if r["what"] == what]
            if points:
                label = f"{implementation} {lowering} {what}".replace("  ", " ")
                x, y = zip(*points, strict=True)
                colour = COLOURS[number % len(COLOURS)]
                axes.scatter(x, y, marker=marker, label=label, color=colour, alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="nominal MACs", ylabel="median ms")
    axes.set_title("time against MACs")
    axes.legend(fontsize=7)


def roofline(axes, result: dict, size: Size) -> None:
    """The machine's roof; every layer at its arithmetic intensity on it, and every net's forward
    pass at what it reached."""
    flops, speed = result["ceilings"]["float32"], result["ceilings"]["bytes"]
    x = np.logspace(0, 4, 200)
    axes.plot(x, np.minimum(flops, x * speed) / 1e9, color="black", label="measured ceilings")
    for variant, marker, grey, away in zip(COMPARED, "os", ("0.2", "0.6"), (-1, 1), strict=True):
        layers = layers_of("regression", variant, size.width)
        costs = [*layer_costs(layers, size.clip)]
        for layer, cost in zip(layers, costs, strict=True):
            bound = min(flops, cost.intensity * speed) / 1e9
            axes.plot(cost.intensity, bound, "|", color=grey, markersize=10)
            axes.annotate(f"{variant} {layer.name}", (cost.intensity, bound), rotation=90,
                          xytext=(0, 10 * away), textcoords="offset points", color=grey,
                          fontsize=6, ha="center", va="top" if away < 0 else "bottom")  # fmt: skip
        intensity = sum(2 * c.macs_nominal for c in costs) / sum(c.bytes for c in costs)
        rows = [
            row
            for row in result["rows"]
            if (row["net"], row["variant"], row["what"], row["batch"], row["dtype"])
            == ("regression", variant, "forward", 1, "float32")
        ]
        for number, row in enumerate(rows):
            label = f"{variant}: {row['implementation']} {row['lowering']}"
            colour = COLOURS[number % len(COLOURS)]
            style = {"label": label, "color": colour, "alpha": 0.8, "linestyle": ""}
            axes.plot(intensity, row["gflop_per_s"], marker, **style)
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="GFLOP/s, nominal")
    axes.set_ylim(flops / 1e9 / 30, flops / 1e9 * 5)
    axes.set_title("roofline: layers (ticks), forward passes of whole nets (points)")
    axes.legend(fontsize=7, loc="lower right")
