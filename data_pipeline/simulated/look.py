"""Simulated and real depth images -> one picture that shows them side by side, and numbers.

    python -m data_pipeline.simulated.look DIR --real=FOLDER [--real=FOLDER ...] --out=look.png

DIR has babyPose's layout. A FOLDER has 16-bit depth PNGs, UTD-MHAD's Depth/ and Skeleton/, or
babyPose's layout. `simulated.traits` defines the numbers. The sensors differ in make and
distance, so the command passes no judgement: look at the picture, and compare lengths in pixels.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from data_pipeline.babypose.frames import read_depth, read_infants
from data_pipeline.errors import DataError
from data_pipeline.outputs import check_output
from data_pipeline.simulated import traits
from data_pipeline.simulated.picture import DEEP_MM, shaded
from data_pipeline.utd_mhad import recordings as utd_mhad
from jaxpose.commands import run_command
from jaxpose.options import parse_options

SHOWN = 4
"""Number of frames of each source in the picture."""
FEW = 5
"""Smallest number of patches for which a bin of distances has a point in the plot."""
LABELS = {
    "no_return": "no return, %",
    "no_return_by_edges": f"... within {traits.NEAR_PX} px of an edge *, %",
    "no_return_elsewhere": "... elsewhere *, %",
    "noise_mm": "noise, mm",
    "distance_m": "... at, m",
    "noise_mm_at_1m": "noise / distance², mm/m²",
    "lag_1": "noise, correlation at 1 px",
    "edge_width_px": "width of an edge, px",
    "lost_at_edge_px": "no return across an edge, px",
}


class Source(NamedTuple):
    """Frames of one folder, uint16 mm [h w], which may differ in size, and their numbers."""

    name: str
    frames: list[np.ndarray]
    numbers: dict[str, float]
    patches: traits.Patches


def measure(name: str, frames: list[np.ndarray]) -> Source:
    patches = traits.patches(frames)
    numbers = traits.holes(frames) | traits.noise(patches) | traits.edge_widths(frames)
    return Source(name, frames, numbers, patches)


def read(folder: Path, count: int, simulated: bool = False) -> list[np.ndarray]:
    """Returns at most `count` frames, spread evenly over the folder.

    With `simulated`, the folder must have babyPose's layout.

    Raises:
      DataError: the folder has no depth images.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}; give one that holds depth images")
    readers = _readers(folder, simulated)
    chosen = np.linspace(0, len(readers) - 1, min(count, len(readers))).round().astype(int)
    return [readers[k]() for k in chosen]


def _readers(folder: Path, simulated: bool) -> list[Callable[[], np.ndarray]]:
    """Returns one reader per frame, or per recording of UTD-MHAD."""
    if simulated or any(folder.glob("result_pz*")) or any(folder.glob("pz*/")):
        infants = read_infants(folder)
        if grey := [i.sheet.path for i in infants if i.bits != 16]:
            raise DataError(f"{grey[0]}: its images have 8 bits; expected 16 bits, millimetres")
        return [partial(read_depth, image) for infant in infants for image in infant.images]
    if (folder / "Depth").is_dir():
        return [partial(_middle, r) for r in utd_mhad.find_recordings(folder)]
    if images := sorted(folder.glob("*.png")):
        return [partial(read_depth, image) for image in images]
    raise DataError(
        f"{folder}: no depth images in it; expected 16-bit PNGs, UTD-MHAD's Depth/*.mat and "
        "Skeleton/*.mat, or babyPose's layout; give the folder that holds them"
    )


def _middle(recording: utd_mhad.Pair) -> np.ndarray:
    depth = utd_mhad.read(recording, every=1).depth
    return depth[len(depth) // 2]


def noise_by_distance(patches: traits.Patches) -> tuple[np.ndarray, np.ndarray]:
    """Returns the median distance (m) and noise (mm) of bins that are 10 % of the distance wide."""
    if not len(patches.metres):
        return np.empty(0), np.empty(0)
    bins = np.floor(np.log(patches.metres) / np.log(1.1))
    full = [members for b in np.unique(bins) if (members := bins == b).sum() >= FEW]
    return tuple(
        np.array([np.median(values[members]) for members in full])
        for values in (patches.metres, patches.noise_mm)
    )


def law(folder: Path) -> float | None:
    """Returns the simulated sensor's noise over distance squared, mm/m², from its settings.

    z = f b / d, so a disparity's noise grows with z squared. The result is None where the folder is
    no simulation.
    """
    note = folder / "simulation.json"
    if not note.exists():
        return None
    try:
        parameters = json.loads(note.read_text())["parameters"]
        sensor = parameters["sensor"]
        disparity = math.hypot(sensor["noise_px"], sensor["quantum_px"] / math.sqrt(12))
        return 1000 * disparity / (parameters["view"]["focal_at_640"] * sensor["baseline_m"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{note}: cannot read the sensor's settings ({error}); simulate the folder again"
        ) from None


def draw(sources: list[Source], at_1m: float | None, path: Path) -> None:
    """Draws a row of frames per source; below them two curves and the table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 2.9 * len(sources) + 4.2), layout="constrained")
    *rows, below = figure.subfigures(
        len(sources) + 1, 1, height_ratios=[2.9] * len(sources) + [4.2]
    )
    for source, row in zip(sources, rows, strict=True):
        _draw_frames(source, row)
    by_distance, by_lag, numbers = below.subplots(1, 3, width_ratios=[3, 3, 5])
    for k, source in enumerate(sources):
        by_distance.plot(*noise_by_distance(source.patches), "o-", color=f"C{k}", label=source.name)
        curve = [1, *traits.correlation(source.patches)]
        by_lag.plot([0, *traits.LAGS], curve, "o-", color=f"C{k}", label=source.name)
    if at_1m is not None:
        metres = np.array([0.4, 3.5])
        by_distance.plot(metres, at_1m * metres**2, "--", color="0.4", label="as simulated: ~ z²")
    by_distance.set(xscale="log", yscale="log", xlabel="distance, m", ylabel="noise, mm")
    by_lag.set(xlabel="px further", ylabel="correlation of the noise")
    by_lag.axhline(0, color="0.8", lw=1)
    by_distance.legend(frameon=False, fontsize=8)
    _draw_table(sources, numbers)
    figure.savefig(path, dpi=80)


def _draw_frames(source: Source, row) -> None:
    shown = np.linspace(0, len(source.frames) - 1, SHOWN).round().astype(int)
    chosen = [source.frames[k] for k in dict.fromkeys(shown)]
    returns = np.concatenate([depth[depth > 0] for depth in chosen])
    # Percentiles: one far corner would otherwise give everything near the same colour.
    deep = max(float(np.ptp(np.percentile(returns, (1, 99)))), DEEP_MM)
    row.suptitle(f"{source.name}: {deep / 1000:.1f} m from white to black, violet is no return")
    for axes in (panels := row.subplots(1, SHOWN)):
        axes.set_axis_off()
    for axes, depth in zip(panels, chosen, strict=False):
        axes.imshow(shaded(depth, deep)[..., ::-1])


def _draw_table(sources: list[Source], axes) -> None:
    axes.set_axis_off()
    cells = [
        [_cell(s.numbers[name] * (100 if "%" in label else 1)) for s in sources]
        for name, label in LABELS.items()
    ]
    table = axes.table(
        cells,
        rowLabels=list(LABELS.values()),
        colLabels=[s.name for s in sources],
        bbox=(0.42, 0.1, 0.58, 0.9),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    why = (
        "* without what reaches the image's border: a cut-out background, a dead band, clear walls"
    )
    axes.text(1, 0.02, why, ha="right", fontsize=7)


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _json(source: Source) -> dict:
    numbers = source.numbers | {"frames": len(source.frames)}
    rounded = {k: None if math.isnan(v) else round(v, 5) for k, v in numbers.items()}
    return {"name": source.name, **rounded}


@dataclasses.dataclass(frozen=True)
class Options:
    """Draws simulated depth beside real depth and measures holes, noise and edges.

    The last line of stdout is one JSON object: {sources: [{name, ...}], law, out}."""

    dir: tyro.conf.Positional[Path]
    """Simulated folder, in babyPose's layout."""
    real: tyro.conf.UseAppendAction[tuple[Path, ...]]
    """Folder with 16-bit depth PNGs, UTD-MHAD or babyPose; can be given more than once."""
    out: Path
    """Picture to write, FILE.png."""
    frames: int = 24
    """Largest number of frames from each folder."""


def run(options: Options) -> dict:
    folder, out, real = options.dir, options.out, options.real
    if options.frames < 1:
        raise DataError(f"--frames={options.frames}: expected at least 1")
    if not real:
        raise DataError("--real: expected a folder of real depth images")
    check_output(out, ["png"])
    at_1m = law(folder)
    sources = [measure("simulated", read(folder, options.frames, simulated=True))]
    sources += [measure(f.resolve().name, read(f, options.frames)) for f in real]
    draw(sources, at_1m, out)
    rounded = None if at_1m is None else round(at_1m, 5)
    return {"sources": [_json(s) for s in sources], "law": rounded, "out": str(out)}


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.look")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
