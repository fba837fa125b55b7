"""Every command of docs/guide.md, in its order, in one folder."""

import json
import re
import shlex
from pathlib import Path

import cv2
import pytest
from models import SPECIFICATION, make_model
from test_estimator import frames
from test_predict import write

from jaxpose import cli
from jaxpose.recordings.opening import read_intrinsics

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text()
COMMANDS = re.findall(r"^    (jaxpose .*)$", GUIDE, re.MULTILINE)
PYTHON = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """A folder in which every command of the guide was run."""
    place = tmp_path_factory.mktemp("guide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        make_model(SPECIFICATION).save(Path("model.safetensors"))
        patch.setattr("jaxpose.estimator.shipped_model", lambda: place / "model.safetensors")
        write(Path("ward1"), frames(24))
        large = [
            cv2.resize(one, (640, 480), interpolation=cv2.INTER_NEAREST) for one in frames(24, 1)
        ]
        write(Path("ward2"), large)  # of the size that the guide's crop is of
        (camera,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
        Path("ward1/camera.json").write_text(camera)
        try:
            import ndx_pose  # noqa: F401
        except ModuleNotFoundError:
            patch.setattr("jaxpose.outputs.nwb.check_nwb", lambda: None)
            patch.setattr("jaxpose.outputs.nwb.write_nwb", lambda out, start: out)
        for command in COMMANDS:
            assert cli.main(shlex.split(command)[1:]) == 0, command
    return place


def test_every_command_runs_and_writes_what_the_guide_says(ward):
    assert len(COMMANDS) == 7
    assert (ward / "jaxpose-demo" / "report.html").exists()
    assert not (ward / "check-ward1" / "overlay.mp4").exists()
    for name in ("results-ward1", "results/ward1", "results/ward2", "results-turned"):
        assert {"report.html", "overlay.mp4", "pose.csv", "kinematics.csv", "quality.json"} <= {
            path.name for path in (ward / name).iterdir()
        }
    quality = json.loads((ward / "results-turned" / "quality.json").read_text())
    assert quality["orientation"]["turn"] == 180 and quality["view"]["crop"] == [80, 0, 480, 360]


def test_the_names_in_the_table_of_warnings_are_in_the_file(ward):
    quality = json.loads((ward / "check-ward1" / "quality.json").read_text())
    table = GUIDE.split("| warning, or entry")[1].split("\n\n")[0]
    names = set(re.findall(r"`([a-z_]+)`", table)) - {"include", "reason"}
    assert names == {"frames_unreadable", "unreadable", "frames_absent", "limbs"}
    assert names | {"warnings"} <= set(quality)
    limb = quality["limbs"]["left_leg"]
    assert limb["include"] or limb["reason"]


def test_the_camera_of_the_guide_is_read(ward):
    assert read_intrinsics(ward / "ward1" / "camera.json")[0].cx == 319.5


@pytest.mark.parametrize("code", PYTHON, ids=["pandas", "movement"])
def test_the_python_of_the_guide_runs(ward, monkeypatch, code):
    pytest.importorskip(re.findall(r"(?:import|from) (\w+)", code)[0])
    monkeypatch.chdir(ward)
    exec(code, names := {})
    assert len(names["pose"] if "pose" in names else names["poses"].time) == 24


def test_links_of_the_guide_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", GUIDE):
        assert link.startswith("http") or (ROOT / "docs" / link).exists(), link
