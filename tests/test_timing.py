"""The timing harness with a clock of its own: the calls that it reports are those it made."""

import math

import numpy as np
import pytest

from jaxpose.cost.ratios import (
    LEAST_BLOCKS,
    P90_CALLS,
    P95_CALLS,
    compare,
    compare_best,
    control_spread,
    summarise,
)
from jaxpose.cost.timing import POOL, WARM_CALLS, Pace, Timed, Visit, run_block, warm_up


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
            {name: pace.calls(seconds) for name, seconds in bench.takes.items()},
            controls,
            process=0,
            block=number,
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
    assert warm_up(lambda calls: [7.0] * calls, most_s=40.0) == 7.0


def test_a_slow_subject_is_called_four_times_before_it_is_timed_whatever_that_takes():
    taken = []

    def visit(calls):
        taken.append([3000.0, 2000.0, 1400.0, 1300.0][len(taken)])
        assert calls == 1
        return taken[-1:]

    assert warm_up(visit, most_s=1.0) == 1300.0 and len(taken) == WARM_CALLS == 4
    steady = []
    warm_up(lambda calls: steady.extend([0.1] * calls) or [0.1] * calls, most_s=0.0)
    assert len(steady) == WARM_CALLS


def test_a_visit_has_at_least_as_many_calls_as_are_asked_for():
    pace = Pace(visit_s=0.1, most_calls=10)
    assert [pace.calls(1.3), pace.calls(1.3, least=3), pace.calls(0.02, least=3)] == [1, 3, 5]


def visits(name: str, medians: dict[tuple[int, int], float], twin: bool = False) -> list[Visit]:
    return [Visit(name, p, b, 0, twin, (s, s, 9 * s)) for (p, b), s in medians.items()]


def test_a_ratio_has_both_forms_and_is_taken_within_blocks():
    # the machine slows down by 10 in the second process, which changes neither ratio
    shared = {(0, 0): 1.0, (0, 1): 1.0, (0, 2): 1.0, (1, 0): 10.0, (1, 1): 10.0, (1, 2): 10.0}
    new = visits("new", shared)
    old = visits("old", {block: 2 * s for block, s in shared.items()} | {(2, 0): 5.0})
    ratio = compare(new, old)
    assert ratio.speedup == pytest.approx(2) and ratio.reduction == pytest.approx(0.5)
    assert ratio.interval == pytest.approx((2, 2)) and ratio.blocks == 6
    back = compare(old, new)
    assert back.speedup == pytest.approx(0.5) and back.reduction == pytest.approx(-1)


def test_one_slow_call_among_eight_does_not_decide_a_ratio():
    # training steps of asy, ms, of two processes; the others had 174 ms in every block
    ms = dict(zip([(p, b) for p in (0, 1) for b in range(4)],
                  (170, 180, 161, 517, 164, 162, 171, 158), strict=True))  # fmt: skip
    ratio = compare(visits("ours", ms), visits("peer", dict.fromkeys(ms, 174.0)))
    middle = math.sqrt((174 / 164) * (174 / 170))
    assert ratio.speedup == pytest.approx(middle) and middle > 1.04
    assert math.exp(np.mean(np.log([174 / s for s in ms.values()]))) < 0.92  # the mean's verdict
    # of eight blocks the lowest and the highest: one rank less would be 93 %
    assert ratio.interval == pytest.approx((174 / 517, 174 / 158))


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


def test_a_ratio_from_one_process_or_from_five_blocks_has_no_interval():
    base = visits("base", {(0, b): 1.0 for b in range(8)})
    ratio = compare(base, visits("slow", {(0, b): 2.0 + b for b in range(8)}))
    assert ratio.speedup == pytest.approx(math.sqrt(5 * 6))  # 2 to 9
    assert ratio.interval is ratio.reduction_interval is None
    assert (ratio.blocks, ratio.processes) == (8, 1)
    # one was timed in two processes, but both in one alone
    assert compare(base, visits("slow", {(0, 0): 2.0, (1, 0): 2.0})).interval is None
    blocks = [(p, b) for p in (0, 1) for b in range(3)]
    six, five = (visits("a", dict.fromkeys(blocks[:n], 1.0)) for n in (LEAST_BLOCKS, 5))
    assert compare(six, six).interval == (1, 1) and compare(five, five).interval is None


def made_up(rng, blocks: tuple[int, int], *, process: float, slow: float) -> tuple:
    """Visits of two subjects with a true ratio of 1.2. Logarithms of block ratios have a standard
    deviation of 0.05, those of processes one of `process`; a share `slow` of visits takes two to
    five times as long."""
    sides = []
    shift = process * rng.standard_normal(blocks[0])
    for factor in (1.0, 1.2):
        noise = 0.05 / 2**0.5 * rng.standard_normal(blocks) + (factor > 1) * shift[:, None]
        noise += (rng.random(blocks) < slow) * np.log(rng.uniform(2, 5, blocks))
        sides.append([Visit("s", p, b, 0, False, (factor * math.exp(noise[p, b]),))
                      for p in range(blocks[0]) for b in range(blocks[1])])  # fmt: skip
    return sides


@pytest.mark.parametrize("blocks", [(2, 3), (2, 7)])
@pytest.mark.parametrize("process, slow, least", [(0, 0, 0.93), (0, 0.05, 0.93), (0.025, 0, 0.87)])
def test_intervals_hold_the_true_ratio_as_often_as_they_say(blocks, process, slow, least):
    """Of 150 ratios; the standard error of the share is 1.8 points. Where processes differ by half
    as much as blocks do, two or three of them are few: 9 in 10 was seen."""
    rng = np.random.default_rng(0)
    ratios = [compare(*made_up(rng, blocks, process=process, slow=slow)) for _ in range(150)]
    assert np.mean([r.interval[0] <= 1.2 <= r.interval[1] for r in ratios]) >= least
    # outliers move the middle by less than the blocks' own noise
    assert abs(np.median([math.log(r.speedup / 1.2) for r in ratios])) < 0.01


def test_a_choice_among_equals_does_not_favour_either_side():
    """Of four equal opponents the least ratio is below 1, that of a choice elsewhere is 1."""
    rng = np.random.default_rng(0)
    least, fair, held = [], [], []
    for _ in range(200):
        subjects = [made_up(rng, (2, 4), process=0, slow=0.05)[0] for _ in range(5)]
        ours, *others = subjects
        contest = compare_best({"ours": ours}, {str(k): one for k, one in enumerate(others)})
        least.append(math.log(min(compare(ours, one).speedup for one in others)))
        fair.append(math.log(contest.ratio.speedup))
        low, high = contest.ratio.interval
        held.append(low <= 1 <= high)
    assert np.mean(least) < -0.015 and abs(np.mean(fair)) < 0.006
    assert np.mean(held) >= 0.93


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


def one_call_a_block(*seconds: float) -> list[Visit]:
    """Visits in two processes of as many blocks each."""
    half = len(seconds) // 2
    return [Visit("s", k // half, k % half, 0, False, (s,)) for k, s in enumerate(seconds)]


def test_both_sides_are_chosen_in_one_half_of_the_blocks_and_compared_in_the_other():
    ours = {
        "a": one_call_a_block(1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0),  # fastest in even blocks
        "b": one_call_a_block(1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5),  # and in odd ones
    }
    theirs = {
        "c": one_call_a_block(3.0, 7.0, 3.0, 7.0, 3.0, 7.0, 3.0, 7.0),
        "d": one_call_a_block(4.0, 6.0, 4.0, 6.0, 4.0, 6.0, 4.0, 6.0),
    }
    contest = compare_best(ours, theirs)
    assert contest.chosen == (("a", "c"), ("b", "d"))
    # a against c in odd blocks, 7 / 2, and b against d in even ones, 4 / 1.5
    assert contest.ratio.speedup == pytest.approx(math.sqrt(3.5 * 4 / 1.5))
    assert contest.ratio.interval == pytest.approx((4 / 1.5, 3.5)) and contest.ratio.blocks == 8


def test_without_a_choice_all_blocks_count_and_without_a_second_half_there_is_no_choice():
    ours, theirs = one_call_a_block(1, 1, 1, 1, 1, 1), one_call_a_block(2, 2, 2, 2, 2, 2)
    single = compare_best({"a": ours}, {"b": theirs})
    assert (single.of, single.over, single.chosen) == ("a", "b", ())
    assert single.ratio == compare(ours, theirs)
    first = {name: visits(name, {(0, 0): s, (1, 0): s}) for name, s in (("b", 2.0), ("c", 3.0))}
    assert compare_best({"a": ours}, first) is None
    assert compare_best({"a": ours}, {"elsewhere": visits("b", {(9, 0): 1.0})}) is None


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
