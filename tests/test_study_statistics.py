"""The study's statistics: numbers worked out by hand, and made-up studies with known answers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.machines import ROOT
from experiments.study import validation
from experiments.study.statistics import (
    estimate,
    excess,
    holm,
    is_non_inferior,
    pareto,
    ratio_interval,
    sign_flip,
)

STORED = ROOT / "experiments" / "results" / "study-statistics.json"
"""Written by `python -m experiments.study.validation --out=...`."""


def test_two_folds_by_hand():
    # means 1 and 3, standard error 1, one degree of freedom: t = 12.706, p = 2 atan(1/2) / pi
    actual = estimate([np.array([0.0, 2.0]), np.array([3.0, 3.0])])
    assert (actual.mean, actual.clusters, actual.infants) == (2.0, 2, 4)
    assert (actual.low, actual.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), rel=1e-5)
    assert actual.p == pytest.approx(2 * np.arctan(1 / 2) / np.pi)
    assert actual.over_trainings


def test_equal_folds_give_the_one_sample_t_test_of_their_means():
    folds = np.random.default_rng(0).normal(0.3, 1, (5, 7))
    actual, expected = estimate([*folds]), stats.ttest_1samp(folds.mean(axis=1), 0)
    interval = expected.confidence_interval(0.95)
    assert (actual.low, actual.high) == pytest.approx((interval.low, interval.high))
    assert actual.p == pytest.approx(expected.pvalue)


def test_every_infant_counts_the_same_in_folds_of_different_sizes():
    folds = [np.array([1.0]), np.array([2.0, 4.0]), np.array([0.0, 3.0, 3.0])]
    actual = estimate(folds)
    assert actual.mean == pytest.approx(13 / 6)
    # means 1, 3, 2 and shares 1/6, 2/6, 3/6 around 13/6
    terms = (1 / 6 * 7 / 6) ** 2 + (2 / 6 * 5 / 6) ** 2 + (3 / 6 * 1 / 6) ** 2
    half = stats.t.ppf(0.975, 2) * (3 / 2 * terms) ** 0.5
    assert actual.high - actual.mean == pytest.approx(half)


def test_with_one_fold_the_interval_is_about_infants_and_says_so():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    actual = estimate([values])
    assert not actual.over_trainings and actual.clusters == 1 and actual.infants == 4
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (actual.low, actual.high) == pytest.approx((interval.low, interval.high))
    alone = estimate([values[:1]])
    assert (alone.low, alone.high, alone.p) == (-np.inf, np.inf, 1.0)


def test_shared_training_infants_make_the_variance_of_five_folds_225_percent():
    # 1/5 + 1/4 instead of 1/5
    folds = [*np.random.default_rng(1).normal(0.2, 1, (5, 6))]
    plain, shared = estimate(folds), estimate(folds, shared=True)
    assert shared.mean == plain.mean
    assert shared.high - shared.mean == pytest.approx(1.5 * (plain.high - plain.mean))
    quantile = stats.t.isf(plain.p / 2, 4) / 1.5
    assert shared.p == pytest.approx(2 * stats.t.sf(quantile, 4))
    assert estimate(folds[:1], shared=True) == estimate(folds[:1])


def test_a_ratio_s_interval_excludes_1_where_the_difference_s_excludes_0():
    rng = np.random.default_rng(2)
    for shift in np.linspace(-0.2, 0.2, 21):
        theirs = [*rng.gamma(9.0, 1 / 3, (5, 8))]
        ours = [values + shift + rng.normal(0, 0.1) for values in theirs]
        low, high = ratio_interval(ours, theirs)
        for r in (low, high):  # at both ends the interval of ours - r theirs touches 0
            one = estimate([a - r * b for a, b in zip(ours, theirs, strict=True)])
            assert min(abs(one.low), abs(one.high)) == pytest.approx(0, abs=1e-6)
        one = estimate([a - b for a, b in zip(ours, theirs, strict=True)])
        assert (one.low <= 0 <= one.high) == (low <= 1 <= high)
    # a mean that may be 0 has no interval, nor has a single infant
    assert ratio_interval([np.ones(3)], [np.array([-1.0, 0.0, 1.5])]) == (-np.inf, np.inf)
    assert ratio_interval([np.ones(1)], [np.ones(1)]) == (-np.inf, np.inf)


def test_no_infant_and_no_number_are_refused():
    with pytest.raises(ValueError, match="at least one infant"):
        estimate([])
    with pytest.raises(ValueError, match="not finite"):
        estimate([np.array([1.0, np.nan])])


@given(
    st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=4), min_size=2, max_size=5),
    st.floats(-5, 5),
)
def test_an_interval_moves_with_its_values_and_turns_with_their_sign(folds, shift):
    values = [np.array(fold) for fold in folds]
    first, moved = estimate(values), estimate([v + shift for v in values])
    assert moved.low == pytest.approx(first.low + shift, abs=1e-6)
    turned = estimate([-v for v in values])
    assert (turned.low, turned.high) == pytest.approx((-first.high, -first.low), abs=1e-9)
    assert first.low <= first.mean <= first.high


def test_sign_flips_of_six_subjects_reach_2_in_64_and_no_less():
    assert sign_flip([np.array([k]) for k in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]) == 2 / 64
    # 4 of the 8 sums of 1, 1 and 2 with signs are at least as far from 0 as 2
    assert sign_flip([np.array([k]) for k in (1.0, -1.0, 2.0)]) == pytest.approx(6 / 8)
    # one fold: its infants are flipped
    assert sign_flip([np.array([1.0, 2.0, 3.0])]) == 2 / 8


def test_holm_by_hand():
    actual = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert actual == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert list(actual) == ["a", "b", "c"]
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_non_inferiority_needs_the_mean_and_every_limb():
    reference, theirs = np.array([2.0, 4.0, 3.0, 3.0]), np.array([2.0, 4.0, 3.0, 3.0])
    # 5 % worse than a reference of the same errors, with a margin of 10 %
    values = excess(theirs * 1.05, theirs, reference, 0.1)
    np.testing.assert_allclose(values, -0.05 * reference)
    good = estimate([values])
    bad = estimate([excess(theirs * 1.11, theirs, reference, 0.1)])
    assert is_non_inferior([good, good]) is True
    assert is_non_inferior([good, bad]) is False
    assert is_non_inferior([good, estimate([values[:1]])]) is None
    assert is_non_inferior([]) is None


def test_the_pareto_front_by_hand():
    points = {"cheap": (1.0, 5.0), "worse": (2.0, 6.0), "middle": (2.0, 4.0), "dear": (3.0, 4.0)}
    assert pareto(points) == ["cheap", "middle"]


def assert_valid(cells: dict, slack: float) -> None:
    """Coverage 92 to 97 %, and at most 5 % of verdicts wrong, give or take `slack`."""
    assert len(cells) == 6
    for name, cell in cells.items():
        assert 0.92 - slack <= cell["covers"] <= 0.97 + slack, name
        assert cell["non_inferior_at_margin"] <= 0.05 + slack, name
        assert cell["rejects_no_difference"] <= 0.08 + slack, name
        assert cell["sign_flip_rejects_no_difference"] <= 0.05 + 3 * slack, name


def test_intervals_and_verdicts_are_right_on_made_up_studies():
    # 300 studies: the standard error of a share of 95 % is 1.3 %
    assert_valid(validation.validate(repetitions=300)["cells"], slack=0.04)


def assert_overlap_counts(cells: dict, slack: float) -> None:
    """Where training sets overlap, the plan's intervals cover too rarely; corrected ones do not."""
    (cell,) = cells.values()
    assert cell["covers"] < 0.9 and 0.92 - slack <= cell["corrected_covers"] <= 0.97 + slack


def test_overlapping_training_sets_need_the_correction():
    actual = validation.measure_overlap(validation.Design(5, 3, 48), 0.15, repetitions=400, seed=0)
    assert_overlap_counts({"": actual}, slack=0.04)


def test_made_up_folds_that_share_training_infants_correlate_by_three_quarters():
    design = validation.Design(folds=5, seeds=1, infants=1)
    rng = np.random.default_rng(0)
    draws = [validation.make_up(rng, design, 1e3, 0.0, shared=True)[0].ravel() for _ in range(4000)]
    found = np.corrcoef(np.array(draws).T)[np.triu_indices(5, 1)]
    # 3 of the 4 other folds are common to two folds; half of the variance is a training's own
    np.testing.assert_allclose(found, 0.75 / 2, atol=0.05)


def test_the_stored_validation_is_of_many_studies_and_valid():
    stored = json.loads(STORED.read_text())
    assert all(cell["n"] >= 20_000 for cell in stored["cells"].values())
    assert_valid(stored["cells"], slack=0.0)
    assert_overlap_counts(stored["overlapping training sets"], slack=0.0)
    # without the corrections a bootstrap covers too rarely: of folds, and more so of trainings
    for name, cell in stored["cells"].items():
        assert cell["fold_bootstrap_covers"] < 0.9
        if name.startswith("3 seeds"):
            assert cell["training_bootstrap_covers"] < cell["fold_bootstrap_covers"]


@pytest.mark.slow
def test_the_stored_validation_is_what_the_code_measures():
    assert validation.validate(repetitions=20_000) == json.loads(STORED.read_text())
