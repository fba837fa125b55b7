"""Results of runs -> errors per limb in the form of the paper's Table II, with baselines."""

import os
from pathlib import Path

from experiments.table1 import table
from jaxpose.body.skeleton import LIMBS

PAPER_TABLE2 = {
    "Asy-regression": ((16.90, 2.71), (16.59, 2.43), (16.27, 2.97), (13.99, 4.60)),
    "Moccia et al. 2020": ((16.59, 3.49), (16.59, 3.45), (16.10, 3.49), (11.95, 5.76)),
}  # fmt: skip
"""Method -> median and IQR per limb, in the paper's unit, of 22 infants, not all published."""

OURS = {
    "rmsd_fallback_px": "both nets, default decoding",
    "overlapping_fallback_px": "both nets, default decoding, overlapping clips",
    "regression_fallback_px": "regression maps, chain linking",
    "combined_fallback_px": "maps of both nets combined, chain linking",
    "bipartite_fallback_px": "regression, bipartite linking (the paper's)",
    "detector_fallback_px": "detection alone, chain linking",
    "detector_bipartite_fallback_px": "detection alone, bipartite linking",
    "rmsd_px": "both nets, default decoding, found joints only",
    "bipartite_rmsd_px": "regression, bipartite linking, found joints only",
    "detector_rmsd_px": "detection alone, chain linking, found joints only",
    "detector_bipartite_rmsd_px": "detection alone, bipartite linking, found joints only",
}
"""Key of a result -> its row; earlier results lack some."""
MISSED = {
    "missed_rate": "missed",
    "bipartite_missed_rate": "missed, bipartite",
    "detector_missed_rate": "missed, detection alone",
    "detector_bipartite_missed_rate": "missed, detection alone, bipartite",
}
"""Key of a result -> its column; earlier results lack the last one."""
BASELINES = {
    "mean_pose": "no net: mean pose of the training frames",
    "infant_mean": "no net: mean pose of the same infant's training frames",
    "previous_frame": "no net: true pose one frame before (an oracle)",
}
"""Key of a baseline -> its row."""
TO_CAMERA = {"babypose": 5}
"""Data set -> px of its 640x480 images in one px of 128x96. Other data sets have crops, or images
of other sizes."""
COLUMNS = ["", *(limb.replace("_", " ") for limb in LIMBS), "all limbs"]


def labels(results: list[dict]) -> list[str]:
    """Returns the runs' names: as many last parts of their folders' paths as distinguish them."""
    paths = [Path(os.path.abspath(result["run_dir"])).parts for result in results]
    for count in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-count:]) for parts in paths]
        if len(set(names)) == len(names):
            break
    return names


def cells(errors: dict, factor: float = 1.0) -> list[str]:
    """Returns median (IQR) / mean of every limb, then of all limbs pooled, each times `factor`."""
    return [cell(errors[limb], factor) for limb in (*LIMBS, "all")]


def cell(values: dict, factor: float = 1.0) -> str:
    """Formats median (IQR) / mean; a hyphen where no joint counts."""
    if values["median"] is None:
        return "-"
    median, iqr, mean = (factor * values[key] for key in ("median", "iqr", "mean"))
    return f"{median:.2f} ({iqr:.2f}) / {mean:.2f}"


def table2(results: list[dict]) -> str:
    """Returns Table II for these runs, with other decodings, the baselines and the paper's own."""
    first = results[0]
    text = (
        f"# Table II: {first['dataset']}, split {first['split']}\n\n"
        f"RMSD per limb, median (IQR) / mean over {first['n_frames']} test frames of "
        f"{', '.join(first['subjects']['test'])}. A missing joint counts at its map's maximum, "
        "unless a row says otherwise.\n"
    )
    text += f"\n## px of 128x96\n\n{_errors(results)}"
    if factor := TO_CAMERA.get(first["dataset"]):
        text += f"\n## px of 640x480\n\n{_errors(results, factor)}"
    return text + _paper() + _beside_the_error(results)


def _errors(results: list[dict], factor: float = 1.0) -> str:
    rows = []
    for name, result in zip(labels(results), results, strict=True):
        rows += [
            [f"{name}: {what}", *cells(result[key], factor)]
            for key, what in OURS.items()
            if key in result
        ]
    baselines = results[0]["baselines"]
    rows += [
        [what, *cells(baselines[key], factor)]
        for key, what in BASELINES.items()
        if key in baselines
    ]
    return table(COLUMNS, rows)


def _paper() -> str:
    rows = [
        [name, *(f"{median:.2f} ({iqr:.2f})" for median, iqr in limbs), "-"]
        for name, limbs in PAPER_TABLE2.items()
    ]
    return (
        '\n## The paper, median (IQR), "pixels for the 128x96 images"\n\n'
        + table(COLUMNS, rows)
        + "\nOther infants, another camera and a doubtful unit: not comparable row by row. A limb "
        "segment is 9 to 11 px of 128x96 there.\n"
    )


def _beside_the_error(results: list[dict]) -> str:
    rows = []
    for name, r in zip(labels(results), results, strict=True):
        rows.append(
            [
                name,
                *(percent(r.get(key)) for key in MISSED),
                percent(r["hidden_found_rate"]),
                *(percent(r["pck"][k]) for k in ("half_torso", "quarter_torso")),
                *(percent(r[k]["joints"]) for k in ("dice", "recall")),
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
    return (
        "\n## Beside the error\n\n"
        + table(header, rows)
        + "\nParameters and MACs are the regression net's alone, per clip; times include the "
        "detection net and are no benchmark: the machine may have been busy.\n"
    )


def summary(result: dict) -> str:
    """Formats the main numbers of a run for the terminal."""
    folder = result["run_dir"]
    return errors_of(result) + f"; {folder}/table2.md and {folder}/figures/ have more"


def errors_of(result: dict) -> str:
    """Formats median errors and the share of missed joints for the terminal."""
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
        f"missed {percent(result['missed_rate'])} of the visible joints in {result['n_frames']} "
        "test frames"
    )
    return "\n".join(lines)


def percent(share: float | None) -> str:
    """Formats a share as a percentage with one decimal; a hyphen for None."""
    return "-" if share is None else f"{100 * share:.1f} %"
