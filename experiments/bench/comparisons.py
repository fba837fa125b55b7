"""Timed cases -> the pairs that are compared, and the ratios of their times.

Where the opponent is the better of several cases, the ratio is the smallest of the ratios over each
of them, with its own interval. To choose the opponent by its median over all blocks, and then
compare within blocks, would mix two statistics.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from experiments.bench.cases import PEERS, Case
from jaxpose.cost.ratios import compare_with_better
from jaxpose.cost.timing import Visit

REFERENCES = ("full", "thin")
"""Variants that every other one is compared with: the paper's predecessor, and the same weights in
3x3x3 kernels."""
PYTORCH = ("torch_eager", "torch_compile")
"""PyTorch's two usual modes; the better of them is the opponent."""
FASTER = (("bfloat16", "float32"), ("tf32", "float32"))
"""Pairs of types that are compared within a lowering."""

Visits = Mapping[str, Sequence[Visit]]
"""Name of a case -> its visits."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A comparison of the case `of` with the better of the cases `over`."""

    of: Case
    over: tuple[Case, ...]


def ratio(comparison: Comparison, visits: Visits) -> dict | None:
    """Returns an entry of the result's `ratios`; None if no block has both sides.

    Its `among` names all opponents where there are several.
    """
    names = [case.name for case in comparison.over]
    compared = compare_with_better(
        _untwinned(visits[comparison.of.name]), {name: _untwinned(visits[name]) for name in names}
    )
    if compared is None:
        return None
    over, values = compared
    rounded = {
        key: [round(x, 4) for x in value] if isinstance(value, tuple) else value and round(value, 4)
        for key, value in values._asdict().items()
    }
    among = {"among": names} if len(names) > 1 else {}
    return {"of": comparison.of.name, "over": over, **among, **rounded}


def _untwinned(visits: Sequence[Visit]) -> list[Visit]:
    """Returns the visits without the second ones of a control."""
    return [visit for visit in visits if not visit.twin]


def comparisons(cases: Sequence[Case], median_ms: Mapping[str, float]) -> list[Comparison]:
    """Returns all comparisons of the report, each once.

    They are: every variant with `REFERENCES`, within a lowering and a type, and the best of one
    with the best of the other; our lowerings with JAX's own convolution; types within a lowering,
    and the best of one with the best of the other; a recorded program with the jitted net; our
    fastest of every type with every peer, and with the better of PyTorch's two usual modes.
    """
    by_task: dict[tuple, list[Case]] = {}
    for case in cases:
        by_task.setdefault(case.task, []).append(case)
    pairs = []
    for (net, variant, what, batch), same in by_task.items():
        for reference in REFERENCES:
            if variant not in ("", "full", reference):
                theirs = by_task.get((net, reference, what, batch), [])
                pairs += _of_variants(same, theirs, median_ms)
        pairs += _of_lowerings(same)
        pairs += _of_types(same, median_ms)
        for dtype in dict.fromkeys(case.dtype for case in ours(same)):
            pairs += _with_peers(same, dtype, median_ms)
    return list(dict.fromkeys(pairs))


def _of_variants(
    same: list[Case], theirs: list[Case], median_ms: Mapping[str, float]
) -> Iterator[Comparison]:
    for case in same:
        yield from (
            Comparison(case, (other,))
            for other in theirs
            if computed_by(case) == computed_by(other)
        )
    for dtype in dict.fromkeys(case.dtype for case in ours(same)):
        opponents = tuple(case for case in ours(theirs) if case.dtype == dtype)
        if opponents:
            yield Comparison(best(ours(same), dtype, median_ms), opponents)


def _of_lowerings(same: list[Case]) -> Iterator[Comparison]:
    for case in ours(same):
        for other in ours(same):
            if other.lowering == "conv3d" != case.lowering and case.dtype == other.dtype:
                yield Comparison(case, (other,))
            alike = dataclasses.replace(case, dtype=other.dtype) == other
            if alike and (case.dtype, other.dtype) in FASTER:
                yield Comparison(case, (other,))
            jitted = dataclasses.replace(case, implementation="jaxpose")
            if case.implementation == "jaxpose_program" and other == jitted:
                yield Comparison(case, (other,))


def _of_types(same: list[Case], median_ms: Mapping[str, float]) -> Iterator[Comparison]:
    dtypes = {case.dtype for case in ours(same)}
    for dtype, other in FASTER:
        if {dtype, other} <= dtypes:
            fastest, over = (best(ours(same), name, median_ms) for name in (dtype, other))
            yield Comparison(fastest, (over,))


def _with_peers(
    same: list[Case], dtype: str, median_ms: Mapping[str, float]
) -> Iterator[Comparison]:
    fastest = best(ours(same), dtype, median_ms)
    peers = [case for case in same if case.implementation in PEERS and case.dtype == dtype]
    yield from (Comparison(fastest, (peer,)) for peer in peers)
    pytorch = tuple(peer for peer in peers if peer.implementation in PYTORCH)
    if len(pytorch) > 1:
        yield Comparison(fastest, pytorch)


def computed_by(case: Case) -> tuple[str, str, str]:
    """Returns (implementation, lowering, type), all that says how a case is computed."""
    return case.implementation, case.lowering, case.dtype


def ours(cases: Sequence[Case]) -> list[Case]:
    """Returns the cases that run JAX, those with its own 3-D convolution included."""
    return [case for case in cases if case.implementation not in PEERS]


def best(cases: Sequence[Case], dtype: str, median_ms: Mapping[str, float]) -> Case:
    """Returns the case of a type with the lowest median."""
    return min((c for c in cases if c.dtype == dtype), key=lambda case: median_ms[case.name])
