"""`jaxpose demo`: the recording that is shipped, and how a prediction of it is judged."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from models import SPECIFICATION, make_model

import jaxpose
from data_pipeline.simulated import sample
from experiments.study.runner import PORTABLE
from jaxpose import cli, demo
from jaxpose.body.skeleton import JOINTS
from jaxpose.estimator import shipped_model
from jaxpose.recordings.opening import Format, open_source, read_intrinsics
from jaxpose.recordings.recording import DEEPEST_MM


@pytest.fixture(scope="module")
def stored():
    with np.load(demo.sample(), allow_pickle=False) as arrays:
        return dict(arrays)


def test_the_sample_is_ten_seconds_of_16_bit_depth_below_1_mb(stored):
    assert demo.sample().stat().st_size <= 1_000_000
    assert stored["depth"].shape == (60, 480, 640) and stored["depth"].dtype == np.uint16
    np.testing.assert_allclose(stored["time_s"], np.arange(60) / 6)
    assert 0 < (stored["depth"] == 0).mean() < 0.1 and stored["depth"].max() < DEEPEST_MM
    assert stored["visible"].mean() > 0.9 and stored["visible"][:, 1:].any(0).all()
    # the infant moves: an ankle by a tenth of the image's height, and the depth under it
    ankle = stored["joints_px"][:, JOINTS.index("left_ankle")]
    assert np.ptp(ankle, axis=0).max() > 48


def test_true_joints_are_on_the_infant_in_the_images(stored):
    """Depth at a visible joint is nearer than the mattress around the infant."""
    x, y = np.rint(stored["joints_px"]).astype(int).transpose(2, 0, 1)
    frame = np.arange(60)[:, None].repeat(12, axis=1)[stored["visible"]]
    depth = stored["depth"][frame, y[stored["visible"]], x[stored["visible"]]].astype(float)
    bed = np.median(stored["depth"][stored["depth"] > 0])
    assert np.median(bed - depth[depth > 0]) > 20


def test_the_sample_is_a_recording_with_a_camera():
    source = open_source(str(demo.sample()), Format())
    assert (source.name, source.count) == ("infant", 60)
    assert read_intrinsics(source.intrinsics_file)[0].fx == pytest.approx(570, abs=1)


def test_a_pixel_keeps_its_value_until_it_changes_by_more_than_6_mm():
    values = [700, 706, 694, 707, 707, 0, 0, 0, 701]
    images = list(sample.steady(np.full((1, 1), v, np.uint16) for v in values))
    # 2 frames without return are filled; 707 is rounded up to 708
    assert [int(i[0, 0]) for i in images] == [700, 700, 700, 708, 708, 708, 708, 0, 702]


def test_the_same_arrays_are_the_same_bytes_and_numpy_reads_them(tmp_path):
    arrays = {"depth": np.arange(60, dtype=np.uint16).reshape(3, 4, 5), "time_s": np.arange(3.0)}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sample.write(tmp_path / name, arrays, {"fx": 1.0})
    first, second = ((tmp_path / n / "infant.npz").read_bytes() for n in ("a", "b"))
    assert first == second
    with np.load(tmp_path / "a" / "infant.npz") as read:
        np.testing.assert_array_equal(read["depth"], arrays["depth"])


@pytest.mark.slow
def test_the_command_writes_the_sample_again_on_every_cpu(stored, tmp_path):
    command = [sys.executable, "-m", "data_pipeline.simulated.sample", f"--out={tmp_path}"]
    subprocess.run(command, check=True, env=os.environ | PORTABLE)
    with np.load(tmp_path / "infant.npz") as written:
        np.testing.assert_allclose(written["joints_px"], stored["joints_px"], atol=0.01)
        assert (written["depth"] != stored["depth"]).mean() < 1e-3
    camera = (tmp_path / "camera.json").read_text()
    assert camera == (demo.sample().parent / "camera.json").read_text()


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    make_model(SPECIFICATION).save(path)
    return path


def test_the_demo_writes_a_report_and_says_where_it_is_and_how_far_off_it_was(
    model, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo", f"--model={model}", "--quiet"]) == 0
    captured = capsys.readouterr()
    line = json.loads(captured.out.splitlines()[-1])
    assert line["frames"] == 60 and line["report"] == "jaxpose-demo/report.html"
    assert "open jaxpose-demo/report.html in a browser" in captured.err
    for name in ("report.html", "overlay.mp4", "pose.csv", "kinematics.csv"):
        assert (tmp_path / "jaxpose-demo" / name).stat().st_size
    quality = json.loads((tmp_path / "jaxpose-demo" / "quality.json").read_text())
    assert quality["clips"]["middle"] == 58 and quality["duration_s"] == pytest.approx(
        59 / 6, abs=1e-4
    )
    assert quality["format"]["rate_hz"] == 6.0  # that of its times
    found = line["visible_missing_share"] < 1
    assert (line["median_error_px"] is not None) == found
    assert cli.main(["demo", f"--model={model}", "--quiet"]) == 0  # once more, already done
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == line


def test_without_a_model_the_demo_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(demo.sample().parent, tmp_path / "samples")
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    assert cli.main(["demo"]) == 2
    assert "ships no model; pass the path of a model.safetensors" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "samples")
    assert cli.main(["demo"]) == 2
    assert "the sample recording is missing; install jaxpose again" in capsys.readouterr().err


def test_errors_are_of_visible_joints_and_hidden_ones_count_where_found(tmp_path):
    true = np.zeros((2, 12, 2), np.float32)
    visible = np.ones((2, 12), bool)
    visible[:, :2] = False  # 4 hidden joints
    xy = true + np.float32([3, 4])  # 5 px off
    xy[0, 0] = xy[0, 1] = xy[1, 0] = np.nan  # hidden, and one of four found
    xy[0, 2] = np.nan  # visible and missing: 1 of 20
    xy[1, 3] = (300, 400)  # does not move the median
    rows = ["scorer", "bodyparts", "coords"]
    for k, points in enumerate(xy):
        cells = [f"{x},{y},0.9" if np.isfinite(x) else ",,0" for x, y in points.tolist()]
        rows.append(f"{k}," + ",".join(cells))
    (tmp_path / "pose.csv").write_text("\n".join(rows) + "\n")
    np.savez(tmp_path / "a.npz", joints_px=true, visible=visible)
    assert demo.errors(tmp_path / "a.npz", tmp_path / "pose.csv") == {
        "median_error_px": 5.0,
        "visible_missing_share": 0.05,
        "hidden_found_share": 0.25,
    }


def test_the_model_that_is_shipped_finds_the_infant(tmp_path, capsys):
    try:
        shipped_model()
    except jaxpose.ModelError:
        pytest.skip("this version ships no model")
    assert cli.main(["demo", f"--out={tmp_path / 'out'}", "--quiet"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["median_error_px"] < 10 and line["visible_missing_share"] < 0.1
