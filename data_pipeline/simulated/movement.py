"""Random stream -> target angles of an infant's joints at every raw frame (30 Hz).

The targets are a sum of three parts. Each is a series of values in time (knots), which
minimum-jerk curves connect:

* posture: every limb stays in one of a few named postures and changes to another now and then;
* bursts: for some seconds several limbs make a sequence of submovements, between long still
  periods. Each limb draws by itself whether it takes part, when it starts, and how far and fast it
  moves, so left and right are partly independent (general movements, in the sense of Prechtl). Many
  of a leg's bursts are kicks, fast thrusts of the whole leg;
* restlessness: a continuous random movement of a few degrees.

Breathing is a separate signal. Gravity and contact decide how closely the joints follow their
targets: see `scene`.
"""

import numpy as np

from data_pipeline.simulated.body import LIMB_DOFS, LIMB_NAMES, MOTORS, RANGES_DEG, ROOT_DOFS
from data_pipeline.simulated.curves import HZ, minimum_jerk, onsets, wander
from data_pipeline.simulated.postures import planted, posture, trunk
from data_pipeline.simulated.temperament import Movement, Temperament, draw_temperament

REACH_DEG = {
    "arm": (25, 21, 30, 34, 15),
    "leg": (20, 30, 14, 13, 18),
    "trunk": (0.45, 0.48, 1.9, 5.5, 2.4, 3.1, 22, 8),
}
"""Standard deviation of a submovement's target around the posture, at amplitude 1.

The trunk's values are in the order of `ROOT_DOFS`; 0.5 for x and y are 9 mm. In babyPose's lively
infants shoulders and hips move by up to 4 px of 128x96 (p99), 25 mm, between frames."""

KICK_DEG = (
    # mean and spread of abduct, lift, twist, bend, end
    ((25, 98, 20, 118, 10), (8, 10, 8, 10, 8)),  # thigh drawn up to the belly
    ((20, 28, 15, 62, 15), (6, 10, 8, 14, 8)),  # thrust out, the heel on the sheet
)
"""Both ends of a kick.

In the babyPose sheets six of 14 infants kick: in 10 to 46 places of 1000 frames a knee moves by 8
to 15 px of 128x96 between two frames, along the trunk (10 px, 3 across), together with its ankle
(8 to 12 px) and without the other leg (2 px)."""


def joint_targets(
    rng: np.random.Generator, movement: Movement, frames: int, busy: float, vigour: float
) -> np.ndarray:
    """Returns targets of `body.MOTORS` [frames motors] at `HZ`: x and y in m, the rest in rad."""
    temperament = draw_temperament(rng, movement, busy, vigour)
    seconds = frames / HZ
    t = np.arange(frames) / HZ
    times = onsets(rng, seconds, 60 / temperament.bursts_per_minute)
    bursts = list(zip(times, rng.uniform(*movement.burst_s, len(times)), strict=True))
    hold = movement.posture_s * np.clip(6 / temperament.bursts_per_minute, 0.5, 5)
    root = trunk(rng, movement, hold, t)
    for onset, duration in bursts:
        root += np.radians(_burst(rng, movement, "trunk", onset, duration, temperament, t))
    columns = dict(zip(ROOT_DOFS, root.T, strict=True))
    for limb in LIMB_NAMES:
        side, kind = limb.split("_")
        share = temperament.arm_share if kind == "arm" else 1.1 - temperament.arm_share
        share += temperament.side_bias * (1 if side == "right" else -1)
        rest = posture(rng, kind, hold, t)
        angles = rest.copy()
        for onset, duration in bursts:
            if rng.uniform() < share:
                if kind == "leg" and rng.uniform() < movement.kicks:
                    angles += _kicks(rng, movement, rest, onset, duration, t)
                else:
                    angles += _burst(rng, movement, kind, onset, duration, temperament, t)
        for spread_deg, step_s in (
            (movement.drift_deg, movement.drift_s),
            (temperament.restless_deg, movement.restless_s),
        ):
            angles += planted(kind, wander(rng, len(LIMB_DOFS), spread_deg, step_s, t))
        low, high = np.array(RANGES_DEG[kind]).T
        angles = np.radians(np.clip(angles, low, high))
        columns |= {f"{limb}_{dof}": angles[:, i] for i, dof in enumerate(LIMB_DOFS)}
    return np.stack([columns[m] for m in MOTORS], axis=1)


def breathing(rng: np.random.Generator, movement: Movement, frames: int) -> np.ndarray:
    """Returns the belly's height above its mean, metres [frames]; its rate varies slowly."""
    t = np.arange(frames) / HZ
    rate = rng.uniform(*movement.breaths_per_minute) / 60
    phase = 2 * np.pi * rate * t + wander(rng, 1, 0.6, (2.0, 6.0), t)[:, 0]
    return rng.uniform(*movement.breath_m) * np.sin(phase)


def _burst(rng, movement: Movement, kind, onset, duration, temperament: Temperament, t):
    """Returns a limb's movement in a burst, degrees around its posture: a few steps, then back."""
    reach = temperament.amplitude * rng.lognormal(-0.1, 0.4) * np.array(REACH_DEG[kind])
    start = onset + rng.uniform(0, 0.8)
    steps = rng.uniform(*movement.step_s, 3 + int(duration / movement.step_s[0]))
    times = start + np.concatenate([[0], np.cumsum(steps)])
    times = times[times < start + duration]
    targets = rng.normal(0, reach, (len(steps) + 1, len(reach)))[: len(times)]
    targets = planted(kind, targets)
    targets[0] = 0
    back = times[-1] + rng.uniform(0.6, 1.5)
    return minimum_jerk(np.append(times, back), np.vstack([targets, 0 * reach]), t)


def _kicks(rng, movement: Movement, rest: np.ndarray, onset, duration, t):
    """Returns kicks of one leg, degrees around its posture `rest` [len(t) 5].

    They go from one end of `KICK_DEG` to the other and back, with a pause at each end."""
    start = onset + rng.uniform(0, 0.8)
    around = rest[min(int(start * HZ), len(rest) - 1)]
    times, targets, end = [start], [np.zeros(len(around))], rng.integers(2)
    while times[-1] < start + duration:
        mean, spread = KICK_DEG[end]
        thrust, pause = rng.uniform(*movement.kick_s), rng.uniform(*movement.kick_pause_s)
        times += [times[-1] + thrust, times[-1] + thrust + pause]
        targets += 2 * [rng.normal(mean, spread) - around]
        end = 1 - end
    times.append(times[-1] + rng.uniform(0.6, 1.5))
    return minimum_jerk(np.array(times), np.array([*targets, 0 * around]), t)
