"""A folder of simulated sheets -> a comparison with the real ones, number by number.

    python -m data_pipeline.simulated.fidelity DIR [--against=FOLDER] [--figure=FILE.png]

The numbers describe movement and missing joints. They are compared with babyPose's: with the table
in the repository, or with the sheets in FOLDER. A number is `within` when it lies in the interval
of the real sheets, see `simulated.reference`. The last line of stdout is one JSON object; the exit
code is 0 whatever the result.
"""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path

import tyro

from data_pipeline.babypose.statistics import statistics
from data_pipeline.errors import DataError
from data_pipeline.outputs import check_output
from data_pipeline.simulated import reference
from data_pipeline.simulated.folder import NOTE
from data_pipeline.simulated.reference import Reference
from jaxpose.commands import run_command
from jaxpose.options import parse_options


def compare(ours: dict[str, float], real: dict[str, Reference]) -> list[dict]:
    """Returns one cell per number: name, ours, real, low, high and within.

    A number that could not be measured is None.
    """
    cells = []
    for name, cell in real.items():
        value = ours[name]
        numbers = {"ours": value, **cell._asdict()}
        rounded = {k: None if math.isnan(v) else round(v, 4) for k, v in numbers.items()}
        cells.append({"name": name, **rounded, "within": cell.low <= value <= cell.high})
    return cells


def share_within(cells: list[dict]) -> float:
    return round(sum(cell["within"] for cell in cells) / len(cells), 4)


def simulation(folder: Path) -> dict[str, int]:
    """Returns the seed and the version of the simulation that wrote `folder`.

    The result is empty for a folder without `simulation.json`, such as one with real sheets.

    Raises:
      DataError: the file cannot be read.
    """
    note = folder / NOTE
    if not note.exists():
        return {}
    try:
        settings = json.loads(note.read_text())
        return {name: settings[name] for name in ("seed", "version")}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{note}: cannot read seed and version ({error!r}); simulate the folder again"
        ) from None


def table(cells: list[dict]) -> str:
    """Returns a text table with a line per number, which marks those outside their interval."""
    lines = [f"{'':40} {'ours':>8} {'real':>8}   expected"]
    for cell in cells:
        ours, real, low, high = (
            "-" if cell[k] is None else f"{cell[k]:.3f}" for k in ("ours", "real", "low", "high")
        )
        mark = "" if cell["within"] else "  <- outside"
        lines.append(f"{cell['name']:40} {ours:>8} {real:>8}   {low} to {high}{mark}")
    held = sum(cell["within"] for cell in cells)
    return "\n".join([*lines, f"{held} of {len(cells)} hold ({held / len(cells):.1%})"])


def draw(cells: list[dict], path: Path) -> None:
    """Draws one panel per kind of number: real interval and value in grey, ours as a dot."""
    from matplotlib.figure import Figure

    families: dict[str, list[dict]] = {}
    for cell in cells:
        family, _, part = cell["name"].partition("/")
        single = family in ("all_visible", "still", "autocorrelation")
        families.setdefault("shares" if single else family, []).append(
            cell | {"part": f"{family} {part}".strip() if single else part}
        )
    figure = Figure(figsize=(15, 11), layout="constrained")
    panels = figure.subplots(3, math.ceil(len(families) / 3), squeeze=False).ravel()
    for panel in panels[len(families) :]:
        panel.set_axis_off()
    for (family, members), panel in zip(families.items(), panels, strict=False):
        for k, cell in enumerate(members):
            if cell["low"] is not None:
                panel.plot([k, k], [cell["low"], cell["high"]], lw=7, color="0.85", zorder=1)
            if cell["real"] is not None:
                panel.plot(k, cell["real"], "_", ms=12, color="0.3", zorder=2)
            if cell["ours"] is not None:
                colour = "tab:green" if cell["within"] else "tab:red"
                panel.plot(k, cell["ours"], "o", ms=5, color=colour, zorder=3)
        names = [cell["part"].replace("_", " ") for cell in members]
        panel.set_xticks(range(len(members)), names, rotation=60, ha="right", fontsize=7)
        panel.set_title(family.replace("_", " "), fontsize=10)
        panel.set_ylim(bottom=0)
    figure.suptitle(
        f"Simulated (dots) and real babyPose sheets (grey: value, 90 % interval widened by 15 %): "
        f"{share_within(cells):.0%} within. Lengths in px of 128x96."
    )
    figure.savefig(path, dpi=80)


def _formats() -> list[str]:
    """Returns the endings that a figure's name may have."""
    from matplotlib.backend_bases import FigureCanvasBase

    return sorted(FigureCanvasBase.get_supported_filetypes())


@dataclasses.dataclass(frozen=True)
class Options:
    """Compares simulated sheets with real ones, number by number.

    The last line of stdout is one JSON object: {cells, share_within, seconds}, with the seed and
    the version of a simulated folder."""

    dir: tyro.conf.Positional[Path]
    """Folder with the simulated sheets."""
    against: Path | None = None
    """Folder with real sheets. None: the table of babyPose's sheets in the repository."""
    figure: Path | None = None
    """Picture to write, FILE.png or another format. None: fidelity.png in the folder."""


def run(options: Options) -> dict:
    start, folder = time.perf_counter(), options.dir
    figure = folder / "fidelity.png" if options.figure is None else options.figure
    if options.figure is not None or folder.is_dir():
        check_output(figure, _formats())
    ours = statistics(reference.read_folder(folder))
    if options.against is None:
        real = reference.read()
    else:
        real = reference.derive(reference.read_folder(options.against))
    cells = compare(ours, real)
    draw(cells, figure)
    print(table(cells), file=sys.stderr)
    seconds = round(time.perf_counter() - start, 2)
    numbers = {"cells": cells, "share_within": share_within(cells), "seconds": seconds}
    return simulation(folder) | numbers


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.fidelity")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
