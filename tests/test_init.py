"""`experiments.run --init`: a training that goes on from a model, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest
from models import SPECIFICATION, make_model
from test_resume import BRIEF, made_up

from data_pipeline.examples.frames import save
from experiments import finetuning, initial, run, trainings
from experiments.config import ConfigError
from experiments.options import parse
from experiments.recipe import PRESETS, settle
from jaxpose.model import Model

TINY = dataclasses.replace(SPECIFICATION, grid=(32, 32), frame_interval_s=1 / 30)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, and data of the same grid and distance of frames."""
    place = tmp_path_factory.mktemp("init")
    make_model(TINY).save(place / "model.safetensors")
    save(made_up(), place / "frames.npz")
    return place


def command(place, *options):
    return [
        f"--init={place / 'model.safetensors'}",
        f"--data_dir={place / 'frames.npz'}",
        f"--runs_dir={place / 'runs'}",
        *options,
    ]


def test_recipes_without_init_have_the_hashes_that_they_had_before_there_was_init():
    quick = PRESETS["quick"]
    then = dataclasses.replace(quick, regression=dataclasses.replace(quick.regression, epochs=20))
    assert settle(then).hash == "841a4c39a483"
    assert parse(["--preset=paper"]).recipe.hash == "c6f5b34055e1"
    assert "init_digest" not in PRESETS["quick"].as_json()


def test_the_models_settings_are_the_defaults_and_its_hash_is_in_the_recipes(place):
    config = parse(command(place))
    recipe, model = config.recipe, Model.load(place / "model.safetensors")
    assert (recipe.grid, recipe.variant, recipe.preset) == ("32x32", "asy", "finetune")
    assert (recipe.detection.width, recipe.regression.width) == (1 / 32, 1 / 16)
    assert recipe.detection.factorise == "asy" and recipe.maps == "regression"
    assert (recipe.radius, recipe.min_score, recipe.init_digest) == (2.0, 0.01, model.digest)
    other = make_model(dataclasses.replace(TINY, provenance={"seed": 8}))
    other.save(place / "other.safetensors")
    moved = parse([f"--init={place / 'other.safetensors'}", *command(place)[1:]])
    assert moved.recipe.hash != recipe.hash and moved.run_dir != config.run_dir
    assert parse(command(place, "--preset=quick")).recipe.preset == "quick"
    assert parse(["--init", *command(place)[0].split("=")[1:], *command(place)[1:]]) == config


@pytest.mark.parametrize(
    "option, words",
    [
        ("--grid=64x48", "--grid 32x32 there, 64x48 here"),
        ("--width=0.5", "--regression.width 0.0625 there, 0.5 here"),
        ("--variant=full", "--variant asy there, full here"),
        ("--detection.factorise=full", "--detection.factorise asy there, full here"),
        ("--radius=3", "--radius 2.0 there, 3.0 here"),
        ("--regression.target_scale=1", "--regression.target_scale 10.0 there, 1.0 here"),
        ("--dataset=utd_mhad", "unit of depth, mm: 200.0 there, 500.0 here"),
    ],
)
def test_what_contradicts_the_model_is_named_before_any_work(place, capsys, option, words):
    assert run.main(command(place, option, "--name=refused")) == 2
    error = capsys.readouterr().err
    assert words in error and "--init=" in error and "omit these options" in error
    assert not (place / "runs" / "refused").exists()


def test_a_model_that_cannot_be_read_or_has_changed_is_refused(place, tmp_path, capsys):
    data = (place / "model.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data[:-100])
    for name in (path, tmp_path / "none.safetensors"):
        assert run.main([f"--init={name}", *command(place)[1:]]) == 2
        assert str(name) in capsys.readouterr().err
    path.write_bytes(data)
    config = parse([f"--init={path}", *command(place)[1:]])
    make_model(dataclasses.replace(TINY, provenance={"seed": 9})).save(path)
    with pytest.raises(ConfigError, match="has changed since the run began"):
        initial.check_frames(config, made_up())


def test_frames_of_another_distance_in_time_are_refused(place):
    config = parse(command(place))
    frames = dataclasses.replace(made_up(), step=5)
    with pytest.raises(ConfigError, match=r"0.033 s apart, those of the data 0.167 s"):
        initial.check_frames(config, frames)


@pytest.mark.promotes_types
def test_a_training_begins_with_the_models_weights(place, capsys):
    """Steps of nearly no length leave all that is learned by gradients as it was."""
    rates = [f"--{stage}.learning_rate=1e-12" for stage in ("detection", "regression")]
    arguments = command(place, "--name=still", "--batch_size=2", *BRIEF, *rates)
    assert run.main(arguments) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    first, then = (
        Model.load(place / "model.safetensors"),
        Model.load(place / "runs" / "still" / "model.safetensors"),
    )
    assert result["init"] == first.digest == then.specification.provenance["init"]
    for net, layers in first.weights.items():
        for name in layers:
            for field in ("kernel", "bias", "scale", "shift"):
                before, after = (
                    getattr(w[net][name], field) for w in (first.weights, then.weights)
                )
                if before is not None:
                    np.testing.assert_allclose(after, before, atol=1e-8, err_msg=f"{net} {name}")
    # another model's detection net is never taken for this one
    facts = json.loads(next((place / "runs" / "detectors").glob("*/config.json")).read_text())
    assert facts["init_digest"] == first.digest


def test_without_init_nothing_is_replaced(monkeypatch):
    config = parse([])
    assert config.place.init is None and config.recipe.init_digest is None
    initial.set_weights(config, None, "detection")
    assert trainings.initial is initial


@pytest.mark.slow
@pytest.mark.promotes_types
def test_the_experiment_of_fine_tuning_runs_from_end_to_end(tmp_path, capsys):
    make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=200.0)).save(
        tmp_path / "m.safetensors"
    )
    arguments = [str(tmp_path / "m.safetensors"), f"--work={tmp_path / 'w'}", "--infants=3"]
    assert finetuning.main([*arguments, "--tested=1", "--frames=6"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["corrected_frames"] == 9 and line["tested_infants"] == 1
    assert line["before"]["n_frames"] == line["after"]["n_frames"] == 6
