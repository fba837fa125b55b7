"""Committed results of the benchmark: that they are read, and rendered to what is committed."""

import json
import math
import re
import statistics
from datetime import date
from pathlib import Path

import matplotlib
import pytest

from experiments.bench import render, stored
from experiments.config import ConfigError

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = sorted((ROOT / "experiments" / "results").glob("bench-*.json"))


def ratio_of(result: dict, of: str, over: str) -> dict:
    (ratio,) = [
        r for r in result["ratios"] if (r["of"], r["over"]) == (of, over) and "chosen" not in r
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


def block_ratios(result: dict, of: str, over: str) -> dict[tuple[int, int], float]:
    """Ratio of median calls, over / of, by process and block."""
    ms = {}
    for subject, process, block, _, twin, calls, _ in result["visits"]:
        if not twin:
            ms[subject, process, block] = statistics.median(calls)
    blocks = [key[1:] for key in ms if key[0] == of and (over, *key[1:]) in ms]
    return {block: ms[over, *block] / ms[of, *block] for block in blocks}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_ratio_is_the_median_of_blocks_each_by_the_choice_of_the_other_half(path):
    result = stored.load(path)
    assert not result["dirty"] and not result["loaded"]
    assert bool(result["bars"]) == (result["platform"] == "cpu")
    for ratio in (*result["ratios"], *result["bars"]):
        even, odd = ratio.get("chosen") or [[ratio["of"], ratio["over"]]] * 2
        first, second = (block_ratios(result, *pair) for pair in (odd, even))
        values = [value for (_, block), value in first.items() if block % 2 == 0]
        values += [value for (_, block), value in second.items() if block % 2]
        assert len(values) == ratio["blocks"] >= 6
        # between two middle blocks the logarithms have a mean
        middle = math.exp(statistics.median(map(math.log, values)))
        assert ratio["speedup"] == pytest.approx(middle, abs=2e-4)
        low, high = ratio["interval"]
        assert min(values) - 1e-4 <= low <= ratio["speedup"] <= high <= max(values) + 1e-4
    for bar in result["bars"]:
        if "among" in bar:  # one of ours: the upper limits are those of single ratios
            each = [ratio_of(result, bar["of"], over)["interval"][1] for over in bar["among"]]
            assert bar["upper"] == min(each) and (bar["met"] == "missed") == (
                min(each) < bar["must"]
            )


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_what_a_committed_result_compares_follows_from_its_calls(path):
    result = stored.load(path)
    again = json.loads(json.dumps(stored.derived(result)))
    assert again and again == {name: result[name] for name in again}


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"schema": 4}', "has schema 4, expected 3; run the benchmark again, or update jaxpose"),
        ('{"schema": 2}', "its ratios are of an older statistic (schema 2, expected 3); derive"),
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


def test_a_result_of_the_older_statistic_is_derived_again_and_keeps_what_was_measured(tmp_path):
    path = tmp_path / COMMITTED[0].name
    before = json.loads(COMMITTED[0].read_text())
    expected = {name: before[name] for name in ("ratios", "bars", "limits")}
    facts = {"schema": 2, "ratios": [], "bars": []}
    older = {k: v for k, v in before.items() if k not in ("statistic", "derived_again")} | facts
    path.write_text(json.dumps(older))
    stored.render_file(path)
    after = stored.load(path)
    assert {name: after[name] for name in expected} == expected
    assert after["derived_again"] == date.today().isoformat()
    kept = ("visits", "rows", "date", "commit", "versions", "cpu", "device", "loaded")
    assert all(after[name] == before[name] for name in kept)
