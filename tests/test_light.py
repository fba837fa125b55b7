"""`python -m experiments.light` and its table."""

import dataclasses
import json

import numpy as np
import pytest
from models import SPECIFICATION, make_model
from test_resume import made_up

from data_pipeline.examples.frames import save
from experiments import light, machines, paired
from experiments.blocks.light import light as block
from experiments.blocks.source import Source
from experiments.config import ConfigError
from jaxpose.model import Model

SINGLE = {"variant": "planar", "detection_factorise": "planar", "clip_frames": 1}


@pytest.fixture
def models(tmp_path):
    """A model of clips, one of single frames, and data that both may be tested on."""
    frames = made_up()
    save(frames, tmp_path / "frames.npz")
    common = dataclasses.replace(
        SPECIFICATION, grid=frames.grid, provenance={"dataset": frames.dataset}
    )
    paths = []
    for name, changes in (("clips", {}), ("single", SINGLE)):
        paths.append(tmp_path / f"{name}.safetensors")
        make_model(dataclasses.replace(common, **changes)).save(paths[-1])
    return paths


def test_models_are_compared_with_the_first_on_the_same_infants_and_timed(
    models, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(light, "VISIT", 4)
    idle = {"busy_cores": 0.1, "stolen_cores": 0.0, "load_1min": 0.2}
    loads = iter([idle, idle, idle, idle | {"busy_cores": 1.5}])
    monkeypatch.setattr(light, "load", lambda: next(loads))
    out = tmp_path / "light.json"
    data = f"--data_dir={tmp_path / 'frames.npz'}"
    assert light.main([*map(str, models), data, "--frames=10", f"--out={out}"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out.splitlines()[-1])
    assert result == json.loads(out.read_text())
    assert result["load"] == {"before": idle, "after": idle} and result["loaded"] is False
    assert result["cores"] == len(machines.cores()) and "machine is busy" not in printed.err
    clips, single = result["rows"]
    assert clips["change"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    means = [row["rmsd_fallback_px"]["all"]["mean"] for row in result["rows"]]
    # every infant has as many frames and joints
    assert single["change"]["mean"] == pytest.approx(means[1] / means[0] - 1, abs=1e-5)
    assert (clips["clip_frames"], single["clip_frames"]) == (3, 1)
    assert clips["macs_nominal"] > 3 * single["macs_nominal"]
    for row in result["rows"]:
        times = row["frame_ms"]
        assert times["n"] == 10 and 0 < times["median"] <= times["p90"] <= times["p99"]
    text = block([Source((out,))])
    assert "| asy 0.03125, asy 0.0625 | " in text and "| planar 0.03125, planar 0.0625 | " in text
    assert text.count("nothing") == 1 and "busy" not in text and "hosen" not in text
    # other programs that begin while the models are timed
    assert light.main([str(models[1]), data, "--frames=4", f"--out={out}"]) == 0
    assert "warning: the machine is busy: others use 1.5 cores" in capsys.readouterr().err
    assert json.loads(out.read_text())["loaded"] is True
    assert ", while the machine was busy." in " ".join(block([Source((out,))]).split())


def test_the_choice_is_the_most_accurate_of_the_models_that_are_fast_enough():
    rows = [
        {"model": model, "frame_ms": {"p99": p99}, "rmsd_fallback_px": {"all": {"mean": mean}}}
        for model, p99, mean in (("clips", 9.0, 1.0), ("a", 8.0, 3.0), ("b", 20.0, 2.0))
    ]
    # never the first one, which the others are compared with
    assert [light.chosen(rows, within) for within in (7.9, 8.0, 19.9, 20.0)] == [
        None, "a", "a", "b",
    ]  # fmt: skip


def test_the_choice_is_named_in_the_result_and_bold_in_the_table(models, tmp_path, monkeypatch):
    monkeypatch.setattr(light, "VISIT", 2)
    out, data = tmp_path / "light.json", f"--data_dir={tmp_path / 'frames.npz'}"
    command = [*map(str, models), data, "--frames=2", f"--out={out}"]
    assert light.main([*command, "--choose_within=1e9"]) == 0
    result = json.loads(out.read_text())
    assert result["choice"] == {"within_ms": 1e9, "model": result["rows"][1]["model"]}
    text = " ".join(block([Source((out,))]).split())
    assert "| **planar 0.03125, planar 0.0625** |" in text and "Chosen, in bold:" in text
    assert light.main([*command, "--choose_within=0"]) == 0
    assert "no net is chosen" in " ".join(block([Source((out,))]).split())


def test_a_choice_takes_two_models_or_more(models, tmp_path, capsys):
    arguments = [str(models[0]), f"--data_dir={tmp_path}", "--choose_within=20"]
    assert light.main(arguments) == 2
    assert "--choose_within=20: expected two or more models" in capsys.readouterr().err


def test_the_time_of_a_frame_is_that_of_its_own_pose_alone(models, monkeypatch):
    monkeypatch.setattr(light, "VISIT", 4)
    clock = iter(range(10**6))
    monkeypatch.setattr(light.time, "perf_counter", lambda: float(next(clock)))
    depth = np.full((3, 90, 120), 700, np.uint16)
    for path in models:
        camera = light.Camera(Model.load(path), depth)
        # one reading of the clock as the frame arrives, one with its pose: no other frame between
        assert camera.visit(5) == [1.0] * 5


def test_models_that_were_trained_on_different_infants_are_not_compared():
    with pytest.raises(ConfigError, match=r"other infants \(1 and 2\).*name data"):
        paired.change({"1": 2.0}, {"1": 2.0, "2": 3.0})
    assert paired.change({"1": 2.0, "2": 3.5}, {"2": 3.0, "1": 1.0})["mean"] == 0.75


def test_too_few_frames_are_refused_before_any_work(tmp_path, capsys):
    missing = str(tmp_path / "no.safetensors")
    assert light.main([missing, f"--data_dir={tmp_path}", "--frames=3"]) == 2
    assert "--frames=3: expected 50 or more" in capsys.readouterr().err


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match="x.json: is no result of experiments.light"):
        block([Source((tmp_path / "x.json",))])
