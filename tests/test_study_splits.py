"""The study's part (c): rows against time, within infants against by infant; what is refused."""

import dataclasses

import pytest
from test_study_tables import PLAN, gather, result

from experiments.study import results, splits, texts
from experiments.study.jobs import jobs_of
from experiments.study.plan import read_plan
from jaxpose.body.skeleton import LIMBS

ARMS = """
[arms]
by_infant = { variant = "asy", folds = 4, fold = 0 }
by_infant_rows = { variant = "asy", folds = 4, fold = 0, builder = "row_order" }
within_infant = { variant = "asy", split = "within_infant" }
within_infant_rows = { variant = "asy", split = "within_infant", builder = "row_order" }

[[parts]]
part = "c"
data = "long"
arms = ["by_infant", "by_infant_rows", "within_infant", "within_infant_rows"]
seeds = [0]
"""
ERRORS = {
    "by_infant": {"3": 4.0, "4": 6.0},
    "by_infant_rows": {"3": 5.0, "4": 8.0},
    "within_infant": {"1": 9.0, "2": 9.0, "3": 3.0, "4": 3.0},
    "within_infant_rows": {"1": 9.0, "2": 9.0, "3": 3.0, "4": 3.0},
}
"""Arm -> the error of each infant that it tested, px."""


def infants(errors: dict[str, float], **changes) -> dict:
    count = len(errors)
    counts = {name: [12] * count for name in ("frames", "visible_joints", "missed_joints")}
    columns = {"rmsd_fallback_px": [*errors.values()], "mean_pose_px": [7.5] * count}
    limbs = {name: {k: values for k in ("all", *LIMBS)} for name, values in columns.items()}
    return {"id": [*errors], **counts, **limbs, **changes}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study").mkdir()
    head = PLAN.split("[arms]")[0].replace("[data.simulated]", "[data.long]")
    (tmp_path / "plan.toml").write_text(head.replace('"full"', '"by_infant"') + ARMS)
    for job in jobs_of(read_plan(tmp_path / "plan.toml")):
        write(tmp_path, job)
    return tmp_path


def write(folder, job, **changes) -> None:
    order = job.recipe.builder or "time"
    value = result(dataclasses.replace(job, arm="asy", fold=0)) | job.facts()
    value |= {"data_hash": order, "split_hash": order + job.recipe.split}
    value |= {"detector_hash": job.arm, "infants": infants(ERRORS[job.arm])} | changes
    results.write(folder / "study" / f"{job.name}.json", value)


def test_rows_and_time_are_paired_by_infant_and_splits_by_the_infants_of_both(study):
    found = gather(study)
    assert found.problems == []
    lines = splits.text(found).splitlines()
    # differences 1 and 2: mean 1.5, standard error 0.5, t with one degree of freedom 12.706
    assert "| row order - time order (by_infant) | 1.50 [-4.85 to 7.85] * | 2 |" in lines
    assert "| row order - time order (within_infant) | 0.00 [0.00 to 0.00] * | 4 |" in lines
    # infants 3 and 4: 3 - 4 and 3 - 6
    row = "| within infants - by infant, infants that both tested | -2.00 [-14.71 to 10.71] * | 2 |"
    assert row in lines
    assert "| within_infant | 6.00 | 7.50 | - | 4 |" in lines
    assert lines[0].startswith("**Added after the plan, exploratory, one training each.**")
    assert "| 16 infants x 1,000 frames: by_infant | 1 of 1 |  |" in texts.progress(found)


def test_what_is_not_trained_is_said(study):
    for path in (study / "study").glob("*_rows-*.json"):
        path.unlink()
    text = splits.text(gather(study))
    assert text.count("| not trained yet |  |") == 2 and "-2.00" in text
    for path in (study / "study").glob("*.json"):
        path.unlink()
    assert splits.text(gather(study)) == "Not trained yet.\n"


@pytest.mark.parametrize(
    ("arm", "changes", "words"),
    [
        ("by_infant_rows", {"infants": infants({"1": 4.0, "2": 6.0})}, "another infants or frames"),
        (
            "by_infant_rows",
            {"infants": infants(ERRORS["by_infant_rows"], frames=[12, 9])},
            "another infants or frames",
        ),
        ("within_infant_rows", {"data_hash": "x"}, "another data (x instead of row_order)"),
        ("within_infant", {"data_hash": "row_order"}, "another data (row_order instead of time)"),
    ],
)
def test_rows_of_other_infants_or_other_data_are_refused(study, arm, changes, words):
    job = next(job for job in jobs_of(read_plan(study / "plan.toml")) if job.arm == arm)
    write(study, job, **changes)
    found = gather(study)
    (problem,) = found.problems
    assert problem.startswith(f"{job.name}: not used: {words}")
    assert "not trained yet" in splits.text(found)
