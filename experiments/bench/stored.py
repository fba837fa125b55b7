"""Result files of the benchmark: bench-SIZE-DEVICE-PRECISIONS-VERSIONS.json, .csv, .md and .png.

DEVICE is cpu and its instruction set, or the name of a GPU and gpu.

    .json   all single calls and everything derived from them, with a schema number
    .csv    its rows
    .md     its tables
    .png    time against MACs, and the roofline

    python -m experiments.bench.stored FILE.json ...    derives a result's comparisons again

The last three are rendered from the first, whose comparisons are derived from its calls. Results of
schema 2 had the geometric mean over blocks, and the fastest of several was chosen in the blocks in
which it was compared. They are brought to the present statistic by the command above, which leaves
calls, machine, versions, date and commit as they are.
"""

import json
import sys
from datetime import date
from pathlib import Path

from experiments.bench import plots, render
from experiments.bench.cases import Case
from experiments.bench.report import SCHEMA, STATISTIC, compared
from experiments.config import ConfigError
from jaxpose.cost.timing import Visit
from jaxpose.files import write_json, write_text

OLDER = 2
"""Schema whose calls are of the present form, but not its comparisons."""


def load(path: Path) -> dict:
    """Reads a result.

    Raises:
      ConfigError: the file is damaged, or of a schema that this version does not know.
    """
    result = _read(path)
    if result["schema"] == OLDER:
        raise ConfigError(
            f"{path}: its ratios are of an older statistic (schema {OLDER}, expected {SCHEMA}); "
            f"derive them again: python -m experiments.bench.stored {path}"
        )
    return result


def _read(path: Path) -> dict:
    """Reads a result whose comparisons may be of the older statistic."""
    try:
        result = json.loads(path.read_text())
        schema = result["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: is no result of experiments.bench ({type(error).__name__}: {error}); "
            "restore the file, or run the benchmark again"
        ) from None
    if schema not in (OLDER, SCHEMA):
        raise ConfigError(
            f"{path}: has schema {schema}, expected {SCHEMA}; run the benchmark again, or update "
            "jaxpose"
        )
    return result


def derived(result: dict) -> dict:
    """Returns what a result compares, from its single calls: see `report.compared`."""
    cases = [Case.of_row(row) for row in result["rows"]]
    visits: dict[str, list[Visit]] = {}
    for subject, process, block, position, twin, ms, pause_ms in result["visits"]:
        seconds = tuple(value / 1e3 for value in ms)
        visit = Visit(subject, process, block, position, twin, seconds, pause_ms / 1e3)
        visits.setdefault(subject, []).append(visit)
    facts = (result[name] for name in ("size", "platform", "isa"))
    return compared(cases, result["rows"], visits, *facts)


def save(result: dict, folder: Path) -> Path:
    """Writes a result's JSON and CSV; returns the path of the JSON."""
    path = folder / f"{render.stem(result)}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    write_text(path.with_suffix(".csv"), render.as_csv(result["rows"]))
    return path


def render_file(path: Path) -> list[Path]:
    """Derives a stored result's comparisons again, and renders it; returns the files' paths.

    `derived_again` is the date on which comparisons of another statistic were replaced.
    """
    result = _read(path)
    if result["schema"] == OLDER:
        first = {"schema": SCHEMA, "statistic": STATISTIC}
        result = first | {"derived_again": date.today().isoformat()} | result | first
    result |= derived(result)
    write_json(path, result)
    write_text(path.with_suffix(".csv"), render.as_csv(result["rows"]))
    write_text(path.with_suffix(".md"), render.as_markdown(result))
    plots.draw(result, path.with_suffix(".png"))
    return [path.with_suffix(suffix) for suffix in (".json", ".csv", ".md", ".png")]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        render_file(Path(name))
