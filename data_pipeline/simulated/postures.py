"""Random stream -> the postures that limbs and trunk stay in, and the changes between them."""

import numpy as np

from data_pipeline.simulated.body import LIMB_DOFS, ROOT_DOFS
from data_pipeline.simulated.curves import holds, minimum_jerk, wander
from data_pipeline.simulated.temperament import Movement

POSTURES_DEG = {
    "arm": (
        # share, mean and spread of abduct, lift, twist, bend, end
        (0.20, (90, -5, 70, 95, 5), (18, 15, 14, 18, 10)),  # beside the head
        (0.15, (60, 0, 20, 60, 5), (14, 20, 18, 16, 10)),  # out to the side
        (0.30, (26, 6, -10, 45, 5), (10, 26, 18, 18, 10)),  # along the trunk
        (0.25, (24, 20, -55, 108, 10), (9, 26, 12, 14, 10)),  # hand on the chest
        (0.10, (50, 32, -5, 128, 10), (12, 18, 12, 10, 10)),  # hand at the face
    ),
    "leg": (
        (0.40, (42, 36, 55, 88, 10), (9, 11, 12, 10, 8)),  # frog
        (0.17, (14, 14, 12, 30, 15), (6, 5, 10, 12, 8)),  # extended
        (0.18, (24, 54, 15, 92, 10), (8, 12, 10, 11, 8)),  # drawn up
        (0.25, (28, 46, 30, 78, 10), (8, 12, 12, 10, 8)),  # half bent
    ),
}
"""The values are estimated by eye from the median poses of the 14 babyPose sheets."""

PLANTED = 1.3
"""Degrees that a knee bends further per degree that its thigh lifts, so the foot stays down."""

PLACE_SPREAD = (0.030, 0.025, *np.radians((7, 8, 6, 6, 30, 8)))
"""Standard deviation between infants of the trunk's place and angles, ordered as `ROOT_DOFS`."""


def posture(rng: np.random.Generator, kind: str, hold_s: float, t: np.ndarray) -> np.ndarray:
    shares, means, spreads = zip(*POSTURES_DEG[kind], strict=True)
    # An infant returns to few postures: two per limb, and small changes around them.
    favourites = rng.choice(len(shares), 2, p=shares)

    def draw():
        k = favourites[rng.choice(2, p=(0.65, 0.35))]
        deviation = offset + rng.normal(0, 1.0 * np.array(spreads[k]))
        return means[k] + planted(kind, deviation)

    offset = rng.normal(0, 1.0 * np.array(spreads[favourites[0]]))
    return minimum_jerk(*holds(rng, t[-1], hold_s, draw), t)


def planted(kind: str, deviation: np.ndarray) -> np.ndarray:
    """Returns degrees around a posture [*n 5], with the knee bent further as the thigh lifts."""
    if kind == "leg":
        bend, lift = LIMB_DOFS.index("bend"), LIMB_DOFS.index("lift")
        deviation = deviation.copy()
        deviation[..., bend] += PLANTED * deviation[..., lift]
    return deviation


def trunk(rng, movement: Movement, hold_s: float, t: np.ndarray) -> np.ndarray:
    """Returns the trunk's place and angles [len(t) len(ROOT_DOFS)], which change slowly."""
    spread = np.array(PLACE_SPREAD)
    place = rng.normal(0, spread)
    place[6] = np.radians(rng.choice((-55, 0, 55))) + 0.4 * place[6]

    def draw():
        return place + rng.normal(0, (0.15, 0.15, 0.3, 0.4, 0.4, 0.4, 0.6, 0.5)) * spread

    small = np.full(len(ROOT_DOFS), np.radians(movement.trunk_deg))
    small[:2] = movement.trunk_m
    small = small * wander(rng, len(ROOT_DOFS), 1.0, movement.restless_s, t)
    return minimum_jerk(*holds(rng, t[-1], 1.3 * hold_s, draw), t) + small
