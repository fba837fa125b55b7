"""Evidence -> pictures of error against cost, and CSV files of what the tables show."""

import csv
import io
import textwrap
from collections.abc import Mapping
from pathlib import Path

from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.pictures import plt, save
from experiments.study import fronts, statistics, svg, titles
from experiments.study.evidence import Evidence
from experiments.study.fronts import Costs, Front
from experiments.study.groups import Key
from experiments.study.statistics import Estimate
from jaxpose.files import write_text

COMPARISONS = ("data", "setting", "ours", "theirs", "limb", "mean_px", "low_px", "high_px")
COMPARISONS += ("p_holm", "ratio", "pairs", "pairs_planned", "folds", "infants")
COMPARISONS += ("missed_ours", "missed_theirs")
"""Columns of the CSV file of comparisons. With one fold the interval is about infants alone."""


def write_all(evidence: Evidence, folder: Path) -> list[Path]:
    """Writes the CSV file, and a picture for each data set and setting that has a front."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "comparisons.csv"
    write_text(path, as_csv(evidence))
    shown = {key: fronts.front(group) for key, group in evidence.groups.items()}
    return [path, *(draw(evidence, key, one, folder) for key, one in shown.items() if one)]


def as_csv(evidence: Evidence) -> str:
    """Returns the comparisons as CSV, one row per limb; p is that of the mean over limbs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COMPARISONS)
    for one in evidence.compared:
        for limb, estimate in one.differences.items():
            values = (estimate.mean, estimate.low, estimate.high, one.p_holm, one.ratio)
            mean, low, high, p, ratio = (f"{value:.5g}" for value in values)
            p = p if limb == "all" else ""
            names = (one.comparison.ours, one.comparison.theirs, limb)
            counts = (one.pairs, one.expected, estimate.clusters, estimate.infants)
            missed = (f"{share:.5g}" for share in one.missed)
            writer.writerow(
                [one.data, one.setting, *names, mean, low, high, p, ratio, *counts, *missed]
            )
    return text.getvalue()


def draw(evidence: Evidence, key: Key, front: Front, folder: Path) -> Path:
    """Draws the errors of one data set and setting against products and against measured times."""
    errors = front.errors
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.8), layout="constrained", sharey=True)
    products = fronts.gmacs(front.group)
    _draw_products(left, errors, products)
    left.set(xlabel="useful GMAC of the regression net per clip", ylabel="RMSD, px of 128x96")
    series = fronts.times(evidence, front.group)
    _draw_times(right, errors, series)
    right.set(xlabel="forward pass of the regression net, 1 clip, ms (median, IQR)")
    if series:
        figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=3)
    else:
        right.text(0.5, 0.5, "not measured at this size", transform=right.transAxes, ha="center")
    note = textwrap.fill(front.note, 150)
    if not all(one.over_trainings for one in errors.values()):
        note += f"\n{svg.HOLLOW}"
    figure.suptitle(
        f"{titles.place(*key)}: mean error with 95 % intervals; a line joins the arms that no "
        f"other beats\n{note}",
        fontsize=10,
    )
    _name_points(left, {arm: (products[arm][0], errors[arm].mean) for arm in errors})
    path = folder / f"error-cost-{titles.file_name(*key)}.png"
    save(figure, path)
    return path


LETTER_PT = 5.2
"""Width of a letter of a name, points, at most."""
STYLES = (("o", "-"), ("s", "--"), ("^", ":"))
"""Markers and lines of ten runtimes, the next ten, ..., which have the same ten colours."""


def _draw_products(axes, errors: Mapping[str, Estimate], costs: Costs) -> None:
    """Draws one point per arm at its products and its error, and the Pareto front."""
    points = {arm: (costs[arm][0], errors[arm].mean) for arm in errors if arm in costs}
    _draw_front(axes, points, "C0", None)
    for arm, (cost, mean) in points.items():
        error = errors[arm]
        spread = [[mean - error.low], [error.high - mean]] if error.infants > 1 else None
        axes.errorbar(
            cost, mean, yerr=spread, fmt="o", ms=5, color="C0", elinewidth=0.7, capsize=2,
            mfc="C0" if error.over_trainings else "white",
        )  # fmt: skip
    axes.margins(x=0.15)
    axes.grid(alpha=0.3)


def _name_points(axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Writes the names of points beside them, when nothing else will move."""
    figure = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    box = axes.get_window_extent()
    px = {
        arm: (x - box.x0, box.y1 - y)
        for arm, (x, y) in zip(points, axes.transData.transform([*points.values()]), strict=True)
    }
    ordered = {arm: px[arm] for arm in sorted(px, key=px.get)}
    letter = LETTER_PT * figure.dpi / 72
    for arm, (left, base) in svg.labels(ordered, box.width, letter).items():
        end = svg.leader(px[arm], (left, base), letter * len(arm))
        if end is not None:
            ends = ([px[arm][0], end[0]], [px[arm][1], end[1]])
            axes.plot(
                [x / box.width for x in ends[0]],
                [1 - y / box.height for y in ends[1]],
                color="0.6", lw=0.6, transform=axes.transAxes, zorder=1,
            )  # fmt: skip
        axes.text(
            left / box.width, 1 - base / box.height, arm, fontsize=8, transform=axes.transAxes,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip


def _draw_times(axes, errors: Mapping[str, Estimate], series: Mapping[str, Costs]) -> None:
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
