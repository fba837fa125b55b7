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
    first, second = (stored.render_file(copy)[-1].read_bytes() for _ in range(2))
    assert first == second and b"Software" not in first and b"matplotlib" not in first
    pinned = re.search(r"^matplotlib==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    if matplotlib.__version__ == pinned[1]:
        assert first == path.with_suffix(".png").read_bytes()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_ratio_over_the_better_of_several_is_the_smallest_with_its_own_interval(path):
    """886 over 763 ms was once printed as 1.22, the ratio over another opponent."""
    result = stored.load(path)
    assert not result["dirty"] and not result["loaded"]
    assert bool(result["bars"]) == (result["platform"] == "cpu")
    for bar in result["bars"]:
        each = {over: ratio_of(result, bar["of"], over) for over in bar["among"]}
        assert bar["over"] == min(each, key=lambda over: each[over]["speedup"])
        assert bar["speedup"] == each[bar["over"]]["speedup"]
        assert bar["interval"] == each[bar["over"]]["interval"]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_what_a_committed_result_compares_follows_from_its_calls(path):
    result = stored.load(path)
    again = json.loads(json.dumps(stored.derived(result)))
    assert again and again == {name: result[name] for name in again}


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"schema": 3}', "has schema 3, expected 2; run the benchmark again, or update jaxpose"),
        ('{"rows": []}', "is no result of experiments.bench (KeyError: 'schema')"),
        ("{", "is no result of experiments.bench (JSONDecodeError"),
        ("[]", "is no result of experiments.bench (TypeError"),
    ],
)
def test_a_file_of_another_schema_or_a_damaged_one_is_refused(text, message, tmp_path):
    path = tmp_path / "bench-x.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        stored.load(path)
    assert str(error.value).startswith(f"{path}: {message}")
