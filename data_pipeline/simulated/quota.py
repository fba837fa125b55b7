"""(seed, infant) -> what successive infants share out evenly, so that sixteen make a usual ward.

Drawn independently, one ward of sixteen has five wrapped arms and the next none; its missing
joints then say more about the seed than about the model. Each number here runs through [0, 1) by
an additive recurrence, which spreads any run of infants evenly, and needs no count of them.
"""

from typing import NamedTuple

import numpy as np

STEPS = (0.8191725134, 0.6710436067, 0.5497004779)
"""Powers -1, -2 and -3 of the root of x^4 = x + 1 (Roberts' generalised golden ratio), which keep
the numbers unrelated to each other."""


class Quota(NamedTuple):
    """Each in [0, 1), uniform over the infants of a seed.

    Attributes:
      busy: how often it moves, from least to most.
      wrapped: which limbs are wrapped, see `cloths`.
      loose: whether it lies between loose edges of cloth.
    """

    busy: float
    wrapped: float
    loose: float


def draw_quota(seed: int, infant: int) -> Quota:
    start = np.random.default_rng((seed, 0)).uniform(size=len(STEPS))
    return Quota(*((start + infant * np.array(STEPS)) % 1))
