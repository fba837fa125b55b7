"""What a benchmark found -> the names and texts of its files: CSV, and Markdown for people."""

import csv
import io

from experiments.table1 import table


def stem(result: dict) -> str:
    """Size, device, precisions and versions: bench-paper-cpu-float32-jax0.10.2-torch2.13.0."""
    dtypes = "+".join(dict.fromkeys(row["dtype"] for row in result["rows"])) or "none"
    parts = ["bench", result["size"], result["platform"] or "none", dtypes]
    parts.append(f"jax{result['versions']['jax']}")
    if any(row["implementation"].startswith("torch") for row in result["rows"]):
        parts.append(f"torch{result['versions']['torch'].split('+')[0]}")
    if result["platform"] not in ("cpu", None):
        parts.insert(2, result["device"].replace(" ", "_"))
    return "-".join(parts)


def as_csv(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def between(interval: list[float] | None) -> str:
    return "one process" if interval is None else "{:.2f} to {:.2f}".format(*interval)


def as_markdown(result: dict) -> str:
    """Tables for people."""
    parts = [f"# {stem(result)}\n"]
    if result["loaded"]:
        parts.append("**Measured while the machine was busy: not to be relied on.**\n")
    gemm, copy = (result["ceilings"].get(k, 0) / 1e9 for k in ("float32", "bytes"))
    parts.append(
        f"{result['cpu']}, {result['cores']} cores, {result['device']}; ceilings {gemm:.0f} "
        f"GFLOP/s (float32 matrix product), {copy:.1f} GB/s (copy). "
        f"{result['processes']} fresh processes, {result['seconds'] / 60:.1f} minutes.\n"
    )
    parts += [f"**A worker ended:** {death['said']}.\n" for death in result["deaths"]]
    for name, spread in result["control_spread"].items():
        parts.append(f"A/A control {name}: differences below {100 * spread:.1f} % are noise.\n")
    header = [
        "what",
        "median ms",
        "p90",
        "p95",
        "IQR",
        "n",
        "after a pause",
        "of roofline",
        "compile s",
        "MB",
    ]
    lines = [
        [
            " ".join(str(row[k]) for k in ("net", "variant", "what", "batch", "implementation",
                                           "lowering", "dtype") if row[k] != ""),
            *(f"{row[k]:.3g}" if row[k] < 100 else f"{row[k]:.0f}"
              for k in ("median_ms", "p90_ms", "p95_ms", "iqr_ms")),
            f"{row['n']} in {row['processes']}",
            f"{row['after_pause_ms']:.3g}" if row["after_pause_ms"] < 100
            else f"{row['after_pause_ms']:.0f}",
            f"{100 * row['roofline_share']:.0f} %" if "roofline_share" in row else "",
            f"{row['compile_s']:.1f}" if row["compile_s"] is not None else "",
            f"{row['temporary_mb'] or row['prepared_mb'] or 0:.0f}",
        ]
        for row in result["rows"]
    ]  # fmt: skip
    parts.append(table(header, lines))
    header = [
        "of",
        "over",
        "speed-up t_over / t_of",
        "95 %",
        "reduction 1 - t_of / t_over",
        "blocks in processes",
    ]
    lines = [
        [r["of"], r["over"], f"{r['speedup']:.2f}", between(r["interval"]),
         f"{100 * r['reduction']:.0f} %", f"{r['blocks']} in {r['processes']}"]
        for r in result["ratios"]
    ]  # fmt: skip
    parts.append(table(header, lines))
    if result["bars"]:
        lines = [
            [b["of"], b["over"], f"{b['speedup']:.2f}", between(b["interval"]),
             f"{b['must']}", f"{b['aim']}", b["met"]]
            for b in result["bars"]
        ]  # fmt: skip
        parts.append(table(["of", "over", "speed-up", "95 %", "must", "aim", "met"], lines))
    if result["predictions"]:
        lines = [
            [f"{p['what']} {p['lowering']}".strip(), f"{p['predicted']:g}", f"{p['measured']:g}",
             f"{100 * p['error']:+.0f} %" + (", missed" if p["missed"] else ""), p["explanation"]]
            for p in result["predictions"]
        ]  # fmt: skip
        parts.append(table(["predicted", "value", "measured", "off by", "why"], lines))
    parts += [f"skipped: {name}: {why}\n" for name, why in result["skipped"].items()]
    return "\n".join(parts)
