"""The first pose -> times and paths of a carer's hands over the infant."""

import dataclasses

import numpy as np

from data_pipeline.simulated.curves import HZ, minimum_jerk, onsets
from data_pipeline.simulated.ranges import Checked, Seconds, SecondsRange, Share
from data_pipeline.simulated.scene import ARMS


@dataclasses.dataclass(frozen=True)
class Visits(Checked):
    """Parameters of how often and for how long a carer's arm is over the infant, set by hand."""

    gap_s: Seconds = 110.0
    """Mean time between two visits."""
    stay_s: SecondsRange = (2.0, 7.0)
    """Time that the hands stay over the infant."""
    both_hands: Share = 0.4
    """Share of the visits with both hands."""


@dataclasses.dataclass(frozen=True)
class Carer:
    """Path of both hands, per raw frame and arm.

    Attributes:
      position: [frames 2 3] m, fingertips in the world.
      heading: [frames 2] rad, direction from the fingertips to the elbow.
      present: bool [frames 2].
    """

    position: np.ndarray
    heading: np.ndarray
    present: np.ndarray


def draw_carer(rng: np.random.Generator, visits: Visits, frames: int, joints: np.ndarray) -> Carer:
    """Draws visits to random joints of the first pose [12 3] m, from either side.

    `frames` counts raw frames.
    """
    t = np.arange(frames) / HZ
    position, heading = np.zeros((frames, ARMS, 3)), np.zeros((frames, ARMS))
    present = np.zeros((frames, ARMS), bool)
    free_from = 0.0
    for onset in onsets(rng, frames / HZ, visits.gap_s):
        start, stay = max(onset, free_from), rng.uniform(*visits.stay_s)
        come, go = rng.uniform(0.6, 1.4, 2)
        times = np.cumsum([start, come, stay / 2, stay / 2, go])
        now = (t >= times[0]) & (t < times[-1])
        side = None
        for arm in range(1 + (rng.uniform() < visits.both_hands)):
            joint = joints[rng.integers(len(joints))]
            # Both arms are one person's: the second comes from the side of the first.
            side = (0 if joint[0] > 0 else np.pi) if side is None else side
            angle = side + rng.normal(0, 0.4)
            back = np.array([np.cos(angle), np.sin(angle), 0])
            target = joint * (1, 1, 0) - 0.05 * back + (*rng.normal(0, 0.02, 2), 0.125 + 0.03 * arm)
            away = target + 0.7 * back + (0, 0, 0.10)
            held = target + rng.normal(0, 0.015, 3) * (1, 1, 0.3)
            stations = np.stack([away, target, held, target, away])
            position[now, arm] = minimum_jerk(times, stations, t[now])
            heading[now, arm], present[now, arm] = angle, True
        free_from = times[-1]
    return Carer(position, heading, present)
