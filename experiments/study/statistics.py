"""Paired differences of infants in clusters -> intervals, tests and verdicts, without any I/O.

A training is one seed and one fold. All trainings of a fold test the same infants and learn from
the same infants: a *cluster* is a fold, and an infant's value is its mean over the seeds. Intervals
are those of a cluster bootstrap with two corrections for few clusters, in closed form: the variance
is multiplied by F / (F - 1), and the quantile is that of Student's t with F - 1 degrees of freedom.
With five folds the bootstrap alone covers too rarely; `experiments.study.validation` measures both.

These intervals treat folds as independent, as the plan fixed it. They are not: each infant is
tested in one fold, but two folds learn from mostly the same infants. `estimate` can allow for that
with the correction of C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine
Learning 52 (2003), pp. 239-281: the variance 1 / F of a mean over folds becomes 1 / F + n_test /
n_train, which is 1 / F + 1 / (F - 1). Infants that choose the epoch count as training infants.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
"""Coverage of intervals."""
EXACT = 12
"""Largest number of clusters of which all sign flips are enumerated."""
FLIPS = 9999
"""Number of random sign flips beyond that."""

Values = Float[np.ndarray, " infants"]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over infants with its interval.

    Attributes:
      mean: mean over all infants.
      low, high: ends of the 95 % interval; infinite where there is a single infant.
      p: two-sided p-value against a mean of zero.
      clusters: number of folds that the interval is about; 1 where infants are the units.
      infants: number of infants.
    """

    mean: float
    low: float
    high: float
    p: float
    clusters: int
    infants: int

    @property
    def over_trainings(self) -> bool:
        """Whether the interval includes the variation from one training to the next."""
        return self.clusters > 1


def estimate(clusters: Sequence[Values], level: float = LEVEL, *, shared: bool = False) -> Estimate:
    """Estimates the mean over infants, from one array of values per fold.

    With one fold the infants are the units: the interval is then about other infants under the same
    training, not about other trainings. With `shared`, it is corrected for training infants that
    folds share; this changes nothing with one fold.

    Raises:
      ValueError: there is no infant, or a value is not finite.
    """
    clusters = [np.asarray(values, np.float64) for values in clusters if len(values)]
    if not clusters:
        raise ValueError("no values: expected at least one infant")
    if not all(np.isfinite(values).all() for values in clusters):
        raise ValueError("a value is not finite; exclude infants without a value")
    units = [np.array([value]) for value in clusters[0]] if len(clusters) == 1 else clusters
    sizes = np.array([len(values) for values in units], np.float64)
    means = np.array([values.mean() for values in units])
    mean = float(np.average(means, weights=sizes))
    count = len(clusters)
    factor = 1 + count / (count - 1) if shared and count > 1 else 1.0
    low, high, p = _interval(mean, means, sizes / sizes.sum(), level, factor)
    return Estimate(mean, low, high, p, len(clusters), int(sizes.sum()))


def _interval(
    mean: float,
    means: Float[np.ndarray, " f"],
    shares: Float[np.ndarray, " f"],
    level: float,
    factor: float,
) -> tuple[float, float, float]:
    """Returns both ends of the interval and the p-value, from the means and the shares of units.

    The variance is multiplied by `factor`.
    """
    count = len(means)
    if count == 1:
        return -np.inf, np.inf, 1.0
    variance = count / (count - 1) * float((shares**2 * (means - mean) ** 2).sum())
    error = (factor * variance) ** 0.5
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    if error == 0:
        return mean, mean, 1.0 if mean == 0 else 0.0
    p = 2 * float(stats.t.sf(abs(mean) / error, count - 1))
    return mean - half, mean + half, p


def ratio_interval(ours: Sequence[Values], theirs: Sequence[Values]) -> tuple[float, float]:
    """Returns the 95 % interval of the ratio of two means over infants, by Fieller's method.

    It has the ratios r for which the interval of ours - r theirs contains 0: it excludes 1 exactly
    where that of the difference excludes 0. Infinite where theirs may be 0.
    """
    of, over, both, less = (
        estimate(values)
        for values in (
            ours,
            theirs,
            [a + b for a, b in zip(ours, theirs, strict=True)],
            [a - b for a, b in zip(ours, theirs, strict=True)],
        )
    )
    # Squares of half widths stand for t times t times a variance; that of a covariance follows.
    a, b, plus, minus = ((one.high - one.mean) ** 2 for one in (of, over, both, less))
    square, middle, rest = (
        over.mean**2 - b,
        of.mean * over.mean - (plus - minus) / 4,
        of.mean**2 - a,
    )
    if not square > 0:
        return -np.inf, np.inf
    half = max(0.0, middle**2 - square * rest) ** 0.5
    return (middle - half) / square, (middle + half) / square


def sign_flip(clusters: Sequence[Values]) -> float:
    """Returns the two-sided p-value of a sign-flip permutation test of the clusters' means.

    It needs no distribution, but its smallest value with n clusters is 2 / 2^n. With one cluster
    the signs of the infants are flipped.
    """
    units = [*clusters[0]] if len(clusters) == 1 else [np.mean(values) for values in clusters]
    result = stats.permutation_test(
        (np.asarray(units, np.float64),),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if len(units) <= EXACT else FLIPS,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusts the p-values of a family of comparisons: Holm's step-down method."""
    adjusted, largest = {}, 0.0
    ranked = sorted(p_values.items(), key=lambda item: item[1])
    for rank, (name, p) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def excess(ours: Values, theirs: Values, reference: Values, share: float) -> Values:
    """Returns by how much each infant's error exceeds the other net's and the margin.

    The margin is a share of the reference's error of the same infant, so that the uncertainty of
    the margin is part of the interval of the mean.
    """
    return ours - theirs - share * reference


def is_non_inferior(excesses: Sequence[Estimate]) -> bool | None:
    """Tells whether the upper ends of all intervals of an excess are below 0.

    The excesses are those of the mean over limbs and of every limb: all must hold, so that no
    correction for several tests is needed. The upper end of a two-sided 95 % interval is wrong in
    at most 2.5 % of studies. None: there is none, or an interval is infinite.
    """
    if not excesses or not all(np.isfinite(e.high) for e in excesses):
        return None
    return all(e.high < 0 for e in excesses)


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Returns the names of the points (cost, error) that no other point beats, by rising cost.

    A point beats another one if it is not worse on either axis, and better on one.
    """
    front, best = [], np.inf
    for name, (_, error) in sorted(points.items(), key=lambda item: item[1]):
        if error < best:
            front.append(name)
            best = error
    return front
