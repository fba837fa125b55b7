"""Frames -> clips of three consecutive frames."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from data_pipeline.examples.frames import Frames

CLIP = 3
"""Number of frames of a clip (the paper, Sec. III-A)."""


def clip_starts(
    frames: Frames, used: Bool[np.ndarray, " n"], shift: int
) -> Int[np.ndarray, " clips"]:
    """Returns the index of the first frame of every clip.

    All frames of a clip are `used`, and it spans neither a gap nor the end of a recording. Within
    a run of consecutive frames clips start every `shift` frames: 1 for training, 3 for testing, so
    that no test frame counts twice (the paper, Sec. III-A).
    """
    starts = [np.arange(first, end - CLIP + 1, shift) for first, end in runs(frames, used)]
    return np.concatenate(starts).astype(np.int64) if starts else np.zeros(0, np.int64)


def runs(frames: Frames, used: Bool[np.ndarray, " n"]) -> Iterator[tuple[int, int]]:
    """Yields each longest run of consecutive used frames: its first index, and the one after it."""
    joined = frames.follows() & used & np.concatenate([[False], used[:-1]])
    first = 0
    for index in range(1, len(used) + 1):
        if index == len(used) or not joined[index]:
            if used[first]:
                yield first, index
            first = index


def clip_frames(starts: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips 3"]:
    """Returns the indices of the frames of each clip."""
    return starts[:, None] + np.arange(CLIP)


def order(
    starts: Int[np.ndarray, " clips"], seed: tuple[int, ...], count: int
) -> Int[np.ndarray, " count"]:
    """Returns `count` clips in random order; every clip comes once before any comes again.

    The order depends on the seed alone, so a resumed epoch repeats that of the interrupted one.
    """
    random = np.random.default_rng(seed)
    rounds = max(1, -(-count // len(starts)))
    return np.concatenate([random.permutation(starts) for _ in range(rounds)])[:count]
