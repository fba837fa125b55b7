"""`python -m experiments.precisions` and its table."""

import dataclasses
import json

import numpy as np
import pytest
from models import SPECIFICATION, make_model
from test_resume import made_up

from data_pipeline.examples.frames import save
from experiments import precisions
from experiments.blocks.precisions import precisions as block
from experiments.blocks.source import Source
from experiments.config import ConfigError
from jaxpose.lowering.onednn import library


def test_every_precision_is_tested_on_the_same_infants_and_compared_infant_by_infant(
    tmp_path, monkeypatch, capsys
):
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name)
    monkeypatch.setattr(library, "has_bfloat16", lambda: False)
    settings = (("jax", "float32"), ("jax", "bfloat16"))
    settings += (("onnxruntime", "float32"), ("onnxruntime", "int8"))
    monkeypatch.setattr(precisions, "SETTINGS", (*settings, ("onnxruntime", "bfloat16")))
    frames = made_up()
    save(frames, tmp_path / "frames.npz")
    save(made_up(seed=1), tmp_path / "others.npz")
    specification = dataclasses.replace(
        SPECIFICATION, grid=frames.grid, provenance={"dataset": frames.dataset}
    )
    make_model(specification).save(tmp_path / "model.safetensors")
    options = [f"--data_dir={tmp_path / 'frames.npz'}", f"--model={tmp_path / 'model.safetensors'}"]
    calibration = f"--calibration_dir={tmp_path / 'others.npz'}"
    out = tmp_path / "precisions.json"
    assert precisions.main([*options, calibration, f"--out={out}"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result == json.loads(out.read_text()) and result["infants"] == 6
    exact, same, int8 = result["rows"]
    assert exact["change_px"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    assert abs(same["change_px"]["mean"]) < 1e-2
    means = [row["rmsd_fallback_px"]["all"]["mean"] for row in (exact, int8)]
    # every infant has as many frames and joints, so the mean change is the change of the mean
    assert int8["change_px"]["mean"] == pytest.approx(means[1] - means[0], abs=1e-4)
    low, high = int8["change_px"]["interval"]
    assert low < int8["change_px"]["mean"] < high
    assert "does not compute in bfloat16" in result["left_out"]["onnxruntime bfloat16"]
    assert "needs AVX-512 BF16 or AMX; use float32" in result["left_out"]["jax bfloat16"]
    text = block([Source((out,))])
    assert "| onnxruntime, int8 | " in text and "6 simulated infants" in text
    assert precisions.main(options) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(result["rows"]) == 2
    assert "needs --calibration_dir" in result["left_out"]["onnxruntime int8"]


def test_clips_for_calibration_are_of_all_infants():
    frames = made_up(subjects=40)
    model = make_model(dataclasses.replace(SPECIFICATION, grid=frames.grid))
    clips = np.concatenate([*precisions.calibration(model, frames)])
    assert clips.shape == (precisions.CALIBRATING, 3, 32, 32, 1)
    assert len(np.unique(clips.reshape(len(clips), -1), axis=0)) == len(clips)


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match="x.json: is no result of experiments.precisions"):
        block([Source((tmp_path / "x.json",))])
