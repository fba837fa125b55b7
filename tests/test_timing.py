"""The timing harness with a clock of its own: the calls that it reports are those it made."""

import numpy as np
import pytest

from jaxpose.cost.ratios import (
    P90_CALLS,
    P95_CALLS,
    compare,
    compare_with_better,
    control_spread,
    summarise,
)
from jaxpose.cost.timing import POOL, Pace, Timed, Visit, run_block, warm_up


class Bench:
    """Subjects that take a known time by a clock that only they advance, and a log of calls."""

    def __init__(self, **takes: float):
        self.now, self.log, self.takes = 0.0, [], takes
        self.timed = {name: Timed(self.subject(name), lambda: self.now) for name in takes}

    def subject(self, name: str):
        def call(k: int):
            self.log.append((name, k))
            self.now += self.takes[name]

        return call

    def visit(self, name: str, calls: int):
        return self.timed[name].visit(calls)


def blocks(bench: Bench, count: int, *, pace: Pace, controls=(), seed: int = 0) -> list[Visit]:
    rng = np.random.default_rng(seed)
    return [
        visit
        for number in range(count)
        for visit in run_block(
            bench.visit,
            dict(bench.takes),
            controls,
            process=0,
            block=number,
            pace=pace,
            rng=rng,
        )
    ]


def test_exactly_the_calls_that_are_reported_are_made_in_the_order_that_is_reported():
    bench = Bench(quick=0.125, slow=4.0)
    pace = Pace(visit_s=0.5, most_calls=10)
    visits = blocks(bench, 3, pace=pace, controls=["quick"])
    expected = []
    for visit in visits:
        # 0.5 s hold four calls of quick, slow has one; another one before them is kept apart
        calls = {"quick": 1 + 4, "slow": 1 + 1}[visit.subject]
        assert visit.seconds == (bench.takes[visit.subject],) * (calls - 1)
        assert visit.after_pause == bench.takes[visit.subject]
        expected += [visit.subject] * calls
    assert [name for name, _ in bench.log] == expected
    assert [v.position for v in visits] == [0, 1, 2] * 3
    assert sorted((v.subject, v.twin) for v in visits[:3]) == [
        ("quick", False), ("quick", True), ("slow", False),
    ]  # fmt: skip
    assert bench.now == sum(bench.takes[name] for name in expected)


def test_inputs_are_taken_in_turn():
    bench = Bench(a=1.0)
    bench.timed["a"].visit(POOL + 3)
    assert [k for _, k in bench.log] == [*range(POOL), 0, 1, 2]


def test_blocks_come_in_orders_that_the_seed_draws():
    def orders(seed):
        bench = Bench(**{name: 1.0 for name in "abcdef"})
        visits = blocks(bench, 4, pace=Pace(), seed=seed)
        return [tuple(v.subject for v in visits[6 * k : 6 * k + 6]) for k in range(4)]

    assert orders(0) == orders(0) != orders(1)
    assert len(set(orders(0))) == 4 and all(sorted(o) == list("abcdef") for o in orders(0))


def test_warming_up_ends_when_three_medians_agree_or_the_time_is_up():
    settling = iter([5.0, 3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    taken = []

    def visit(calls):
        taken.append([next(settling) for _ in range(calls)])
        return taken[-1]

    assert warm_up(visit, most_s=100.0) == 1.0
    assert taken == [[5.0], [3.0, 2.0, 2.0], [1.0] * 3, [1.0] * 3, [1.0] * 3]
    assert warm_up(lambda calls: [7.0] * calls, most_s=5.0) == 7.0


def visits(name: str, medians: dict[tuple[int, int], float], twin: bool = False) -> list[Visit]:
    return [Visit(name, p, b, 0, twin, (s, s, 9 * s)) for (p, b), s in medians.items()]


def test_a_ratio_has_both_forms_and_is_taken_within_blocks():
    # the machine slows down by 10 in the second process, which changes neither ratio
    old = visits("old", {(0, 0): 2.0, (0, 1): 2.0, (1, 0): 20.0, (2, 0): 5.0})
    new = visits("new", {(0, 0): 1.0, (0, 1): 1.0, (1, 0): 10.0})
    ratio = compare(new, old)
    assert ratio.speedup == pytest.approx(2) and ratio.reduction == pytest.approx(0.5)
    assert ratio.interval == pytest.approx((2, 2)) and ratio.blocks == 3
    back = compare(old, new)
    assert back.speedup == pytest.approx(0.5) and back.reduction == pytest.approx(-1)


def test_the_interval_holds_the_ratio_and_widens_with_what_processes_differ_by():
    base = visits("base", {(p, b): 1.0 for p in range(5) for b in range(4)})
    near = visits("near", {(p, b): 1.0 + 0.01 * p for p in range(5) for b in range(4)})
    far = visits("far", {(p, b): 1.0 + 0.1 * p for p in range(5) for b in range(4)})
    narrow, wide = compare(base, near), compare(base, far)
    for ratio in (narrow, wide):
        assert ratio.interval[0] < ratio.speedup < ratio.interval[1]
        assert ratio.reduction_interval[0] < ratio.reduction < ratio.reduction_interval[1]
    assert np.diff(wide.interval) > 5 * np.diff(narrow.interval)
    assert compare(base, visits("other", {(7, 0): 1.0})) is None


def test_a_ratio_from_one_process_has_no_interval():
    base = visits("base", {(0, b): 1.0 for b in range(4)})
    ratio = compare(base, visits("slow", {(0, b): 2.0 + b for b in range(4)}))
    assert ratio.speedup == pytest.approx(120**0.25)  # 2 x 3 x 4 x 5
    assert ratio.interval is ratio.reduction_interval is None
    assert (ratio.blocks, ratio.processes) == (4, 1)
    # one was timed in two processes, but both in one alone
    assert compare(base, visits("slow", {(0, 0): 2.0, (1, 0): 2.0})).interval is None


def test_a_summary_counts_calls_blocks_and_processes():
    summary = summarise(visits("a", {(0, 0): 1.0, (0, 1): 1.0, (1, 0): 1.0}))
    assert (summary.n, summary.blocks, summary.processes, summary.median_ms) == (9, 3, 2, 1000)
    one = summarise([Visit("a", 0, 0, 0, False, tuple(n / 1000 for n in range(1, 102)))])
    assert one[:4] == pytest.approx((51, 91, 96, 50))


@pytest.mark.parametrize(
    "calls, p90, p95",
    [
        (P90_CALLS - 1, False, False),
        (P90_CALLS, True, False),
        (P95_CALLS - 1, True, False),
        (P95_CALLS, True, True),
    ],
)
def test_a_percentile_needs_two_calls_above_it(calls, p90, p95):
    summary = summarise([Visit("a", 0, 0, 0, False, (1.0,) * calls)])
    assert (summary.p90_ms is not None, summary.p95_ms is not None) == (p90, p95)
    assert (P90_CALLS * 0.1, P95_CALLS * 0.05) == (2, 2)


def test_the_better_of_two_is_the_one_with_the_smaller_ratio():
    def one_call_a_block(name: str, *seconds: float) -> list[Visit]:
        return [Visit(name, k // 3, k % 3, 0, False, (s,)) for k, s in enumerate(seconds)]

    ours = one_call_a_block("ours", 1, 1, 1, 1, 1, 1)
    # the lower median of all calls, but two blocks of six in which it takes far longer
    uneven = one_call_a_block("uneven", 12, 1.1, 1.1, 12, 1.1, 1.1)
    even = one_call_a_block("even", 1.5, 1.5, 1.5, 1.7, 1.7, 1.7)
    assert summarise(uneven).median_ms < summarise(even).median_ms
    name, ratio = compare_with_better(ours, {"uneven": uneven, "even": even})
    assert (name, ratio) == ("even", compare(ours, even))
    assert ratio.speedup == pytest.approx((1.5 * 1.7) ** 0.5)
    assert ratio.speedup < compare(ours, uneven).speedup
    assert compare_with_better(ours, {"elsewhere": visits("b", {(9, 0): 1.0})}) is None


def test_the_call_after_a_pause_is_summarised_apart():
    firsts = [
        Visit("a", 0, b, 0, False, (1.0, 1.0), after_pause=p) for b, p in enumerate((3, 2, 9))
    ]
    assert (summarise(firsts).median_ms, summarise(firsts).after_pause_ms) == (1000, 3000)


def test_the_spread_of_a_control_is_what_it_differs_from_itself_by():
    twice = visits("a", {(0, 0): 1.0, (0, 1): 1.0})
    assert control_spread(twice) is None
    twice += visits("a", {(0, 0): 1.1, (0, 1): 1.1}, twin=True)
    assert control_spread(twice) == pytest.approx(0.1)
