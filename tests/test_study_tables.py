"""The study's comparisons, tables and claims, from made-up results with known answers."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments import readme
from experiments.config import ConfigError
from experiments.machines import ROOT
from experiments.numerics import NUMERICS
from experiments.recipe import short_hash
from experiments.study import (
    claims,
    claims_of_cost,
    claims_of_error,
    evidence,
    fronts,
    pictures,
    results,
    texts,
    titles,
)
from experiments.study import speeds as speeds_of
from experiments.study.jobs import jobs_of
from experiments.study.plan import read_plan
from jaxpose.body.skeleton import LIMBS

PLAN = """
[margins]
reference = "full"
primary = 0.1
sensitivity = [0.2]

[data.simulated]
dataset = "simulated"
infants = 9
frames = 12

[arms]
full = { variant = "full" }
asy = { variant = "asy" }
thin = { variant = "thin", "regression.learning_rate" = 1e-3 }
detection_asy = { variant = "asy", "detection.factorise" = "asy" }

[[comparisons]]
ours = "asy"
theirs = "thin"
confirmatory = true

[[comparisons]]
ours = "asy"
theirs = "full"
confirmatory = true

[[comparisons]]
ours = "detection_asy"
theirs = "asy"

[[predictions]]
ours = "asy"
theirs = "full"
low = 1.0
high = 1.1
why = "a guess"

[[parts]]
part = "a"
data = "simulated"
arms = ["full", "asy", "thin", "detection_asy"]
seeds = [0, 1]
folds = 3
"""
WITHIN = '[arms]\nwithin_infant = { variant = "asy" }'
FULL = {0: [2.0, 3.0, 4.0], 1: [3.0, 3.0, 3.0], 2: [5.0, 1.0, 3.0]}
"""Fold -> errors of its infants under full, the same for both seeds and every limb."""
WORSE = {0: 0.02, 1: 0.05, 2: 0.08}
"""Fold -> by how much asy is worse than full, as a share, without the seed's +-0.01."""


def errors_of(arm: str, seed: int, fold: int) -> np.ndarray:
    factor = {
        "full": 1.0,
        "asy": 1 + WORSE[fold] + (0.01 if seed else -0.01),
        "thin": 1.0,
        "detection_asy": 2.0,
    }[arm]
    return factor * np.array(FULL[fold])


def result(job, **changes) -> dict:
    errors = errors_of(job.arm, job.seed, job.fold).tolist()
    column = {limb: errors for limb in (*LIMBS, "all")}
    detection = "asy" if job.arm == "detection_asy" else "full"
    return {
        **dict.fromkeys(results.NEEDED),
        **job.facts(),
        "recipe": json.loads(json.dumps(job.recipe.as_json())),
        "recipe_hash": job.recipe.hash,
        "numerics": NUMERICS,
        "data_hash": "d",
        "split_hash": f"split {job.fold}",
        "detector_hash": f"{detection} {job.seed} {job.fold}",
        "lowering": "onednn",
        "device": "cpu",
        "cpu": "a CPU",
        "instruction_set": "AVX2",
        "micro_batches": {},
        "history": {"detection": {}, "regression": {}},
        "infants": {
            "id": [f"{job.fold}{k}" for k in range(3)],
            "frames": [12, 12, 12],
            "visible_joints": [100, 100, 100],
            "missed_joints": [3, 0, 0] if job.arm == "asy" else [0, 0, 0],
            "rmsd_fallback_px": column,
            "mean_pose_px": {limb: [10.0, 10.0, 10.0] for limb in (*LIMBS, "all")},
        },
        **changes,
    }


@pytest.fixture
def study(tmp_path) -> Path:
    (tmp_path / "study").mkdir()
    (tmp_path / "plan.toml").write_text(PLAN)
    for job in jobs_of(read_plan(tmp_path / "plan.toml")):
        results.write(tmp_path / "study" / f"{job.name}.json", result(job))
    return tmp_path


def gather(folder: Path) -> evidence.Evidence:
    return evidence.gather(folder / "plan.toml", folder)


def changed(folder: Path, name: str, **changes) -> None:
    path = folder / "study" / f"a-simulated-{name}of3.json"
    results.write(path, results.read(path) | changes)


def test_the_difference_and_its_interval_are_those_of_the_folds(study):
    found = gather(study)
    assert found.problems == []
    one = found.comparison("asy", "full", "simulated")
    # folds of 9, 9 and 9 px in all: mean 3 px, times 0.02, 0.05 and 0.08
    actual = one.differences["all"]
    assert actual.mean == pytest.approx(3 * 0.05) and one.ratio == pytest.approx(1.05)
    half = 4.302653 * 3 * 0.03 / 3**0.5
    assert (actual.low, actual.high) == pytest.approx((0.15 - half, 0.15 + half), rel=1e-5)
    assert (actual.clusters, actual.infants, one.pairs, one.expected) == (3, 9, 6, 6)
    assert set(one.differences) == {"all", *LIMBS}
    assert one.missed == pytest.approx((0.01, 0.0)) and one.sign_flip is None
    # the excess over 10 % of full: -0.24, -0.15 and -0.06 px, whose interval ends above 0
    decided = {name: one.non_inferior(name) for name in ("10 %", "20 %", "1 px")}
    assert decided == {"10 %": False, "20 %": True, "1 px": True}
    assert one.complete and one.decidable


def test_confirmatory_p_values_are_not_corrected_and_exploratory_ones_are(study):
    found = gather(study)
    central = found.comparison("asy", "thin", "simulated")
    assert central.p_holm == central.differences["all"].p
    text = (study / "plan.toml").read_text().replace("confirmatory = true", "")
    (study / "plan.toml").write_text(text)
    loose = gather(study).comparison("asy", "thin", "simulated")
    # detection_asy is nearer to certain, so this one is in the second step, of two
    assert loose.p_holm == pytest.approx(min(1, 2 * central.p_holm))
    # without its results it counts all the same, and as the last: the plan has three comparisons
    for path in (study / "study").glob("*detection_asy*"):
        path.unlink()
    alone = gather(study).comparison("asy", "thin", "simulated")
    assert alone.p_holm == pytest.approx(min(1, 3 * central.p_holm))


def test_a_comparison_is_confirmatory_on_infants_in_the_plan_s_own_recipe_alone(study):
    assert "**asy - thin**, simulated" in texts.compared(gather(study))
    changes = (
        ("[data.simulated]", "[data.other]", 'data = "simulated"', 'data = "other"'),
        ("folds = 3", 'folds = 3\nsetting = "half"\noptions = { width = 0.5 }'),
    )
    plan = (study / "plan.toml").read_text()
    for pairs in changes:
        text = plan
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            text = text.replace(old, new)
        (study / "plan.toml").write_text(text)
        for job in jobs_of(read_plan(study / "plan.toml")):
            results.write(study / "study" / f"{job.name}.json", result(job))
        found = gather(study)
        one = next(c for c in found.compared if c.comparison.theirs == "thin")
        assert not one.confirmatory and one.p_holm > one.differences["all"].p
        assert "**" not in texts.compared(found)


def test_one_fold_has_an_interval_and_neither_p_value_nor_verdict(study):
    for fold in (1, 2):
        for path in (study / "study").glob(f"*fold{fold}of3.json"):
            path.unlink()
    plan = (study / "plan.toml").read_text()
    for text in (plan, plan.replace("folds = 3", "folds = 3\nonly = [0]")):  # missing, planned
        (study / "plan.toml").write_text(text)
        found = gather(study)
        one = found.comparison("detection_asy", "asy", "simulated")
        # twice full's error against 1.02 times: far from 0 and from every margin
        assert one.differences["all"].low > 0 and not one.decidable and one.sign() == 0
        assert np.isnan(one.p_holm) and one.non_inferior("10 %") is None
        row = next(t for t in texts.compared(found).splitlines() if t.startswith("| detection_asy"))
        assert row.split(" | ")[1].endswith(" *") and row.split(" | ")[2] == "-"
        assert row.split(" | ")[8:12] == ["-", "-", "-", "-"]  # p, 10 %, 20 %, 1 px
        assert "not decided |" in texts.predictions(found)
        assert "Not decided: not all trainings" in claims.central(found)


def test_poses_of_the_regression_net_s_maps_are_compared_with_poses_of_the_same_maps(study):
    text = (study / "plan.toml").read_text()
    text = text.replace("[arms]", '[arms]\nmaps = { variant = "asy", maps = "regression" }')
    text = text.replace('"detection_asy"]', '"detection_asy", "maps"]')
    text += '[[comparisons]]\nours = "maps"\ntheirs = "asy"\n'
    (study / "plan.toml").write_text(text)
    for job in jobs_of(read_plan(study / "plan.toml")):
        one = result(dataclasses.replace(job, arm="asy") if job.arm == "maps" else job, arm=job.arm)
        factor = 1.5 if job.arm == "maps" else 3.0
        combined = one["infants"]["rmsd_fallback_px"]
        one["infants"]["regression_fallback_px"] = {
            limb: [factor * value for value in values] for limb, values in combined.items()
        }
        results.write(study / "study" / f"{job.name}.json", one)
    found = gather(study)
    one = found.comparison("maps", "asy", "simulated")
    # 1.5 against 3.0 times the same errors, whose combined maps would say that they are equal
    assert one.ratio == pytest.approx(0.5) and np.isnan(one.missed).all()
    assert found.comparison("asy", "full", "simulated").ratio == pytest.approx(1.05)
    row = next(t for t in texts.compared(found).splitlines() if t.startswith("| maps - asy"))
    assert row.startswith("| maps - asy (regression maps), simulated |")
    assert row.split(" | ")[-3] == "-"


def test_a_missing_training_is_shown_and_its_pair_is_not_made_up(study):
    (study / "study" / "a-simulated-thin-seed1-fold2of3.json").unlink()
    found = gather(study)
    one = found.comparison("asy", "thin", "simulated")
    assert (one.pairs, one.expected, one.complete) == (5, 6, False)
    # fold 2 has seed 0 alone, where asy is 0.07 worse
    assert one.differences["all"].mean == pytest.approx(3 * (0.02 + 0.05 + 0.07) / 3)
    assert "| simulated: thin | 5 of 6 | seed 1, folds 2 |" in texts.progress(found)
    assert "5 of 6" in texts.compared(found)
    assert "Not decided: not all trainings" in claims.central(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"detector_hash": "x"}, ["another detection net (x instead of full 0 0)"]),
        ({"split_hash": "x"}, ["another split"]),
        ({"instruction_set": "AMX"}, ["another instruction set (AMX instead of AVX2)"]),
        ({"data_hash": "x"}, ["another data (x instead of d)"]),
        ({"device": "GPU"}, ["another device (GPU instead of cpu)"]),
        ({"numerics": 0}, [f"another NUMERICS (0 instead of {NUMERICS})"]),
        ({"lowering": "folded"}, ["another lowering"]),
    ],
)
def test_what_must_not_be_in_one_table_is_refused_and_named(study, changes, words):
    changed(study, "asy-seed0-fold0", **changes)
    found = gather(study)
    one = found.comparison("asy", "full", "simulated")
    assert one.pairs == 5 and not one.complete
    assert any("asy-seed0-fold0" in problem for problem in found.problems)
    for word in words:
        assert any(word in problem for problem in found.problems), found.problems
        assert word in texts.progress(found)


def test_another_recipe_is_refused_but_for_what_an_arm_changes_on_purpose(study):
    job = next(j for j in jobs_of(read_plan(study / "plan.toml")) if j.arm == "asy")
    recipe = json.loads(json.dumps(job.recipe.as_json()))
    recipe["detection"]["epochs"] = 11
    changed(study, "asy-seed0-fold0", recipe=recipe)
    problems = gather(study).problems
    assert any("another detection.epochs (11 instead of 10)" in text for text in problems)
    # thin has a learning rate, and detection_asy a detection net of its own, and are compared
    found = gather(study)
    assert found.comparison("asy", "thin", "simulated").pairs == 5
    assert found.comparison("detection_asy", "asy", "simulated").pairs == 5


def damaged(name: str):
    """Returns what damages the result of a training, from how pytest calls it."""
    infants = {
        "no errors": lambda one: one.pop("rmsd_fallback_px"),
        "a limb is missing": lambda one: one["rmsd_fallback_px"].pop("left_leg"),
        "a short column": lambda one: one["rmsd_fallback_px"].update(all=[1.0, 2.0]),
        "words": lambda one: one["rmsd_fallback_px"].update(left_leg=["1", "2", "3"]),
        "no counts": lambda one: one.pop("frames"),
        "no infants": lambda one: one.clear(),
        "nothing measured": lambda one: one["rmsd_fallback_px"].update(all=[None] * 3),
    }
    if name in infants:
        return lambda one: infants[name](one["infants"])
    return {
        "no history": lambda one: one["history"].pop("regression"),
        "a ragged history": lambda one: one["history"]["detection"].update(a=[1.0], b=[1.0, 2.0]),
        "no recipe": lambda one: one.update(recipe=[]),
    }[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no errors", "infants has no rmsd_fallback_px"),
        ("a limb is missing", "infants/rmsd_fallback_px has no left_leg"),
        ("a short column", "infants/rmsd_fallback_px/all has 2 values, expected one for each of 3"),
        ("words", "infants/rmsd_fallback_px/left_leg is no list of numbers"),
        ("no counts", "infants has no frames"),
        ("no infants", "infants has no id"),
        ("nothing measured", "infants/rmsd_fallback_px/all has no number"),
        ("no history", "history has no regression"),
        ("a ragged history", "history/detection has columns of different lengths"),
        ("no recipe", "recipe is no object"),
    ],
)
def test_a_damaged_file_of_valid_json_is_named_and_the_others_are_used(study, name, words):
    path = study / "study" / "a-simulated-asy-seed0-fold0of3.json"
    value = json.loads(path.read_text())
    damaged(name)(value)
    results.write(path, value)
    found = gather(study)
    assert [text for text in found.problems if str(path) in text and words in text]
    assert len(found.problems) == 1
    one = found.comparison("asy", "full", "simulated")
    # fold 0 has seed 1 alone, where asy is 0.03 worse
    assert one.pairs == 5 and one.differences["all"].mean == pytest.approx(0.03 + 0.05 + 0.08)
    assert "| asy |" in texts.errors(found)


def test_a_stale_copy_does_not_replace_the_real_file(study):
    path = study / "study" / "a-simulated-asy-seed0-fold0of3.json"
    copy = study / "study" / "zz-old.json"
    value = json.loads(path.read_text())
    value["infants"]["rmsd_fallback_px"]["all"] = [9.0, 9.0, 9.0]
    results.write(copy, value)
    found = gather(study)
    (problem,) = found.problems
    assert "zz-old.json: is the result of a-simulated-asy-seed0-fold0of3" in problem
    assert found.comparison("asy", "full", "simulated").ratio == pytest.approx(1.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("recipe", "variant"), "another variant (dwsep instead of thin)"),
        (("recipe", "regression", "learning_rate"), "another regression.learning_rate (dwsep "),
        (("seed",), "another seed (dwsep instead of 1)"),
        (("fold",), "another fold (dwsep instead of 2)"),
        (("arm",), "another arm (dwsep instead of thin)"),
        (("own_options",), "another own_options (dwsep"),
        (("recipe_hash",), "another recipe_hash (dwsep"),
    ],
)
def test_a_file_that_contradicts_the_plan_is_named_and_not_used(study, change, words):
    path = study / "study" / "a-simulated-thin-seed1-fold2of3.json"
    value = json.loads(path.read_text())
    section = value
    for name in change[:-1]:
        section = section[name]
    section[change[-1]] = ["dwsep"] if change == ("own_options",) else "dwsep"
    results.write(path, value)
    found = gather(study)
    (problem,) = found.problems
    assert problem.startswith("a-simulated-thin-seed1-fold2of3: not of this plan: ")
    assert words.replace("(dwsep", "(['dwsep']" if change == ("own_options",) else "(dwsep") in (
        problem
    )
    assert found.comparison("asy", "thin", "simulated").pairs == 5


def change_all(folder: Path, change):
    """Applies `change` to every result, and gathers them."""
    for path in (folder / "study").glob("*.json"):
        value = json.loads(path.read_text())
        change(value)
        value["recipe_hash"] = short_hash(value["recipe"])
        results.write(path, value)
    return gather(folder)


def test_results_of_earlier_numerics_stay_and_those_before_an_option_have_its_default(study):
    def age(value):
        value["numerics"] = NUMERICS - 1
        del value["recipe"]["min_score"]

    found = change_all(study, age)
    assert found.problems == [] and found.comparison("asy", "thin", "simulated").pairs == 6


def test_results_of_another_recipe_than_the_plan_s_are_refused_even_if_all_have_it(study):
    found = change_all(study, lambda value: value["recipe"]["regression"].update(epochs=7))
    assert len(found.problems) == 24 and found.compared == []
    assert all("another regression.epochs (7 instead of 40)" in text for text in found.problems)


@pytest.mark.parametrize("changes", [{"numerics": 0}, {"data_hash": "x"}, {"lowering": "folded"}])
def test_the_odd_file_is_refused_even_if_it_is_the_first(study, changes):
    first = jobs_of(read_plan(study / "plan.toml"))[0]
    changed(study, first.name.removeprefix("a-simulated-").removesuffix("of3"), **changes)
    found = gather(study)
    (problem,) = found.problems
    assert problem.startswith(f"{first.name}: not ")
    assert found.comparison("asy", "thin", "simulated").pairs == 6


def test_other_infants_in_one_training_of_a_fold_are_refused(study):
    infants = result(jobs_of(read_plan(study / "plan.toml"))[0])["infants"]
    changed(study, "full-seed0-fold0", infants=infants | {"id": ["7", "8", "9"]})
    (problem,) = gather(study).problems
    assert problem.startswith("a-simulated-full-seed0-fold0of3: not used: another infants")


def test_a_margin_is_by_a_reference_that_pairs_with_both_nets(study):
    margins = ("10 %", "20 %", "1 px")
    one = gather(study).comparison("asy", "thin", "simulated")
    assert None not in map(one.non_inferior, margins)
    changed(study, "full-seed0-fold0", split_hash="another")
    found = gather(study)
    one = found.comparison("asy", "thin", "simulated")
    assert one.pairs == 6 and [*map(one.non_inferior, margins)] == [None, None, True]
    words = "a-simulated-thin-seed0-fold0of3 has no margin by a-simulated-full-seed0-fold0of3"
    assert any(f"{words}: another split" in text for text in found.problems)


def test_a_corrupt_file_is_named_and_the_others_are_used(study):
    path = study / "study" / "a-simulated-asy-seed0-fold0of3.json"
    path.write_text(path.read_text()[:100])
    foreign = result(jobs_of(read_plan(study / "plan.toml"))[0]) | {"job": "other"}
    results.write(study / "study" / "other.json", foreign)
    found = gather(study)
    assert found.comparison("asy", "full", "simulated").pairs == 5
    assert any(str(path) in text and "is not JSON" in text for text in found.problems)
    assert "other: not in the plan" in found.problems


def test_without_results_everything_is_said_to_be_open(study):
    for path in (study / "study").glob("*.json"):
        path.unlink()
    found = gather(study)
    assert texts.compared(found) == texts.errors(found) == texts.NOTHING
    assert "not measured" in texts.predictions(found)
    verdicts = {decide.__name__: decide(found).verdict for decide in claims.CLAIMS}
    assert verdicts["almost_unchanged"] == verdicts["deeper_detection"] == "not decided"
    assert verdicts["same_reach"] == verdicts["training_time"] == "not decided"
    assert "no results yet" in claims.central(found)


def test_the_predictions_stand_beside_the_measurements(study):
    text = texts.predictions(gather(study))
    # the ratio of every fold is 1.02, 1.05 or 1.08, of equal weight: 0.05 +- 0.0745
    row = "| asy / full | 1.00 to 1.10 | a guess | simulated | 1.050 [0.975 to 1.125] (6 of 6) |"
    assert f"{row} straddles |" in text
    for low, high, word in ((0.97, 1.13, "inside"), (1.13, 2.0, "outside"), (0.5, 0.9, "outside")):
        changed = (study / "plan.toml").read_text()
        changed = re.sub(r"low = .*\nhigh = .*", f"low = {low}\nhigh = {high}", changed)
        (study / "plan.toml").write_text(changed)
        assert f"(6 of 6) | {word} |" in texts.predictions(gather(study))


@pytest.mark.parametrize(
    ("p", "words"), [(0.0, "< 0.001"), (9e-4, "< 0.001"), (0.001, "0.001"), (np.nan, "-")]
)
def test_a_p_value_is_never_said_to_be_0(p, words):
    assert texts.p_value(p) == words


def test_the_errors_of_every_arm_and_of_no_net(study):
    text = texts.errors(gather(study))
    row = next(line for line in text.splitlines() if line.startswith("| full |"))
    assert row.startswith("| full | 3.00 [3.00 to 3.00] |") and row.endswith("| 6 of 6 | 9 |")
    row = "| no net: mean pose of the training frames (as for full) | 10.00 | 10.00 |"
    assert row in text and "same infant" not in text


def test_every_detection_net_has_a_row_of_its_own(study):
    for job in jobs_of(read_plan(study / "plan.toml")):
        one = result(job)
        error = 8.0 if job.arm == "detection_asy" else 4.0
        one["infants"]["detector_fallback_px"] = {limb: [error] * 3 for limb in (*LIMBS, "all")}
        results.write(study / "study" / f"{job.name}.json", one)
    (study / "study" / "a-simulated-detection_asy-seed0-fold0of3.json").unlink()
    (study / "study" / "a-simulated-detection_asy-seed1-fold0of3.json").unlink()
    rows = [line for line in texts.errors(gather(study)).splitlines() if "detection alone" in line]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| detection alone (as for full)", "4.00"],
        ["| detection alone (as for detection_asy)", "8.00"],
    ]
    assert rows[0].endswith("| 6 of 6 | 9 |") and rows[1].endswith("| 4 of 6 | 6 |")


def test_under_the_paper_s_split_the_same_infant_s_mean_pose_stands_beside_the_net(study):
    text = (study / "plan.toml").read_text().replace("[data.simulated]", "[data.long]")
    text = text.replace('data = "simulated"', 'data = "long"').replace("[arms]", WITHIN)
    (study / "plan.toml").write_text(text.replace('"detection_asy"]', '"within_infant"]'))
    for job in jobs_of(read_plan(study / "plan.toml")):
        values = result(dataclasses.replace(job, arm="asy"), arm=job.arm)
        if job.arm == "within_infant":
            values["infants"]["infant_mean_px"] = {k: [4.0] * 3 for k in (*LIMBS, "all")}
        results.write(study / "study" / f"{job.name}.json", values)
    found = gather(study)
    claim = claims_of_error.pixels(found)
    assert "asy has 3.15 px and the mean pose of the same infant 4.00 px" in claim.evidence
    assert claim.verdict == "cannot be tested here"
    assert "same infant's training frames (as for within_infant) | 4.00 |" in texts.errors(found)


# ---- pictures ----


def test_a_picture_and_a_csv_file_are_written_twice_alike(study, tmp_path):
    found = gather(study)
    first, second = (pictures.write_all(found, tmp_path / name) for name in "ab")
    assert [path.name for path in first] == ["comparisons.csv", "error-cost-simulated.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes() and one.stat().st_size > 200
    header, *rows = first[0].read_text().splitlines()
    assert header.split(",") == [*pictures.COMPARISONS] and len(rows) == 3 * 5
    row = next(row for row in rows if row.startswith("simulated,,asy,full,all"))
    cells = dict(zip(pictures.COMPARISONS, row.split(","), strict=True))
    assert cells["mean_px"] == "0.15" and cells["p_holm"]
    counts = ("pairs", "pairs_planned", "folds", "infants")
    assert [cells[name] for name in counts] == ["6", "6", "3", "9"]
    # the p-value is that of the mean over limbs, and stands there alone
    assert sum(bool(row.split(",")[pictures.COMPARISONS.index("p_holm")]) for row in rows) == 3


def test_costs_are_those_of_the_arm_s_own_net_and_the_benchmark_s_of_its_size(study):
    found = gather(study)
    group = found.groups["simulated", ""]
    # 703,014,912 useful MACs of asy at 64x48 and a quarter of the widths
    assert fronts.gmacs(group)["asy"] == (pytest.approx(0.703014912), 0.0)
    row = {"net": "regression", "variant": "asy", "what": "forward", "batch": 1}
    row |= {"implementation": "jaxpose", "dtype": "float32", "iqr_ms": 0.4}
    rows = [row | {"median_ms": 9.0}, row | {"median_ms": 7.0}]
    small = {"cpu": "CPU", "clip": [3, 48, 64], "width": 0.25, "rows": rows}
    small |= {"platform": "cpu"}
    other = small | {"clip": [3, 96, 128]}
    measured = dataclasses.replace(found, benchmarks={"a": small, "b": other})
    expected = {"asy": (7.0, 0.2), "detection_asy": (7.0, 0.2)}
    assert fronts.times(measured, group) == {"CPU, jaxpose float32": expected}


def test_a_picture_has_the_nets_that_differ_in_kernels_alone_over_the_same_trainings(study):
    text = (study / "plan.toml").read_text()
    part = '\n[[parts]]\npart = "b"\ndata = "simulated"\narms = ["{}"]\nseeds = [0]\nfolds = 3\n'
    arms = 'planar = {{ variant = "planar" }}\ndwsep = {{ variant = "dwsep" }}\n[[comparisons]]'
    text = text.replace("[[comparisons]]", arms.replace("{{", "{").replace("}}", "}"), 1)
    (study / "plan.toml").write_text(text + part.format('planar", "dwsep'))
    for job in jobs_of(read_plan(study / "plan.toml")):
        if job.part == "b" and (job.arm, job.fold) != ("dwsep", 2):
            value = result(dataclasses.replace(job, arm="full")) | job.facts()
            results.write(study / "study" / f"{job.name}.json", value)
    shown = fronts.front(gather(study).groups["simulated", ""])
    # detection_asy has another detection net, and dwsep lacks a fold
    assert list(shown.group.arms) == ["full", "asy", "thin", "planar"]
    assert shown.left_out == {"dwsep": (2, 3)} and "dwsep (2 of 3)" in shown.note
    for trainings in shown.group.arms.values():
        assert sorted(trainings) == [(0, 0), (0, 1), (0, 2)]
    # seed 0 alone, where asy is worse by 0.01, 0.04 and 0.07 of 3 px in the mean of each fold
    assert shown.errors["asy"].mean == pytest.approx(3 * 1.04)


def test_nothing_is_drawn_where_all_costs_are_equal(study, tmp_path):
    text = (study / "plan.toml").read_text()
    (study / "plan.toml").write_text(text.replace('variant = "full"', 'variant = "asy"'))
    for path in (study / "study").glob("*-thin-*.json"):
        path.unlink()
    for job in jobs_of(read_plan(study / "plan.toml")):
        if job.arm == "full":
            results.write(study / "study" / f"{job.name}.json", result(job))
    written = pictures.write_all(gather(study), tmp_path / "pictures")
    assert [path.name for path in written] == ["comparisons.csv"]


def test_a_data_set_and_a_setting_of_one_name_have_different_titles():
    plan = read_plan(evidence.PLAN)
    data = plan.data["long"]
    assert titles.place("long", "") == f"{data.infants} infants x {data.frames:,} frames"
    (part,) = (part for part in plan.parts if part.setting == "long")
    steps = {name: 4 * value for name, value in plan.recipe.items()}
    assert titles.place("simulated", "long") == "simulated, four times the steps"
    assert part.options == steps
    assert titles.file_name("simulated", "long") == "simulated-four-times-the-steps"
    assert titles.file_name("long", "") == "16-infants-x-1000-frames"


# ---- times ----


def ratio(of: str, reduction: float, interval, variant="full") -> dict:
    over = of.replace(" asy ", f" {variant} ")
    return {"of": of, "over": over, "reduction": reduction, "reduction_interval": interval}


def benchmark(*ratios: dict) -> dict:
    rows = [
        {"net": "regression", "variant": "asy", "what": "train_step", "batch": 8,
         "implementation": "jaxpose", "lowering": lowering, "dtype": "float32", "median_ms": ms}
        for lowering, ms in (("onednn", 1.0), ("folded", 2.0))
    ]  # fmt: skip
    result = {"cpu": "CPU", "platform": "cpu", "clip": [3, 48, 64], "rows": rows}
    return {"bench-x.json": result | {"ratios": ratios}}


OURS = "regression asy train_step 8 jaxpose {} float32"


def test_on_a_gpu_jax_s_own_convolution_is_ours_and_is_told_apart_from_cpus():
    of_cpu = benchmark(ratio(OURS.format("onednn"), 0.2, [0.1, 0.3]))
    name = "regression asy train_step 8 jax_conv3d conv3d bfloat16"
    row = {"implementation": "jax_conv3d", "lowering": "conv3d", "dtype": "bfloat16"}
    (result,) = of_cpu.values()
    of_gpu = result | {"platform": "gpu", "device": "A GPU", "ratios": [ratio(name, -0.3, None)]}
    of_gpu["rows"] = [result["rows"][0] | row]
    measured = of_cpu | {"bench-y.json": of_gpu}
    found = speeds_of.savings(measured, "train_step")
    assert [one.platform for one in found] == ["cpu", "gpu"]
    assert speeds_of.everywhere(found, speeds_of.sentence) == (
        "on CPUs -20 % [-30 to -10] (CPU, 64x48, 8 clips, jaxpose float32); "
        "on GPUs +30 % (A GPU, 64x48, 8 clips, jax_conv3d bfloat16)"
    )
    assert speeds_of.everywhere([], speeds_of.sentence) == "on CPUs not measured"


def test_of_our_own_lowerings_the_fastest_counts():
    measured = benchmark(
        ratio(OURS.format("onednn"), 0.2, [0.1, 0.3]),
        ratio(OURS.format("folded"), 0.7, [0.68, 0.72]),
        ratio("regression asy train_step 8 jax_conv3d conv3d float32", 0.7, [0.68, 0.72]),
        ratio("regression asy forward 1 torch_eager float32", 0.7, [0.68, 0.72]),
    )
    (only,) = speeds_of.savings(measured, "train_step")
    assert (only.reduction, only.file) == (0.2, "bench-x.json")
    assert speeds_of.sentence([only]) == (
        "-20 % [-30 to -10] (CPU, 64x48, 8 clips, jaxpose float32)"
    )
    assert speeds_of.savings(measured, "train_step", theirs="thin") == []


def test_the_paper_s_own_seconds_give_40_percent():
    claim = claims_of_cost.seconds_per_clip(None)
    assert "= 40 %, with rounding 22 to 55 %" in claim.evidence and "= 67 %" in claim.evidence
    counted = claims_of_cost.parameters(None)
    assert "2,982,336 to 1,303,488 (-56.3 %)" in counted.evidence and "(-4.9 %)" in counted.evidence
    assert "-48.1 % without products with padding" in claims_of_cost.products(None).evidence


# ---- what is committed ----


def test_every_claim_of_the_page_has_a_verdict_and_a_source():
    text = (ROOT / "docs" / "study.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith('| "')]
    assert len(rows) == len(claims.CLAIMS)
    allowed = (
        "holds|holds in part|does not hold in part|does not hold|not decided|cannot be tested here"
    )
    assert all(re.search(rf"\*\*({allowed})\*\* \| [^|]+ \|$", row) for row in rows)


def test_the_stored_receptive_fields_are_those_of_nine_frames_and_nine_pixels():
    stored = json.loads((ROOT / "experiments" / "results" / "receptive-field.json").read_text())
    assert stored["full"] == stored["asy"] == stored["thin"] == [9, 9, 9]
    assert stored["planar"] == [1, 9, 9]


@pytest.mark.slow
def test_the_stored_receptive_fields_are_what_gradients_say():
    from experiments.study.reach import receptive_field

    stored = json.loads((ROOT / "experiments" / "results" / "receptive-field.json").read_text())
    for variant in ("full", "asy", "planar", "asy_linear"):
        assert [*receptive_field(variant)] == stored[variant]


# ---- findings ----


def test_findings_have_every_claim_once_with_its_source():
    text = readme.content("findings")
    claimed = [decide(evidence.committed()) for decide in claims.CLAIMS]
    for claim in claimed:
        assert text.count(f"- {claim.topic}: {claim.brief} ({claim.source}).") == 1
    assert len(re.findall(r"^- ", text, re.M)) == len(claims.CLAIMS)


def test_no_number_of_the_findings_is_written_by_hand():
    text = (ROOT / "docs" / "findings.md").read_text()
    rest = readme.BLOCK.sub("", text).replace("3x3x3", "").replace("95 %", "")
    assert not re.findall(r"\d+[.,]\d|\d ?%|\d (?:px|ms|s)\b", rest)


def run_of(variant: str, errors: list[float], **changes) -> dict:
    infants = [
        {"id": str(k), "rmsd_fallback_px": {"all": {"mean": value}}}
        for k, value in enumerate(errors)
    ]
    return {"variant": variant, "dataset": "simulated", "infants": infants, **changes}


def test_a_pair_of_runs_is_described_with_its_interval_and_its_limits(tmp_path):
    for name, errors in (("a", [3.0, 4.0, 6.0]), ("b", [1.0, 2.0, 5.0])):
        (tmp_path / f"{name}.json").write_text(json.dumps(run_of(name, errors)))
    text = " ".join(readme.content("paired a.json b.json", tmp_path).split())
    # differences 2, 2, 1: mean 5/3, standard error 1/3, t with 2 degrees of freedom 4.303
    assert "3 infants" in text and "a - b = +1.67 px of 128x96 [+0.23 to +3.10]" in text
    assert "The interval excludes 0, but" in text and "decides nothing" in text
    other = run_of("b", [1.0, 2.0, 5.0], detector="another")
    (tmp_path / "b.json").write_text(json.dumps(other))
    with pytest.raises(ConfigError, match="no pair: they differ in detector"):
        readme.content("paired a.json b.json", tmp_path)
    with pytest.raises(ConfigError, match="names 1 files; expected two"):
        readme.content("paired a.json", tmp_path)


def test_the_brief_table_has_a_verdict_and_a_clause_for_every_claim():
    lines = claims.brief_table(evidence.committed()).splitlines()[2:]
    assert len(lines) == len(claims.CLAIMS)
    assert all(re.search(r"\*\*[a-z ]+\*\*", line) for line in lines)


def test_a_span_of_savings_has_its_medians_and_the_outermost_ends_of_intervals():
    savings = [
        speeds_of.Saving("cpu", "here", 0.30, (0.2, 0.4), "f"),
        speeds_of.Saving("cpu", "there", 0.5, (0.45, 0.6), "f"),
        speeds_of.Saving("cpu", "no interval", 0.9, None, "f"),
    ]
    assert speeds_of.span(savings) == (
        "between -30 and -50 % (medians, minus: less time; 95 % intervals reach from -20 to -60, "
        "n = 2)"
    )
    assert speeds_of.span(savings[2:]) == "not measured"
    slower = dataclasses.replace(savings[0], reduction=-0.2, interval=(-0.4, -0.1))
    unclear = dataclasses.replace(savings[0], reduction=0.0, interval=(-0.1, 0.1))
    assert speeds_of.tally([*savings, slower, unclear], "asy") == (
        "asy took longer in 1, less time in 2, undecided in 1 of 4 runtimes, types and sizes, "
        "between +20 and -50 % (medians, minus: less time; 95 % intervals reach from +40 to "
        "-60)"
    )
