"""Every number of the comparison on sheets small enough to work it out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.babypose.sheets import COLUMNS, Sheet
from data_pipeline.babypose.statistics import describe, statistics
from data_pipeline.simulated import fidelity, reference
from data_pipeline.simulated.reference import Reference
from jaxpose.body.skeleton import JOINTS

REST = np.array([(300 + 20 * (j % 6), 100 + 30 * (j // 6)) for j in range(12)], float)
"""Joints of a limb are 20 px of 640x480 apart: segments of 4 px of 128x96."""


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(reference, "RESAMPLES", 60)


def sheet(joints: np.ndarray, frames=None, subject: str = "1") -> Sheet:
    """joints [n 12 2] px of 640x480; frames are 1, 6, 11, ... unless given."""
    frames = 1 + 5 * np.arange(len(joints)) if frames is None else np.asarray(frames)
    names = tuple(str(f) for f in frames)
    return Sheet(Path("result.csv"), subject, np.arange(len(frames)), names, np.asarray(joints))


def still(frames: int = 40) -> np.ndarray:
    return np.repeat(REST[None], frames, axis=0)


def numbers(*sheets: Sheet) -> dict[str, float]:
    return statistics([describe(s) for s in sheets])


def test_there_are_87_numbers_of_which_none_is_missing():
    moving = still() + np.random.default_rng(0).normal(0, 5, (40, 12, 2))
    moving[::7, 2] = -1
    counted = numbers(sheet(moving), sheet(moving + 10, subject="2"))
    assert len(counted) == 12 + 16 + 36 + 12 + 6 + 1 + 4
    never = {f"missing_run/{k}" for k in ("shoulder", "elbow", "hip", "knee", "ankle")}
    assert {name for name, value in counted.items() if np.isnan(value)} == never


def test_an_infant_that_never_moves_scores_0_with_its_own_mean_and_10_with_the_other_ones():
    """The other lies 30 px to the right and 40 px down: 50 px of 640x480, 10 px of 128x96."""
    counted = numbers(sheet(still()), sheet(still() + (30, 40), subject="2"))
    for limb in ("right_arm", "left_arm", "right_leg", "left_leg"):
        assert counted[f"mean_same/{limb}"] == pytest.approx(0, abs=1e-9)
        assert counted[f"previous/{limb}"] == 0
        assert counted[f"mean_other/{limb}"] == pytest.approx(10)
    assert counted["length/right_shoulder-elbow"] == 4
    assert counted["length_spread/right_shoulder-elbow"] == 0
    assert counted["still"] == counted["all_visible"] == 1


def test_the_spread_of_lengths_4_and_8_is_their_sample_standard_deviation():
    wide = REST[:, 0] + 20 * (np.arange(12) % 3)
    long = still()
    long[..., 0] = wide
    counted = numbers(sheet(still()), sheet(long, subject="2"))
    assert counted["length/left_elbow-wrist"] == 6
    assert counted["length_spread/left_elbow-wrist"] == pytest.approx(8**0.5)


def test_an_infant_drawn_twice_is_not_its_own_other_infant():
    first, second = describe(sheet(still())), describe(sheet(still() + (30, 40), subject="2"))
    assert statistics([first, first, second])["mean_other/left_leg"] == pytest.approx(10)


def test_steps_run_in_time_order_and_not_over_gaps():
    """One joint steps by 5, 10, 15, ... px; a gap hides the longest of 5 steps; rows are mixed."""
    xy = still(7)
    xy[:, 0, 0] += np.cumsum([0, 5, 10, 15, 20, 1000, 25])
    frames = np.array([1, 6, 11, 16, 21, 71, 76])
    order = np.random.default_rng(1).permutation(7)
    counted = numbers(sheet(xy[order], frames[order]))
    assert counted["step_p50/right_shoulder"] == 3
    assert counted["step_p90/right_shoulder"] == pytest.approx(4.6)
    assert counted["step_p99/right_elbow"] == 0


def test_runs_end_at_a_gap_and_rates_count_frames():
    xy = still(12)
    frames = 1 + 5 * np.arange(12)
    frames[6:] += 50
    xy[[1, 4, 5, 6, 7, 8, 9, 11], 5] = -1  # runs of 1, 2, 4 and 1
    counted = numbers(sheet(xy, frames))
    assert counted["missing/left_wrist"] == pytest.approx(8 / 12)
    assert counted["missing_run/wrist"] == 1.5
    assert counted["all_visible"] == pytest.approx(4 / 12)


def test_a_wave_of_12_frames_has_the_autocorrelation_of_a_cosine():
    """Over whole periods, lag 6 is half a period: -1; lag 1 cos(30 deg); lag 30 is 2.5 periods."""
    xy = still(120)
    xy[..., 0] += 50 * np.sin(2 * np.pi * np.arange(120) / 12)[:, None]
    counted = numbers(sheet(xy))
    assert counted["autocorrelation/6"] == pytest.approx(-1, abs=0.01)
    assert counted["autocorrelation/1"] == pytest.approx(np.cos(np.pi / 6), abs=0.01)
    assert counted["autocorrelation/30"] == pytest.approx(-1, abs=0.01)


def test_a_frame_is_still_below_1_5_px_in_root_mean_square():
    """Of 12 joints one moves by 25 px (5 px of 128x96): 5 / sqrt(12) = 1.44; by 30 px: 1.73."""
    xy = still(3)
    xy[1:, 0, 0] += 25
    xy[2:, 0, 0] += 30
    assert numbers(sheet(xy))["still"] == 0.5


def test_smaller_images_give_the_same_numbers():
    xy = still() + np.random.default_rng(2).normal(0, 4, (40, 12, 2))
    half = statistics([describe(sheet(xy / 2), width=320)])
    assert half == pytest.approx(numbers(sheet(xy)), nan_ok=True)


@pytest.mark.parametrize("sheet_is", ["beside the folder", "inside of it"])
def test_sheets_without_images_are_as_wide_as_camera_json_says(tmp_path, sheet_is):
    """Segments of 20 px are 4 px of 128 at a width of 640, and 8 px at 320."""
    folder = write_sheets(tmp_path / "sheets", [0])
    assert numbers_of(folder)["length/right_hip-knee"] == 4
    camera = folder / "pz1" / "camera.json"
    camera.parent.mkdir()
    camera.write_text(json.dumps({"fx": 285.0, "width": 320, "height": 240}))
    if sheet_is == "inside of it":
        (folder / "result_pz1.csv").rename(folder / "pz1" / "result_pz1.csv")
    assert numbers_of(folder)["length/right_hip-knee"] == 8


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"width": "320"}', '{"width": 0}', "\xff"])
def test_a_camera_json_without_a_width_is_named(tmp_path, capsys, text):
    folder = write_sheets(tmp_path / "sheets", [0])
    (folder / "pz1").mkdir()
    (folder / "pz1" / "camera.json").write_bytes(text.encode("latin1"))
    assert fidelity.main([str(folder)]) == 2
    assert f"{folder / 'pz1' / 'camera.json'}: " in (captured := capsys.readouterr().err)
    assert "expected the image's width, px" in captured


def numbers_of(folder: Path) -> dict[str, float]:
    return statistics(reference.read_folder(folder))


def write_sheets(folder: Path, shifts: list[float]) -> Path:
    folder.mkdir()
    for k, shift in enumerate(shifts, start=1):
        rows = [";".join(["image", *COLUMNS])]
        for frame in range(1, 200, 5):
            cells = [f"{x + shift * (frame % 3):g},{y:g}" for x, y in REST]
            rows.append(";".join([f"{frame}_8bit.png", *cells]))
        (folder / f"result_pz{k}.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_the_interval_reaches_15_percent_of_its_width_beyond_its_percentiles(
    tmp_path, few_resamples
):
    """Of two infants with lengths 4 and 4 every resample is 4; two of 0 and 3 px steps differ."""
    infants = reference.read_folder(write_sheets(tmp_path / "real", [0, 15]))
    cells = reference.derive(infants)
    assert cells["length/right_hip-knee"] == Reference(4, 4, 4)
    # Drawn twice the still one: 0; twice the other: its median step of 3 px.
    assert cells["step_p50/right_hip"].low == pytest.approx(0 - 0.15 * 3)
    assert cells["step_p50/right_hip"].high == pytest.approx(3 + 0.15 * 3)


def test_sheets_compared_with_themselves_hold_in_every_number_that_they_have(
    tmp_path, capsys, few_resamples
):
    real = write_sheets(tmp_path / "real", [0, 15, 10])
    assert fidelity.main([str(real), f"--against={real}"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    missing = {c["name"] for c in result["cells"] if not c["within"]}
    assert missing == {
        f"missing_run/{kind}" for kind in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    }  # no joint is ever missing
    assert result["share_within"] == pytest.approx(81 / 87, abs=1e-4)
    assert (real / "fidelity.png").read_bytes()[1:4] == b"PNG"


def test_the_verdict_does_not_change_the_exit_code(tmp_path, capsys):
    ours = write_sheets(tmp_path / "ours", [0, 90])
    assert fidelity.main([str(ours), f"--figure={tmp_path / 'f.png'}"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["share_within"] < 0.5
    assert not (ours / "fidelity.png").exists()


def test_the_result_names_the_seed_and_the_version_of_a_simulation(tmp_path, capsys):
    ours = write_sheets(tmp_path / "ours", [0, 90])
    note = ours / "simulation.json"
    note.write_text('{"seed": 1001, "version": 5, "frames": 40}')
    assert fidelity.main([str(ours)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["seed"], result["version"]) == (1001, 5)
    for text in ("{", "[]", '{"seed": 3}'):
        note.write_text(text)
        assert fidelity.main([str(ours)]) == 2
        error = capsys.readouterr().err
        assert str(note) in error and "simulate the folder again" in error


def test_a_folder_without_sheets_exits_with_2_and_says_so(tmp_path, capsys):
    assert fidelity.main([str(tmp_path)]) == 2
    assert "no sheet" in capsys.readouterr().err
    assert fidelity.main([str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_table_that_is_kept_has_every_number_inside_its_own_interval():
    cells = reference.read()
    assert len(cells) == 87
    assert all(c.low <= c.real <= c.high for c in cells.values())
    assert {name.split("/")[1] for name in cells if name.startswith("missing/")} == set(JOINTS)


REAL = Path(__file__).parents[1].resolve() / "../shared/data/babypose_annotations"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real sheets are not here")
def test_the_table_that_is_kept_is_what_the_real_sheets_say():
    cells = reference.derive(reference.read_folder(REAL))
    for name, stored in reference.read().items():
        assert cells[name] == pytest.approx(stored, abs=5e-5), name
