"""Timed cases -> the targets of the study, each with what was reached."""

from collections.abc import Sequence

from experiments.bench.cases import OURS, Case
from experiments.bench.comparisons import Comparison, Visits, candidates, of_type, ours, ratio
from experiments.bench.expected import BARS, LIMITS


def bars(cases: Sequence[Case], visits: Visits, size: str, isa: str | None) -> list[dict]:
    """Returns the targets of the study, each with the ratio that was reached.

    That is of our fastest case over the best of the opponents. The least upper limit over any one
    of them, `upper`, decides whether the target was missed.
    """
    entries = []
    for bar in BARS.get(size, ()):
        same = [c for c in cases if c.task == bar.task]
        mine = candidates(same, bar.dtype)
        if bar.over == OURS:
            opponents = of_type(ours(same), bar.over_dtype)
        else:
            named = (c for c in same if c.implementation in bar.over)
            opponents = of_type(named, bar.over_dtype)
        if not mine or not opponents or not bar.exists(isa):
            continue
        reached = ratio(Comparison(mine, opponents), visits)
        each = [ratio(Comparison(mine, (opponent,)), visits) for opponent in opponents]
        if reached is None:
            continue
        upper = min((one["interval"] or [one["speedup"]])[-1] for one in each if one)
        met = "aim" if reached["speedup"] >= bar.aim else "must"
        met = met if upper >= bar.must else "missed"
        entries.append({"must": bar.must, "aim": bar.aim, "met": met, "upper": upper, **reached})
    return entries


def limits(rows: Sequence[dict], size: str, isa: str | None) -> list[dict]:
    """Returns the targets in ms, each with the median of our fastest case, as rows of a result."""
    entries = []
    for limit in LIMITS.get(size, ()):
        timed = [
            (row["median_ms"], case.name)
            for row in rows
            if (case := Case.of_row(row)).task == limit.task
            and case.dtype == limit.dtype
            and case.implementation in OURS
        ]
        if not timed or not limit.exists(isa):
            continue
        median_ms, name = min(timed)
        met = "aim" if median_ms <= limit.aim_ms else "must"
        met = met if median_ms <= limit.must_ms else "missed"
        values = {"must_ms": limit.must_ms, "aim_ms": limit.aim_ms, "met": met}
        entries.append({"of": name, "median_ms": median_ms, **values})
    return entries
