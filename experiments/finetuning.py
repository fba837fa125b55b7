"""A model, 18 corrected frames of a ward whose camera it never saw -> its errors before and after.

    python -m experiments.finetuning --out=experiments/results/finetuning.json

The ward is simulated with another view. The way is a user's: frames are exported as `jaxpose label`
does it, corrected (here with the simulated annotator's clicks), imported, and trained on by
`experiments.run --init`. The ward's other infants are tested. If it was stopped, the same command
goes on.
"""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.babypose.sheets import raise_first, read_sheet
from data_pipeline.simulate import simulate
from data_pipeline.simulated.camera import View
from data_pipeline.simulated.parameters import Parameters
from experiments import evaluate, options, run
from jaxpose import label
from jaxpose.commands import run_command
from jaxpose.estimator import shipped_model
from jaxpose.files import write_json
from jaxpose.labels.package import COCO
from jaxpose.options import parse_options

VIEW = View(
    distance_m=1.15,
    distance_spread=0.03,
    nearest_m=1.0,
    farthest_m=1.4,
    tilt_deg=(10.0, 4.0, 10.0),
    steepest_deg=20.0,
)
"""The ward's camera: 1 m or more above the infants, where training has 0.6 to 0.9 m, and tilted
more; the infants are two thirds as large in the images."""
SEED, SIZE = 71001, (320, 240)
CLIP = 3
"""Frames that are corrected of each infant."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures what a few corrected frames of a new ward bring; the last line of stdout is JSON."""

    model: tyro.conf.Positional[Path | None] = None
    """Model file to go on from. None: the one that jaxpose ships."""
    work: Path = Path("runs/finetuning")
    """Folder for the ward, the labels and the run."""
    out: Path | None = None
    """File to which the result is also written, FILE.json."""
    infants: int = 6
    """Number of infants with three corrected frames each; the last one validates."""
    tested: int = 40
    """Number of other infants of the ward, which are tested."""
    frames: int = 16
    """Frames of every infant."""
    seed: int = 0
    """Seed of the training."""


def measure(choice: Options) -> dict:
    """Simulates, labels, trains and tests; returns the result.

    Raises:
      UserError: an option or a file cannot be used.
    """
    began, work = time.perf_counter(), choice.work
    model = choice.model or shipped_model()
    known = [str(k) for k in range(1, choice.infants + 1)]
    others = [str(k) for k in range(choice.infants + 1, choice.infants + choice.tested + 1)]
    simulate(
        work / "recordings",
        infants=choice.infants + choice.tested,
        frames=choice.frames,
        seed=SEED,
        size=SIZE,
        parameters=Parameters(view=VIEW),
    )
    joints = [corrected(model, work, infant) for infant in known]
    for infant in others:
        link(work, infant)
    before = evaluate.evaluate(
        evaluate.Options(
            model=model,
            dataset="babypose",
            data_dir=work / "ward",
            cache_dir=work / "cache",
            test_ids=",".join(others),
        )
    )
    config = options.parse(
        [
            f"--init={model}",
            "--dataset=babypose",
            f"--data_dir={work / 'ward'}",
            f"--cache_dir={work / 'cache'}",
            f"--runs_dir={work}",
            f"--train_ids={','.join(known[:-1])}",
            f"--val_ids={known[-1]}",
            f"--test_ids={','.join(others)}",
            f"--seed={choice.seed}",
        ]
    )
    after = run.run(config)
    result = {
        "corrected_frames": CLIP * len(known),
        "corrected_joints": sum(joints),
        "tested_infants": len(others),
        "view": dataclasses.asdict(VIEW),
        "simulation_seed": SEED,
        "seed": choice.seed,
        "preset": after["preset"],
        "init": after["init"],
        "recipe_hash": after["recipe_hash"],
        "model": after["model"],
        "before": errors(before),
        "after": errors(after),
        "median_reduction": reduction(before, after),
        "seconds": round(time.perf_counter() - began, 1),
        "commit": after.get("commit"),
    }
    if choice.out is not None:
        write_json(choice.out, result)
    return result


def corrected(model: Path, work: Path, infant: str) -> int:
    """Exports three frames of an infant, corrects them, and imports them into the ward.

    Returns the number of joints that a person would have had to move, add or remove.
    """
    folder, done = work / "labels" / infant, work / "labels" / f"{infant}.json"
    if done.exists():
        return json.loads(done.read_text())["changed"]
    if not (folder / "labels.json").exists():
        label.run(
            label.Export(
                recording=work / "recordings" / f"pz{infant}",
                out=folder,
                frames=CLIP,
                model=model,
                quiet=True,
            )
        )
    content = json.loads((folder / COCO).read_text())
    sheet = read_sheet(work / "recordings" / f"result_pz{infant}.csv", raise_first)
    row_of = {int(number): k for k, number in enumerate(sheet.numbers)}
    for image, one in zip(content["images"], content["annotations"], strict=True):
        row = row_of[int(image["file_name"].split("_")[0])]
        points = np.where(sheet.visible[row, :, None], sheet.joints[row] + 0.5, 0)
        seen = 2 * sheet.visible[row]
        one["keypoints"] = np.column_stack([points, seen]).astype(float).ravel().tolist()
        one["keypoints"][2::3] = seen.tolist()
    corrected_file = work / "labels" / f"{infant}-corrected.json"
    write_json(corrected_file, content)
    ward = work / "ward"
    ward.mkdir(exist_ok=True)
    counts = label.run(label.Import(folder, corrected_file, out=ward, id=infant))
    changed = sum(counts[f"joints_{name}"] for name in ("moved", "added", "removed"))
    write_json(done, {"changed": changed})
    return changed


def link(work: Path, infant: str) -> None:
    """Links a recording that nobody corrects into the ward, with its sheet to test on."""
    for name in (f"pz{infant}", f"result_pz{infant}.csv"):
        if not (work / "ward" / name).exists():
            target = os.path.relpath(work / "recordings" / name, work / "ward")
            (work / "ward" / name).symlink_to(target)


def errors(result: dict) -> dict:
    """Returns the errors over all limbs, px of 128x96; a missing joint is at its map's maximum."""
    names = ("missed_rate", "n_frames")
    return {"rmsd_fallback_px": result["rmsd_fallback_px"]["all"]} | {n: result[n] for n in names}


def reduction(before: dict, after: dict) -> float:
    """Returns by which share the median error is lower."""
    medians = [r["rmsd_fallback_px"]["all"]["median"] for r in (before, after)]
    return round(1 - medians[1] / medians[0], 4)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    choice = parse_options(Options, arguments, "experiments.finetuning")
    return run_command(lambda: measure(choice), resume="the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
