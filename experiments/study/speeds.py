"""Results of the benchmark -> what the factorisation saves in time, per runtime and precision."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from experiments.bench import stored


@dataclasses.dataclass(frozen=True)
class Saving:
    """The measured time of one net against another one, in one runtime.

    Attributes:
      where: CPU, size, implementation and type.
      reduction: 1 - new time / old time.
      interval: its 95 % interval; None where too few blocks were measured.
      file: name of the result file.
    """

    where: str
    reduction: float
    interval: tuple[float, float] | None
    file: str


def load(folder: Path) -> dict[str, dict]:
    """Reads all results of the benchmark in a folder: name of a file -> result.

    Raises:
      ConfigError: a file is damaged.
    """
    return {path.name: stored.load(path) for path in sorted(folder.glob("bench-*.json"))}


def savings(
    benchmarks: Mapping[str, dict], what: str, *, net: str = "regression", ours="asy", theirs="full"
) -> list[Saving]:
    """Returns the time of `ours` against `theirs`, for one kind of work: a `what` of the benchmark.

    Of our own implementation only the fastest lowering counts, which is the one that a run uses.
    """
    found = []
    for file, result in benchmarks.items():
        fastest = _fastest(result, net, ours, what)
        for ratio in result["ratios"]:
            words, over = ratio["of"].split(), ratio["over"].split()
            if words[:3] != [net, ours, what] or over[:3] != [net, theirs, what]:
                continue
            if words[3:] != over[3:] or words[4] == "jax_conv3d":
                continue
            if words[4] == "jaxpose" and words[5] != fastest.get((words[3], words[-1])):
                continue
            _, rows, columns = result["clip"]
            where = f"{result['cpu']}, {columns}x{rows}, {words[3]} clips, {words[4]} {words[-1]}"
            interval = ratio["reduction_interval"]
            found.append(Saving(where, ratio["reduction"], interval and tuple(interval), file))
    return found


def _fastest(result: dict, net: str, variant: str, what: str) -> dict[tuple[str, str], str]:
    """Returns our fastest lowering by (batch, type)."""
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for row in result["rows"]:
        if (row["net"], row["variant"], row["what"]) != (net, variant, what):
            continue
        if row["implementation"] == "jaxpose":
            key, value = (str(row["batch"]), row["dtype"]), (row["median_ms"], row["lowering"])
            best[key] = min(best.get(key, value), value)
    return {key: lowering for key, (_, lowering) in best.items()}


def sentence(found: Iterable[Saving]) -> str:
    """Says how much time is saved, from the least to the most, with intervals and n."""
    found = sorted(found, key=lambda one: one.reduction)
    if not found:
        return "not measured"
    least, most = found[0], found[-1]
    if len(found) == 1:
        return f"{_percent(least)} ({least.where})"
    return (
        f"from {_percent(least)} ({least.where}) to {_percent(most)} ({most.where}), "
        f"n = {len(found)} runtimes, types and sizes"
    )


def span(found: Iterable[Saving]) -> str:
    """Says how much time is saved in a clause: between which ends of intervals."""
    known = [one for one in found if one.interval is not None]
    if not known:
        return "not measured"
    least = min(one.interval[0] for one in known)
    most = max(one.interval[1] for one in known)
    return (
        f"between {-100 * least:+.0f} and {-100 * most:+.0f} % (outermost ends of the 95 % "
        f"intervals of {len(known)} measurements)"
    )


def _percent(one: Saving) -> str:
    text = f"{-100 * one.reduction:+.0f} %"
    if one.interval is None:
        return text
    low, high = (-100 * value for value in one.interval)
    return f"{text} [{high:+.0f} to {low:+.0f}]"
