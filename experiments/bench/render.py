"""A benchmark's result -> the name of its files, and their text: CSV and Markdown."""

import csv
import io
from collections.abc import Iterator, Sequence

from experiments.table1 import table

HEADER = ["case", "median ms", "p90", "p95", "IQR", "n", "after a pause", "of roofline"]
HEADER += ["compile s"]
"""Columns of the table of cases."""
RATIOS = ["of", "over", "speed-up t_over / t_of", "95 %", "reduction 1 - t_of / t_over"]
RATIOS += ["blocks in processes"]
"""Columns of the table of ratios."""


def stem(result: dict) -> str:
    """Returns the name of a result's files: bench-paper-cpu-AVX-512_AMX-float32-jax0.10.2."""
    dtypes = "+".join(dict.fromkeys(row["dtype"] for row in result["rows"])) or "none"
    whats = {row["what"] for row in result["rows"]}
    parts = ["bench", result["size"]]
    if whats == {"train_step"}:
        parts.append("training")
    if result["platform"] == "cpu":
        parts += ["cpu", result["isa"] or "unknown"]
    else:
        parts += [result["device"] or "none", result["platform"] or "none"]
    parts += [dtypes, f"jax{result['versions']['jax']}"]
    if any(row["implementation"].startswith("torch") for row in result["rows"]):
        parts.append(f"torch{result['versions']['torch'].split('+')[0]}")
    return "-".join(parts).replace(" ", "_")


def as_csv(rows: list[dict]) -> str:
    """Formats rows as CSV; a cell without a value is empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(result: dict) -> str:
    """Formats all tables of a result."""
    parts = [f"# {stem(result)}\n", *warnings(result), machine(result)]
    parts += [f"**A worker ended:** {death['message']}.\n" for death in result["deaths"]]
    for name, spread in result["control_spread"].items():
        parts.append(f"A/A control {name}: differences below {100 * spread:.1f} % are noise.\n")
    parts.append(table(HEADER, [case_line(row) for row in result["rows"]]))
    parts.append(table(RATIOS, [ratio_line(ratio) for ratio in result["ratios"]]))
    if result["bars"]:
        lines = [
            [ours(b), opponent(b), speedup(b), interval(b), f"{b['must']}", f"{b['aim']}", b["met"]]
            for b in result["bars"]
        ]
        parts.append(table(["of", "over", "speed-up", "95 %", "must", "aim", "met"], lines))
    if result["limits"]:
        lines = [
            [x["of"], ms(x["median_ms"]), f"{x['must_ms']:g}", f"{x['aim_ms']:g}", x["met"]]
            for x in result["limits"]
        ]
        parts.append(table(["of", "median ms", "must", "aim", "met"], lines))
    if result["predictions"]:
        lines = [prediction_line(prediction) for prediction in result["predictions"]]
        parts.append(table(["prediction", "value", "measured", "off by"], lines))
    parts += [f"skipped: {name}: {reason}\n" for name, reason in result["skipped"].items()]
    return "\n".join(parts)


def warnings(result: dict) -> Iterator[str]:
    """Yields the reasons why numbers of the result are not reliable."""
    if result["loaded"]:
        yield "**Measured while the machine was busy: not to be relied on.**\n"
    if result["dirty"]:
        yield "**Measured from files that differ from the commit.**\n"
    over = [row for row in result["rows"] if (row.get("roofline_share") or 0) > 1]
    if over:
        yield (
            f"**{len(over)} of {len(result['rows'])} cases are above the roofline: the measured "
            "ceilings are too low.**\n"
        )


def machine(result: dict) -> str:
    """Describes hardware, ceilings, commit and duration in a sentence."""
    rates = {k: result["ceilings"].get(k, 0) / 1e9 for k in ("float32", "bfloat16", "bytes")}
    ceilings = f"{rates['float32']:.0f} GFLOP/s (float32 product), "
    if any(row["dtype"] == "bfloat16" for row in result["rows"]):
        ceilings += f"{rates['bfloat16']:.0f} GFLOP/s (bfloat16 product), "
    isa = f" ({result['isa']})" if result["isa"] else ""
    date = f"{result['date']}, " if result["date"] else ""
    again = result.get("derived_again")
    again = f" Ratios were derived again from the stored calls on {again}." if again else ""
    commit = f"commit {result['commit']}" if result["commit"] else "no commit"
    return (
        f"{result['cpu']}{isa}, {result['cores']} cores, {result['device']}; ceilings {ceilings}"
        f"{rates['bytes']:.1f} GB/s (copy). {date}{commit}, {result['processes']} fresh processes, "
        f"{result['seconds'] / 60:.1f} minutes.{again}\n"
    )


def case_line(row: dict) -> list[str]:
    """Returns the cells of one case, under `HEADER`."""
    parts = ("net", "variant", "what", "batch", "implementation", "lowering", "dtype")
    share, compile_s = row.get("roofline_share"), row["compile_s"]
    return [
        " ".join(str(row[part]) for part in parts if row[part] != ""),
        *(ms(row[key]) for key in ("median_ms", "p90_ms", "p95_ms", "iqr_ms")),
        f"{row['n']} in {row['processes']}",
        ms(row["after_pause_ms"]),
        "" if share is None else f"{100 * share:.0f} %",
        "" if compile_s is None else f"{compile_s:.1f}",
    ]


def ratio_line(ratio: dict) -> list[str]:
    """Returns the cells of one ratio, under `RATIOS`."""
    return [
        ours(ratio),
        opponent(ratio),
        speedup(ratio),
        interval(ratio),
        f"{100 * ratio['reduction']:.0f} %",
        f"{ratio['blocks']} in {ratio['processes']}",
    ]


def prediction_line(prediction: dict) -> list[str]:
    """Returns the cells of one prediction."""
    return [
        f"{prediction['what']} {prediction['lowering']}".strip(),
        f"{prediction['predicted']:g}",
        f"{prediction['measured']:g}",
        f"{100 * prediction['error']:+.0f} %" + (", missed" if prediction["missed"] else ""),
    ]


def ours(ratio: dict) -> str:
    """Names the first side of a ratio; of several, the fastest by all blocks."""
    return _of_several(ratio["of"], ratio.get("candidates", ()))


def _of_several(name: str, names: Sequence[str]) -> str:
    return f"{name}, the best of {len(names)}" if names else name


def opponent(ratio: dict) -> str:
    """Names the opponent in a ratio; of several, the fastest by all blocks."""
    return _of_several(ratio["over"], ratio.get("among", ()))


def speedup(ratio: dict) -> str:
    """Formats the speed-up of a ratio."""
    return f"{ratio['speedup']:.2f}"


def interval(ratio: dict) -> str:
    """Formats the 95 % interval of a ratio; without one, says what there was too little of."""
    if ratio["interval"] is None:
        return "one process" if ratio["processes"] == 1 else f"{ratio['blocks']} blocks"
    return "{:.2f} to {:.2f}".format(*ratio["interval"])


def ms(value: float | None) -> str:
    """Formats milliseconds with three digits; empty for None."""
    if value is None:
        return ""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
