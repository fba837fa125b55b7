"""Timed cases -> the pairs that are compared, and the ratios of their times.

Where one side is the fastest of several cases, both are chosen in other blocks than those in which
they are compared: see `jaxpose.cost.ratios.compare_best`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from experiments.bench.cases import PEERS, Case
from jaxpose.cost.ratios import compare_best
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
    """A comparison of the fastest of the cases `of` with the fastest of the cases `over`."""

    of: tuple[Case, ...]
    over: tuple[Case, ...]


def ratio(comparison: Comparison, visits: Visits) -> dict | None:
    """Returns an entry of the result's `ratios`; None if no block can be compared.

    Where a side has several cases, its `candidates` or `among` name them, and `chosen` has the pair
    that was chosen in even blocks and compared in odd ones, and the reverse.
    """
    of, over = (
        {case.name: _untwinned(visits[case.name]) for case in side}
        for side in (comparison.of, comparison.over)
    )
    contest = compare_best(of, over)
    if contest is None:
        return None
    rounded = {
        key: [round(x, 4) for x in value] if isinstance(value, tuple) else value and round(value, 4)
        for key, value in contest.ratio._asdict().items()
    }
    several = {"candidates": [*of]} if len(of) > 1 else {}
    several |= {"among": [*over]} if len(over) > 1 else {}
    chosen = {"chosen": [list(pair) for pair in contest.chosen]} if contest.chosen else {}
    return {"of": contest.of, "over": contest.over, **several, **chosen, **rounded}


def _untwinned(visits: Sequence[Visit]) -> list[Visit]:
    """Returns the visits without the second ones of a control."""
    return [visit for visit in visits if not visit.twin]


def comparisons(cases: Sequence[Case]) -> list[Comparison]:
    """Returns all comparisons of the report, each once.

    They are: every variant with `REFERENCES`, within a lowering and a type, and the best of one
    with the best of the other; our lowerings with JAX's own convolution; types within a lowering,
    and the best of one with the best of the other; a recorded program with the jitted net; our
    fastest of every type with every peer, with the better of PyTorch's two usual modes, and with
    the best of all peers.
    """
    by_task: dict[tuple, list[Case]] = {}
    for case in cases:
        by_task.setdefault(case.task, []).append(case)
    pairs = []
    for (net, variant, what, batch), same in by_task.items():
        for reference in REFERENCES:
            if variant not in ("", "full", reference):
                pairs += _of_variants(same, by_task.get((net, reference, what, batch), []))
        pairs += _of_lowerings(same)
        pairs += _of_types(same)
        for dtype in dict.fromkeys(case.dtype for case in ours(same)):
            pairs += _with_peers(same, dtype)
    return list(dict.fromkeys(pairs))


def _of_variants(same: list[Case], theirs: list[Case]) -> Iterator[Comparison]:
    for case in same:
        yield from (
            Comparison((case,), (other,))
            for other in theirs
            if computed_by(case) == computed_by(other)
        )
    for dtype in dict.fromkeys(case.dtype for case in ours(same)):
        if opponents := of_type(ours(theirs), dtype):
            yield Comparison(of_type(ours(same), dtype), opponents)


def _of_lowerings(same: list[Case]) -> Iterator[Comparison]:
    for case in ours(same):
        for other in ours(same):
            if other.lowering == "conv3d" != case.lowering and case.dtype == other.dtype:
                yield Comparison((case,), (other,))
            alike = dataclasses.replace(case, dtype=other.dtype) == other
            if alike and (case.dtype, other.dtype) in FASTER:
                yield Comparison((case,), (other,))
            jitted = dataclasses.replace(case, implementation="jaxpose")
            if case.implementation == "jaxpose_program" and other == jitted:
                yield Comparison((case,), (other,))


def _of_types(same: list[Case]) -> Iterator[Comparison]:
    dtypes = {case.dtype for case in ours(same)}
    for pair in FASTER:
        if {*pair} <= dtypes:
            yield Comparison(*(of_type(ours(same), dtype) for dtype in pair))


def _with_peers(same: list[Case], dtype: str) -> Iterator[Comparison]:
    fastest = candidates(same, dtype)
    peers = of_type((case for case in same if case.implementation in PEERS), dtype)
    yield from (Comparison(fastest, (peer,)) for peer in peers)
    pytorch = tuple(peer for peer in peers if peer.implementation in PYTORCH)
    if len(pytorch) > 1:
        yield Comparison(fastest, pytorch)
    if len(peers) > 1:
        yield Comparison(fastest, peers)


def computed_by(case: Case) -> tuple[str, str, str]:
    """Returns (implementation, lowering, type), all that says how a case is computed."""
    return case.implementation, case.lowering, case.dtype


def ours(cases: Sequence[Case]) -> list[Case]:
    """Returns the cases that run JAX, those with its own 3-D convolution included."""
    return [case for case in cases if case.implementation not in PEERS]


def candidates(cases: Sequence[Case], dtype: str) -> tuple[Case, ...]:
    """Returns our cases of a type that compete with peers.

    JAX's own 3-D convolution is among them only where nothing else of ours was timed.
    """
    every = of_type(ours(cases), dtype)
    return tuple(case for case in every if case.implementation != "jax_conv3d") or every


def of_type(cases: Iterable[Case], dtype: str) -> tuple[Case, ...]:
    """Returns the cases of a type."""
    return tuple(case for case in cases if case.dtype == dtype)
