"""Results -> tables and figures.

    python -m experiments.tables                              # all, from the committed results
    python -m experiments.tables runs/asy runs/full           # Table I, Table II, Fig. 4 of runs

Without arguments it updates the tables and pictures of the benchmark in experiments/results, and
the tables of README.md and docs/. With the folders of runs of the same data and split it compares
these.
"""

import dataclasses
import os
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.examples.clips import CLIP
from experiments import figures, readme
from experiments.bench import stored
from experiments.config import ConfigError
from experiments.machines import ROOT
from experiments.rundir import claim, read_json
from experiments.study import evidence, pictures, report
from experiments.table1 import layer_table
from experiments.table2 import PAPER_TABLE2, labels, table2
from jaxpose.commands import run_command
from jaxpose.cost.accounting import CONVENTION
from jaxpose.files import write_text
from jaxpose.nets import regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.options import parse_options


@dataclasses.dataclass(frozen=True)
class Options:
    """Updates every table and figure that follows from committed results, or compares finished runs
    of the same data and split in tables and a figure."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Run folders, such as runs/asy runs/full; without any, the committed results."""
    out: Path = Path("runs/tables")
    """Folder for table1.md, table2.md and fig4.png of the runs."""


def rebuild(root: Path = ROOT) -> list[Path]:
    """Updates what follows from the results in `root`/experiments/results; returns the paths.

    Raises:
      ConfigError: a result is damaged, or a marker in a document cannot be used.
    """
    written = []
    for path in sorted((root / "experiments" / "results").glob("bench-*.json")):
        written += stored.render_file(path)
    plan, results = root / "experiments" / "study" / "plan.toml", root / "experiments" / "results"
    if plan.exists():
        known = evidence.gather(plan, results)
        written += pictures.write_all(known, results / "study")
        written.append(results / "study" / "report.html")
        write_text(written[-1], report.report(known))
    return written + readme.update(root)


def side_by_side(folders: tuple[Path, ...], out: Path) -> list[Path]:
    """Writes Table I, Table II and Fig. 4 of runs; returns the paths. Errors as in `read_runs`."""
    results = read_runs(folders)
    errors = [read_errors(Path(result["run_dir"])) for result in results]
    claim(out, 10_000_000, option="--out")
    write_text(out / "table1.md", table1(results))
    write_text(out / "table2.md", table2(results))
    boxes = {name: nets for name, (nets, _) in zip(labels(results), errors, strict=True)}
    boxes["mean pose"] = errors[0][1]
    figures.box_plot(out / "fig4.png", boxes, PAPER_TABLE2)
    return [out / name for name in ("table1.md", "table2.md", "fig4.png")]


def table1(results: list[dict]) -> str:
    """Returns Table I for these runs, layer by layer, with weights and MACs."""
    parts = ["# Table I: regression nets, layer by layer\n"]
    for name, result in zip(labels(results), results, strict=True):
        layers = regression.net(VARIANTS[result["variant"]], result["width"]).layers
        clip = (CLIP, *result["grid"])
        parts.append(
            f"\n## {name}: {result['variant']}, width {result['width']:g}, clip "
            f"{'x'.join(map(str, clip))}\n\n"
            + layer_table(layers, clip, paper=result["variant"] == "asy")
        )
    return "".join(parts) + f"\n{CONVENTION}\n"


def read_runs(folders: tuple[Path, ...]) -> list[dict]:
    """Reads the results of finished runs.

    Raises:
      ConfigError: a run is unfinished, a file is damaged, or runs cannot be compared.
    """
    if len({os.path.abspath(folder) for folder in folders}) < len(folders):
        named = " ".join(map(str, folders))
        raise ConfigError(f"{named}: names a folder twice; expected each once")
    results, splits = [], []
    for folder in folders:
        for name in ("result.json", "split.json", "predictions.npz"):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"{folder}: has no {name}; expected the folder of a finished run; finish it "
                    "with the command that began it"
                )
        results.append(read_result(folder))
        splits.append(read_json(folder / "split.json"))
        if splits[-1] != splits[0]:
            raise ConfigError(
                f"{folder} and {folders[0]} were tested on other data, another split or another "
                "grid; expected runs of the same frames"
            )
    return results


def read_result(folder: Path) -> dict:
    """Reads the result of a run, and checks that it has all that the tables need.

    Raises:
      ConfigError: it is damaged.
    """
    result = read_json(folder / "result.json") | {"run_dir": str(folder)}
    try:
        table1([result]), table2([result])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{folder / 'result.json'}: is damaged ({type(error).__name__}: {error}); expected "
            "what experiments.run writes; repeat the command that began the run"
        ) from None
    return result


def read_errors(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the RMSD per limb [n 4] of the nets and of the mean pose, in px of 128x96.

    Raises:
      ConfigError: the file is damaged.
    """
    path = folder / "predictions.npz"
    try:
        with np.load(path, allow_pickle=False) as stored_arrays:
            return stored_arrays["error_default_fallback"], stored_arrays["error_mean_pose"]
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(
            f"{path}: is damaged ({error}); repeat the command that began the run"
        ) from None


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.tables")

    def body() -> dict:
        began = time.perf_counter()
        if options.runs:
            written = side_by_side(options.runs, options.out)
            print(written[1].read_text(), file=sys.stderr)
        else:
            written = rebuild()
        return {
            "written": [str(path) for path in written],
            "seconds": round(time.perf_counter() - began, 1),
        }

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
