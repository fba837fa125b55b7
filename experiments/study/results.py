"""Run folders -> the small result files of the study, which are committed; and back.

A result file has one key per line. Everything but `measured` follows from the plan, bit for bit, on
one type of machine: date, seconds and milliseconds are under that key.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from experiments.config import ConfigError
from experiments.numerics import NUMERICS
from experiments.recipe import short_hash
from experiments.rundir import read_json
from experiments.study import structure
from experiments.study.jobs import Job
from experiments.table2 import OURS
from jaxpose import model_file
from jaxpose.body.skeleton import LIMBS
from jaxpose.files import write_text

MEASURED = "measured"
"""Key of what differs from one repetition to the next."""
COLUMNS = {
    "rmsd_fallback_px": "error_default_fallback",
    "rmsd_px": "error_default_found",
    "regression_fallback_px": "error_regression_fallback",
    "detector_fallback_px": "error_detector_fallback",
    "bipartite_fallback_px": "error_bipartite_fallback",
    "mean_pose_px": "error_mean_pose",
    "infant_mean_px": "error_infant_mean",
    "previous_frame_px": "error_previous_frame",
}
"""Column per infant -> array of a run's predictions.npz; RMSD in px of 128x96, mean over
frames, to 0.001 px."""
QUANTILES = (5, 25, 50, 75, 95)
"""Percentiles of the errors of all frames, per limb, for box plots."""
FACTS = ("variant", "dataset", "split", "preset", "recipe_hash", "grid", "width", "lowering")
FACTS += ("device", "micro_batches", "versions", "numerics", "commit", "cpu", "cores")
FACTS += ("instruction_set", "kernel_weights", "parameters", "macs_nominal", "macs_useful")
FACTS += ("n_frames", "missed_rate", "hidden_found_rate", "detector_missed_rate", "pck", "dice")
FACTS += ("recall",)
"""Keys of a run's result that are copied."""
NEEDED = ("job", "arm", "seed", "fold", "own_options", "recipe", "recipe_hash", "numerics")
NEEDED += ("split_hash", "data_hash", "detector_hash", "history", "infants", MEASURED)
"""Keys that a result file must have."""


def collect(job: Job, folder: Path) -> dict:
    """Returns the result of a finished job, from its run folder.

    Raises:
      ConfigError: the folder is of another recipe.
      OSError, KeyError: a file or a value is missing.
    """
    result, split = read_json(folder / "result.json"), read_json(folder / "split.json")
    if result["recipe_hash"] != job.recipe.hash:
        raise ConfigError(
            f"{folder}: has recipe {result['recipe_hash']}, the plan has {job.recipe.hash}; "
            "delete the folder"
        )
    _, weights = model_file.read(folder / "model.safetensors")
    with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
        predictions = dict(arrays)
    return {
        **job.facts(),
        "data_hash": split["data"],
        "split_hash": short_hash(split),
        "detector_hash": weights_hash(weights["detection"]),
        **{name: result[name] for name in FACTS},
        "recipe": job.recipe.as_json(),
        "errors": shortened({name: result[name] for name in OURS if name in result}),
        "baselines": shortened(result["baselines"]),
        "quantiles": {
            limb: _rounded(np.nanpercentile(predictions["error_default_fallback"][:, k], QUANTILES))
            for k, limb in enumerate(LIMBS)
        },
        "history": _history(folder / "metrics.jsonl"),
        "infants": _infants(predictions, result["infants"]),
        MEASURED: {name: result[name] for name in ("date", "seconds", "predict_ms", "decode_ms")},
    }


def weights_hash(weights: dict) -> str:
    """Returns a hash of a net's weights, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        for field, array in weights[name]._asdict().items():
            if array is not None:
                digest.update(f"{name}/{field}".encode())
                digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()[:16]


def _infants(predictions: dict[str, np.ndarray], rows: list[dict]) -> dict:
    """Returns columns with a value per infant; None where no joint of a limb counts."""
    subject = predictions["subject"]
    columns = {
        "id": [row["id"] for row in rows],
        **{
            name: [row[name] for row in rows]
            for name in ("frames", "visible_joints", "missed_joints")
            + ("hidden_joints", "hidden_found_joints")
        },
    }
    for name, array in COLUMNS.items():
        if array in predictions:
            errors = predictions[array]
            per_infant = [errors[subject == infant] for infant in columns["id"]]
            columns[name] = {
                limb: [_mean(values[:, k]) for values in per_infant] for k, limb in enumerate(LIMBS)
            } | {"all": [_mean(values.ravel()) for values in per_infant]}
    return columns


def _mean(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)].astype(np.float64)
    return round(float(values.mean()), 3) if len(values) else None


def shortened(value):
    """Rounds every number in nested dictionaries to 5 digits."""
    if isinstance(value, dict):
        return {name: shortened(below) for name, below in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 3) for value in values]


def _history(path: Path) -> dict[str, dict[str, list[float]]]:
    """Returns the measures of every epoch of both stages, without their seconds."""
    stages: dict[str, dict[str, list[float]]] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        columns = stages.setdefault(row["stage"], {})
        for name, value in row.items():
            if isinstance(value, float) and name != "seconds":
                columns.setdefault(name, []).append(float(f"{value:.6g}"))
    return stages


def write(path: Path, result: dict) -> None:
    """Writes a result file, one key per line."""
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read(path: Path) -> dict:
    """Reads a result file.

    Raises:
      ConfigError: it cannot be read, is damaged, lacks a key, or has the name of another job.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not JSON ({error}); restore or delete it") from None
    if not isinstance(value, dict) or (missing := [key for key in NEEDED if key not in value]):
        lacking = missing[0] if isinstance(value, dict) else NEEDED[0]
        raise ConfigError(f"{path}: has no {lacking!r}, so it is no result of a job; delete it")
    if value["job"] != path.stem:
        raise ConfigError(
            f"{path}: is the result of {value['job']}; expected a file of the job's name; rename "
            "or delete it"
        )
    if (wrong := structure.problem(value)) is not None:
        raise ConfigError(f"{path}: is damaged: {wrong}; restore or delete it")
    return value


def read_all(folder: Path) -> tuple[list[dict], list[str]]:
    """Reads every result file of a folder.

    Returns the results in the order of their files' names, and a message for each file that cannot
    be used.
    """
    results, problems = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            results.append(read(path))
        except ConfigError as error:
            problems.append(str(error))
    return results, problems


def stored(folder: Path, job: Job) -> bool:
    """Tells whether a job's result file is there, and is of the job's recipe and these numerics.

    Raises:
      ConfigError: the file is damaged, or of another recipe or version of the numerics.
    """
    path = folder / f"{job.name}.json"
    if not path.exists():
        return False
    result = read(path)
    for what, actual, expected in (
        ("recipe", result["recipe_hash"], job.recipe.hash),
        ("NUMERICS", result["numerics"], NUMERICS),
    ):
        if actual != expected:
            raise ConfigError(
                f"{path}: has {what} {actual}, the plan has {expected}; delete it to compute the "
                "job again"
            )
    return True
