"""Result files of the benchmark: bench-SIZE-DEVICE-PRECISIONS-VERSIONS.json, .csv, .md and .png.

    .json   all single calls and everything derived from them, with a schema number
    .csv    its rows
    .md     its tables
    .png    time against MACs, and the roofline

The last three are rendered from the first. Files without a schema number are of schema 1. When they
are read, ratios are computed again from their calls, and what was measured badly is left out: the
percentiles of few calls, the memory of processes that had run other cases, and shares of a roof
that was too low.
"""

import dataclasses
import json
from pathlib import Path

from experiments.bench import plots, render
from experiments.bench.cases import Case
from experiments.bench.report import SCHEMA, compared
from experiments.config import ConfigError
from jaxpose.cost.ratios import P90_CALLS, P95_CALLS
from jaxpose.cost.timing import Visit
from jaxpose.files import write_json, write_text

MEMORY = ("prepared_mb", "process_mb")
"""Columns of schema 1 that are left out: memory of processes that had run other cases before."""


def load(path: Path) -> dict:
    """Reads a result.

    Raises:
      ConfigError: the file is damaged, or of a schema that this version does not know.
    """
    try:
        result = json.loads(path.read_text())
        schema = result.get("schema", 1)
        if schema == 1:
            return upgraded(result)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: is no result of experiments.bench ({type(error).__name__}: {error}); "
            "restore the file, or run the benchmark again"
        ) from None
    if schema != SCHEMA:
        raise ConfigError(
            f"{path}: has schema {schema}, expected {SCHEMA} or 1; update jaxpose, or run the "
            "benchmark again"
        )
    return result


def upgraded(result: dict) -> dict:
    """Converts a result of schema 1 to the present form; its `schema` stays 1."""
    rows = [_upgraded_row(row) for row in result["rows"]]
    fields = [field.name for field in dataclasses.fields(Case)]
    cases = [Case(**{name: row[name] for name in fields}) for row in rows]
    visits: dict[str, list[Visit]] = {}
    for subject, process, block, position, twin, ms in result["visits"]:
        seconds = tuple(value / 1e3 for value in ms)
        visit = Visit(subject, process, block, position, twin, seconds)
        visits.setdefault(subject, []).append(visit)
    return {
        **result,
        "schema": 1,
        "date": None,
        "isa": None,
        "commit": result["commit"].removesuffix("-dirty"),
        "dirty": result["commit"].endswith("-dirty"),
        "clip": rows[0]["clip"],
        "width": rows[0]["width"],
        "rows": rows,
        "products": {},
        **compared(cases, rows, visits, result["size"], result["platform"]),
    }


def _upgraded_row(row: dict) -> dict:
    """Converts a row of schema 1 to the present form."""
    values = {name: value for name, value in row.items() if name not in MEMORY}
    temporary_mb = values.pop("temporary_mb")
    return {
        **values,
        "p90_ms": row["p90_ms"] if row["n"] >= P90_CALLS else None,
        "p95_ms": row["p95_ms"] if row["n"] >= P95_CALLS else None,
        "after_pause_ms": None,
        "xla_temporary_mb": temporary_mb,
        "roofline_share": None,
    }


def save(result: dict, folder: Path) -> Path:
    """Writes a result's JSON and CSV; returns the path of the JSON."""
    path = folder / f"{render.stem(result)}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    write_text(path.with_suffix(".csv"), render.as_csv(result["rows"]))
    return path


def render_file(path: Path) -> list[Path]:
    """Writes the CSV, Markdown and picture of a stored result, and returns their paths."""
    result = load(path)
    write_text(path.with_suffix(".csv"), render.as_csv(result["rows"]))
    write_text(path.with_suffix(".md"), render.as_markdown(result))
    plots.draw(result, path.with_suffix(".png"))
    return [path.with_suffix(suffix) for suffix in (".csv", ".md", ".png")]
