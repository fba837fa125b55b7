"""Blocks of the README: equal to what the committed results give, and refusals of markers."""

import json
import re
import shutil
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest

from experiments import readme, tables
from experiments.bench import stored
from experiments.bench.cases import Case
from experiments.blocks.accuracy import accuracy
from experiments.blocks.confidence import confidence
from experiments.blocks.costs import costs
from experiments.blocks.overview import gain, summary
from experiments.blocks.source import Source
from experiments.config import ConfigError
from experiments.numerics import NUMERICS
from experiments.recipe import PRESETS
from experiments.study import __main__ as study
from experiments.study.jobs import recipe_of

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
RUN = RESULTS / "simulated-asy-seed5001.json"
BENCH, TRAINING = (
    next(str(path.relative_to(ROOT)) for path in RESULTS.glob(f"bench-paper-{name}-*.json"))
    for name in ("cpu", "training-cpu")
)
TEXTS = (".json", ".md", ".csv", ".html", ".svg")
DOCUMENTS = [path for pattern in readme.DOCUMENTS for path in sorted(ROOT.glob(pattern))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_blocks_of_a_document_are_what_the_committed_results_give(path):
    assert readme.generated(path) == path.read_text(), "run `make readme`"


def test_the_readme_has_no_table_of_decimals_that_is_not_generated():
    text = (ROOT / "README.md").read_text()
    rest = readme.BLOCK.sub("", text)
    assert not [line for line in rest.splitlines() if re.match(r"\|.*\d\.\d\d [(|]", line)]
    blocks = {match["arguments"].split()[0] for match in readme.BLOCK.finditer(text)}
    assert {"summary", "costs", "study_claims"} <= blocks and len(text.splitlines()) < 130


def test_numbers_with_units_in_the_readme_are_generated():
    text = readme.BLOCK.sub("", (ROOT / "README.md").read_text())
    unit = r"(%|px|mm|ms|s|min|minutes?|hours?|[MG]i?B|frames/s)(?!\w)"
    assert [match[0] for match in re.finditer(rf"(?<!\w)\d[\d.,]* ?{unit}", text)] == []


def test_the_command_of_every_committed_result_is_written_down():
    text = (RESULTS / "README.md").read_text()
    names = [name for name in re.findall(r"[\w*+./-]+", text) if re.search(r"[*.]|/$", name)]
    for path in RESULTS.iterdir():
        name = path.name + "/" * path.is_dir()
        assert [one for one in names if fnmatch(name, one)] or name == "README.md", name


@pytest.mark.slow
def test_tables_without_arguments_leave_committed_files_as_they_are(tmp_path):
    committed = [path for path in RESULTS.rglob("*") if path.is_file()]
    for path in [*committed, *DOCUMENTS, study.PLAN]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    began = time.process_time()  # other programs may run beside the tests
    written = tables.rebuild(tmp_path)
    assert time.process_time() - began < 60
    assert {tmp_path / "README.md", tmp_path / "docs" / "findings.md"} <= {*written}
    for path in written:
        if path.suffix != ".png":  # see test_stored
            assert path.read_text() == (ROOT / path.relative_to(tmp_path)).read_text()
    copies = tmp_path / RESULTS.relative_to(ROOT)
    left = {path.relative_to(copies) for path in copies.rglob("*") if path.is_file()}
    assert left == {path.relative_to(RESULTS) for path in committed}


# ---- markers ----


def document(folder: Path, text: str) -> Path:
    shutil.copy(RUN, folder / "result.json")
    (folder / "README.md").write_text(text)
    return folder / "README.md"


LIMB_AND_ALL = ("right_arm", "all")


def shown(error: dict) -> str:
    """An error as the tables have it."""
    return f"{error['median']:.2f} ({error['iqr']:.2f}) / {error['mean']:.2f}"


def test_only_what_is_between_the_markers_changes(tmp_path):
    marker = "<!-- table: accuracy\n     result.json -->\n"
    path = document(tmp_path, f"before\n\n{marker}old\n<!-- end -->\n\nafter 1.0\n")
    assert readme.update(tmp_path) == [path]
    new = path.read_text()
    assert new.startswith(f"before\n\n{marker}") and new.endswith("<!-- end -->\n\nafter 1.0\n")
    arm, whole = (shown(json.loads(RUN.read_text())["rmsd_fallback_px"][k]) for k in LIMB_AND_ALL)
    assert f"| asy | {arm} |" in new and f"| {whole} |" in new and "old" not in new
    readme.update(tmp_path)
    assert path.read_text() == new


@pytest.mark.parametrize(
    "text, message",
    [
        ("\n<!-- table: acuracy result.json -->\n<!-- end -->", "README.md:2: unknown block 'acu"),
        ("<!-- table: accuracy x-*.json -->\n<!-- end -->", "README.md:1: x-*.json: no such file"),
        ("<!-- table: accuracy -->\n<!-- end -->", "`accuracy` names no file"),
        (
            "<!-- table: accuracy rows=3 result.json -->\n<!-- end -->",
            "unknown option 'rows' of the block 'accuracy'; one of: paper",
        ),
        ("<!-- table: accuracy result.json -->\n", "has no <!-- end -->"),
        (
            "<!-- table: accuracy result.json -->\n<!-- table: weights -->\n<!-- end -->",
            "has no <!-- end --> before the next marker",
        ),
        ("<!-- table: weights result.json -->\n<!-- end -->", "`weights` takes no files"),
        ("<!-- table: weights width=x -->\n<!-- end -->", "could not convert string to float"),
        ("<!-- table: weights variants=asym -->\n<!-- end -->", "unknown variant 'asym'"),
        ("<!-- table: costs result.json -->\n<!-- end -->", "is no result of experiments.bench"),
    ],
)
def test_a_marker_that_cannot_be_used_is_refused_and_nothing_is_written(text, message, tmp_path):
    path = document(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        readme.update(tmp_path)
    assert message in str(error.value) and path.read_text() == text


# ---- accuracy ----


def run(folder: Path, name: str, **changes) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(json.loads(RUN.read_text()) | changes))
    return path


def errors(value: float) -> dict:
    limbs = ("right_arm", "left_arm", "right_leg", "left_leg", "all")
    return {limb: {"median": value, "iqr": value / 2, "mean": 2 * value} for limb in limbs}


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return line.strip("| ").split(" | ")


def test_the_runs_of_a_label_are_one_row_of_means(tmp_path):
    paths = [
        run(tmp_path, str(k), seed=k, missed_rate=0.1 * k, rmsd_fallback_px=errors(float(k)))
        for k in (1, 2, 6)
    ]
    text = accuracy([Source(tuple(paths), "asy, 3 seeds")])
    assert row(text, "asy, 3 seeds")[1:] == ["3.00 (1.50) / 6.00"] * 5 + ["30.0 %"]
    sentence = "means over 3 runs, whose medians over all limbs are 1.00 to 6.00 px"
    assert sentence in text.replace("\n", " ")
    assert "720 frames of 48 held-out infants" in text


def test_files_without_a_label_are_rows_with_different_seeds_or_names(tmp_path):
    paths = [run(tmp_path, str(k), seed=k, rmsd_fallback_px=errors(float(k))) for k in (0, 1)]
    text = accuracy([Source(tuple(paths))])
    assert row(text, "asy, seed 0")[1] == "0.00 (0.00) / 0.00"
    assert row(text, "asy, seed 1")[5] == "1.00 (0.50) / 2.00"
    same = [run(tmp_path, name, date=name) for name in ("first", "second")]
    assert row(accuracy([Source(tuple(same))]), "second")


def test_folds_count_everybody_who_is_tested_once(tmp_path):
    paths = [
        run(tmp_path, f"fold{k}", fold=k, folds=2, n_frames=10 + k, subjects={"test": [str(k)]})
        for k in (0, 1)
    ]
    assert "21 frames of 2 held-out infants" in accuracy([Source(tuple(paths), "asy")])


def test_other_decodings_are_rows_where_they_differ_from_the_default(tmp_path):
    default, other = errors(2.0), errors(3.0)
    path = run(
        tmp_path,
        "a",
        rmsd_fallback_px=default,
        regression_fallback_px=default,
        combined_fallback_px=other,
        combined_missed_rate=0.25,
        bipartite_fallback_px=other,
    )
    text = accuracy([Source((path,))])
    expected = ["3.00 (1.50) / 6.00"] * 5 + ["25.0 %"]
    assert row(text, "asy, maps of both nets combined")[1:] == expected
    assert "the regression net's maps" not in text
    assert row(text, "asy, the paper's bipartite linking")


def test_the_paper_has_rows_where_they_are_asked_for():
    text = accuracy([Source((RUN,))], paper="yes")
    expected = ["16.90 (2.71)", "16.59 (2.43)", "16.27 (2.97)", "13.99 (4.60)"]
    assert row(text, "Asy-regression, as published, other infants")[1:5] == expected


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"dataset": "utd_mhad"},
            "has dataset 'utd_mhad', expected 'simulated' as in the table's first row",
        ),
        ({"numerics": 7}, "has numerics 7, expected 1 as in the table's first row"),
        ({"data_hash": "7"}, "has data_hash '7', expected '6'"),
        (
            {"recipe": PRESETS["quick"].as_json() | {"min_score": 0.3}},
            "has min_score 0.3, expected 0.05",
        ),
        ({"subjects": {"test": ["1"]}}, "was tested on other frames"),
        ({"n_frames": 719}, "was tested on other frames"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(changes, message, tmp_path):
    same = {"recipe": PRESETS["quick"].as_json(), "data_hash": "6"}
    first, other = run(tmp_path, "first", **same), run(tmp_path, "other", **(same | changes))
    with pytest.raises(ConfigError, match=re.escape(message)):
        accuracy([Source((first,), "a"), Source((other,), "b")])


@pytest.mark.parametrize(
    "path",
    [path for kind in ("simulated", "utd_mhad") for path in sorted(RESULTS.glob(f"{kind}-*.json"))],
    ids=lambda path: path.stem,
)
def test_committed_results_of_runs_are_of_the_present_defaults(path):
    result = json.loads(path.read_text())
    names = ("variant", "dataset", "seed", "folds", "fold")
    recipe = recipe_of({name: result[name] for name in names if result[name] is not None})
    assert result["recipe_hash"] == recipe.hash
    assert result["numerics"] == NUMERICS


def test_no_committed_file_names_a_folder_of_a_machine():
    texts = {path: path.read_text() for path in RESULTS.rglob("*.*") if path.suffix in TEXTS}
    texts |= {path: path.read_text() for path in DOCUMENTS}
    assert not [path for path, text in texts.items() if re.search(r"/(tmp|home|root|work)/", text)]


def test_a_file_that_is_no_result_is_named(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="result.json: lacks rmsd_fallback_px"):
        accuracy([Source((path,))])


def test_the_summary_has_a_column_per_data_set(tmp_path):
    other = run(tmp_path, "other", dataset="utd_mhad", rmsd_fallback_px=errors(1.0))
    text = summary([Source((RUN,), "asy"), Source((other,), "asy"), Source((other,), "full")])
    assert "simulated infants (48 tested, n = 720) | UTD-MHAD (48 tested, n = 720)" in text
    whole = shown(json.loads(RUN.read_text())["rmsd_fallback_px"]["all"])
    assert row(text, "asy")[1:] == [whole, "1.00 (0.50) / 2.00"]
    assert "| full |  | 1.00 (0.50) / 2.00 |" in text
    assert len(row(text, "detection net alone")) == 3


def test_the_gain_is_relative_to_the_detection_net(tmp_path):
    path = run(tmp_path, "a", rmsd_fallback_px=errors(1.5), detector_fallback_px=errors(2.0))
    text = gain([Source((path,))]).replace("\n", " ")
    assert "by -25.0 % and -25.0 % on simulated infants (asy)." in text


# ---- confidence ----

JUDGED = {
    "missed": 0.031,
    "hidden_found": 0.25,
    "auroc": {"right": 0.9412, "visible": 0.9},
    "score_auroc": {"right": 0.8, "visible": 0.7},
    "reliability": {"expected_calibration_error": 0.0123},
    "right_of_found": 0.977,
    "error_px_p95": 4.567,
}


def test_a_models_confidence_has_its_numbers_and_says_what_was_tested(tmp_path):
    path = run(
        tmp_path,
        "a",
        confidence=JUDGED,
        missed_rate=0.02,
        hidden_found_rate=0.6,
        model="0123456789abcdef",
    )
    text = confidence([Source((path,))])
    assert row(text, "visible joints that are missing")[1] == "3.1 %"
    assert row(text, "visible joints that are missing, before calibration")[1] == "2.0 %"
    assert row(text, "hidden joints that are reported")[1] == "25.0 %"
    assert row(text, "hidden joints that are reported, before calibration")[1] == "60.0 %"
    assert row(text, "AUROC of confidence for visible and within 6 px")[1] == "0.941"
    assert row(text, "AUROC of the map's peak for visible and within 6 px")[1] == "0.800"
    assert row(text, "expected calibration error")[1] == "1.2 %"
    assert row(text, "found joints that are visible and within 6 px")[1] == "97.7 %"
    assert row(text, "95th percentile of the error of visible, reported joints, px")[1] == "4.57"
    median = shown(json.loads(RUN.read_text())["rmsd_fallback_px"]["all"])
    assert row(text, "RMSD per limb, median (IQR) / mean, px")[1] == median
    assert "720 frames of 48 infants, px of 128x96, model 0123456789ab" in text.replace("\n", " ")


def test_a_model_without_calibration_has_no_such_block(tmp_path):
    path = run(tmp_path, "a", confidence=None)
    with pytest.raises(ConfigError, match="a.json: is no result of .* with a calibrated model"):
        confidence([Source((path,))])
    with pytest.raises(ConfigError, match="`confidence` names no file"):
        confidence([])


# ---- costs ----


def costs_of(case: str, task: str, path: str) -> tuple[list[str], list[str], dict, dict]:
    """Returns the header and a row of the table of costs, and its file: result, median by case."""
    text, result = readme.content(f"costs {path}"), stored.load(ROOT / path)
    ms = {Case.of_row(row).name: row["median_ms"] for row in result["rows"]}
    header = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    return header, row(text, task), result, {k: v for k, v in ms.items() if k.startswith(case)}


def test_the_table_of_costs_has_our_fastest_time_and_the_ratio_over_the_best_of_all_peers():
    header, cells, result, ms = costs_of(
        "regression full forward 1 ", "full, forward, 1 clip", BENCH
    )
    ms = {case: value for case, value in ms.items() if case.endswith(" float32")}
    ours = min((case for case in ms if "jaxpose" in case), key=ms.get)
    peers = [case for case in ms if "jaxpose" not in case]
    assert len(peers) > 1
    assert cells[header.index("jaxpose")] == f"{ms[ours]:.0f} (onednn)"
    [ratio] = [r for r in result["ratios"] if r["of"] == ours and r.get("among") == peers]
    low, high = ratio["interval"]
    assert cells[-1] == f"{ratio['speedup']:.2f} ({low:.2f} to {high:.2f})"
    assert len(ratio["chosen"]) == 2


def test_pytorch_s_time_is_the_better_of_its_usual_modes():
    header, cells, _, ms = costs_of(
        "regression full train_step ", "full, training step, 2 clips", TRAINING
    )
    usual = [value for case, value in ms.items() if "torch_" in case and "float32" in case]
    assert len(usual) == 2 and cells[header.index("PyTorch")] == f"{min(usual):.0f}"


def test_a_table_of_costs_has_a_column_for_each_framework_that_was_timed_and_one_heading_a_size():
    text = readme.content(f"costs {BENCH} {TRAINING}")
    columns = text.splitlines()[0]
    assert "PyTorch |" in columns and "OpenVINO" in columns and "JAX's own" not in columns
    assert text.count("**128x96, width 1**") == 1
    forward, step = row(text, "thin, forward, 1 clip"), row(text, "thin, training step, 2 clips")
    assert len(forward) == len(step) == columns.count("|") - 1
    assert "128x96, width 1: 2 cores" in text and "128x96, width 1, training: 2 cores" in text


def test_a_table_of_costs_has_the_rows_of_the_precisions_that_it_names(tmp_path):
    result = stored.load(ROOT / BENCH)
    rows = [row for row in result["rows"] if row["dtype"] == "float32"]
    result["rows"] = rows + [row | {"dtype": "bfloat16"} for row in rows]
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(result))
    both, exact, half = (
        costs([Source((path,))], sentences="no", precisions=names)
        for names in ("float32,bfloat16", "float32", "bfloat16")
    )
    assert "| full, forward, 1 clip | " in exact and "bfloat16" not in exact
    assert (
        "| full, forward, 1 clip, bfloat16 | " in half and "| full, forward, 1 clip | " not in half
    )
    assert len(both.splitlines()) == len(exact.splitlines()) + len(half.splitlines()) - 3
    one = costs([Source((path,))], sentences="no", precisions="float32", batches="1")
    assert "1 clip |" in one and "4 clips |" in exact and "4 clips |" not in one


def test_the_table_of_nets_has_the_ratios_of_what_runs_on_the_platform():
    path = next((ROOT / "experiments" / "results").glob("bench-paper-NVIDIA_H200-gpu-*.json"))
    text = readme.content(f"nets {path.relative_to(ROOT)}")
    result = stored.load(path)
    name = "regression {} forward 16 jax_conv3d conv3d bfloat16".format
    ms = {Case.of_row(r).name: r["median_ms"] for r in result["rows"]}
    cells = row(text, "forward, 16 clips, bfloat16")
    assert [float(cell) for cell in cells[1:4]] == [
        pytest.approx(ms[name(net)], rel=5e-3) for net in ("full", "asy", "thin")
    ]
    over = {r["over"]: r["speedup"] for r in result["ratios"] if r["of"] == name("asy")}
    for cell, net in zip(cells[4:], ("full", "thin"), strict=True):
        assert cell.startswith(f"{over[name(net)]:.2f} (") and over[name(net)] < 1
    assert "jax_conv3d" not in readme.content(f"nets {BENCH}")


def test_the_table_of_weights_is_counted():
    text = readme.content("weights clip=3,96,128 width=1 variants=full,asy")
    expected = ["1,303,488", "1,310,612", "48.05", "0.44", "44.16", "0.52", "710"]
    assert row(text, "asy")[1:] == expected
    assert row(text, "detection + asy") and "thin" not in text


# ---- fine-tuning ----


def test_the_table_of_fine_tuning_has_the_stored_errors_and_the_bar_holds():
    path = ROOT / "experiments" / "results" / "finetuning.json"
    result = json.loads(path.read_text())
    before, after = (result[when]["rmsd_fallback_px"]["median"] for when in ("before", "after"))
    assert result["median_reduction"] == pytest.approx(1 - after / before, abs=1e-3)
    assert result["median_reduction"] >= 0.25 and "dirty" not in result["commit"]
    text = readme.content(f"finetuning {path.relative_to(ROOT)}")
    assert row(text, "after")[1].startswith(f"{after:.2f} / ")
    with pytest.raises(ConfigError, match="is of one file"):
        readme.content("finetuning")
