"""Random stream -> smooth curves in time: minimum-jerk movements, random events and wandering."""

import numpy as np

HZ = 30
"""Raw frames per second; one in five is annotated, as in babyPose."""


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


def holds(rng, seconds: float, mean_hold: float, draw) -> tuple[np.ndarray, np.ndarray]:
    """Draws knots of values that stay constant and change within one to three seconds."""
    value = draw()
    times, values = [-1.0], [value]
    for onset in onsets(rng, seconds, mean_hold):
        start = max(onset, times[-1] + 0.1)
        times += [start, start + rng.uniform(1.0, 3.0)]
        value, last = draw(), value
        values += [last, value]
    return np.array([*times, times[-1] + 1]), np.array([*values, value])
