"""Times of frames, one after the other -> the clip that each frame's pose comes from.

A net sees frames that are as far apart in time as in its training, 1/6 s. At 30 frames/s, frame t
is in the middle of the clip t - 5, t, t + 5. Neighbours are the frames nearest to those times, so
time stamps may be irregular and frames may be missing.
"""

import bisect
import collections
import dataclasses
from collections.abc import Iterator

from jaxpose.errors import DataError

TOLERANCE, NEAR, WIDEST = 0.45, 0.1, 1.25
"""How far a neighbour may be from its time, as shares of the time between frames of a clip: up to
`TOLERANCE` where frames before and after that time are at most `WIDEST` apart, else up to `NEAR`.
So rates that do not fit and single lost frames are bridged, the ends of a recording are not."""
_ROUNDING_S = 1e-6


@dataclasses.dataclass(frozen=True)
class Clip:
    """The frames that a pose is computed from.

    Attributes:
      frames: index of each frame of the clip, in time order.
      position: the frame's own place in it.
      complete: False if a frame stands in for a neighbour that does not exist.
    """

    frames: tuple[int, ...]
    position: int
    complete: bool


class Planner:
    """Chooses a clip for every frame, in constant memory.

    With `overlap`, a frame is in the middle of its clip. Where a neighbour is missing, at both ends
    and beside gaps, the frame is the first of its clip, or the last. Where that is impossible, too,
    the frame itself stands in for its missing neighbours. Without `overlap`, a clip serves all its
    frames, which takes a third of the time; frames that are left over are treated as above.
    """

    def __init__(self, length: int, interval_s: float, *, overlap: bool = True):
        """`length` is the number of frames of a clip, `interval_s` the time between two of them."""
        self.length, self.interval_s, self.overlap = length, interval_s, overlap
        middle = length // 2
        self._positions = sorted(range(length), key=lambda p: (abs(p - middle), p))
        self._index: list[int] = []  # usable frames that clips may still need
        self._time: list[float] = []
        self._pending: collections.deque[tuple[int, float, bool]] = collections.deque()
        self._shared: dict[int, Clip] = {}  # of frames whose clip began with an earlier frame
        self._newest, self._count = -float("inf"), 0

    def add(self, time_s: float, usable: bool = True) -> Iterator[tuple[int, Clip | None]]:
        """Adds the next frame; yields all frames, in order, whose clip is now known.

        A frame that is not `usable` is in no clip; None is yielded for it.

        Raises:
          DataError: `time_s` is not later than that of the frame before.
        """
        if not time_s > self._newest:
            raise DataError(f"frame {self._count}: time {time_s} s is not after {self._newest} s")
        self._pending.append((self._count, time_s, usable))
        if usable:
            self._index.append(self._count)
            self._time.append(time_s)
        self._newest, self._count = time_s, self._count + 1
        yield from self._resolve(end=False)

    def finish(self) -> Iterator[tuple[int, Clip | None]]:
        """Yields the remaining frames."""
        yield from self._resolve(end=True)

    @property
    def oldest(self) -> int:
        """Index of the oldest frame that a clip to come may contain."""
        return self._index[0] if self._index else self._count

    def _resolve(self, end: bool) -> Iterator[tuple[int, Clip | None]]:
        while self._pending:
            index, time_s, usable = self._pending[0]
            clip = self._choose(index, time_s, end) if usable else None
            if usable and clip is None:
                return
            self._pending.popleft()
            self._shared.pop(index, None)
            if self._pending:
                span_s = (self.length - 1 + TOLERANCE) * self.interval_s
                old = bisect.bisect_left(self._time, self._pending[0][1] - span_s)
                del self._index[:old], self._time[:old]
            yield index, clip

    def _choose(self, index: int, time_s: float, end: bool) -> Clip | None:
        """Chooses the clip of a frame; None if it depends on frames to come."""
        if index in self._shared:
            return self._shared[index]
        if not self.overlap:
            frames, wait = self._frames(index, time_s, position=0, free=True)
            if wait and not end:
                return None
            if None not in frames:
                for position, frame in enumerate(frames):
                    self._shared[frame] = Clip(frames, position, complete=True)
                return self._shared[index]
        for position in self._positions:
            frames, wait = self._frames(index, time_s, position)
            if wait and not end:
                return None
            if None not in frames:
                return Clip(frames, position, complete=True)
        frames, _ = self._frames(index, time_s, self.length // 2)
        frames = tuple(index if frame is None else frame for frame in frames)
        return Clip(frames, self.length // 2, complete=False)

    def _frames(self, index: int, time_s: float, position: int, free: bool = False):
        """Finds a clip's frames, None where there is none; tells if later ones may be found yet."""
        wanted = [time_s + (place - position) * self.interval_s for place in range(self.length)]
        frames = [self._nearest(wanted_s, free) for wanted_s in wanted]
        frames[position] = index
        wait = wanted[-1] > self._newest + _ROUNDING_S and None not in frames[:position]
        return tuple(frames), wait

    def _nearest(self, wanted_s: float, free: bool) -> int | None:
        """Returns the usable frame nearest to a time; with `free`, one that has no clip yet."""
        first = bisect.bisect_left(self._time, wanted_s - TOLERANCE * self.interval_s)
        last = bisect.bisect_right(self._time, wanted_s + TOLERANCE * self.interval_s)
        choices = [k for k in range(first, last) if not (free and self._index[k] in self._shared)]
        if not choices:
            return None
        nearest = min(choices, key=lambda k: abs(self._time[k] - wanted_s))
        if abs(self._time[nearest] - wanted_s) > NEAR * self.interval_s:
            after = bisect.bisect_left(self._time, wanted_s)
            if after in (0, len(self._time)):
                return None
            if self._time[after] - self._time[after - 1] > WIDEST * self.interval_s:
                return None
        return self._index[nearest]
