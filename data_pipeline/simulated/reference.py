"""babyPose's annotation sheets -> the small table that simulated sheets are compared with.

    python -m data_pipeline.simulated.reference FOLDER [--out=FILE.json]

The table (`data_pipeline/babypose/statistics.json`) contains no annotations. For each number of
`data_pipeline.babypose.statistics` it has the value and the interval in which the value of other
infants would lie. The last line of stdout is one JSON object.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from data_pipeline.babypose.frames import find_sheets, read_depth
from data_pipeline.babypose.sheets import raise_first, read_sheet
from data_pipeline.babypose.statistics import Infant, describe, statistics
from data_pipeline.errors import DataError
from data_pipeline.outputs import check_output
from jaxpose.commands import run_command
from jaxpose.options import parse_options

STORED = Path(__file__).parents[1] / "babypose" / "statistics.json"
SHEETS_WIDTH = 640
"""Width of babyPose's images, px, for sheets without images."""
EXPECTED = "expected the image's width, px; correct the file, or simulate the folder again"

RESAMPLES, SEED = 1000, 0
INTERVAL = (5, 95)  # percentiles: 90 %
WIDENED = 0.15
"""Share of the interval's width that is added below and above it."""


class Reference(NamedTuple):
    """A number of real infants and the interval for a simulated one; NaN is not measurable."""

    real: float
    low: float
    high: float


def read_folder(folder: Path) -> list[Infant]:
    """Reads every sheet in `folder`; images are optional.

    Raises:
      DataError: there is no sheet, or one cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}; give the one that holds the sheets")
    sheets = [read_sheet(path, raise_first) for path in find_sheets(folder, raise_first)]
    return [describe(s, _width(s.path.parent, s.subject)) for s in sheets if s is not None]


def _width(folder: Path, subject: str) -> int:
    """Returns the width of the images, px: from `camera.json`, else from an image."""
    places = (folder / f"pz{subject}", folder)
    for place in places:
        if (note := place / "camera.json").exists():
            return _noted_width(note)
    for place in places:
        for image in place.glob("*_16bit.png"):
            return read_depth(image).shape[1]
    return SHEETS_WIDTH


def _noted_width(note: Path) -> int:
    try:
        width = json.loads(note.read_text())["width"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{note}: cannot read the width ({error!r}); {EXPECTED}") from None
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise DataError(f"{note}: width is {width!r}; {EXPECTED}")
    return width


def derive(infants: list[Infant]) -> dict[str, Reference]:
    """Returns the numbers of these infants, with intervals from resampling the infants."""
    real = statistics(infants)
    rng = np.random.default_rng(SEED)
    draws = rng.integers(len(infants), size=(RESAMPLES, len(infants)))
    resampled = [statistics([infants[k] for k in draw]) for draw in draws]
    table = {}
    for name, value in real.items():
        values = np.array([numbers[name] for numbers in resampled])
        values = values[~np.isnan(values)]
        low, high = np.percentile(values, INTERVAL) if len(values) else (np.nan, np.nan)
        margin = WIDENED * (high - low)
        table[name] = Reference(value, float(low - margin), float(high + margin))
    return table


def write(table: dict[str, Reference], infants: list[Infant], path: Path) -> None:
    frames = sum(len(infant.missing) for infant in infants)
    origin = {
        "what": "numbers of babyPose's sheets: real, low, high; see simulated/reference.py",
        "infants": len(infants),
        "frames": frames,
        "interval": f"percentiles {INTERVAL} of {RESAMPLES} resamples of infants, seed {SEED}, "
        f"widened by {WIDENED} of its width below and above",
    }
    cells = ",\n".join(
        f'  "{name}": {json.dumps([_rounded(v) for v in cell])}' for name, cell in table.items()
    )
    path.write_text(f'{{\n "origin": {json.dumps(origin)},\n "cells": {{\n{cells}\n }}\n}}\n')


def read(path: Path = STORED) -> dict[str, Reference]:
    cells = json.loads(path.read_text())["cells"]
    return {
        name: Reference(*(np.nan if v is None else v for v in cell)) for name, cell in cells.items()
    }


def _rounded(value: float) -> float | None:
    """Returns the number for JSON, which has no NaN."""
    return None if np.isnan(value) else round(value, 4)


@dataclasses.dataclass(frozen=True)
class Options:
    """Computes the numbers of real sheets that simulated sheets are compared with."""

    folder: tyro.conf.Positional[Path]
    """Folder with the real sheets, result_pz<ID>.csv or .xlsx."""
    out: Path = STORED
    """Table to write, FILE.json; by default the repository's own table."""


def run(options: Options) -> dict:
    start, out = time.perf_counter(), options.out
    check_output(out, ["json"])
    infants = read_folder(options.folder)
    table = derive(infants)
    write(table, infants, out)
    seconds = round(time.perf_counter() - start, 2)
    return {"infants": len(infants), "cells": len(table), "seconds": seconds}


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.simulated.reference")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
