"""Runs of the same data and split, side by side: Table I, Table II and Fig. 4, ours and theirs.

python -m experiments.tables runs/asy runs/full --out=runs/tables
"""

import dataclasses
import json
import os
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.commands import parse_options
from data_pipeline.examples.clips import CLIP
from experiments import figures
from experiments.config import ConfigError
from experiments.rundir import claim, read_json, write_text
from experiments.table1 import layer_table, table
from jaxpose.body.skeleton import LIMBS
from jaxpose.cost.accounting import CONVENTION
from jaxpose.nets import regression
from jaxpose.nets.factorise import VARIANTS

PAPER_TABLE2 = {
    "Asy-regression": ((16.90, 2.71), (16.59, 2.43), (16.27, 2.97), (13.99, 4.60)),
    "Moccia et al. 2020": ((16.59, 3.49), (16.59, 3.45), (16.10, 3.49), (11.95, 5.76)),
}  # fmt: skip
"""Median and IQR per limb, in the paper's unit, on 22 infants that cannot be had here."""

OURS = {
    "rmsd_fallback_px": "both nets, default decoding",
    "overlapping_fallback_px": "both nets, default decoding, overlapping clips",
    "regression_fallback_px": "regression maps, chain linking",
    "combined_fallback_px": "maps of both nets combined, chain linking",
    "bipartite_fallback_px": "regression, bipartite linking (the paper's)",
    "detector_fallback_px": "detection alone, chain linking",
    "detector_bipartite_fallback_px": "detection alone, bipartite linking",
    "rmsd_px": "regression, chain linking, found joints only",
    "bipartite_rmsd_px": "regression, bipartite linking, found joints only",
    "detector_rmsd_px": "detection alone, chain linking, found joints only",
    "detector_bipartite_rmsd_px": "detection alone, bipartite linking, found joints only",
}
MISSED = {
    "missed_rate": "missed",
    "bipartite_missed_rate": "missed, bipartite",
    "detector_missed_rate": "missed, detection alone",
    "detector_bipartite_missed_rate": "missed, detection alone, bipartite",
}
"""The last one is not in results of before it was measured."""
BASELINES = {
    "mean_pose": "no net: mean pose of the training frames",
    "infant_mean": "no net: mean pose of the same infant's training frames",
    "previous_frame": "no net: true pose one frame before (an oracle)",
}
TO_CAMERA = 5
"""px of a 640x480 image in one px of 128x96."""


def labels(results: list[dict]) -> list[str]:
    """The runs' names: their folders, by as many last parts of the path as tell them apart."""
    paths = [Path(os.path.abspath(result["run_dir"])).parts for result in results]
    for count in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-count:]) for parts in paths]
        if len(set(names)) == len(names):
            break
    return names


def _cells(errors: dict, factor: float = 1.0) -> list[str]:
    """Median (IQR) / mean of every limb, then of all limbs pooled."""
    cells = []
    for limb in (*LIMBS, "all"):
        median, iqr, mean = (errors[limb][k] for k in ("median", "iqr", "mean"))
        cells.append(
            "-"
            if median is None
            else f"{median * factor:.2f} ({iqr * factor:.2f}) / {mean * factor:.2f}"
        )
    return cells


def table2(results: list[dict]) -> str:
    """The paper's Table II for these runs, with what the paper left out beside it."""
    first = results[0]
    limbs = [limb.replace("_", " ") for limb in LIMBS]
    parts = [
        f"# Table II: {first['dataset']}, split {first['split']}\n\n"
        f"RMSD per limb, median (IQR) / mean over {first['n_frames']} test frames of "
        f"{', '.join(first['subjects']['test'])}. A joint that the decoder did not find counts at "
        "its map's maximum, unless a row says otherwise.\n"
    ]
    for title, factor in (("px of 128x96", 1), ("px of 640x480", TO_CAMERA)):
        rows = []
        for name, result in zip(labels(results), results, strict=True):
            rows += [
                [f"{name}: {what}", *_cells(result[key], factor)]
                for key, what in OURS.items()
                if key in result
            ]
        for key, what in BASELINES.items():
            if key in first["baselines"]:
                rows.append([what, *_cells(first["baselines"][key], factor)])
        parts.append(f"\n## {title}\n\n" + table(["", *limbs, "all limbs"], rows))
    rows = [
        [name, *(f"{median:.2f} ({iqr:.2f})" for median, iqr in cells), "-"]
        for name, cells in PAPER_TABLE2.items()
    ]
    parts.append(
        '\n## The paper, median (IQR), "pixels for the 128x96 images"\n\n'
        + table(["", *limbs, "all limbs"], rows)
        + "\nOther infants, another camera and a unit in doubt: not comparable row by row. A limb "
        "segment is 9 to 11 px of 128x96 there.\n"
    )
    rows = []
    for name, r in zip(labels(results), results, strict=True):
        rows.append(
            [
                name,
                *(_percent(r.get(key)) for key in MISSED),
                _percent(r["hidden_found_rate"]),
                *(_percent(r["pck"][k]) for k in ("half_torso", "quarter_torso")),
                *(_percent(r[k]["joints"]) for k in ("dice", "recall")),
                f"{r['parameters']:,}",
                f"{r['macs_nominal'] / 1e9:.3f}",
                f"{r['macs_useful'] / 1e9:.3f}",
                f"{r['predict_ms']:.0f}",
                f"{r['decode_ms']:.1f}",
            ]
        )
    header = ["", *MISSED.values(), "hidden yet found", "PCK 1/2 torso", "1/4 torso"]
    header += ["Dice, detected joints", "recall", "parameters", "GMAC nominal", "useful"]
    header += ["predict, ms/clip", "decode"]
    parts.append("\n## Beside the error\n\n" + table(header, rows))
    parts.append(
        "\nParameters and MACs are the regression net's alone, per clip; times include the "
        "detection net and are no benchmark: the machine may have been busy.\n"
    )
    return "".join(parts)


def summary(result: dict) -> str:
    """The main numbers of a run, for the terminal."""
    folder = result["run_dir"]
    return errors_of(result) + f"; {folder}/table2.md and {folder}/figures/ have more"


def errors_of(result: dict) -> str:
    """Median errors and the share of missed joints, for the terminal."""
    rows = [
        ("both nets", result["rmsd_fallback_px"]),
        ("detection alone", result["detector_fallback_px"]),
        ("mean pose", result["baselines"]["mean_pose"]),
    ]
    lines = [
        f"{'median RMSD, px of 128x96':<26}" + "".join(f"{limb:>11}" for limb in (*LIMBS, "all"))
    ]
    for name, errors in rows:
        medians = (errors[limb]["median"] for limb in (*LIMBS, "all"))
        lines.append(
            f"{name:<26}" + "".join(f"{'-' if m is None else f'{m:.2f}':>11}" for m in medians)
        )
    lines.append(
        f"missed {_percent(result['missed_rate'])} of the visible joints in {result['n_frames']} "
        "test frames"
    )
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def table1(results: list[dict]) -> str:
    """The paper's Table I for these runs, layer by layer, with weights and MACs."""
    parts = ["# Table I: regression nets, layer by layer\n"]
    for name, result in zip(labels(results), results, strict=True):
        layers = regression.net(VARIANTS[result["variant"]], result["width"]).layers
        clip = (CLIP, *result["grid"])
        parts.append(
            f"\n## {name}: {result['variant']}, width {result['width']:g}, clip "
            f"{'x'.join(map(str, clip))}\n\n"
            + layer_table(layers, clip, paper=result["variant"] == "asy")
        )
    return "".join(parts) + f"\n{CONVENTION}\n"


@dataclasses.dataclass(frozen=True)
class Options:
    """Puts finished runs of the same data and split side by side."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Run folders, such as runs/asy runs/full."""
    out: str = "runs/tables"
    """Folder to write table1.md, table2.md and fig4.png to."""


def read_result(folder: Path) -> dict:
    """Of a run, with all that the tables take from it; raises `ConfigError` where it is not so."""
    result = read_json(folder / "result.json") | {"run_dir": str(folder)}
    try:
        table1([result]), table2([result])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{folder / 'result.json'}: is damaged ({type(error).__name__}: {error}); expected "
            "what experiments.run writes; run the same command again"
        ) from None
    return result


def read_errors(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """RMSD per limb [n 4] of the regression net and of the mean pose, px of 128x96."""
    path = folder / "predictions.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["error_default_fallback"], stored["error_mean_pose"]
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(
            f"{path}: is damaged ({error}); give the command that began the run again"
        ) from None


def read_runs(folders: tuple[str, ...]) -> list[dict]:
    """Results of finished runs; raises `ConfigError` if they cannot be compared."""
    if not folders:
        raise ConfigError("no run named; expected run folders, such as runs/asy runs/full")
    if len({os.path.abspath(folder) for folder in folders}) < len(folders):
        raise ConfigError(f"{' '.join(folders)}: names a folder twice; expected each once")
    results, splits = [], []
    for folder in map(Path, folders):
        for name in ("result.json", "split.json", "predictions.npz"):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"{folder}: has no {name}; expected the folder of a finished run; "
                    "finish it with the command that began it"
                )
        results.append(read_result(folder))
        splits.append(read_json(folder / "split.json"))
        if splits[-1] != splits[0]:
            raise ConfigError(
                f"{folder} and {folders[0]} were tested on other data, another split or another "
                "grid; only runs of the same frames can stand side by side"
            )
    return results


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "experiments.tables")
    began = time.perf_counter()
    try:
        results = read_runs(options.runs)
        errors = [read_errors(Path(result["run_dir"])) for result in results]
        out = Path(options.out)
        claim(out, needed_bytes=10_000_000)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_text(out / "table1.md", table1(results))
    write_text(out / "table2.md", table2(results))
    boxes = {name: ours for name, (ours, _) in zip(labels(results), errors, strict=True)}
    boxes["mean pose"] = errors[0][1]
    figures.box_plot(out / "fig4.png", boxes, PAPER_TABLE2)
    print((out / "table2.md").read_text(), file=sys.stderr)
    written = [str(out / name) for name in ("table1.md", "table2.md", "fig4.png")]
    print(json.dumps({"written": written, "seconds": round(time.perf_counter() - began, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
