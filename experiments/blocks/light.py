"""A result of `experiments.light` -> accuracy and pace of nets for real time."""

from collections.abc import Sequence

from experiments.bench.render import ms
from experiments.blocks.source import Source, of_each, wrapped
from experiments.table1 import table


def light(sources: Sequence[Source]) -> str:
    """Returns a table with a row per model, and a sentence, for every file.

    Raises:
      ConfigError: a file is damaged.
    """
    return of_each(sources, _of, "experiments.light")


def _of(result: dict) -> str:
    header = ["detection, regression", "parameters", "GMAC per frame", "RMSD median / mean, px"]
    header += ["missed", "change of the mean (95 %)", "ms per frame, median / p99", "waits for"]
    rows, choice = [], result["choice"]
    for row in result["rows"]:
        error, (low, high) = row["rmsd_fallback_px"]["all"], row["change"]["interval"]
        wait_ms = 1e3 * (row["clip_frames"] // 2) * (row["frame_interval_s"] or 0.0)
        nets = zip((row["detection"], row["variant"]), row["widths"], strict=True)
        mark = "**" if choice and row["model"] == choice["model"] else ""
        rows.append(
            [
                mark + ", ".join(f"{net} {width:g}" for net, width in nets) + mark,
                f"{row['parameters']:,}",
                f"{row['macs_nominal'] / 1e9:.2f}",
                f"{error['median']:.2f} / {error['mean']:.2f}",
                f"{100 * row['missed_rate']:.1f} %",
                f"{100 * row['change']['mean']:+.1f} % ({100 * low:+.1f} to {100 * high:+.1f})"
                if rows
                else "",
                f"{ms(row['frame_ms']['median'])} / {ms(row['frame_ms']['p99'])}",
                f"{wait_ms:.0f} ms" if wait_ms else "nothing",
            ]
        )
    first = result["rows"][0]
    busy = ", while the machine was busy" if result["loaded"] else ""
    rows_cols = first["grid"]
    return table(header, rows) + wrapped(
        f"One training each, equal steps; {first['infants']} simulated infants that none has "
        f"seen, n = {first['n_frames']} frames, grid {rows_cols[1]}x{rows_cols[0]}, px of 128x96, "
        "missing joints at their fallback; the interval is about other infants, not about other "
        f"trainings. Times: {first['frame_ms']['n']} frames of 640x480 in memory to their poses, "
        f"{result['cores']} cores ({result['cpu']}, {result['instruction_set']}), float32, "
        f"commit {result['commit']}{busy}.{_rule(choice)}"
    )


def _rule(choice: dict | None) -> str:
    """Returns a sentence on how the bold row was chosen; none where nothing was to be chosen."""
    if choice is None:
        return ""
    within = f"at most {choice['within_ms']:g} ms at the 99th percentile"
    if choice["model"] is None:
        return f" None but the first takes {within}: no net is chosen."
    return (
        f" Chosen, in bold: the lowest mean error of the nets after the first that take {within}."
    )
