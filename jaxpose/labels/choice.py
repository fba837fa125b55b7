"""Poses of a recording -> the clips that a person should correct.

Nets train on clips of three frames that are as far apart as the model's, so whole clips are chosen.
All numbers of a sheet are multiples of one step apart, as `data_pipeline.check` expects; it takes
others for time stamps.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxpose.errors import DataError
from jaxpose.prediction.planner import Planner
from jaxpose.recordings.recording import RATE_HZ

Choice = Literal["even", "uncertain"]
"""Names of the ways to choose. even: the middle of each of equal parts of the recording; uncertain:
of each part, the clip with the lowest mean confidence."""
MOST_NUMBER = 2**31 - 1
"""Largest number of a frame in a sheet."""


class Clip(NamedTuple):
    """Frames that belong together.

    Attributes:
      frames: index of each frame in the recording.
      numbers: number of each frame in a sheet, which counts 30 per second.
    """

    frames: tuple[int, ...]
    numbers: tuple[int, ...]


def clips_of(
    number: Int[np.ndarray, " n"],
    time_s: Float[np.ndarray, " n"],
    readable: Bool[np.ndarray, " n"],
    length: int,
    interval_s: float,
) -> list[Clip]:
    """Returns the clips in whose middle a frame is; overlapping ones, too.

    The middle frame keeps its number where numbers count 30 per second; else it gets one that does.
    Its neighbours are numbered as if they were exactly as far apart as the net's frames.
    """
    planner, planned = Planner(length, interval_s), []
    for time, usable in zip(time_s.tolist(), readable.tolist(), strict=True):
        planned += [clip for _, clip in planner.add(time, usable)]
    planned += [clip for _, clip in planner.finish()]
    middle, step = length // 2, round(RATE_HZ * interval_s)
    if np.abs(time_s - number / RATE_HZ).max(initial=0) < 1e-3:
        numbers = number
    else:
        numbers = 1 + np.round(RATE_HZ * (time_s - time_s[0])).astype(int)
    clips = []
    for clip in planned:
        if clip is None or not clip.complete or clip.position != middle:
            continue
        first = int(numbers[clip.frames[middle]]) - middle * step
        clips.append(Clip(clip.frames, tuple(first + step * k for k in range(length))))
    return [c for c in clips if c.numbers[0] >= 0 and c.numbers[-1] <= MOST_NUMBER]


def choose(
    clips: list[Clip], confidence: Float[np.ndarray, "n 12"], count: int, how: Choice
) -> list[Clip]:
    """Chooses at most `count` clips, one after the other, in time order, at one phase of the step.

    `confidence` is that of every frame of the recording. Fewer are returned where the recording is
    too short. The phase is the one with the most clips; of several, the least confident one with
    `uncertain`, else the first.

    Raises:
      DataError: there is no clip.
    """
    if not clips:
        raise DataError(
            "no three readable frames are as far apart as the model's clips need; expected a "
            "recording without gaps of half a second"
        )
    mean = {clip: float(confidence[list(clip.frames)].mean()) for clip in clips}
    phases: dict[int, list[Clip]] = {}
    for clip in clips:
        phases.setdefault(_phase(clip), []).append(clip)
    each = [_spread(phases[phase], mean, count, how) for phase in sorted(phases)]
    if how == "even":
        return max(each, key=len)
    return max(each, key=lambda chosen: (len(chosen), -sum(mean[clip] for clip in chosen)))


def _phase(clip: Clip) -> int:
    """Returns what remains of a clip's numbers modulo their step."""
    first, *later = clip.numbers
    return first % (later[0] - first) if later else 0


def _spread(clips: list[Clip], mean: dict[Clip, float], count: int, how: Choice) -> list[Clip]:
    """Chooses a clip of each of `count` parts of the recording; `mean` is its confidence."""
    chosen: list[Clip] = []
    for part in np.array_split(np.arange(len(clips)), min(count, len(clips))):
        free = [k for k in part if not chosen or follows(clips[k], chosen[-1])]
        if not free:
            continue
        if how == "even":
            best = min(free, key=lambda k: abs(k - (part[0] + part[-1]) / 2))  # noqa: B023
        else:
            best = min(free, key=lambda k: mean[clips[k]])
        chosen.append(clips[best])
    return chosen


def follows(clip: Clip, before: Clip) -> bool:
    """Tells whether a clip begins after another one ends."""
    return clip.frames[0] > before.frames[-1] and clip.numbers[0] > before.numbers[-1]
