"""(seed, infant) -> numbers that successive infants cover evenly, so every ward has a usual mix.

With independent draws, one ward of sixteen infants has five wrapped arms and the next has none; its
missing joints then depend more on the seed than on the model. Each number here runs through [0, 1)
by an additive recurrence, which covers it evenly for any number of infants.
"""

from typing import NamedTuple

import numpy as np

STEPS = (0.8191725134, 0.6710436067, 0.5497004779)
"""Powers -1, -2 and -3 of the root of x^4 = x + 1 (Roberts' generalised golden ratio).

With these steps the numbers are not correlated with each other."""


class Quota(NamedTuple):
    """Quantiles of one infant, each in [0, 1) and uniform over the infants of a seed.

    Attributes:
      busy: of how often it moves.
      wrapped: of which limbs are wrapped, see `cloths`.
      loose: of whether it lies between loose edges of cloth.
    """

    busy: float
    wrapped: float
    loose: float


def draw_quota(seed: int, infant: int) -> Quota:
    start = np.random.default_rng((seed, 0)).uniform(size=len(STEPS))
    return Quota(*((start + infant * np.array(STEPS)) % 1))
