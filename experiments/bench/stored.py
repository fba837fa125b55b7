"""Result files of the benchmark: bench-SIZE-DEVICE-PRECISIONS-VERSIONS.json, .csv, .md and .png.

    .json   all single calls and everything derived from them, with a schema number
    .csv    its rows
    .md     its tables
    .png    time against MACs, and the roofline

The last three are rendered from the first.
"""

import json
from pathlib import Path

from experiments.bench import plots, render
from experiments.bench.report import SCHEMA
from experiments.config import ConfigError
from jaxpose.files import write_json, write_text


def load(path: Path) -> dict:
    """Reads a result.

    Raises:
      ConfigError: the file is damaged, or of a schema that this version does not know.
    """
    try:
        result = json.loads(path.read_text())
        schema = result["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: is no result of experiments.bench ({type(error).__name__}: {error}); "
            "restore the file, or run the benchmark again"
        ) from None
    if schema != SCHEMA:
        raise ConfigError(
            f"{path}: has schema {schema}, expected {SCHEMA}; run the benchmark again, or update "
            "jaxpose"
        )
    return result


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
