"""Results of the benchmark -> what the factorisation saves in time, per runtime and precision."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from experiments.bench import stored
from experiments.bench.cases import OURS, USED, Case


@dataclasses.dataclass(frozen=True)
class Saving:
    """The measured time of one net against another one, in one runtime.

    Attributes:
      platform: "cpu" or "gpu".
      where: CPU or GPU, size, implementation and type.
      reduction: 1 - new time / old time.
      interval: its 95 % interval; None where too few blocks were measured.
      file: name of the result file.
    """

    platform: str
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

    Of our own implementations those count that are used on the platform, each with its fastest
    lowering.
    """
    found = []
    for file, result in benchmarks.items():
        fastest = _fastest(result, net, ours, what)
        platform, (_, rows, columns) = result["platform"], result["clip"]
        device = result["device"] if platform == "gpu" else result["cpu"]
        for ratio in result["ratios"]:
            if "chosen" in ratio:  # the fastest of several, each of which has a ratio of its own
                continue
            of, over = (ratio[side].split() for side in ("of", "over"))
            if of[:3] != [net, ours, what] or over[:3] != [net, theirs, what] or of[3:] != over[3:]:
                continue
            batch, implementation, dtype = of[3], of[4], of[-1]
            if implementation in OURS and ratio["of"] not in fastest:
                continue
            where = f"{device}, {columns}x{rows}, {batch} clips, {implementation} {dtype}"
            interval = ratio["reduction_interval"]
            found.append(
                Saving(platform, where, ratio["reduction"], interval and tuple(interval), file)
            )
    return found


def _fastest(result: dict, net: str, variant: str, what: str) -> set[str]:
    """Returns the names of our cases that a run may use, with the fastest lowering of each."""
    best: dict[tuple, tuple[float, str]] = {}
    for row in result["rows"]:
        case = Case.of_row(row)
        if (
            case.task[:3] == (net, variant, what)
            and case.implementation in USED[result["platform"]]
        ):
            key, value = (
                (case.batch, case.implementation, case.dtype),
                (row["median_ms"], case.name),
            )
            best[key] = min(best.get(key, value), value)
    return {name for _, name in best.values()}


def everywhere(found: Iterable[Saving], say: Callable[[Iterable[Saving]], str]) -> str:
    """Says something of CPUs and of GPUs apart, such as `sentence` or `span`."""
    found = list(found)
    names = {"cpu": "on CPUs", "gpu": "on GPUs"}
    measured = {p: [one for one in found if one.platform == p] for p in names}
    return "; ".join(
        f"{names[p]} {say(ones)}" for p, ones in measured.items() if ones or p == "cpu"
    )


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
    """Says how much time is saved in a clause: medians and intervals, least to most."""
    known = [one for one in found if one.interval is not None]
    return f"{_ends(known)}, n = {len(known)})" if known else "not measured"


def _ends(known: Sequence[Saving]) -> str:
    """Says between which ends savings with intervals are; a bracket is left open."""
    medians = [one.reduction for one in known]
    lows, highs = zip(*(one.interval for one in known), strict=True)
    return (
        f"between {-100 * min(medians):+.0f} and {-100 * max(medians):+.0f} % (medians, minus: "
        f"less time; 95 % intervals reach from {-100 * min(lows):+.0f} to {-100 * max(highs):+.0f}"
    )


def tally(found: Iterable[Saving], name: str) -> str:
    """Says in how many measurements a net takes longer, and in how many less, by their intervals.

    `name` is that of the net whose time is compared.
    """
    found = list(found)
    known = [one for one in found if one.interval is not None]
    if not known:
        return sentence(found)
    less = sum(one.interval[0] > 0 for one in known)
    more = sum(one.interval[1] < 0 for one in known)
    return (
        f"{name} took longer in {more}, less time in {less}, undecided in "
        f"{len(known) - less - more} of {len(known)} runtimes, types and sizes, {_ends(known)})"
    )


def _percent(one: Saving) -> str:
    text = f"{-100 * one.reduction:+.0f} %"
    if one.interval is None:
        return text
    low, high = (-100 * value for value in one.interval)
    return f"{text} [{high:+.0f} to {low:+.0f}]"
