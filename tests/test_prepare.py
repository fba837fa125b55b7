"""`python -m data_pipeline.prepare`: one file, from which batches come without TensorFlow."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from babypose_folder import numbers, write_folder
from test_frames import make_frames

from data_pipeline import prepare
from data_pipeline.examples import frames as stored


@pytest.fixture
def folder(tmp_path):
    """Two infants, every pixel at 1.5 m: a file cannot hold the 65 m that `write_folder` draws."""
    infants = {"2": 4, "10": 6}
    write_folder(tmp_path / "in", infants)
    for subject, count in infants.items():
        for n in numbers(count):
            image = tmp_path / "in" / f"pz{subject}" / f"{n}_16bit.png"
            assert cv2.imwrite(str(image), np.full((48, 64), 1500, np.uint16))
    return tmp_path / "in"


def command(*arguments):
    """`python -m data_pipeline.prepare`, in this process."""
    return prepare.main([str(a) for a in arguments])


def options(folder, out, dataset="babypose"):
    return f"--dataset={dataset}", f"--data_dir={folder}", f"--out={out}"


def test_the_command_writes_a_file_and_says_what_it_holds(folder, tmp_path, capsys):
    out = tmp_path / "b.npz"
    assert command(*options(folder, out), "--grid=32x24") == 0
    captured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(captured) == ["dataset", "frames", "subjects", "grid", "bytes", "seconds", "out"]
    assert (captured["dataset"], captured["frames"], captured["subjects"]) == ("babypose", 10, 2)
    assert (captured["grid"], captured["bytes"], captured["out"]) == (
        [24, 32],
        out.stat().st_size,
        str(out),
    )
    frames = stored.load(out)
    assert (len(frames), frames.grid, frames.subject[-1]) == (10, (24, 32), "10")


@pytest.mark.parametrize("grid", ["64", "64x", "axb", "64x48x3", "64,48"])
def test_a_grid_that_is_not_columns_x_rows_ends_with_2(tmp_path, capsys, grid):
    assert command(*options(tmp_path, tmp_path / "a.npz"), f"--grid={grid}") == 2
    expected = f"error: --grid={grid}: expected COLUMNSxROWS, such as 64x48\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    "dataset, folder, out, message",
    [
        ("nonsense", "", "a.npz", "unknown data set 'nonsense'; one of: simulated, utd_mhad, baby"),
        ("babypose", "none", "a.npz", "none: no such folder; expected the files of babypose"),
        ("babypose", "", "a.npy", "a.npy: expected a name in .npz"),
        (
            "babypose",
            "",
            "a.npz",
            "no data in this folder; expected the files of babypose: pz",
        ),
    ],
)
def test_what_cannot_be_used_is_named_and_ends_with_2(
    tmp_path, capsys, dataset, folder, out, message
):
    assert command(*options(tmp_path / folder, tmp_path / out, dataset)) == 2
    captured = capsys.readouterr()
    assert "{" not in captured.out and captured.err.splitlines()[-1].startswith("error: ")
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_builder_configuration_is_not_told_as_a_bad_grid(tmp_path, capsys):
    write_folder(tmp_path / "in", {"1": 3})
    code = command(*options(tmp_path / "in", tmp_path / "a.npz"), "--builder=nonsense")
    captured = capsys.readouterr().err
    assert code == 2 and "nonsense" in captured and "--grid" not in captured


def test_help_names_the_data_sets_and_needs_no_tensorflow():
    code = "import sys; sys.modules['tensorflow'] = None; from data_pipeline.prepare import main; "
    done = run(code + "main(['--help'])")
    assert done.returncode == 0
    for word in ("--dataset", "simulated, utd_mhad, babypose", "--grid", "64x48", "--out"):
        assert word in done.stdout


def run(code, *arguments):
    environment = os.environ | {"COLUMNS": "200"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_the_command_needs_no_tensorflow(folder, tmp_path):
    code = (
        "import sys; sys.modules['tensorflow'] = None; from data_pipeline.prepare import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    done = run(code, *options(folder, tmp_path / "new" / "b.npz"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / "b.npz").exists()


def test_an_out_that_is_a_folder_is_refused_before_any_work(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(prepare, "prepare", None)
    (tmp_path / "b.npz").mkdir()
    assert command(*options(folder, tmp_path / "b.npz")) == 2
    expected = f"error: {tmp_path / 'b.npz'}: is a folder; expected the name of a file\n"
    assert capsys.readouterr() == ("", expected)


def test_without_tensorflow_a_prepared_file_still_feeds_batches(tmp_path):
    stored.save(
        make_frames(
            [1, 6, 11, 16, 21, 26, 31, 36, 1, 6, 11, 1, 6, 11], [*"22222222333444"], grid=(24, 32)
        ),
        tmp_path / "b.npz",
    )
    code = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None
from pathlib import Path
from data_pipeline.examples.clips import clip_starts
from data_pipeline.datasets import DATASETS
from data_pipeline.examples.feed import feed
from data_pipeline.examples.frames import load
from data_pipeline.examples.splits import split_frames
from jaxpose.body.masks import Target
frames = load(Path(sys.argv[1]))
split = split_frames(frames, "by_infant")
starts = clip_starts(frames, split.used["train"], 1)
for batch in feed(frames, DATASETS["babypose"].scale_mm, Target(3.0))(starts, 4):
    print(*batch["depth"].shape, *batch["masks"].shape)
"""
    done = run(code, tmp_path / "b.npz")
    assert done.returncode == 0, done.stderr
    # by default the first of three infants trains: 8 - 2 clips
    assert done.stdout.split("\n")[:2] == ["4 3 24 32 1 4 3 24 32 20", "2 3 24 32 1 2 3 24 32 20"]
