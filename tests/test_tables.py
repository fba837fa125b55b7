"""Finished runs side by side: names, missing and damaged files, results of earlier versions."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import figures, table2, tables

RESULTS = Path(tables.__file__).parent / "results"
STUDY = {p.name for p in (RESULTS / "study").glob("*.png")}
"""Pictures of the study: one per data set and setting with results."""
COMMITTED = sorted([*RESULTS.glob("simulated-*.json"), *RESULTS.glob("utd_mhad-*.json")])


def finished(folder: Path, **changes) -> Path:
    """A run's folder with a committed result in it; what is changed to None is left out."""
    folder.mkdir(parents=True)
    result = json.loads(COMMITTED[0].read_text()) | changes
    result = {key: value for key, value in result.items() if value is not None}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "split.json").write_text("{}")
    errors = {f"error_{name}": np.ones((9, 4)) for name in ("default_fallback", "mean_pose")}
    np.savez(folder / "predictions.npz", **errors)
    return folder


def refusal(arguments: list, capsys) -> str:
    assert tables.main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.startswith("error: ")
    return printed.err


@pytest.mark.parametrize(
    "folders, names",
    [
        (["runs/asy"], ["asy"]),
        (["runs/asy", "runs/full"], ["asy", "full"]),
        (["a/asy", "b/asy"], ["a/asy", "b/asy"]),
        (["a/asy", "b/asy", "b/full"], ["a/asy", "b/asy", "b/full"]),
        (["x/a/asy", "y/a/asy"], ["x/a/asy", "y/a/asy"]),
    ],
)
def test_runs_are_named_by_what_of_their_paths_tells_them_apart(folders, names):
    assert table2.labels([{"run_dir": folder} for folder in folders]) == names


def test_a_run_in_the_working_folder_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(finished(tmp_path / "asy"))
    assert table2.labels([{"run_dir": "."}]) == ["asy"]


def test_two_folders_of_one_name_are_two_rows_and_two_boxes(tmp_path, monkeypatch):
    folders = [finished(tmp_path / k / "asy", predict_ms=ms) for k, ms in (("a", 111), ("b", 222))]
    boxes = []
    monkeypatch.setattr(figures, "box_plot", lambda path, errors, paper: boxes.extend(errors))
    out = tmp_path / "tables"
    assert tables.main([*map(str, folders), f"--out={out}"]) == 0
    assert boxes == ["a/asy", "b/asy", "mean pose"]
    rows = [row.split(" | ") for row in (out / "table2.md").read_text().splitlines()]
    assert {row[0]: row[-2] for row in rows if row[0] in ("| a/asy", "| b/asy")} == {
        "| a/asy": "111",
        "| b/asy": "222",
    }
    assert "## a/asy: asy" in (out / "table1.md").read_text()


def test_a_folder_named_twice_is_refused(tmp_path, capsys):
    folder = finished(tmp_path / "asy")
    assert "twice" in refusal([folder, f"{folder.parent}/./asy/"], capsys)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"n_frames": None}, "damaged (KeyError: 'n_frames')"),
        ({"baselines": None}, "damaged (KeyError: 'baselines')"),
        ({"subjects": 3}, "is damaged"),
        ({"grid": [48]}, "is damaged"),
        ({"rmsd_px": {"right_arm": "?"}}, "is damaged"),
        ({"variant": "asym"}, "damaged (KeyError: 'asym')"),
    ],
)
def test_a_result_that_lacks_what_the_tables_need_is_named(changes, word, tmp_path, capsys):
    good, bad = finished(tmp_path / "good"), finished(tmp_path / "bad", **changes)
    said = refusal([good, bad], capsys)
    assert str(bad / "result.json") in said and word in said and "command" in said


@pytest.mark.parametrize("name", ["result.json", "split.json", "predictions.npz"])
def test_a_file_of_a_run_that_is_missing_or_cut_short_is_named(name, tmp_path, capsys):
    folder, out = finished(tmp_path / "asy"), tmp_path / "tables"
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] if name != "split.json" else b"{")
    assert str(path) in refusal([folder, f"--out={out}"], capsys)
    path.unlink()
    said = refusal([folder, f"--out={out}"], capsys)
    assert str(folder) in said and name in said
    assert not out.exists()


def test_an_out_that_is_a_file_is_named(tmp_path, capsys):
    folder, out = finished(tmp_path / "asy"), tmp_path / "out"
    out.write_text("")
    assert str(out) in refusal([folder, f"--out={out}"], capsys)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_earlier_results_print_with_what_the_detector_alone_missed(path):
    result = json.loads(path.read_text())
    header, _, row = table2.table2([result]).split("## Beside the error\n\n")[1].splitlines()[:3]
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    share = result["detector_missed_rate"]
    assert cells["missed, detection alone"] == f"{100 * share:.1f} %"
    both = result.get("detector_bipartite_missed_rate")  # not measured at first
    expected = "-" if both is None else f"{100 * both:.1f} %"
    assert cells["missed, detection alone, bipartite"] == expected
    assert "test frames" in table2.summary(result)


def test_px_of_the_camera_are_printed_for_babypose_alone(tmp_path):
    result = json.loads(COMMITTED[0].read_text()) | {"dataset": "babypose"}
    median = result["rmsd_fallback_px"]["right_arm"]["median"]
    _, camera = table2.table2([result]).split("## px of 640x480")
    assert f"| {5 * median:.2f} (" in camera
    for path in COMMITTED:  # simulated images have another size, UTD-MHAD's are crops
        assert "640x480" not in table2.table2([json.loads(path.read_text())])


def test_without_arguments_the_committed_results_are_rendered_anew(monkeypatch, capsys):
    monkeypatch.setattr(tables.stored, "render_file", lambda path: [path.with_suffix(".md")])
    monkeypatch.setattr(tables.readme, "update", lambda root: [root / "README.md"])
    assert tables.main([]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed.keys() == {"written", "seconds"}
    names = {Path(path).name for path in printed["written"]}
    benchmarks = {p.with_suffix(".md").name for p in COMMITTED[0].parent.glob("bench-*.json")}
    assert names == benchmarks | {"README.md", "comparisons.csv", "report.html"} | STUDY
