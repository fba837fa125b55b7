"""Results of runs -> a table of errors per limb, and sentences about missing joints."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.blocks.source import Source, read, wrapped
from experiments.config import ConfigError
from experiments.recipe import flat_options
from experiments.table1 import table
from experiments.table2 import BASELINES, COLUMNS, PAPER_TABLE2, cells, percent
from jaxpose.body.skeleton import LIMBS

TITLES = {
    "simulated": "Simulated infants (not real)",
    "utd_mhad": "UTD-MHAD, real Kinect depth of standing adults",
    "babypose": "babyPose, real depth of preterm infants",
}
"""Data set -> title of its table."""
SHORT = {"simulated": "simulated infants", "utd_mhad": "UTD-MHAD", "babypose": "babyPose"}
PEOPLE = {"simulated": "infants", "utd_mhad": "people", "babypose": "infants"}
"""Data set -> the noun for its subjects."""
DEFAULT, MISSED = "rmsd_fallback_px", "missed_rate"
"""Keys of a result: errors and missing joints under the default decoding."""
OTHERS = {
    "overlapping": "{}, overlapping clips",
    "combined": "{}, maps of both nets combined",
    "regression": "{}, the regression net's maps",
    "detector": "detection alone",
    "bipartite": "{}, the paper's bipartite linking",
}
"""Decoding -> its row for the first group, which is omitted if the default decoding equals it."""
ROWS = ("variant", "seed", "fold")
"""Options of the recipe in which the rows of a table may differ."""
NEEDED = (DEFAULT, "detector_fallback_px", "baselines", "missed_rate", "pck", "subjects")
"""Keys that every result must have."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that share a row, whose cells are means over the runs."""

    label: str
    results: tuple[dict, ...]

    @property
    def subjects(self) -> set[str]:
        """Ids of all subjects that are tested in one of the runs."""
        return {subject for result in self.results for subject in result["subjects"]["test"]}

    @property
    def frames(self) -> int:
        """Number of different test frames."""
        tests = {tuple(r["subjects"]["test"]): r["n_frames"] for r in self.results}
        return sum(tests.values())

    def errors(self, *keys: str) -> dict | None:
        """Returns the error table under `keys`, averaged over the runs; None if a run lacks it."""
        tables = [_value(result, keys) for result in self.results]
        return None if None in tables else _mean_table(tables)

    def share(self, *keys: str) -> float | None:
        """Returns the share under `keys`, averaged over the runs; None if a run lacks it."""
        values = [_value(result, keys) for result in self.results]
        return None if None in values else float(np.mean(values))


def _value(result: dict, keys: Sequence[str]):
    """Returns what a result has under nested keys; None if it lacks one of them."""
    for key in keys:
        result = result.get(key) if result is not None else None
    return result


def _mean_table(tables: list[dict]) -> dict:
    """Returns the mean of every statistic of every limb; None where a run has no joint of it."""

    def mean(limb: str, statistic: str) -> float | None:
        """Returns one cell."""
        values = [errors[limb][statistic] for errors in tables]
        return None if None in values else float(np.mean(values))

    return {
        limb: {statistic: mean(limb, statistic) for statistic in ("median", "iqr", "mean")}
        for limb in (*LIMBS, "all")
    }


def accuracy(sources: Sequence[Source], *, paper: str = "no") -> str:
    """Returns a table of errors with sentences.

    It has a row per source with a label and per file without one, rows of other decodings of the
    first, of the baselines, and with `paper=yes` of the paper's Table II.

    Raises:
      ConfigError: a file is no result of a run, or has other test frames than the first.
    """
    groups = grouped(sources)
    first = groups[0]
    rows = [_row(first), *_other_decodings(first), *(_row(group) for group in groups[1:])]
    for key, name in BASELINES.items():
        errors = first.errors("baselines", key)
        rows += [[name, *cells(errors), ""]] if errors is not None else []
    if paper == "yes":
        for name, limbs in PAPER_TABLE2.items():
            values = [f"{median:.2f} ({iqr:.2f})" for median, iqr in limbs]
            rows.append([f"{name}, as published, other infants", *values, "", ""])
    header = ["median (IQR) / mean, px of 128x96", *COLUMNS[1:], "missing joints"]
    sentences = " ".join([*joints(first), *repeated(groups)])
    return f"{caption(first)}\n\n{table(header, rows)}\n{wrapped(sentences)}"


def _row(group: Group) -> list[str]:
    return [group.label, *cells(group.errors(DEFAULT)), percent(group.share(MISSED))]


def grouped(sources: Sequence[Source]) -> list[Group]:
    """Groups the files into rows, and checks that all have the same data, split and test frames.

    Raises:
      ConfigError: they have not, or there is no file.
    """
    results = {path: _result(path) for source in sources for path in source.paths}
    if not results:
        raise ConfigError("the table `accuracy` names no file; expected results of runs")
    unlabelled = {path: results[path] for s in sources if s.label is None for path in s.paths}
    labels = _labels(unlabelled)
    groups = []
    for source in sources:
        if source.label is not None:
            groups.append(Group(source.label, tuple(results[path] for path in source.paths)))
        else:
            groups += [Group(labels[path], (results[path],)) for path in source.paths]
    for group in groups:
        _check_together(group, groups[0])
    return groups


def _result(path: Path) -> dict:
    result = read(path)
    if missing := [key for key in NEEDED if key not in result]:
        raise ConfigError(f"{path}: lacks {missing[0]}; expected the result.json of a run")
    return result


def _labels(results: dict[Path, dict]) -> dict[Path, str]:
    """Returns the runs' labels: their variants, with seed and fold where these differ.

    If that is not enough to distinguish them, the labels are the files' names.
    """
    several = {
        key: len({str(result.get(key)) for result in results.values()}) > 1
        for key in ("seed", "fold")
    }
    labels = {
        path: result["variant"]
        + (f", seed {result['seed']}" if several["seed"] else "")
        + (f", fold {result['fold']} of {result['folds']}" if several["fold"] else "")
        for path, result in results.items()
    }
    unique = len(set(labels.values())) == len(labels)
    return labels if unique else {path: path.stem for path in results}


def _check_together(group: Group, first: Group) -> None:
    shared = _shared(first.results[0])
    for result in group.results:
        own = _shared(result)
        for key in sorted(shared.keys() | own.keys()):
            if own.get(key) != shared.get(key):
                raise ConfigError(
                    f"{group.label}: has {key} {own.get(key)!r}, expected {shared.get(key)!r} as "
                    "in the table's first row; put them into separate tables"
                )
    if (group.subjects, group.frames) != (first.subjects, first.frames):
        raise ConfigError(
            f"{group.label}: was tested on other frames than the table's first row; put them into "
            "separate tables"
        )


def _shared(result: dict) -> dict:
    """Returns what all rows of a table share: the data, `NUMERICS`, the recipe but for its rows."""
    keys = ("dataset", "split", "numerics", "data_hash")
    options = flat_options(result.get("recipe", {}), ROWS)
    return options | {key: result.get(key) for key in keys}


def _other_decodings(group: Group) -> Iterator[list[str]]:
    default = group.errors(DEFAULT)
    for decoding, name in OTHERS.items():
        errors = group.errors(f"{decoding}_fallback_px")
        missed = group.share(f"{decoding}_{MISSED}")
        if errors is not None and errors != default:
            yield [name.format(group.label), *cells(errors), percent(missed)]


def caption(group: Group) -> str:
    """Describes the data set, and the number of test frames and people."""
    first = group.results[0]
    people = PEOPLE[first["dataset"]] if len(group.subjects) > 1 else "person"
    held_out = "held-out " if first["split"] == "by_infant" else ""
    trained = "" if held_out else ", other frames of whom were trained on"
    return (
        f"**{TITLES[first['dataset']]}: {group.frames} frames of {len(group.subjects)} {held_out}"
        f"{people}{trained}**"
    )


def joints(group: Group) -> Iterator[str]:
    """Yields sentences about correct and hidden joints."""
    correct = percent(group.share("pck", "half_torso"))
    yield f"{group.label}: {correct} of the visible joints are within half a torso of the truth."
    hidden = group.share("hidden_found_rate")
    if hidden is not None:
        yield f"Of the joints that an annotator could not see, {percent(hidden)} are reported."


def repeated(groups: list[Group]) -> Iterator[str]:
    """Yields sentences about the differences between the runs of a row."""
    for group in groups:
        if len(group.results) > 1:
            medians = [result[DEFAULT]["all"]["median"] for result in group.results]
            yield (
                f"{group.label}: cells are means over {len(medians)} runs, whose medians over all "
                f"limbs are {min(medians):.2f} to {max(medians):.2f} px."
            )
