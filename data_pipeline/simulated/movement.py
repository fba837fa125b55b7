"""Random stream -> where an infant's joints want to be at every raw frame (30 Hz).

A postural stage, a movement stage and a little restlessness, all of them *knots* in time that a
minimum-jerk curve joins:

* posture: every limb keeps one of a few named postures and takes another about once a minute;
* bursts: mostly still, then for some seconds several limbs make a sequence of submovements, each
  limb deciding for itself whether it joins, when it starts, and how far and fast it goes, so that
  left and right are partly independent (general movements, in the sense of Prechtl);
* restlessness: a slow wander of a few degrees that never stops.

What the targets become is up to gravity and contact: see `scene`.
"""

import dataclasses

import numpy as np

from data_pipeline.simulated.body import LIMB_DOFS, LIMB_NAMES, MOTORS, RANGES_DEG, ROOT_DOFS

HZ = 30
"""Raw frames per second; one in five is kept, as in babyPose."""

POSTURES_DEG = {
    "arm": (
        # share, mean and spread of abduct, lift, twist, bend, end
        (0.20, (90, -5, 70, 95, 5), (18, 8, 14, 18, 10)),  # beside the head
        (0.15, (60, -2, 20, 60, 5), (14, 10, 18, 16, 10)),  # out to the side
        (0.30, (26, -6, -10, 45, 5), (10, 8, 18, 18, 10)),  # along the trunk
        (0.25, (22, 14, -55, 108, 10), (9, 10, 12, 14, 10)),  # hand on the chest
        (0.10, (50, 25, -5, 128, 10), (12, 12, 12, 10, 10)),  # hand at the face
    ),
    "leg": (
        (0.40, (42, 32, 55, 92, 10), (9, 10, 12, 18, 8)),  # frog
        (0.17, (14, 6, 12, 25, 15), (6, 5, 10, 12, 8)),  # extended
        (0.18, (24, 55, 15, 98, 10), (8, 14, 10, 14, 8)),  # drawn up
        (0.25, (28, 42, 30, 70, 10), (8, 12, 12, 15, 8)),  # half bent
    ),
}
"""Guessed from the median poses of the 14 babyPose sheets, by eye."""

REACH_DEG = {
    "arm": (26, 22, 32, 36, 15),
    "leg": (12, 24, 18, 36, 18),
    "trunk": (0.25, 0.25, 2.5, 4, 3, 5, 18, 6),
}
"""Standard deviation of a submovement's target around the posture, at amplitude 1.

Of the trunk, in the order of `ROOT_DOFS`; 0.25 for x and y are 4 mm."""


@dataclasses.dataclass(frozen=True)
class Temperament:
    """How one infant moves; drawn once per recording."""

    bursts_per_minute: float
    amplitude: float
    side_bias: float
    """Added to the right limbs' share of taking part, taken from the left's."""
    arm_share: float
    """Chance that an arm joins a burst; a leg's is 1.1 minus this."""
    restless_deg: float


def draw_temperament(rng: np.random.Generator) -> Temperament:
    return Temperament(
        bursts_per_minute=rng.uniform(6, 16),
        amplitude=rng.lognormal(-0.05, 0.35),
        side_bias=rng.uniform(-0.2, 0.2),
        arm_share=rng.uniform(0.4, 0.75),
        restless_deg=rng.uniform(2.5, 8.0),
    )


def joint_targets(rng: np.random.Generator, frames: int) -> np.ndarray:
    """[frames len(MOTORS)]: targets of `body.MOTORS` at `HZ`, metres for x and y, else radians."""
    temperament = draw_temperament(rng)
    seconds = frames / HZ
    t = np.arange(frames) / HZ
    times = onsets(rng, seconds, 60 / temperament.bursts_per_minute)
    bursts = list(zip(times, rng.uniform(1.5, 5.0, len(times)), strict=True))
    trunk = _trunk(rng, t)
    for onset, duration in bursts:
        trunk += np.radians(_burst(rng, "trunk", onset, duration, temperament.amplitude, t))
    columns = dict(zip(ROOT_DOFS, trunk.T, strict=True))
    for limb in LIMB_NAMES:
        side, kind = limb.split("_")
        share = temperament.arm_share if kind == "arm" else 1.1 - temperament.arm_share
        share += temperament.side_bias * (1 if side == "right" else -1)
        angles = _posture(rng, kind, t)
        for onset, duration in bursts:
            if rng.uniform() < share:
                angles += _burst(rng, kind, onset, duration, temperament.amplitude, t)
        angles += _wander(rng, len(LIMB_DOFS), temperament.restless_deg, t)
        low, high = np.array(RANGES_DEG[kind]).T
        angles = np.radians(np.clip(angles, low, high))
        columns |= {f"{limb}_{dof}": angles[:, i] for i, dof in enumerate(LIMB_DOFS)}
    return np.stack([columns[m] for m in MOTORS], axis=1)


def minimum_jerk(knots_t: np.ndarray, knots: np.ndarray, t: np.ndarray) -> np.ndarray:
    """[len(t) d] from knots [n d]: rest at every knot, 10 s^3 - 15 s^4 + 6 s^5 between two.

    Before the first knot and after the last it holds their values (Flash and Hogan, 1985).
    """
    i = np.clip(np.searchsorted(knots_t, t, side="right") - 1, 0, len(knots_t) - 2)
    s = np.clip((t - knots_t[i]) / (knots_t[i + 1] - knots_t[i]), 0, 1)[:, None]
    return knots[i] + (knots[i + 1] - knots[i]) * s**3 * (10 - 15 * s + 6 * s**2)


def onsets(rng: np.random.Generator, seconds: float, mean_gap: float) -> np.ndarray:
    """Times of a Poisson process in [0, seconds)."""
    gaps = rng.exponential(mean_gap, int(4 * seconds / mean_gap) + 20)
    onsets = np.cumsum(gaps)
    return onsets[onsets < seconds]


def _holds(rng, seconds: float, mean_hold: float, draw) -> tuple[np.ndarray, np.ndarray]:
    """Knots of something that keeps a drawn value and changes it within one to three seconds."""
    value = draw()
    times, values = [-1.0], [value]
    for onset in onsets(rng, seconds, mean_hold):
        start = max(onset, times[-1] + 0.1)
        times += [start, start + rng.uniform(1.0, 3.0)]
        value, last = draw(), value
        values += [last, value]
    return np.array([*times, times[-1] + 1]), np.array([*values, value])


def _posture(rng: np.random.Generator, kind: str, t: np.ndarray) -> np.ndarray:
    shares, means, spreads = zip(*POSTURES_DEG[kind], strict=True)
    # An infant returns to few postures: two per limb, and small changes around them.
    favourites = rng.choice(len(shares), 2, p=shares)

    def draw():
        k = favourites[rng.choice(2, p=(0.75, 0.25))]
        return rng.normal(means[k], 0.6 * np.array(spreads[k])) + offset

    offset = rng.normal(0, 0.8 * np.array(spreads[favourites[0]]))
    return minimum_jerk(*_holds(rng, t[-1], 30.0, draw), t)


def _trunk(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """[len(t) len(ROOT_DOFS)]; where the infant lies in the image, and how, changes slowly."""
    spread = np.array((0.030, 0.025, *np.radians((7, 8, 6, 6, 30, 8))))
    place = rng.normal(0, spread)
    place[6] = np.radians(rng.choice((-55, 0, 55))) + 0.4 * place[6]

    def draw():
        return place + rng.normal(0, (0.15, 0.15, 0.3, 0.4, 0.4, 0.4, 0.6, 0.5)) * spread

    wander = np.radians(_wander(rng, len(ROOT_DOFS), 1.5, t))
    wander[:, :2] *= 0.15  # metres: 4 mm
    return minimum_jerk(*_holds(rng, t[-1], 40.0, draw), t) + wander


def _burst(rng, kind: str, onset: float, duration: float, amplitude: float, t) -> np.ndarray:
    """A limb's part in a burst, degrees around its posture: steps of 0.35 to 1 s, then back."""
    reach = amplitude * rng.lognormal(-0.1, 0.4) * np.array(REACH_DEG[kind])
    start = onset + rng.uniform(0, 0.8)
    steps = rng.uniform(0.35, 1.0, 3 + int(duration / 0.5))
    times = start + np.concatenate([[0], np.cumsum(steps)])
    times = times[times < start + duration]
    targets = rng.normal(0, reach, (len(steps) + 1, len(reach)))[: len(times)]
    targets[0] = 0
    back = times[-1] + rng.uniform(0.6, 1.5)
    return minimum_jerk(np.append(times, back), np.vstack([targets, 0 * reach]), t)


def _wander(rng: np.random.Generator, dofs: int, degrees: float, t: np.ndarray) -> np.ndarray:
    """[len(t) dofs] degrees: every dof on its way to another value nearby, all of the time."""
    out = np.empty((len(t), dofs))
    for k in range(dofs):
        steps = rng.uniform(0.3, 1.2, int(t[-1] / 0.3) + 3)
        knots = rng.normal(0, degrees, (len(steps), 1))
        out[:, k] = minimum_jerk(np.cumsum(steps) - steps[0], knots, t)[:, 0]
    return out
