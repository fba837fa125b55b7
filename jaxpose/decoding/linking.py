"""Maps of one frame [h w 20] -> its pose: which candidate of each joint belongs to which limb.

A linker receives the candidates of the 12 joints and the link scores of the 8 connections, and
chooses at most one candidate per joint. `bipartite` is the paper's (Sec. II-B). `chain`, the
default, adds the heights of the peaks, of which the mean along a link says nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from jaxpose.body.skeleton import CONNECTIONS, JOINTS, LIMBS
from jaxpose.decoding.peaks import Decoding, find_peaks, sample

Candidates = list[Float[np.ndarray, "_ 3"]]
"""One array per joint, whose rows are (x, y, score), best first; px of the maps."""

Links = list[Float[np.ndarray, "_ _"]]
"""One array per connection: the score of each candidate of its first joint (rows) with each of its
second (columns)."""

Linker = Callable[[Candidates, Links], Int[np.ndarray, "12"]]
"""Chooses the index of each joint's candidate, -1 for a joint that is not found."""


class Pose(NamedTuple):
    """The joints of one frame, (x, y) in px of the maps.

    A joint that is not found is at its map's maximum, so that every joint can be compared with the
    truth; `found` is False for it. `score` is the map's value at the position.
    """

    xy: Float[np.ndarray, "12 2"]
    score: Float[np.ndarray, "12"]
    found: Bool[np.ndarray, "12"]


class Poses(NamedTuple):
    """The poses of n frames, with the fields of `Pose`."""

    xy: Float[np.ndarray, "n 12 2"]
    score: Float[np.ndarray, "n 12"]
    found: Bool[np.ndarray, "n 12"]


def chain(candidates: Candidates, links: Links) -> Int[np.ndarray, "12"]:
    """Chooses for each limb the candidates with the largest sum of peak scores and link scores.

    A joint is found if it has a candidate. One without candidates is skipped, and its links do not
    count.
    """
    chosen = np.full(len(JOINTS), -1)
    for limb, joints in enumerate(LIMBS.values()):
        # A stand-in of score 0 keeps the three axes when a joint has no candidate.
        peaks = [candidates[j][:, 2] if len(candidates[j]) else np.zeros(1) for j in joints]
        upper, lower = (link if link.size else np.zeros((1, 1)) for link in _pair(links, limb))
        total = peaks[0][:, None, None] + peaks[1][:, None] + peaks[2]
        total = total + upper[:, :, None] + lower
        best = np.unravel_index(total.argmax(), total.shape)
        for joint, index in zip(joints, best, strict=True):
            if len(candidates[joint]):
                chosen[joint] = index
    return chosen


def bipartite(candidates: Candidates, links: Links) -> Int[np.ndarray, "12"]:
    """Links by maximum-weight bipartite matchings, as the paper (Sec. II-B; Du et al. 2018).

    The matches of a limb's two connections are joined into chains over shared middle candidates.
    The chain with the largest sum of link scores is the limb. Joints that it does not reach are not
    found, even if they have candidates.
    """
    chosen = np.full(len(JOINTS), -1)
    for limb, joints in enumerate(LIMBS.values()):
        upper, lower = _pair(links, limb)
        roots = {middle: root for root, middle in match(upper)}
        ends = dict(match(lower))
        best = 0.0
        for middle in sorted(roots.keys() | ends.keys()):
            root, end = roots.get(middle, -1), ends.get(middle, -1)
            total = upper[root, middle] if root >= 0 else 0.0
            total += lower[middle, end] if end >= 0 else 0.0
            if total > best:
                best, chosen[list(joints)] = total, (root, middle, end)
    return chosen


LINKERS: dict[str, Linker] = {"chain": chain, "bipartite": bipartite}


def match(link: Float[np.ndarray, "a b"]) -> list[tuple[int, int]]:
    """Returns the one-to-one pairs (row, column) with the largest sum of scores, all above 0."""
    rows, columns = linear_sum_assignment(np.maximum(link, 0), maximize=True)
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if link[a, b] > 0]


def score_links(
    maps: Float[np.ndarray, "h w 20"], candidates: Candidates, points: int = 10
) -> Links:
    """Scores every pair of candidates by the mean of its connection's map along the segment.

    The map is read at `points` equally spaced points, both ends included.
    """
    along = np.linspace(0, 1, points)[:, None]
    links = []
    for k, (a, b) in enumerate(CONNECTIONS):
        start, end = candidates[a][:, None, None, :2], candidates[b][None, :, None, :2]
        values = sample(maps, len(JOINTS) + k, start + along * (end - start))
        links.append(values.mean(axis=-1))
    return links


def pose(maps: Float[np.ndarray, "h w 20"], decoding: Decoding, linker: Linker = chain) -> Pose:
    """Decodes the maps of one frame: 12 joint maps, then 8 connection maps.

    A perfect peak is about 1, as in `poses`.
    """
    maps = np.ascontiguousarray(maps)
    candidates, fallback = find_peaks(maps[..., : len(JOINTS)], decoding)
    chosen = linker(candidates, score_links(maps, candidates, decoding.points))
    found = chosen >= 0
    joints = fallback.copy()
    for joint in np.flatnonzero(found):
        joints[joint] = candidates[joint][chosen[joint]]
    joints = joints.astype(np.float32)
    return Pose(joints[:, :2], joints[:, 2], found)


def poses(maps: Float[np.ndarray, "n h w 20"], decoding: Decoding, linker: Linker = chain) -> Poses:
    """Decodes the maps of n >= 1 frames, each by itself.

    A perfect peak must be about 1, so maps of targets with another scale are divided by it first:
    `min_score` and the balance of peaks and links depend on it.
    """
    frames = [pose(frame, decoding, linker) for frame in maps]
    return Poses(*(np.stack(part) for part in zip(*frames, strict=True)))


def _pair(links: Links, limb: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the link scores of a limb's upper and lower connection."""
    return links[2 * limb], links[2 * limb + 1]
