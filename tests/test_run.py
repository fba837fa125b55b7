"""A whole run, made tiny: what it leaves, what it prints, what it uses again."""

import dataclasses
import json
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_bad_options import part_of
from test_confidence import CALIBRATION
from test_resume import (
    BRIEF,
    EPOCHS,
    MEASURED,
    SMALL,
    STEPS,
    finish,
    made_up,
    rows_of,
    whole_run,
)

from data_pipeline.examples.clips import clip_frames
from data_pipeline.examples.frames import load, save
from data_pipeline.examples.splits import split_frames
from experiments import account, evaluate, evaluation, rundir, tables
from experiments.numerics import NUMERICS
from experiments.options import parse as config_of
from experiments.prediction import predictor
from experiments.recipe import short_hash
from experiments.trainings import detector_facts
from jaxpose.body.skeleton import LIMBS
from jaxpose.cost.accounting import net_cost
from jaxpose.model import Model
from jaxpose.nets import detection, regression
from jaxpose.nets.factorise import VARIANTS

KEYS = (
    "variant dataset split preset seed device versions width grid rmsd_px rmsd_fallback_px "
    "detector_rmsd_px detector_fallback_px bipartite_fallback_px baselines missed_rate pck dice "
    "recall kernel_weights parameters macs_nominal macs_useful seconds predict_ms decode_ms "
    "n_clips n_frames lowering run_dir"
).split()
"""Of design.md."""


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return whole_run(tmp_path_factory)


@pytest.fixture(scope="session")
def folder(run):
    return run[0] / "runs" / "full"


@pytest.fixture(scope="session")
def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="session")
def other_variant(run):
    base, command, _ = run
    changed = [word.replace("=full", "=thin") for word in command]
    once = ["--regression.epochs=1", "--regression.steps_per_epoch=1"]
    finish([*changed, *once, f"--runs_dir={base / 'runs'}"], base)
    return base / "runs" / "thin"


def test_a_run_leaves_every_file_of_the_design_and_no_half_written_one(folder):
    expected = "config.json split.json checkpoints metrics.jsonl tensorboard result.json table2.md"
    assert {p.name for p in folder.iterdir()} == {
        *expected.split(),
        "predictions.npz",
        "figures",
        "model.safetensors",
    }
    assert {p.name for p in (folder / "figures").iterdir()} == {
        "fig4.png",
        "losses.png",
        "poses.png",
    }
    assert [*(folder / "tensorboard").iterdir()]


def test_stdout_is_one_line_and_it_is_the_result_file(run, result):
    assert [json.loads(line) for line in run[2].splitlines()] == [result]


def test_the_result_has_every_key_of_the_design(result):
    assert [key for key in KEYS if key not in result] == []
    tables = [value for key, value in result.items() if key.endswith("_px")]
    assert len(tables) == 2 * len(evaluation.DECODED)
    for errors in [*tables, *result["baselines"].values()]:
        assert list(errors) == [*LIMBS, "all"]
        assert all(set(spread) == {"median", "iqr", "mean"} for spread in errors.values())
    assert list(result["baselines"]) == ["mean_pose", "previous_frame"]
    assert list(result["seconds"]) == ["data", "detection", "regression", "evaluation"]


def test_the_last_of_six_infants_is_tested_in_four_clips_of_three_frames(result):
    assert result["subjects"] == {"train": ["1", "2", "3", "4"], "val": ["5"], "test": ["6"]}
    assert (result["n_clips"], result["n_frames"]) == (4, 12)
    assert (result["grid"], result["width"], result["variant"]) == ([32, 32], 0.03, "full")


def test_the_run_counts_its_regression_net_as_the_accounting_does(result):
    cost = net_cost(regression.net(VARIANTS["full"], 0.03).layers, (3, 32, 32))
    for name in ("kernel_weights", "parameters", "macs_nominal", "macs_useful"):
        assert result[name] == getattr(cost, name)
    # widths 2, 4, 8, 8, 8: 27 (21 2 + 2 4 + 4 8 + 8 8) + 8 8 + 8 20
    assert result["kernel_weights"] == 4166


def test_the_baselines_are_those_worked_out_by_hand(result):
    xy = made_up().xy.astype(np.float64)
    still = xy[:48].mean(axis=0)  # infants 1 to 4 train
    for name, guess, truth in (
        ("mean_pose", still, xy[60:]),
        ("previous_frame", xy[60:71], xy[61:]),  # the first frame has none before it
    ):
        # a pixel of 32 columns is 4 of 128, one of 32 rows 3 of 96
        squared = (((guess - truth) * (4, 3)) ** 2).sum(axis=-1).reshape(-1, 4, 3)
        rmsd = np.sqrt(squared.mean(axis=-1))
        actual = result["baselines"][name]
        for k, limb in enumerate(LIMBS):
            assert actual[limb]["median"] == pytest.approx(np.median(rmsd[:, k]), rel=1e-5)
            assert actual[limb]["mean"] == pytest.approx(rmsd[:, k].mean(), rel=1e-5)
        low, high = np.percentile(rmsd, (25, 75))
        assert actual["all"]["iqr"] == pytest.approx(high - low, rel=1e-5)


def test_every_epoch_of_both_stages_is_one_row_of_the_history(folder):
    rows = rows_of(folder)
    assert [(row["stage"], row["epoch"], row["step"]) for row in rows] == [
        (stage, epoch, STEPS * epoch)
        for stage in ("detection", "regression")
        for epoch in range(1, EPOCHS + 1)
    ]
    assert all(np.isfinite(row["loss"]) for row in rows)


@pytest.mark.parametrize("name", ["fig4", "losses", "poses"])
def test_figures_are_pictures_with_something_on_them(folder, name):
    path = folder / "figures" / f"{name}.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert width > 600 and height > 300
    assert len(np.unique(cv2.imread(str(path)).reshape(-1, 3), axis=0)) > 50


def test_the_same_command_again_trains_nothing_and_gives_the_same_numbers(run, folder, result):
    base, command, _ = run
    again = json.loads(finish([*command, f"--runs_dir={base / 'runs'}"], base).splitlines()[-1])
    assert again["seconds"]["detection"] == again["seconds"]["regression"] == 0
    assert {k: v for k, v in again.items() if k not in MEASURED} == {
        k: v for k, v in result.items() if k not in MEASURED
    }
    assert result["seconds"]["detection"] > 0 and result["seconds"]["regression"] > 0


def test_the_same_command_again_keeps_the_calibration_of_its_model(run, tmp_path):
    base, command, _ = run
    shutil.copytree(base / "runs", tmp_path / "runs")
    path = tmp_path / "runs" / "full" / "model.safetensors"
    plain = Model.load(path)
    specification = dataclasses.replace(plain.specification, calibration=CALIBRATION)
    calibrated = Model(specification, plain.weights).with_provenance(calibration={"infants": 2})
    calibrated.save(path)
    finish([*command, f"--runs_dir={tmp_path / 'runs'}"], base)
    after = Model.load(path).specification
    assert after.calibration == CALIBRATION
    assert after.provenance["calibration"] == {"infants": 2}


def assert_close(again, first):
    """Compares a row's statistics; ``None`` (no joint was found) equals ``None`` alone."""
    assert again.keys() == first.keys()
    for key, value in first.items():
        assert again[key] == (None if value is None else pytest.approx(value, rel=1e-3)), key


def test_evaluating_the_model_again_gives_the_numbers_of_the_run(run, folder, result, capsys):
    base, *_ = run
    options = [f"--data_dir={base / 'frames.npz'}", f"--lowering={result['lowering']}"]
    assert evaluate.main([str(folder / "model.safetensors"), *options]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["subjects"] == result["subjects"] and len(again["model"]) == 64
    for key, value in result.items():
        if key.endswith("_px"):
            assert_close(again[key]["all"], value["all"])
    assert again["baselines"] == result["baselines"]
    assert [row["id"] for row in again["infants"]] == result["subjects"]["test"]


def test_a_row_per_infant_adds_up_to_the_totals(result):
    rows = result["infants"]
    assert [row["id"] for row in rows] == result["subjects"]["test"]
    errors = [row["rmsd_fallback_px"]["all"] for row in rows]
    total = sum(error["mean"] * error["n"] for error in errors)
    n = sum(error["n"] for error in errors)
    assert total / n == pytest.approx(result["rmsd_fallback_px"]["all"]["mean"])
    missed, visible = (sum(row[f"{name}_joints"] for row in rows) for name in ("missed", "visible"))
    assert missed / visible == pytest.approx(result["missed_rate"])
    assert sum(row["frames"] for row in rows) == result["n_frames"]


def test_a_result_says_which_code_made_it_on_which_machine(result):
    assert result["numerics"] == NUMERICS and result["cpu"] and len(result["recipe_hash"]) == 12
    assert result["micro_batches"] == {"detection": 1, "regression": 1}
    assert {"commit", "instruction_set", "folds", "fold", "model"} <= result.keys()


def test_tensorboard_is_appended_to_and_a_resume_repeats_nothing(tmp_path, monkeypatch):
    added = []

    class Writer:
        def __init__(self, folder):
            assert folder == str(tmp_path / "tensorboard")

        def add_scalar(self, name, value, epoch):
            added.append((name, value, epoch))

        def flush(self):
            pass

        close = flush

    monkeypatch.setattr(rundir.tensorboardX, "SummaryWriter", Writer)
    rows = [{"stage": "detection", "epoch": k, "loss": 1.0 / k} for k in (1, 2, 3)]
    for count in (1, 2):
        history = rundir.History(tmp_path)
        history.write(rows[:count])
        history.close()
    again = rundir.History(tmp_path)  # as after a kill: rows that were written come again
    again.write(rows[:2])
    again.write(rows)
    again.close()
    assert rows_of(tmp_path) == rows
    assert added == [("detection/loss", 1.0 / k, k) for k in (1, 2, 3)]


def test_another_variant_uses_the_detector_that_is_there(other_variant, folder, result):
    other = json.loads((other_variant / "result.json").read_text())
    assert other["seconds"]["detection"] == 0 and other["seconds"]["regression"] > 0
    assert other["detector"] == result["detector"]
    assert len([*(folder.parent / "detectors").glob("[!.]*")]) == 1
    assert other["detector_fallback_px"] == result["detector_fallback_px"]
    assert rows_of(other_variant)[:EPOCHS] == rows_of(folder)[:EPOCHS]


def test_a_net_that_is_fed_true_masks_is_tested_on_true_masks(run, folder, result):
    base, command, _ = run
    runs = f"--runs_dir={base / 'runs'}"
    changed = [word.replace("--name=full", "--name=true") for word in command]
    fed = json.loads(finish([*changed, "--regression.input_masks=true", runs], base).strip())
    assert fed["detector"] == result["detector"]
    assert fed["detector_fallback_px"] == result["detector_fallback_px"]
    model = Model.load(base / "runs" / "true" / "model.safetensors")
    assert model.specification.provenance["input_masks"] == "true"
    frames = load(base / "frames.npz")
    predict = predictor(model, frames)
    starts = np.array([60, 61])
    clips = model.clips(frames.depth_mm[clip_frames(starts)])
    moved = dataclasses.replace(frames, xy=frames.xy + np.float32(5))
    ours, theirs = predict(clips, starts), predictor(model, moved)(clips, starts)
    np.testing.assert_array_equal(ours.detection, theirs.detection)
    assert (ours.regression != theirs.regression).any()  # it depends on the truth
    assert (ours.regression != model.maps(clips).regression).any()  # and not on the detected maps
    detected = predictor(Model.load(folder / "model.safetensors"), frames)(clips, starts)
    other = Model.load(folder / "model.safetensors").maps(clips)
    np.testing.assert_array_equal(detected.regression, other.regression)


@pytest.mark.parametrize(
    ("option", "shared"),
    [
        ("--variant=dwsep", True),
        ("--regression.epochs=9", True),
        ("--min_score=0.3", True),
        ("--detection.epochs=4", False),
        ("--detection.learning_rate=0.02", False),
        ("--seed=1", False),
        ("--radius=3", False),
        ("--bn_momentum=0.8", False),
        ("--train_ids=1,2", False),
    ],
)
def test_detectors_are_shared_by_exactly_the_runs_that_would_train_the_same(option, shared):
    frames, names = made_up(), set()
    for more in ([], [option]):
        config = config_of([*SMALL, *BRIEF, *more])
        split = split_frames(frames, config.recipe.split, config.recipe.ids)
        names.add(short_hash(detector_facts(config, frames, split)))
    assert len(names) == (1 if shared else 2)


@pytest.mark.slow
def test_masks_drawn_in_the_step_train_to_the_losses_of_masks_from_the_pipeline(run, folder):
    base, command, _ = run
    shutil.copytree(folder.parent / "detectors", base / "device" / "detectors")
    finish([*command, "--masks=device", f"--runs_dir={base / 'device'}"], base)
    assert len([*(base / "device" / "detectors").glob("[!.]*")]) == 2
    for drawn_here, piped in zip(rows_of(base / "device" / "full"), rows_of(folder), strict=True):
        assert drawn_here.pop("stage") == piped.pop("stage")
        assert drawn_here == pytest.approx(piped, rel=1e-4)


def test_tables_put_two_runs_side_by_side(folder, other_variant, tmp_path, capsys):
    out = tmp_path / "tables"
    assert tables.main([str(folder), str(other_variant), f"--out={out}"]) == 0
    output = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(output) == {"written", "seconds"}
    assert output["written"] == [str(out / n) for n in ("table1.md", "table2.md", "fig4.png")]
    assert all(Path(p).stat().st_size > 500 for p in output["written"])
    first, second = ((out / f"table{k}.md").read_text() for k in (1, 2))
    assert "## full: full, width 0.03" in first and "## thin: thin, width 0.03" in first
    for name in (folder, other_variant):
        spread = json.loads((name / "result.json").read_text())["rmsd_fallback_px"]["all"]
        cell = "{median:.2f} ({iqr:.2f}) / {mean:.2f}".format(**spread)
        assert f"| {cell} |\n" in second
    assert "| Asy-regression | 16.90 (2.71) |" in second


def test_tables_refuse_runs_that_cannot_be_compared(folder, other_variant, tmp_path, capsys):
    other = Path(shutil.copytree(other_variant, tmp_path / "other"))
    split = json.loads((other / "split.json").read_text())
    (other / "split.json").write_text(json.dumps({**split, "data": "0123456789abcdef"}))
    assert tables.main([str(folder), str(other)]) == 2
    assert "another split" in capsys.readouterr().err
    (other / "result.json").unlink()
    assert tables.main([str(folder), str(other)]) == 2
    output = capsys.readouterr().err
    assert str(other) in output and "result.json" in output and "finished run" in output


def test_account_prints_what_the_accounting_counts(capsys):
    assert account.main(["--clip=3,32,48", "--width=0.5"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["clip"], output["width"]) == ([3, 32, 48], 0.5)
    assert list(output["variants"]) == list(VARIANTS)
    for name, variant in VARIANTS.items():
        cost = net_cost(regression.net(variant, 0.5).layers, (3, 32, 48))
        assert output["variants"][name] == vars(cost)
    assert output["detection"] == vars(net_cost(detection.net(0.5).layers, (3, 32, 48)))


@pytest.mark.parametrize(
    "option", ["--clip=3,96", "--clip=3,95,128", "--clip=0,96,128", "--clip=a,b,c", "--width=0"]
)
def test_account_says_what_it_wanted(option, capsys):
    assert account.main([option]) == 2
    output = capsys.readouterr()
    assert option in output.err and "expected" in output.err and not output.out


def test_another_decoding_is_tried_without_another_training(run, folder, result, capsys):
    base, *_ = run
    options = [str(folder / "model.safetensors"), f"--data_dir={base / 'frames.npz'}"]
    options.append(f"--lowering={result['lowering']}")
    assert evaluate.main([*options, "--maps=regression", "--min_score=1e-6"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (again["maps"], again["min_score"]) == ("regression", 1e-6)
    assert again["rmsd_fallback_px"] == again["regression_fallback_px"]
    assert again["missed_rate"] < result["missed_rate"]
    assert evaluate.main([*options, "--maps=regression", "--linking=bipartite"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (again["maps"], again["linking"]) == ("regression", "bipartite")
    assert again["rmsd_fallback_px"] == again["bipartite_fallback_px"]
    assert evaluate.main([*options, "--min_score=0"]) == 2
    assert "--min_score=0: expected more than 0, at most 1" in capsys.readouterr().err


def test_the_stored_predictions_give_the_result_s_numbers(folder, result):
    with np.load(folder / "predictions.npz") as stored:
        found, visible = stored["found"], stored["visible"]
        errors = stored["error_default_fallback"]
        assert stored["xy"].shape == stored["true_xy"].shape == (*found.shape, 2)
    assert (visible & ~found).sum() / visible.sum() == pytest.approx(result["missed_rate"])
    assert np.nanmean(errors) == pytest.approx(result["rmsd_fallback_px"]["all"]["mean"])


def test_evaluating_no_infant_or_one_without_a_clip_is_refused_as_a_run_refuses_it(
    run, folder, result, capsys, tmp_path
):
    model = str(folder / "model.safetensors")
    frames = made_up()
    kept = (frames.subject != "6") | (frames.frame < 2)
    save(part_of(frames, kept), tmp_path / "frames.npz")
    options = [f"--data_dir={tmp_path / 'frames.npz'}", "--dataset=simulated"]
    for ids, words in (
        ("--test_ids=,", "--test_ids: names no id; ids here: 1, 2, 3, 4, 5, 6"),
        ("--test_ids=6", "--test_ids: no clip of 3 consecutive frames in 6"),
        ("--test_ids=7", "--test_ids: unknown id '7'"),
    ):
        assert evaluate.main([model, *options, ids]) == 2
        assert words in capsys.readouterr().err


def test_ids_have_no_meaning_for_a_model_that_was_trained_within_infants(folder, tmp_path, capsys):
    frames = made_up(count=40)
    save(frames, tmp_path / "frames.npz")
    model = Model.load(folder / "model.safetensors")
    subjects = dict.fromkeys(("train", "val", "test"), ["1", "2", "3", "4", "5", "6"])
    digest = load(tmp_path / "frames.npz").digest()  # depth is rounded in the file
    within = {"data": digest, "split_kind": "within_infant", "subjects": subjects}
    model.with_provenance(**within).save(tmp_path / "within.safetensors")
    options = [str(tmp_path / "within.safetensors"), f"--data_dir={tmp_path / 'frames.npz'}"]
    assert evaluate.main([*options, "--test_ids=1"]) == 2
    assert "--test_ids=1: this model was trained on the first frames" in capsys.readouterr().err
    assert evaluate.main(options) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n_frames"] == 6 * 9
