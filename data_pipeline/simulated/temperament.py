"""Parameters of how infants move -> those of one infant."""

import dataclasses
from typing import Annotated

import numpy as np

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

    bursts_per_minute: Annotated[tuple[Rate, Rate], Ascending()] = (1.2, 22.0)
    """Rate of one infant, drawn log-uniformly."""
    burst_s: SecondsRange = (1.5, 5.0)
    step_s: SecondsRange = (0.3, 0.8)
    """Duration of one submovement."""
    amplitude: Annotated[tuple[Amplitude, Amplitude], Ascending()] = (0.7, 1.4)
    """Size of an infant's submovements, drawn log-uniformly; 1 is `REACH_DEG`."""
    joins: ShareRange = (0.4, 0.75)
    """Probability that an arm takes part in a burst; a leg's is 1.1 minus this."""
    kicks: Share = 0.8
    """Share of a leg's bursts that are kicks."""
    kick_s: SecondsRange = (0.2, 0.35)
    """Duration of a thrust: most of it lies between two annotated frames, 0.17 s apart."""
    kick_pause_s: SecondsRange = (0.1, 0.8)
    """Time that the leg stays at either end of a kick."""
    side_bias: Share = 0.2
    """Largest amount added to the probability of one side and subtracted from the other's."""
    posture_s: Seconds = 20.0
    """Mean time that a limb stays in a posture at 6 bursts per minute; shorter with more bursts."""
    drift_deg: Degrees = 4.5
    """Standard deviation of a slow drift of every joint around the posture."""
    drift_s: SecondsRange = (4.0, 30.0)
    """Time between two values of the drift."""
    restless_deg: DegreesRange = (0.6, 2.7)
    """Standard deviation of the faster random movement of every joint of the limbs, of the infants
    with the fewest and with the most bursts. Of the six still infants hardly more than the clicks'
    error changes from frame to frame."""
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


def draw_temperament(
    rng: np.random.Generator, movement: Movement, busy: float, vigour: float
) -> Temperament:
    """Draws one infant's parameters; `busy` and `vigour` in [0, 1) are the quantiles of its rate
    of bursts and of its amplitude."""
    bias = movement.side_bias
    return Temperament(
        bursts_per_minute=np.exp(np.interp(busy, (0, 1), np.log(movement.bursts_per_minute))),
        amplitude=np.exp(np.interp(vigour, (0, 1), np.log(movement.amplitude))),
        side_bias=rng.uniform(-bias, bias),
        arm_share=rng.uniform(*movement.joins),
        restless_deg=np.interp(busy, (0, 1), movement.restless_deg),
    )
