"""Random stream -> target angles of an infant's joints at every raw frame (30 Hz).

The targets are a sum of three parts. Each is a series of values in time (knots), which
minimum-jerk curves connect:

* posture: every limb stays in one of a few named postures and changes to another now and then;
* bursts: for some seconds several limbs make a sequence of submovements, between long still
  periods. Each limb draws by itself whether it takes part, when it starts, and how far and fast it
  moves, so left and right are partly independent (general movements, in the sense of Prechtl);
* restlessness: a continuous random movement of a few degrees.

Breathing is a separate signal. Gravity and contact decide how closely the joints follow their
targets: see `scene`.
"""

import dataclasses
from typing import Annotated

import numpy as np

from data_pipeline.simulated.body import LIMB_DOFS, LIMB_NAMES, MOTORS, RANGES_DEG, ROOT_DOFS
from data_pipeline.simulated.ranges import (
    Ascending,
    Bounds,
    Checked,
    Degrees,
    DegreesRange,
    Seconds,
    SecondsRange,
    Share,
    ShareRange,
)

HZ = 30
"""Raw frames per second; one in five is annotated, as in babyPose."""

POSTURES_DEG = {
    "arm": (
        # share, mean and spread of abduct, lift, twist, bend, end
        (0.20, (90, -5, 70, 95, 5), (18, 12, 14, 18, 10)),  # beside the head
        (0.15, (60, 0, 20, 60, 5), (14, 16, 18, 16, 10)),  # out to the side
        (0.30, (26, 6, -10, 45, 5), (10, 22, 18, 18, 10)),  # along the trunk
        (0.25, (24, 20, -55, 108, 10), (9, 22, 12, 14, 10)),  # hand on the chest
        (0.10, (50, 32, -5, 128, 10), (12, 18, 12, 10, 10)),  # hand at the face
    ),
    "leg": (
        (0.40, (42, 36, 55, 92, 10), (9, 14, 12, 18, 8)),  # frog
        (0.17, (14, 14, 12, 30, 15), (6, 5, 10, 12, 8)),  # extended
        (0.18, (24, 58, 15, 98, 10), (8, 16, 10, 14, 8)),  # drawn up
        (0.25, (28, 46, 30, 78, 10), (8, 15, 12, 15, 8)),  # half bent
    ),
}
"""The values are estimated by eye from the median poses of the 14 babyPose sheets."""

REACH_DEG = {
    "arm": (25, 21, 30, 34, 15),
    "leg": (24, 34, 20, 18, 18),
    "trunk": (0.35, 0.4, 1.9, 5, 2.3, 3, 22, 8),
}
"""Standard deviation of a submovement's target around the posture, at amplitude 1.

The trunk's values are in the order of `ROOT_DOFS`; 0.5 for x and y are 9 mm."""

PLANTED = 1.3
"""Degrees that a knee bends further per degree that its thigh lifts, so the foot stays down."""

PLACE_SPREAD = (0.030, 0.025, *np.radians((7, 8, 6, 6, 30, 8)))
"""Standard deviation between infants of the trunk's place and angles, ordered as `ROOT_DOFS`."""


Rate = Annotated[float, Bounds(0.01, 60)]
Amplitude = Annotated[float, Bounds(0.01, 3)]
Breaths = Annotated[float, Bounds(1, 300)]
Rise = Annotated[float, Bounds(0, 0.005)]


@dataclasses.dataclass(frozen=True)
class Movement(Checked):
    """Parameters of how infants move; `_deg` is degrees, `_s` seconds. A pair is a draw's range.

    They are fitted to the displacements and autocorrelations of the 14 babyPose sheets. Half of
    these infants hardly move; the others move up to half of the time.
    """

    bursts_per_minute: Annotated[tuple[Rate, Rate], Ascending()] = (1.2, 20.0)
    """Rate of one infant, drawn log-uniformly."""
    burst_s: SecondsRange = (1.5, 5.0)
    step_s: SecondsRange = (0.3, 0.8)
    """Duration of one submovement."""
    amplitude: Annotated[tuple[Amplitude, Amplitude], Ascending()] = (0.6, 1.6)
    """Size of an infant's submovements, drawn log-uniformly; 1 is `REACH_DEG`."""
    joins: ShareRange = (0.4, 0.75)
    """Probability that an arm takes part in a burst; a leg's is 1.1 minus this."""
    side_bias: Share = 0.2
    """Largest amount added to the probability of one side and subtracted from the other's."""
    posture_s: Seconds = 24.0
    """Mean time that a limb stays in a posture at 6 bursts per minute; shorter with more bursts."""
    drift_deg: Degrees = 4.0
    """Standard deviation of a slow drift of every joint around the posture."""
    drift_s: SecondsRange = (4.0, 30.0)
    """Time between two values of the drift."""
    restless_deg: DegreesRange = (1.0, 3.0)
    """Standard deviation of the faster random movement of every joint of the limbs, per infant."""
    restless_s: SecondsRange = (0.3, 1.2)
    """Time between two values of that movement."""
    trunk_deg: Annotated[float, Bounds(0, 10)] = 1.0
    """Standard deviation of the random movement of the trunk's angles."""
    trunk_m: Annotated[float, Bounds(0, 0.02)] = 0.003
    """Standard deviation of the random movement of the trunk's place."""
    breaths_per_minute: Annotated[tuple[Breaths, Breaths], Ascending()] = (40.0, 60.0)
    """Breathing rate of newborns at rest."""
    breath_m: Annotated[tuple[Rise, Rise], Ascending()] = (0.001, 0.003)
    """Amplitude of the belly's height."""


@dataclasses.dataclass(frozen=True)
class Temperament:
    """Parameters of how one infant moves."""

    bursts_per_minute: float
    amplitude: float
    side_bias: float
    """Amount added to the right limbs' probability and subtracted from the left limbs'."""
    arm_share: float
    restless_deg: float


def draw_temperament(rng: np.random.Generator, movement: Movement, busy: float) -> Temperament:
    """Draws one infant's parameters; `busy` in [0, 1) is the quantile of its rate of bursts."""
    rarest, most = np.log(movement.bursts_per_minute)
    bias = movement.side_bias
    return Temperament(
        bursts_per_minute=np.exp(rarest + busy * (most - rarest)),
        amplitude=np.exp(rng.uniform(*np.log(movement.amplitude))),
        side_bias=rng.uniform(-bias, bias),
        arm_share=rng.uniform(*movement.joins),
        restless_deg=rng.uniform(*movement.restless_deg),
    )


def joint_targets(
    rng: np.random.Generator, movement: Movement, frames: int, busy: float
) -> np.ndarray:
    """Returns targets of `body.MOTORS` [frames motors] at `HZ`: x and y in m, the rest in rad."""
    temperament = draw_temperament(rng, movement, busy)
    seconds = frames / HZ
    t = np.arange(frames) / HZ
    times = onsets(rng, seconds, 60 / temperament.bursts_per_minute)
    bursts = list(zip(times, rng.uniform(*movement.burst_s, len(times)), strict=True))
    hold = movement.posture_s * np.clip(6 / temperament.bursts_per_minute, 0.5, 5)
    trunk = _trunk(rng, movement, hold, t)
    for onset, duration in bursts:
        trunk += np.radians(_burst(rng, movement, "trunk", onset, duration, temperament, t))
    columns = dict(zip(ROOT_DOFS, trunk.T, strict=True))
    for limb in LIMB_NAMES:
        side, kind = limb.split("_")
        share = temperament.arm_share if kind == "arm" else 1.1 - temperament.arm_share
        share += temperament.side_bias * (1 if side == "right" else -1)
        angles = _posture(rng, kind, hold, t)
        for onset, duration in bursts:
            if rng.uniform() < share:
                angles += _burst(rng, movement, kind, onset, duration, temperament, t)
        angles += wander(rng, len(LIMB_DOFS), movement.drift_deg, movement.drift_s, t)
        angles += wander(rng, len(LIMB_DOFS), temperament.restless_deg, movement.restless_s, t)
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


def minimum_jerk(knots_t: np.ndarray, knots: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Interpolates knots [n d] at times `t`: [len(t) d]; the velocity is 0 at every knot.

    Between two knots it follows 10 s^3 - 15 s^4 + 6 s^5 (Flash and Hogan, 1985). It is constant
    before the first knot and after the last.
    """
    i = np.clip(np.searchsorted(knots_t, t, side="right") - 1, 0, len(knots_t) - 2)
    s = np.clip((t - knots_t[i]) / (knots_t[i + 1] - knots_t[i]), 0, 1)[:, None]
    return knots[i] + (knots[i + 1] - knots[i]) * s**3 * (10 - 15 * s + 6 * s**2)


def onsets(rng: np.random.Generator, seconds: float, mean_gap: float) -> np.ndarray:
    """Draws the times of a Poisson process in [0, seconds)."""
    gaps = rng.exponential(mean_gap, int(4 * seconds / mean_gap) + 20)
    onsets = np.cumsum(gaps)
    return onsets[onsets < seconds]


def wander(
    rng: np.random.Generator, dofs: int, spread: float, step_s: tuple[float, float], t: np.ndarray
) -> np.ndarray:
    """Returns a random movement [len(t) dofs] that goes from one drawn value to the next.

    Values have a standard deviation of `spread`; `step_s` is the range of the time between them.
    """
    out = np.empty((len(t), dofs))
    for k in range(dofs):
        steps = rng.uniform(*step_s, int(t[-1] / step_s[0]) + 3)
        knots = rng.normal(0, spread, (len(steps), 1))
        out[:, k] = minimum_jerk(np.cumsum(steps) - steps[0], knots, t)[:, 0]
    return out


def _holds(rng, seconds: float, mean_hold: float, draw) -> tuple[np.ndarray, np.ndarray]:
    """Draws knots of values that stay constant and change within one to three seconds."""
    value = draw()
    times, values = [-1.0], [value]
    for onset in onsets(rng, seconds, mean_hold):
        start = max(onset, times[-1] + 0.1)
        times += [start, start + rng.uniform(1.0, 3.0)]
        value, last = draw(), value
        values += [last, value]
    return np.array([*times, times[-1] + 1]), np.array([*values, value])


def _posture(rng: np.random.Generator, kind: str, hold_s: float, t: np.ndarray) -> np.ndarray:
    shares, means, spreads = zip(*POSTURES_DEG[kind], strict=True)
    # An infant returns to few postures: two per limb, and small changes around them.
    favourites = rng.choice(len(shares), 2, p=shares)

    def draw():
        k = favourites[rng.choice(2, p=(0.65, 0.35))]
        deviation = offset + rng.normal(0, 0.6 * np.array(spreads[k]))
        return means[k] + _planted(kind, deviation)

    offset = rng.normal(0, 1.0 * np.array(spreads[favourites[0]]))
    return minimum_jerk(*_holds(rng, t[-1], hold_s, draw), t)


def _planted(kind: str, deviation: np.ndarray) -> np.ndarray:
    """Returns degrees around a posture [*n 5], with the knee bent further as the thigh lifts."""
    if kind == "leg":
        bend, lift = LIMB_DOFS.index("bend"), LIMB_DOFS.index("lift")
        deviation = deviation.copy()
        deviation[..., bend] += PLANTED * deviation[..., lift]
    return deviation


def _trunk(rng, movement: Movement, hold_s: float, t: np.ndarray) -> np.ndarray:
    """Returns the trunk's place and angles [len(t) len(ROOT_DOFS)], which change slowly."""
    spread = np.array(PLACE_SPREAD)
    place = rng.normal(0, spread)
    place[6] = np.radians(rng.choice((-55, 0, 55))) + 0.4 * place[6]

    def draw():
        return place + rng.normal(0, (0.15, 0.15, 0.3, 0.4, 0.4, 0.4, 0.6, 0.5)) * spread

    small = np.full(len(ROOT_DOFS), np.radians(movement.trunk_deg))
    small[:2] = movement.trunk_m
    small = small * wander(rng, len(ROOT_DOFS), 1.0, movement.restless_s, t)
    return minimum_jerk(*_holds(rng, t[-1], 1.3 * hold_s, draw), t) + small


def _burst(rng, movement: Movement, kind, onset, duration, temperament: Temperament, t):
    """Returns a limb's movement in a burst, degrees around its posture: a few steps, then back."""
    reach = temperament.amplitude * rng.lognormal(-0.1, 0.4) * np.array(REACH_DEG[kind])
    start = onset + rng.uniform(0, 0.8)
    steps = rng.uniform(*movement.step_s, 3 + int(duration / movement.step_s[0]))
    times = start + np.concatenate([[0], np.cumsum(steps)])
    times = times[times < start + duration]
    targets = rng.normal(0, reach, (len(steps) + 1, len(reach)))[: len(times)]
    targets = _planted(kind, targets)
    targets[0] = 0
    back = times[-1] + rng.uniform(0.6, 1.5)
    return minimum_jerk(np.append(times, back), np.vstack([targets, 0 * reach]), t)
