"""Options and files that no run can use: refused before any training, with what to do."""

import dataclasses
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx
from test_resume import BRIEF, SMALL, made_up, rows_of, start, whole_run

from data_pipeline.examples.frames import Frames, save
from experiments import run, rundir, trainings
from experiments.recipe import SEEDS


class TrainingBegan(Exception):
    pass


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A command that could run, on data of its own, which stops where its nets would be made."""

    def begin(*arguments, **options):
        raise TrainingBegan

    monkeypatch.setattr(trainings, "DetectionNet", begin)
    save(made_up(), tmp_path / "frames.npz")
    return [
        f"--data_dir={tmp_path / 'frames.npz'}",
        f"--runs_dir={tmp_path / 'runs'}",
        "--variant=full",
        "--name=full",
        *SMALL,
        *BRIEF,
    ]


def begin(command: list) -> None:
    with pytest.raises(TrainingBegan):
        run.main(command)


def refusal(command: list, capsys) -> str:
    """What a command that ends with code 2 says, on stderr alone."""
    capsys.readouterr()
    try:
        code = run.main(command)
    except SystemExit as end:  # tyro's
        code = end.code
    output = capsys.readouterr()
    assert code == 2 and not output.out
    return output.err


def part_of(frames: Frames, chosen) -> Frames:
    rows = {f.name: getattr(frames, f.name) for f in dataclasses.fields(Frames)}
    return Frames(**{k: v[chosen] if isinstance(v, np.ndarray) else v for k, v in rows.items()})


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--variant=asym", ["variant", "'asym'", "one of: full, asy, r2plus1d, dwsep, asy_xyt"]),
        ("--dataset=mnist", ["data set", "'mnist'", "one of: simulated, utd_mhad, babypose"]),
        ("--preset=fast", ["preset", "'fast'", "one of: quick, long, paper"]),
        ("--split=by_frame", ["--split", "by_frame", "by_infant", "within_infant"]),
        ("--builder=every5", ["--builder", "'every5'", "one of: time_order"]),
        ("--builder=row_order", ["--builder=row_order", "frames.npz", "data_pipeline.prepare"]),
        ("--bach_size=4", ["--bach_size", "--help"]),
        ("--test_ids=9", ["--test_ids", "'9'", "ids here: 1, 2, 3, 4, 5, 6"]),
        ("--test_ids=3,4,3", ["--test_ids names 3 twice", "expected each id once"]),
        ("--train_ids=1,2,7", ["--train_ids", "'7'", "ids here: 1, 2, 3, 4, 5, 6"]),
        ("--train_ids=", ["--train_ids", "ids here: 1, 2, 3, 4, 5, 6"]),
        ("--seed=-1", ["--seed=-1", "expected 0 to 4294967295"]),
        ("--seed=4294967296", ["--seed=4294967296", "expected 0 to 4294967295"]),
        (f"--seed={2**63}", [f"--seed={2**63}", "expected 0 to 4294967295"]),
        ("--batch_size=0", ["--batch_size=0", "expected 1 or more"]),
        (
            "--regression_micro_batches=3",
            ["--regression_micro_batches=3", "expected a divisor of the 2 clips"],
        ),
        ("--lowering=conv2d", ["lowering", "'conv2d'", "auto, conv3d, folded, onednn"]),
        ("--detection.factorise=asym", ["factorisation", "'asym'", "full, asy, r2plus1d, dwsep"]),
        ("--folds=5", ["--folds and --fold belong together"]),
        ("--folds=2 --fold=0", ["--folds=2", "expected 3 or more"]),
        ("--folds=3 --fold=3", ["--fold=3", "expected 0 to 2"]),
        ("--folds=7 --fold=0", ["--folds=7", "6 infants in the data"]),
        ("--folds=3 --fold=0 --test_ids=1", ["--folds", "omit --test_ids"]),
        ("--folds=3 --fold=0 --split=within_infant", ["--folds", "--split=by_infant"]),
        ("--name=.x", ["--name=.x", "plain folder name"]),
        (
            "--regression.steps_per_epoch=0",
            ["--regression.steps_per_epoch=0", "expected 1 or more"],
        ),
        ("--regression.learning_rate=-1", ["--regression.learning_rate=-1", "above 0"]),
        ("--width=0", ["--width=0", "expected a number above 0"]),
        ("--radius=nan", ["--radius=nan", "expected a number above 0"]),
        ("--grid=40x32", ["--grid=40x32", "divisible by 16", "such as 64x48"]),
        ("--dataset=utd_mhad", ["frames.npz", "holds simulated", "--dataset=utd_mhad"]),
        ("--grid=32", ["--grid=32", "COLUMNSxROWS", "such as 64x48"]),
        ("--grid=48x32", ["frames.npz", "32x32", "--grid=48x32", "prepare the data again"]),
        ("--data_dir=no.npz", ["no.npz", "no such file", "data_pipeline.prepare"]),
    ],
)
def test_an_unusable_option_is_named_with_what_is_expected(command, option, words, capsys):
    output = " ".join(refusal([*command, *option.split()], capsys).replace("\u2502", " ").split())
    assert [word for word in words if word not in output] == []


def test_the_last_seed_is_taken_and_the_one_after_it_would_draw_the_first_one_s_weights(command):
    begin([*command, f"--seed={SEEDS - 1}"])
    first, last, after = (nnx.Rngs(seed).params() for seed in (0, SEEDS - 1, SEEDS))
    assert first == after != last


@pytest.mark.parametrize("pair", [("train", "val"), ("train", "test"), ("val", "test")])
def test_an_id_in_two_parts_is_refused(command, pair, capsys):
    ids = {"train": "1,2", "val": "3", "test": "4"} | {pair[0]: "5,6", pair[1]: "6"}
    output = refusal([*command, *(f"--{k}_ids={v}" for k, v in ids.items())], capsys)
    assert f"--{pair[0]}_ids and --{pair[1]}_ids both name 6" in output and "name it once" in output


@pytest.mark.parametrize(
    ("option", "differs"),
    [
        ("--variant=thin", 'recipe.variant was "full", now "thin"'),
        ("--seed=1", "recipe.seed was 0, now 1"),
        ("--regression.epochs=9", "recipe.regression.epochs was 3, now 9"),
        ("--split=within_infant", 'recipe.split was "by_infant", now "within_infant"'),
        ("--test_ids=5", 'recipe.test_ids was null, now "5"'),
    ],
)
def test_a_folder_of_another_configuration_is_refused(command, option, differs, capsys, tmp_path):
    begin([*command, "--name=mine"])
    output = refusal([*command, "--name=mine", option], capsys)
    assert str(tmp_path / "runs" / "mine") in output and differs in output and "--name" in output


def test_a_folder_of_other_data_is_refused(command, capsys, tmp_path):
    begin(command)
    save(made_up(seed=1), tmp_path / "frames.npz")
    output = refusal(command, capsys)
    assert "another split or data set" in output and "data was" in output and "--name" in output


def test_data_that_only_moved_goes_on(command, tmp_path):
    begin(command)
    (tmp_path / "frames.npz").rename(tmp_path / "moved.npz")
    begin([*command, f"--data_dir={tmp_path / 'moved.npz'}"])


def test_after_a_refused_option_the_corrected_command_runs(command, capsys):
    refusal([*command, "--test_ids=9"], capsys)
    begin([*command, "--test_ids=6"])


def test_a_refused_command_leaves_no_run_folder_of_its_own(command, capsys, tmp_path):
    refusal([*command, "--test_ids=9"], capsys)
    refusal([*command, "--data_dir=no.npz"], capsys)
    assert not (tmp_path / "runs" / "full").exists()


@pytest.mark.parametrize("inside", [[], ["notes.txt"]])
def test_a_refused_command_keeps_a_run_folder_that_was_there(command, inside, capsys, tmp_path):
    folder = tmp_path / "runs" / "full"
    folder.mkdir(parents=True)
    for name in inside:
        (folder / name).write_text("mine")
    refusal([*command, "--test_ids=9"], capsys)
    assert [path.name for path in folder.iterdir()] == inside


@pytest.mark.parametrize("name", ["config.json", "split.json"])
def test_a_run_folder_whose_facts_are_cut_short_is_named(command, name, capsys, tmp_path):
    begin(command)
    path = tmp_path / "runs" / "full" / name
    path.write_text(path.read_text()[:20])
    output = refusal(command, capsys)
    assert str(path) in output and "not JSON" in output and "delete" in output


@pytest.mark.parametrize("place", ["frames.npz", "frames.npz/deeper", "/proc/nowhere"])
def test_a_runs_dir_that_cannot_be_written_fails_before_training(command, place, capsys, tmp_path):
    output = refusal([*command, f"--runs_dir={tmp_path / place}"], capsys)
    assert (
        str(tmp_path / place) in output and "cannot be written" in output and "--runs_dir" in output
    )


def test_a_full_disk_fails_before_training(command, monkeypatch, capsys, tmp_path):
    disk = SimpleNamespace(free=10_000_000)
    monkeypatch.setattr(rundir.shutil, "disk_usage", lambda path: disk)
    output = refusal(command, capsys)
    # 50 MB, and 12 times the weights of both nets
    assert "10 MB free" in output and "about 52 MB" in output and "make room" in output
    assert not (tmp_path / "runs" / "full" / "config.json").exists()


def test_a_test_infant_without_a_clip_is_refused(command, capsys, tmp_path):
    frames = made_up()
    save(part_of(frames, (frames.subject != "6") | (frames.frame < 2)), tmp_path / "frames.npz")
    output = refusal([*command, "--test_ids=6"], capsys)
    assert (
        "--test_ids" in output
        and "no clip of 3 consecutive frames in 6" in output
        and "6" in output
    )


def test_an_infant_too_short_to_be_split_within_is_refused(command, capsys, tmp_path):
    frames = made_up(count=20)  # 15 train, the last 3 of them to validate, 2 before those unused
    save(part_of(frames, (frames.subject != "6") | (frames.frame < 9)), tmp_path / "frames.npz")
    output = refusal([*command, "--split=within_infant"], capsys)
    assert "6 has 9 frames" in output and "--train_ids" in output
    begin([*command, "--split=within_infant", "--train_ids=1,2,3,4,5"])


@pytest.mark.parametrize("blind", ["1234", "5", "6"])
def test_a_part_of_the_split_without_any_visible_joint_is_refused(command, blind, capsys, tmp_path):
    frames = made_up()
    seen = frames.visible & ~np.isin(frames.subject, list(blind))[:, None]
    save(dataclasses.replace(frames, visible=seen), tmp_path / "frames.npz")
    assert "joint" in refusal(command, capsys)


@pytest.mark.parametrize(
    "option",
    ["--regression.std_over_radius=0", "--regression.target_scale=0", "--bn_momentum=2"],
)
def test_a_value_that_can_only_give_nan_is_refused(command, option, capsys):
    assert option.split("=")[0] in refusal([*command, option], capsys)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_trained(tmp_path_factory):
    base, command, _ = whole_run(tmp_path_factory)
    runs = base / "diverged"
    shutil.copytree(base / "runs" / "detectors", runs / "detectors")
    wild = ["--regression.optimiser=sgd", "--regression.learning_rate=1e30"]
    done = subprocess.run(
        **start([*command, *wild, f"--runs_dir={runs}"], base), capture_output=True
    )
    assert done.returncode == 1 and not done.stdout
    assert "error: regression: the loss is " in done.stderr
    assert "epoch 1, step 2 of it" in done.stderr and "lower learning rate" in done.stderr
    assert {row["stage"] for row in rows_of(runs / "full")} == {"detection"}
    assert not (runs / "full" / "result.json").exists()


@pytest.mark.parametrize("name", ["study [pilot]", "back\\slash", "latin\udce9"])
def test_a_folder_that_checkpoints_cannot_be_read_back_from_is_refused(
    command, tmp_path, capsys, name
):
    message = refusal([*command, f"--runs_dir={tmp_path / name}"], capsys)
    assert message.startswith("error: --runs_dir: ") and "choose another folder" in message
    assert not (tmp_path / name).exists()


def another_version(monkeypatch):
    """Its detection net differs in one weight, with the same configuration and numerics."""
    train = run.train_detection

    def trained_otherwise(*arguments):
        trained = train(*arguments)
        name = next(iter(trained.weights))
        layer = trained.weights[name]
        kernel = np.array(layer.kernel)
        kernel.flat[0] = np.nextafter(kernel.flat[0], np.float32(1))
        weights = trained.weights | {name: layer._replace(kernel=kernel)}
        return dataclasses.replace(trained, weights=weights)

    monkeypatch.setattr(run, "train_detection", trained_otherwise)


@pytest.mark.promotes_types
@pytest.mark.parametrize(
    ("lost", "options", "other"),
    [
        (["config.json"], ["--regression.learning_rate=0.5"], "configuration"),
        (["config.json"], ["--min_score=0.3"], "configuration"),
        (["config.json", "split.json"], ["--test_ids=1"], "configuration and another detection"),
        ([], [], "detection net"),
    ],
)
def test_checkpoints_of_another_run_are_refused_although_its_facts_are_lost(
    tmp_path_factory, tmp_path, monkeypatch, lost, options, other, capsys
):
    base, command, _ = whole_run(tmp_path_factory)
    folder = shutil.copytree(base / "runs", tmp_path / "runs") / "full"
    command = [*command, f"--runs_dir={tmp_path / 'runs'}"]
    for name in lost:
        (folder / name).unlink()
    if other == "detection net":
        another_version(monkeypatch)
    message = refusal([*command, *options], capsys).splitlines()[-1]
    assert (
        f"{folder / 'checkpoints'}: these checkpoints were trained with another {other}" in message
    )
    assert "delete this folder to train this net again from epoch 1" in message
    assert (folder / "checkpoints" / "3" / "state").exists()


@pytest.mark.parametrize("text", ['{"recipe": 3, "machine": 5}', "[]", "", '{"recipe": {}}'])
def test_a_config_that_holds_something_else_is_refused(command, text, capsys, tmp_path):
    begin(command)
    (tmp_path / "runs" / "full" / "config.json").write_text(text)
    output = refusal(command, capsys)
    assert str(tmp_path / "runs" / "full") in output and "delete" in output


def test_another_version_of_the_numbers_does_not_continue_a_run(command, monkeypatch, capsys):
    begin(command)
    monkeypatch.setattr(rundir, "NUMERICS", rundir.NUMERICS + 1)
    output = refusal(command, capsys)
    assert f"numerics was {rundir.NUMERICS - 1}, now {rundir.NUMERICS}" in output
    assert "choose another --name" in output


@pytest.mark.parametrize("dataset", ["babypose", "utd_mhad", "simulated"])
def test_data_without_files_is_refused_and_leaves_no_folder_behind(
    dataset, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    said = refusal([f"--dataset={dataset}", "--data_dir=empty"], capsys)
    assert "empty: no data in this folder; expected the files of" in said
    assert {path.name for path in tmp_path.iterdir()} <= {"empty", "runs"}
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.suffix != ".lock"]
