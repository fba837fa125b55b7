"""Results of `experiments.evaluate` -> what a model's errors and its confidence are worth."""

from collections.abc import Sequence

from experiments.blocks.accuracy import PEOPLE, TITLES
from experiments.blocks.source import Source, read, wrapped
from experiments.config import ConfigError
from experiments.judged import NEAR_PX
from experiments.table1 import table
from experiments.table2 import cell, percent

SHORT_TITLES = {name: title.split(",")[0] for name, title in TITLES.items()}
"""Data set -> title of its column."""


def confidence(sources: Sequence[Source]) -> str:
    """Returns a table with a column per result, and a paragraph about what was tested.

    Raises:
      ConfigError: a file is damaged, or its model has no calibration.
    """
    results = {path: read(path) for source in sources for path in source.paths}
    if not results:
        raise ConfigError("the table `confidence` names no file; expected results of evaluate")
    columns, sentences = [], []
    for path, result in results.items():
        try:
            columns.append(_column(result))
            sentences.append(_tested(result))
        except (KeyError, TypeError):
            raise ConfigError(
                f"{path}: is no result of `python -m experiments.evaluate` with a calibrated model"
            ) from None
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    header = ["", *(SHORT_TITLES.get(r["dataset"], r["dataset"]) for r in results.values())]
    return table(header, rows) + "\n" + wrapped(" ".join(sentences))


def _column(result: dict) -> dict[str, str]:
    errors, judged = result["rmsd_fallback_px"]["all"], result["confidence"]
    near = f"visible and within {NEAR_PX:g} px"
    pose = result["baselines"]["mean_pose"]["all"]
    half_torso = percent(result["pck"]["half_torso"])
    calibration_error = judged["reliability"]["expected_calibration_error"]
    largest_px = f"{judged['error_px_p95']:.2f}"
    return {
        "RMSD per limb, median (IQR) / mean, px": cell(errors),
        "the same of no net: mean pose of the training frames": cell(pose),
        "visible joints within half a torso, before calibration (PCK)": half_torso,
        "visible joints that are missing, before calibration": percent(result["missed_rate"]),
        "visible joints that are missing": percent(judged["missed"]),
        "hidden joints that are reported, before calibration": percent(result["hidden_found_rate"]),
        "hidden joints that are reported": percent(judged["hidden_found"]),
        f"AUROC of confidence for {near}": f"{judged['auroc']['right']:.3f}",
        f"AUROC of the map's peak for {near}": f"{judged['score_auroc']['right']:.3f}",
        "expected calibration error": percent(calibration_error),
        f"found joints that are {near}": percent(judged["right_of_found"]),
        "95th percentile of the error of visible, reported joints, px": largest_px,
    }


def _tested(result: dict) -> str:
    people = PEOPLE.get(result["dataset"], "subjects")
    return (
        f"{TITLES.get(result['dataset'], result['dataset'])}: {result['n_frames']} frames of "
        f"{len(result['subjects']['test'])} {people}, px of 128x96, model {result['model'][:12]}, "
        f"commit {result['commit']}, {result['date']}."
    )
