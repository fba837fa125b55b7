"""Evidence -> pictures of error against cost, and CSV files of what the tables show."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.ticker import LogLocator, NullFormatter

from data_pipeline.examples.clips import CLIP
from experiments.pictures import plt, save
from experiments.study import comparisons, statistics
from experiments.study.evidence import Evidence
from experiments.study.groups import COLUMNS, Group
from experiments.study.statistics import Estimate
from jaxpose.cost.accounting import net_cost
from jaxpose.files import write_text
from jaxpose.nets import regression
from jaxpose.nets.factorise import VARIANTS

COMPARISONS = ("data", "setting", "ours", "theirs", "limb", "mean_px", "low_px", "high_px")
COMPARISONS += ("p_holm", "ratio", "pairs", "pairs_planned", "infants")
COMPARISONS += ("missed_ours", "missed_theirs")
"""Columns of the CSV file of comparisons."""


def write_all(evidence: Evidence, folder: Path) -> list[Path]:
    """Writes the CSV file, and a picture per data set and setting with results, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "comparisons.csv"
    write_text(path, as_csv(evidence))
    drawn = [draw(evidence, key, folder) for key, one in evidence.groups.items() if one.arms]
    return [path, *drawn]


def as_csv(evidence: Evidence) -> str:
    """Returns the comparisons as CSV, one row per limb."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COMPARISONS)
    for one in evidence.compared:
        for limb, estimate in one.differences.items():
            values = (estimate.mean, estimate.low, estimate.high, one.p_holm, one.ratio)
            mean, low, high, p, ratio = (f"{value:.5g}" for value in values)
            names = (one.comparison.ours, one.comparison.theirs, limb)
            counts = (one.pairs, one.expected, estimate.infants)
            missed = (f"{share:.5g}" for share in one.missed)
            writer.writerow(
                [one.data, one.setting, *names, mean, low, high, p, ratio, *counts, *missed]
            )
    return text.getvalue()


def draw(evidence: Evidence, key: tuple[str, str], folder: Path) -> Path:
    """Draws the errors of one data set and setting against products and against measured times."""
    group = evidence.groups[key]
    errors = {arm: comparisons.arm_errors(group, arm)[COLUMNS[0]] for arm in group.arms}
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.8), layout="constrained", sharey=True)
    _draw_products(left, errors, gmacs(group))
    left.set(xlabel="useful GMAC of the regression net per clip", ylabel="RMSD, px of 128x96")
    series = times(evidence, group)
    _draw_times(right, errors, series)
    right.set(xlabel="forward pass of the regression net, 1 clip, ms (median, IQR)")
    if series:
        figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=3)
    else:
        right.text(0.5, 0.5, "not measured at this size", transform=right.transAxes, ha="center")
    title = " ".join(part for part in key if part)
    figure.suptitle(
        f"{title}: mean error with 95 % intervals; a line joins the arms that no other beats"
    )
    path = folder / f"error-cost-{'-'.join(part for part in key if part)}.png"
    save(figure, path)
    return path


STYLES = (("o", "-"), ("s", "--"), ("^", ":"))
"""Markers and lines of ten runtimes, the next ten, ..., which have the same ten colours."""


def _draw_products(
    axes, errors: Mapping[str, Estimate], costs: Mapping[str, tuple[float, float]]
) -> None:
    """Draws one point per arm at its products and its error, and the Pareto front."""
    points = {arm: (costs[arm][0], errors[arm].mean) for arm in errors if arm in costs}
    for rank, (arm, (cost, mean)) in enumerate(sorted(points.items(), key=lambda p: p[1])):
        error = errors[arm]
        spread = [[mean - error.low], [error.high - mean]] if error.infants > 1 else None
        axes.errorbar(cost, mean, yerr=spread, fmt="o", ms=5, color="C0", elinewidth=0.7, capsize=2)
        # Neighbours along the axis have their names on different sides of their points.
        axes.annotate(
            arm, (cost, mean), xytext=(6, 6 if rank % 2 else -12), textcoords="offset points",
            fontsize=8,
        )  # fmt: skip
    _draw_front(axes, points, "C0", None)
    axes.grid(alpha=0.3)


def _draw_times(
    axes, errors: Mapping[str, Estimate], series: Mapping[str, Mapping[str, tuple[float, float]]]
) -> None:
    """Draws a Pareto front per runtime; an arm's points are on one line, named at its end."""
    for number, (name, costs) in enumerate(series.items()):
        marker, line = STYLES[number // 10 % len(STYLES)]
        points = {arm: (costs[arm][0], errors[arm].mean) for arm in errors if arm in costs}
        for arm, (cost, mean) in points.items():
            axes.errorbar(
                cost,
                mean,
                xerr=costs[arm][1],
                fmt=marker,
                ms=5,
                color=f"C{number}",
                elinewidth=0.7,
            )
        _draw_front(axes, points, f"C{number}", name, f"{marker}{line}")
    shown = {
        arm: errors[arm].mean for arm in errors if any(arm in costs for costs in series.values())
    }
    low, high = axes.get_ylim()
    for arm, place in zip(
        sorted(shown, key=shown.get), _apart(sorted(shown.values()), (high - low) / 25), strict=True
    ):
        axes.axhline(shown[arm], color="0.8", lw=0.7, zorder=0)
        axes.annotate(
            arm, (1, place), xycoords=("axes fraction", "data"), xytext=(4, 0), va="center",
            textcoords="offset points", fontsize=8, annotation_clip=False,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", alpha=0.3)


def _draw_front(
    axes,
    points: Mapping[str, tuple[float, float]],
    colour: str,
    label: str | None,
    style: str = "-",
) -> None:
    if front := [points[arm] for arm in statistics.pareto(points)]:
        axes.plot(*zip(*front, strict=True), style, ms=5, color=colour, lw=1, label=label)


def _apart(places: list[float], least: float) -> list[float]:
    """Returns sorted places of which none is nearer to the one before than `least`."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least) if moved else place)
    return moved


def gmacs(group: Group) -> dict[str, tuple[float, float]]:
    """Counts useful MACs of the regression net per clip, in units of 1e9: arm -> (value, 0)."""
    values = {}
    for arm, trainings in group.arms.items():
        recipe = next(iter(trainings.values()))["recipe"]
        net = regression.net(VARIANTS[recipe["variant"]], recipe["regression"]["width"])
        columns, rows = (int(size) for size in recipe["grid"].split("x"))
        values[arm] = (net_cost(net.layers, (CLIP, rows, columns)).macs_useful / 1e9, 0.0)
    return values


def times(evidence: Evidence, group: Group) -> dict[str, dict[str, tuple[float, float]]]:
    """Returns measured times of forward passes of one clip: runtime and type -> arm -> ms, spread.

    Only benchmarks of the group's size count. Of our lowerings the fastest of each arm counts.
    """
    series: dict[str, dict[str, tuple[float, float]]] = {}
    for arm, trainings in group.arms.items():
        recipe = next(iter(trainings.values()))["recipe"]
        for result in evidence.benchmarks.values():
            _, rows, columns = result["clip"]
            same = result["width"] == recipe["regression"]["width"]
            if f"{columns}x{rows}" != recipe["grid"] or not same:
                continue
            for row in result["rows"]:
                task = (row["net"], row["variant"], row["what"], row["batch"])
                if task != ("regression", recipe["variant"], "forward", 1):
                    continue
                name = f"{result['cpu']}, {row['implementation']} {row['dtype']}"
                value = (row["median_ms"], (row["iqr_ms"] or 0.0) / 2)
                arms = series.setdefault(name, {})
                arms[arm] = min(arms.get(arm, value), value)
    return series
