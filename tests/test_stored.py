"""Committed results of the benchmark: that they are read, and rendered to what is committed."""

import json
import re
from pathlib import Path

import matplotlib
import pytest

from experiments.bench import render, stored
from experiments.config import ConfigError

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = sorted((ROOT / "experiments" / "results").glob("bench-*.json"))
PAPER = ROOT / "experiments/results/bench-paper-cpu-float32-jax0.10.2-torch2.13.0.json"
"""A result of schema 1."""


def ratio_of(result: dict, of: str, over: str) -> dict:
    (ratio,) = [
        r for r in result["ratios"] if (r["of"], r["over"]) == (of, over) and "among" not in r
    ]
    return ratio


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_result_is_rendered_to_the_committed_tables(path):
    result = stored.load(path)
    assert render.stem(result) == path.stem
    assert render.as_markdown(result) == path.with_suffix(".md").read_text()
    assert render.as_csv(result["rows"]) == path.with_suffix(".csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_result_is_drawn_to_the_committed_picture(path, tmp_path):
    """Bytes are equal under the matplotlib of constraints.txt; another one may draw otherwise."""
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    first, second = (stored.render_file(copy)[2].read_bytes() for _ in range(2))
    assert first == second and b"Software" not in first and b"matplotlib" not in first
    pinned = re.search(r"^matplotlib==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    if matplotlib.__version__ == pinned[1]:
        assert first == path.with_suffix(".png").read_bytes()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_ratios_of_an_earlier_schema_are_those_that_it_recorded(path):
    recorded, today = json.loads(path.read_text()), stored.load(path)
    if today["schema"] != 1:
        pytest.skip("has today's schema")
    for ratio in recorded["ratios"]:
        again = ratio_of(today, ratio["of"], ratio["over"])
        assert again["speedup"] == pytest.approx(ratio["speedup"], abs=2e-4)
        assert (again["interval"] is None) == (ratio["interval"] is None)


def test_the_better_pytorch_of_the_full_net_is_the_compiled_one():
    """886 over 763 ms was printed as 1.22: the opponent by its median, the ratio within blocks."""
    result = stored.load(PAPER)
    mine = "regression full forward 1 jaxpose onednn float32"
    eager, compiled = (f"regression full forward 1 torch_{m} float32" for m in ("eager", "compile"))
    assert ratio_of(result, mine, eager)["speedup"] == pytest.approx(1.22, abs=5e-3)
    (bar,) = [bar for bar in result["bars"] if bar["of"] == mine]
    assert bar["over"] == compiled and set(bar["among"]) == {eager, compiled}
    assert bar["speedup"] == pytest.approx(1.163, abs=5e-3)
    assert bar["interval"] == ratio_of(result, mine, compiled)["interval"]


def test_an_earlier_schema_is_read_without_what_was_measured_badly():
    result = stored.load(PAPER)
    assert result["schema"] == 1 and result["dirty"] and result["commit"] == "eb65459"
    for row in result["rows"]:
        assert not {"prepared_mb", "process_mb", "temporary_mb"} & row.keys()
        assert row["roofline_share"] is row["after_pause_ms"] is None
        assert (row["p90_ms"] is None) == (row["n"] < 20)
        assert (row["p95_ms"] is None) == (row["n"] < 40)
    assert "Schema 1" in render.as_markdown(result)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"schema": 3}', "has schema 3, expected 2 or 1; update jaxpose"),
        ('{"schema": 1, "rows": []}', "is no result of experiments.bench (KeyError: 'visits')"),
        ("{", "is no result of experiments.bench (JSONDecodeError"),
        ("[]", "is no result of experiments.bench (AttributeError"),
    ],
)
def test_a_file_of_another_schema_or_a_damaged_one_is_refused(text, message, tmp_path):
    path = tmp_path / "bench-x.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        stored.load(path)
    assert str(error.value).startswith(f"{path}: {message}")
