"""`python -m experiments.runtimes` and its table."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from models import make_model

from experiments.blocks.runtimes import runtimes
from experiments.blocks.source import Source
from experiments.config import ConfigError
from experiments.runtimes import __main__ as command


def test_frames_go_forwards_and_backwards_so_that_no_joint_jumps(tmp_path):
    order = command.write_frames(tmp_path / "frames", 150)
    assert order[:3].tolist() == [0, 1, 2] and order[58:62].tolist() == [58, 59, 58, 57]
    assert order[117:120].tolist() == [1, 0, 1] and set(abs(np.diff(order))) == {1}
    assert len(list((tmp_path / "frames").glob("*_16bit.png"))) == 150


def test_a_measurement_has_stages_memory_and_errors(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    make_model().save(path)
    options = ["--frames=60", "--runtimes=jax:folded", "--no-videos"]
    assert command.main([str(path), *options, f"--out={tmp_path / 'r.json'}"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line == json.loads((tmp_path / "r.json").read_text())
    (row,) = line["rows"]
    assert (row["runtime"], row["lowering"], row["frames"]) == ("jax", "folded", 60)
    assert row["precision"] == "float32"
    stages = row["stage_ms"]
    assert {"waiting for frames", "grid", "nets", "decoding", "files"} <= stages.keys()
    assert 0 < sum(stages.values()) and len(row["memory_mb"]) == 11
    assert row["frames_per_s"] > 0 and row["largest_deviation_px"] == 0
    assert row["rmsd_px"]["all"]["median"] > 0 and 0 <= row["missed_rate"] <= 1
    table = runtimes([Source((tmp_path / "r.json",))])
    assert "| jax (folded) | " in table and "60 frames of 640x480" in table


def test_bfloat16_is_a_runtime_of_its_own_where_the_cpu_has_it(monkeypatch):
    half = command.Chosen("jax", "some", "bfloat16")
    for recorder, there in ((object, True), (None, False)):
        lowering = SimpleNamespace(name="some", recorder=recorder)
        monkeypatch.setattr(command, "fastest", lambda dtype, lowering=lowering: lowering)
        assert (half in command.chosen("all")) == there
        assert command.chosen("openvino:bfloat16,jax:bfloat16") == [
            command.Chosen("openvino", None, "bfloat16"),
            half,
        ]


@pytest.mark.parametrize(
    "option, words",
    [("--frames=59", "expected 60 or more"), ("--runtimes=tvm", "unknown 'tvm'; some of: jax")],
)
def test_options_that_cannot_be_used(tmp_path, capsys, option, words):
    assert command.main([str(tmp_path / "m.safetensors"), option]) == 2
    assert words in capsys.readouterr().err


def test_poses_that_differ_are_shown(tmp_path):
    xy = np.zeros((2, 12, 2))
    moved, other = xy.copy(), xy.copy()
    moved[1, 3] = 3, 4
    other[0, 0] = np.nan
    assert command._largest(moved, xy) == 5 and command._largest(other, xy) is None


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match="x.json: is no result of experiments.runtimes"):
        runtimes([Source((tmp_path / "x.json",))])
