"""What is known of a comparison of two arms, and which conclusions it allows."""

import dataclasses
import math
from collections.abc import Mapping

from experiments.study import groups, statistics
from experiments.study.groups import Key
from experiments.study.plan import Comparison
from experiments.study.statistics import Estimate

CONFIRMATORY: Key = ("simulated", "")
"""Data set and setting on which the plan's confirmatory comparisons are confirmatory: infants, and
the plan's own recipe. On other data and in other settings every comparison is exploratory."""
ALPHA = 0.05
"""Largest p-value at which the sign of a difference is decided."""

ByLimb = Mapping[str, Estimate]
"""Limb, or "all" for the mean over limbs -> estimate."""


def is_confirmatory(comparison: Comparison, key: Key) -> bool:
    """Tells whether the plan decides a comparison without a correction for several tests."""
    return comparison.confirmatory and key == CONFIRMATORY


@dataclasses.dataclass(frozen=True)
class Compared:
    """A comparison of two arms on one data set in one setting.

    Attributes:
      data, setting: where both were trained.
      error: column of the results that is compared.
      differences: limb -> estimate of ours minus theirs, px of 128x96.
      widened: the same, corrected for training infants that folds share.
      excesses: name of a margin -> limb -> by how much ours exceeds theirs and the margin, px; a
        margin that cannot be computed has no limbs.
      widened_excesses: the same, corrected for training infants that folds share.
      ours_px, theirs_px: mean errors over infants.
      ratio_interval: 95 % interval of ours over theirs, of the mean errors.
      pairs: number of paired trainings.
      expected: number of pairs in the plan.
      missed: shares of joints that ours and theirs missed; NaN where they are not of `error`.
      sign_flip: p-value of a sign-flip test; None unless every fold is one subject.
      p_holm: p-value of the mean over limbs; corrected, if the comparison is exploratory. NaN while
        the interval is not about trainings.
      p_holm_widened: the same for `widened`.
      problems: pairs that are not used, and why.
    """

    comparison: Comparison
    data: str
    setting: str
    error: str
    differences: ByLimb
    widened: ByLimb
    excesses: Mapping[str, ByLimb]
    widened_excesses: Mapping[str, ByLimb]
    ours_px: float
    theirs_px: float
    ratio_interval: tuple[float, float]
    pairs: int
    expected: int
    missed: tuple[float, float]
    sign_flip: float | None
    p_holm: float
    p_holm_widened: float
    problems: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The difference in words."""
        maps = "" if self.error == groups.ERROR else " (regression maps)"
        return f"{self.comparison.ours} - {self.comparison.theirs}{maps}"

    @property
    def ratio(self) -> float:
        """Ours over theirs, of the mean errors."""
        return self.ours_px / self.theirs_px

    @property
    def complete(self) -> bool:
        """Whether all pairs of the plan are there."""
        return self.pairs == self.expected

    @property
    def over_trainings(self) -> bool:
        """Whether the intervals include the variation from one training to the next."""
        return self.differences["all"].over_trainings

    @property
    def decidable(self) -> bool:
        """Whether a conclusion may be drawn: all pairs are there, and are of several folds."""
        return self.complete and self.over_trainings

    @property
    def confirmatory(self) -> bool:
        """Whether the plan has it without a correction for several tests."""
        return is_confirmatory(self.comparison, (self.data, self.setting))

    def non_inferior(self, margin: str, *, widened: bool = False) -> bool | None:
        """Tells whether ours is non-inferior by a margin, in the mean and on every limb.

        None where it cannot be said. With `widened`, training infants that folds share are allowed
        for.
        """
        if not self.over_trainings:
            return None
        excesses = self.widened_excesses if widened else self.excesses
        return statistics.is_non_inferior([*excesses[margin].values()])

    def beyond(self, margin: str, *, widened: bool = False) -> list[str]:
        """Returns the limbs, and "all", for which non-inferiority by a margin is not shown."""
        excesses = self.widened_excesses if widened else self.excesses
        return [limb for limb, one in excesses[margin].items() if not one.high < 0]

    def sign(self, *, widened: bool = False) -> int:
        """Returns 1 if ours is shown to have the higher mean error, -1 the lower one, 0 neither.

        An exploratory comparison needs a p-value that is corrected for the comparisons beside it.
        """
        one = (self.widened if widened else self.differences)["all"]
        p = self.p_holm_widened if widened else self.p_holm
        if not self.decidable or one.low <= 0 <= one.high:
            return 0
        if not self.confirmatory and not p < ALPHA:
            return 0
        return int(math.copysign(1, one.mean))
