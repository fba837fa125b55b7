"""Killed at any moment and started again with the same command, a run ends as if nothing had
been; and the tiny run that this file, `test_run` and `test_bad_options` share."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import psutil
import pytest

from data_pipeline.examples.frames import Frames, save

RESTING = np.array(
    [[8, 8], [5, 12], [4, 16], [23, 8], [26, 12], [27, 16]]
    + [[12, 20], [11, 24], [10, 28], [19, 20], [20, 24], [21, 28]]
)
"""Joints of a made-up infant, px of 32x32."""
SMALL = ["--grid=32x32", "--width=0.03", "--radius=2", "--batch_size=2"]
EPOCHS, STEPS = 3, 2
BRIEF = [
    f"--{stage}.{option}={value}"
    for stage in ("detection", "regression")
    for option, value in (("epochs", EPOCHS), ("steps_per_epoch", STEPS))
]
MEASURED = ("seconds", "date", "commit", "predict_ms", "decode_ms", "run_dir", "detector", "model")
"""Keys of a result that no promise holds equal."""


def made_up(subjects: int = 6, count: int = 12, seed: int = 0) -> Frames:
    """Infants who differ a little and drift a little, each joint a hill on flat ground."""
    random = np.random.default_rng(seed)
    drift = random.normal(0, 0.3, (subjects, count, 12, 2)).cumsum(axis=1)
    xy = RESTING + random.normal(0, 1, (subjects, 1, 12, 2)) + drift
    xy = np.clip(xy, 1, 30).reshape(-1, 12, 2).astype(np.float32)
    rows, cols = np.mgrid[:32, :32]
    distance2 = (cols - xy[..., 0, None, None]) ** 2 + (rows - xy[..., 1, None, None]) ** 2
    return Frames(
        dataset="simulated",
        depth_mm=(900 - 150 * np.exp(-distance2 / 8).max(axis=1)).astype(np.float32),
        xy=xy,
        visible=np.ones((len(xy), 12), bool),
        subject=np.repeat([str(k + 1) for k in range(subjects)], count),
        sequence=np.repeat(["a"], len(xy)),
        frame=np.tile(np.arange(count, dtype=np.int32), subjects),
        crop=np.tile(np.array([0, 0, 32, 32], np.int32), (len(xy), 1)),
        step=1,
    )


def start(arguments: list, base: Path, driver: str = "-m experiments.run", **more) -> dict:
    """What `subprocess` takes to run a command with compiled programs kept under `base`."""
    stored = {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(base / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # nets of a few weights: compiling is all there is
    }
    return {
        "args": [sys.executable, *driver.split(), *map(str, arguments)],
        "env": {**os.environ, **stored, **more},
        "cwd": Path(__file__).resolve().parents[1],
        "text": True,
    }


def finish(arguments: list, base: Path, **more) -> str:
    """Runs a command to its end: its stdout."""
    done = subprocess.run(**start(arguments, base, **more), capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def whole_run(tmp_path_factory) -> tuple[Path, list, str]:
    """One uninterrupted run for every test of this session: the folder of its data, cache and
    runs, its command but for `--runs_dir`, and its stdout."""
    base = tmp_path_factory.getbasetemp() / "whole_run"
    command = [f"--data_dir={base / 'frames.npz'}", "--variant=full", "--name=full", *SMALL, *BRIEF]
    if not (base / "stdout").exists():
        save(made_up(), base / "frames.npz")
        (base / "stdout").write_text(finish([*command, f"--runs_dir={base / 'runs'}"], base))
    return base, command, (base / "stdout").read_text()


def rows_of(folder: Path) -> list[dict]:
    """metrics.jsonl without what no promise holds equal."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def numbers_of(folder: Path) -> dict:
    result = json.loads((folder / "result.json").read_text())
    return {k: v for k, v in result.items() if k not in MEASURED}


DYING = """
import os, signal, sys
from experiments import evaluation, run, rundir

moment, write = sys.argv.pop(1), rundir.History.write

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def write_or_die(history, rows):
    last = "{stage} {epoch}".format(**rows[-1])
    (die if last == moment else write)(history, rows)

rundir.History.write = write_or_die
if moment == "evaluation":
    evaluation.report = die
sys.exit(run.main())
"""
"""Runs a command up to a moment: between two epochs, when the checkpoint is there and the history
is not yet, or in the evaluation."""


def die_at(moment: str, command: list, base: Path, **more) -> None:
    done = subprocess.run(
        **start([DYING, moment, *command], base, "-c", **more), capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def kill_in_a_write(command: list, base: Path, checkpoints: str) -> Path:
    """SIGKILL as soon as orbax has begun a checkpoint; the half that it leaves."""
    for _ in range(EPOCHS):  # a write may end between the look and the kill
        process = subprocess.Popen(**start(command, base), stderr=subprocess.DEVNULL)
        while not (half := [*base.glob(f"{checkpoints}/*.orbax-checkpoint-tmp")]):
            assert process.poll() is None, "the run ended before a checkpoint was seen"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if half[0].exists():
            return half[0]
    raise AssertionError("no kill hit a write")


def assert_same_end(actual: Path, expected: Path) -> None:
    """Weights, optimiser and statistics of the best and the newest checkpoint of both stages bit
    for bit, history and result apart from times and places, predictions."""
    detectors = [
        path for run in (actual, expected) for path in (run.parent / "detectors").glob("[!.]*")
    ]
    assert len(detectors) == 2 and detectors[0].name == detectors[1].name
    for mine, theirs in ((actual, expected), detectors):
        epochs = sorted(p.name for p in (theirs / "checkpoints").iterdir())
        assert sorted(p.name for p in (mine / "checkpoints").iterdir()) == epochs
        for epoch in epochs:
            a, b = (arrays_of(f / "checkpoints" / epoch / "state") for f in (mine, theirs))
            assert a.keys() == b.keys()
            assert [name for name in a if a[name].tobytes() != b[name].tobytes()] == []
    assert rows_of(actual) == rows_of(expected)
    assert numbers_of(actual) == numbers_of(expected)
    with np.load(actual / "predictions.npz") as a, np.load(expected / "predictions.npz") as b:
        assert a.files == b.files
        assert [name for name in a.files if a[name].tobytes() != b[name].tobytes()] == []
    assert not [*actual.parent.rglob("*tmp*")]


def arrays_of(state: Path) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(ocp.StandardCheckpointer().restore(state))
    assert len(leaves) > 30
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def test_killed_in_writes_between_epochs_and_in_the_evaluation_the_run_ends_the_same(
    tmp_path_factory,
):
    base, command, _ = whole_run(tmp_path_factory)
    runs = base / "killed"
    command = [*command, f"--runs_dir={runs}"]
    half = kill_in_a_write(command, base, "killed/detectors/*/checkpoints")
    assert not (runs / "full" / "checkpoints").exists()
    die_at("detection 2", command, base)
    assert not half.exists()
    assert [row["epoch"] for row in rows_of(runs / "full")] == [1]
    half = kill_in_a_write(command, base, "killed/full/checkpoints")
    assert [row["stage"] for row in rows_of(runs / "full")][:EPOCHS] == ["detection"] * EPOCHS
    die_at("evaluation", command, base)
    assert not half.exists()
    assert not (runs / "full" / "result.json").exists()
    last = json.loads(finish(command, base).splitlines()[-1])
    assert last["seconds"]["detection"] == last["seconds"]["regression"] == 0
    assert_same_end(runs / "full", base / "runs" / "full")


def test_after_damage_to_the_newest_checkpoint_of_both_stages_the_run_ends_the_same(
    tmp_path_factory,
):
    base, command, _ = whole_run(tmp_path_factory)
    runs = Path(shutil.copytree(base / "runs", base / "damaged"))
    (detector,) = (runs / "detectors").glob("[!.]*")
    for folder in (detector, runs / "full"):
        newest = folder / "checkpoints" / str(EPOCHS) / "state" / "_METADATA"
        newest.write_bytes(newest.read_bytes()[:100])
    history = runs / "full" / "metrics.jsonl"
    history.write_bytes(history.read_bytes()[:-100])
    for name in ("result.json", "model.safetensors", "predictions.npz"):
        (runs / "full" / name).write_bytes(b"")
    done = subprocess.run(
        **start([*command, f"--runs_dir={runs}"], base), capture_output=True, check=True
    )
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert [line.split(":")[1].strip() for line in warnings] == [
        str(folder / "checkpoints" / str(EPOCHS)) for folder in (detector, runs / "full")
    ]
    assert "Traceback" not in done.stderr
    assert_same_end(runs / "full", base / "runs" / "full")


def cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kill_after(process: subprocess.Popen, cpu_seconds: float) -> None:
    """Kills a process that used so many CPU seconds, which depend little on what runs beside it."""
    watched = psutil.Process(process.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.poll() is None:
            used = watched.cpu_times()
            if used.user + used.system > cpu_seconds:
                process.send_signal(signal.SIGKILL)
                return
            time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_ten_random_times_the_run_ends_the_same(tmp_path, seed):
    save(made_up(), tmp_path / "frames.npz")
    longer = [f"--{stage}.epochs=8" for stage in ("detection", "regression")]
    command = [f"--data_dir={tmp_path / 'frames.npz'}", "--name=asy", *SMALL, *BRIEF, *longer]
    finish([*command, f"--runs_dir={tmp_path / 'whole'}"], tmp_path)
    before = cpu_seconds_of_children()  # with every program compiled
    finish([*command, f"--runs_dir={tmp_path / 'again'}"], tmp_path)
    usual = cpu_seconds_of_children() - before
    assert_same_end(tmp_path / "again" / "asy", tmp_path / "whole" / "asy")
    command.append(f"--runs_dir={tmp_path / 'killed'}")
    moments, kills = random.Random(seed), 0
    while kills < 10:
        process = subprocess.Popen(
            **start(command, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        kill_after(process, moments.uniform(0.2, 0.45) * usual)
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    finish(command, tmp_path)
    assert_same_end(tmp_path / "killed" / "asy", tmp_path / "whole" / "asy")


@pytest.mark.slow
def test_compiled_anew_after_every_kill_and_fed_by_tensorflow_the_run_ends_the_same(tmp_path):
    save(made_up(), tmp_path / "frames.npz")
    command = [
        f"--data_dir={tmp_path / 'frames.npz'}",
        "--name=asy",
        *SMALL,
        *BRIEF,
        "--feed=tensorflow",
    ]
    anew = {"JAX_ENABLE_COMPILATION_CACHE": "0", "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    finish([*command, f"--runs_dir={tmp_path / 'whole'}"], tmp_path, **anew)
    command.append(f"--runs_dir={tmp_path / 'killed'}")
    for moment in ("detection 1", "regression 2"):
        die_at(moment, command, tmp_path, **anew)
    finish(command, tmp_path, **anew)
    assert_same_end(tmp_path / "killed" / "asy", tmp_path / "whole" / "asy")
    assert not (tmp_path / "compiled").exists()
