"""pandas, movement and pynwb read what `jaxpose predict` writes, with every confidence intact.

Their pins may clash with ours. JAXPOSE_READERS names the Python of an environment that has them:

    python -m venv readers && readers/bin/pip install pandas movement ndx-pose
    JAXPOSE_READERS=readers/bin/python python -m pytest tests/test_other_readers.py
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from models import SPECIFICATION, make_model
from test_estimator import frames
from test_predict import write

from jaxpose import cli
from jaxpose.errors import DataError, UserError
from jaxpose.outputs import nwb

ROOT = Path(__file__).resolve().parents[1]
PYTHON = os.environ.get("JAXPOSE_READERS", sys.executable)


@pytest.fixture(scope="module")
def prediction(tmp_path_factory):
    """The folder of a prediction with a frame that is absent and a camera."""
    place = tmp_path_factory.mktemp("readers")
    make_model(SPECIFICATION).save(place / "model.safetensors")
    write(place / "ward", frames(24))
    (place / "ward" / "51_16bit.png").unlink()
    assert cli.main([
        "predict", str(place / "ward"), f"--out={place / 'out'}", "--quiet", "--no-video",
        f"--model={place / 'model.safetensors'}", "--intrinsics=100,100,47.5,31.5",
    ]) == 0  # fmt: skip
    return place / "out"


def read(folder) -> subprocess.CompletedProcess:
    command = [PYTHON, str(ROOT / "tests" / "other_readers.py"), str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


def test_other_programs_read_the_same_positions_and_confidences(prediction):
    done = read(prediction)
    assert done.returncode == 0, done.stderr
    if not done.stdout:
        pytest.skip("none of pandas, movement and ndx-pose is installed")


def test_a_confidence_that_was_changed_is_noticed(prediction, tmp_path):
    for name in ("pose.csv", "pose_long.csv", "quality.json"):
        (tmp_path / name).write_bytes((prediction / name).read_bytes())
    *head, last = (tmp_path / "pose.csv").read_text().splitlines()
    cells = last.split(",")
    cells[-1] = "1.0000" if cells[-1] != "1.0000" else "0.5"
    (tmp_path / "pose.csv").write_text("\n".join([*head, ",".join(cells)]) + "\n")
    done = read(tmp_path)
    if not {"pandas", "movement"} & set(read(prediction).stdout.split()):
        pytest.skip("neither pandas nor movement is installed")
    assert done.returncode == 1 and "Not equal to tolerance" in done.stderr


# ---------------------------------------------------------------- without the extra


def test_without_the_extra_the_command_says_how_to_get_it(
    prediction, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "ndx_pose", None)
    model = prediction.parent / "model.safetensors"
    command = ["predict", str(prediction.parent / "ward"), f"--model={model}", "--nwb"]
    assert cli.main([*command, f"--out={tmp_path / 'out'}"]) == 2
    assert "pip install 'jaxpose[nwb]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # said before any work
    assert nwb.convert([str(prediction)]) == 2


def test_the_start_of_a_session_has_a_time_zone():
    assert nwb.parse_start(None) is nwb.UNKNOWN
    start = nwb.parse_start("2026-01-31T10:00:00+01:00")
    assert start == datetime(2026, 1, 31, 9, tzinfo=UTC)
    for text in ("2026-01-31T10:00:00", "yesterday"):
        with pytest.raises(UserError, match=f"--session_start={text}: expected a time with its"):
            nwb.parse_start(text)


def test_a_folder_without_a_complete_prediction_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nwb, "check_nwb", lambda: None)
    for name in ("ndx_pose", "pynwb"):
        monkeypatch.setitem(sys.modules, name, Anything())
    with pytest.raises(DataError, match="holds no complete prediction"):
        nwb.write_nwb(tmp_path)
    assert nwb.convert([]) == 2
    assert "expected folders that `jaxpose predict` wrote" in capsys.readouterr().err


class Anything:
    """A package that has every name."""

    def __getattr__(self, name):
        return self
