"""A result of `experiments.precisions` -> what a precision costs in accuracy."""

from collections.abc import Sequence

from experiments.blocks.source import Source, joined, of_each, wrapped
from experiments.table1 import table


def precisions(sources: Sequence[Source]) -> str:
    """Returns a table of errors by runtime and precision, and a sentence, for every file.

    Raises:
      ConfigError: a file is damaged.
    """
    return of_each(sources, _of, "experiments.precisions")


def _of(result: dict) -> str:
    header = ["runtime, precision", "RMSD median / mean, px", "missed", "hidden, yet found"]
    header.append("change of the mean per infant, px (95 %)")
    rows = []
    for row in result["rows"]:
        error, change = row["rmsd_fallback_px"]["all"], row["change_px"]
        low, high = change["interval"]
        hidden = row["hidden_found_rate"]
        rows.append(
            [
                f"{row['runtime']}, {row['precision']}",
                f"{error['median']:.3f} / {error['mean']:.3f}",
                f"{100 * row['missed_rate']:.1f} %",
                "" if hidden is None else f"{100 * hidden:.0f} %",
                f"{change['mean']:+.3f} ({low:+.3f} to {high:+.3f})" if rows else "",
            ]
        )
    left_out = [f"{name} ({reason})" for name, reason in result["left_out"].items()]
    absent = f" Left out: {joined(left_out)}." if left_out else ""
    return table(header, rows) + wrapped(
        f"Model {result['model'][:12]}, {result['infants']} simulated infants that it has not "
        f"seen, n = {result['rows'][0]['n_frames']} frames, px of 128x96, "
        "missing joints at their fallback. "
        f"{result['cpu']}, {result['instruction_set']}, commit {result['commit']}.{absent}"
    )
