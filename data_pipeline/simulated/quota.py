"""(seed, infant) -> numbers that each ward covers evenly, so every ward has a usual mix of infants.

With independent draws, one ward of sixteen infants has five wrapped arms and the next has none; its
missing joints then depend more on the seed than on the model. Here a ward is a Latin hypercube:
each sixteenth of [0, 1) holds each number of exactly one of its infants.
"""

from typing import NamedTuple

import numpy as np

WARD = 16
"""Successive infants that cover each number evenly."""

NUMBERS = 8


class Quota(NamedTuple):
    """Quantiles of one infant, each in [0, 1), uniform and independent of the others.

    Attributes:
      busy: of how often it moves.
      vigour: of how large its movements are.
      wrapped: of which limbs are wrapped, see `cloths`.
      covered: of whether it has a blanket.
      shoulders: of whether an edge of cloth reaches the right and the left shoulder.
      hips: of the same for the hips.
    """

    busy: float
    vigour: float
    wrapped: float
    covered: float
    shoulders: tuple[float, float]
    hips: tuple[float, float]


def draw_quota(seed: int, infant: int) -> Quota:
    """Draws the numbers of one infant; infants count from 1."""
    ward, place = divmod(infant - 1, WARD)
    rng = np.random.default_rng((seed, 0, ward))
    sixteenths = rng.permuted(np.tile(np.arange(WARD), (NUMBERS, 1)), axis=1)
    within = rng.uniform(size=(NUMBERS, WARD))
    busy, vigour, wrapped, covered, *edges = (sixteenths + within)[:, place] / WARD
    return Quota(busy, vigour, wrapped, covered, shoulders=tuple(edges[:2]), hips=tuple(edges[2:]))
