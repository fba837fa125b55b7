"""Results of the benchmark -> a table of the regression nets against each other."""

from collections.abc import Iterator, Sequence

from experiments.bench import stored
from experiments.bench.cases import USED, Case
from experiments.bench.comparisons import REFERENCES
from experiments.bench.render import interval, ms, speedup
from experiments.blocks.costs import WHATS, size
from experiments.blocks.source import Source
from experiments.config import ConfigError
from experiments.table1 import table

NETS = ("full", "asy", "thin")
"""Regression nets with a column of times."""


def nets(sources: Sequence[Source]) -> str:
    """Returns a table of median times per net, with the speed-up of asy over full and thin.

    It has a row per operation, batch, type and implementation that runs on the platform.

    Raises:
      ConfigError: there is no file, or one is damaged.
    """
    results = [stored.load(path) for source in sources for path in source.paths]
    if not results:
        raise ConfigError("the table `nets` names no file; expected results of experiments.bench")
    over = [f"speed-up of asy over {name} (95 %)" for name in REFERENCES]
    header = ["median ms", *NETS, *over]
    rows = []
    for result in results:
        device = result["cpu"] if result["platform"] == "cpu" else result["device"]
        rows.append([f"**{device}, {size(result)}**", *[""] * (len(header) - 1)])
        rows += _lines(result)
    return table(header, rows)


def _lines(result: dict) -> Iterator[list[str]]:
    """Yields the cells of every row of one result."""
    times = {Case.of_row(row).name: row["median_ms"] for row in result["rows"]}
    ratios = {(one["of"], one["over"]): one for one in result["ratios"] if "chosen" not in one}
    for row in result["rows"]:
        if row["net"] != "regression" or row["variant"] != "asy":
            continue
        if row["implementation"] not in USED[result["platform"]]:
            continue
        asy = Case.of_row(row).name
        names = {net: asy.replace(" asy ", f" {net} ") for net in NETS}
        found = [ratios.get((asy, names[net])) for net in REFERENCES]
        clips = f"{row['batch']} clip" + "s" * (row["batch"] > 1)
        yield [
            f"{WHATS[row['what']]}, {clips}, {row['dtype']}",
            *(ms(times.get(name)) for name in names.values()),
            *(f"{speedup(ratio)} ({interval(ratio)})" if ratio else "" for ratio in found),
        ]
