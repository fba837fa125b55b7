"""Results of runs on several data sets -> a compact table, and a sentence."""

from collections.abc import Sequence

from experiments.blocks.accuracy import DEFAULT, SHORT, Group, grouped
from experiments.blocks.source import Source, joined, wrapped
from experiments.table1 import table
from experiments.table2 import BASELINES, cell


def summary(sources: Sequence[Source]) -> str:
    """Returns a compact table of errors over all limbs, with a column per data set.

    Each source is a row. The first source of a data set also has rows of the detection net alone,
    of bipartite linking and of the baselines.
    """
    columns: dict[str, list[Group]] = {}
    for source in sources:
        for group in grouped([source]):
            columns.setdefault(group.results[0]["dataset"], []).append(group)
    rows: dict[str, dict[str, str]] = {}

    def add(name: str, dataset: str, errors: dict | None) -> None:
        """Fills one cell, unless the runs lack its errors."""
        if errors is not None:
            rows.setdefault(name, {})[dataset] = cell(errors["all"])

    for dataset, groups in columns.items():
        for group in groups:
            add(group.label, dataset, group.errors(DEFAULT))
    for dataset, groups in columns.items():
        add("detection net alone", dataset, groups[0].errors("detector_fallback_px"))
        add("the paper's bipartite linking", dataset, groups[0].errors("bipartite_fallback_px"))
        for key, name in BASELINES.items():
            add(name, dataset, groups[0].errors("baselines", key))
    header = ["median (IQR) / mean, all limbs"]
    for dataset, (first, *_) in columns.items():
        tested = f"{len(first.subjects)} tested, n = {first.frames}"
        header.append(f"{SHORT[dataset]} ({tested})")
    lines = [[name, *(values.get(dataset, "") for dataset in columns)]
             for name, values in rows.items()]  # fmt: skip
    return table(header, lines)


def gain(sources: Sequence[Source]) -> str:
    """Returns a sentence: how much the regression net changes the detection net's errors."""
    clauses = []
    for source in sources:
        for group in grouped([source]):
            ours, detector = group.errors(DEFAULT), group.errors("detector_fallback_px")
            changes = [
                _change(ours["all"][key] / detector["all"][key] - 1) for key in ("median", "mean")
            ]
            data = SHORT[group.results[0]["dataset"]]
            clauses.append(f"{changes[0]} and {changes[1]} on {data} ({group.label})")
    return wrapped(
        "The regression net changes the detection net's median and mean error by "
        f"{joined(clauses)}."
    )


def _change(share: float) -> str:
    """Formats a relative change, such as "-13.2 %"."""
    return f"{100 * share:+.1f} %"
