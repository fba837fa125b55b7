"""A benchmark's result -> one picture: time against MACs, and the roofline with every layer."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from experiments.bench.cases import COMPARED, PEERS, Size  # noqa: E402
from experiments.bench.weights import layers_of  # noqa: E402
from jaxpose.accounting import layer_costs  # noqa: E402

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink")


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
    x = np.logspace(-1, 4, 200)
    axes.plot(x, np.minimum(flops, x * speed) / 1e9, color="black", label="measured ceilings")
    for number, variant in enumerate(COMPARED):
        layers = layers_of("regression", variant, size.width)
        colour = COLOURS[number]
        for layer, cost in zip(layers, layer_costs(layers, size.clip), strict=True):
            bound = min(flops, cost.intensity * speed) / 1e9
            axes.plot(cost.intensity, bound, "|", color=colour, markersize=12)
            axes.annotate(layer.name, (cost.intensity, bound), rotation=90, fontsize=5,
                          xytext=(0, 8 + 30 * number), textcoords="offset points", color=colour,
                          ha="center")  # fmt: skip
        total = layer_costs(layers, size.clip)
        intensity = sum(2 * c.macs_nominal for c in total) / sum(c.bytes for c in total)
        for row in result["rows"]:
            if (row["net"], row["variant"], row["what"], row["batch"], row["dtype"]) == (
                *("regression", variant, "forward", 1, "float32"),
            ):
                peer = row["implementation"] in PEERS
                label = f"{variant}: {row['implementation']} {row['lowering']}"
                marker = "x" if peer else "o"
                axes.plot(intensity, row["gflop_per_s"], marker, color=colour, alpha=0.7)
                axes.annotate(label, (intensity, row["gflop_per_s"]), fontsize=5,
                              xytext=(4, 0), textcoords="offset points")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="GFLOP/s, nominal")
    axes.set_title("roofline: layers (ticks), nets (points)")
    axes.legend(fontsize=7)
