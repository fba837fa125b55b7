"""The two linkers against exhaustive enumeration, and poses from maps drawn by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpose.body.skeleton import CONNECTIONS, JOINTS, LIMBS
from jaxpose.decoding.linking import bipartite, chain, match, pose, poses, score_links
from jaxpose.decoding.peaks import Decoding

SEEDS = st.integers(0, 2**32 - 1)


def random_problem(seed, most=3):
    """0 to `most` candidates per joint with random scores, random link scores around 0.2."""
    rng = np.random.default_rng(seed)
    candidates = [rng.random((rng.integers(most + 1), 3)) for _ in JOINTS]
    links = [rng.normal(0.2, 0.5, (len(candidates[a]), len(candidates[b]))) for a, b in CONNECTIONS]
    return candidates, links


def dots(shape, centres, std=1.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return sum(
        height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * std**2))
        for cx, cy, height in centres
    ).astype(np.float32)


def right_arm_maps(shoulder, elbow, wrist, upper=(), lower=()):
    """Maps [48 64 20] of one limb: dots (x, y, height), and the pixels (x, y) of its links."""
    maps = np.zeros((48, 64, 20), np.float32)
    for joint, centres in enumerate((shoulder, elbow, wrist)):
        maps[..., joint] = dots((48, 64), centres)
    for channel, pixels in ((12, upper), (13, lower)):
        for x, y in pixels:
            maps[y, x, channel] = 1
    return maps


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_chain_scores_no_less_than_any_other_choice(seed):
    candidates, links = random_problem(seed)

    def total(joints, limb, choice):
        """None stands for a joint that is skipped."""
        score = sum(
            candidates[j][i][2] for j, i in zip(joints, choice, strict=True) if i is not None
        )
        for k in (0, 1):
            if choice[k] is not None and choice[k + 1] is not None:
                score += links[2 * limb + k][choice[k]][choice[k + 1]]
        return score

    chosen = chain(candidates, links)
    for limb, joints in enumerate(LIMBS.values()):
        options = [range(len(candidates[j])) or [None] for j in joints]
        best = max(total(joints, limb, choice) for choice in itertools.product(*options))
        mine = [int(chosen[j]) if chosen[j] >= 0 else None for j in joints]
        assert [i is None for i in mine] == [len(candidates[j]) == 0 for j in joints]
        assert total(joints, limb, mine) == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 4), st.integers(0, 4))
def test_match_weighs_no_less_than_any_other_matching(seed, a, b):
    link = np.random.default_rng(seed).normal(0, 1, (a, b))
    pairs = match(link)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(link[i, j] > 0 for i, j in pairs)
    # Every matching: each row takes a column of its own, or none (columns b, b + 1, ...).
    ways = itertools.permutations(range(b + a), a)
    best = max(sum(link[i, j] for i, j in enumerate(way) if j < b) for way in ways)
    assert sum(link[i, j] for i, j in pairs) == pytest.approx(best)


def all_matchings(link):
    """Every set of one-to-one pairs of positive links, by recursion over the rows."""

    def extend(row, used):
        if row == link.shape[0]:
            yield []
            return
        yield from extend(row + 1, used)
        for column in range(link.shape[1]):
            if column not in used and link[row, column] > 0:
                for rest in extend(row + 1, used | {column}):
                    yield [(row, column), *rest]

    return list(extend(0, frozenset()))


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_bipartite_is_the_heaviest_chain_of_the_heaviest_matchings(seed):
    candidates, links = random_problem(seed)
    chosen = bipartite(candidates, links)
    for limb, joints in enumerate(LIMBS.values()):
        upper, lower = links[2 * limb], links[2 * limb + 1]
        first = max(all_matchings(upper), key=lambda m: sum(upper[p] for p in m))
        second = max(all_matchings(lower), key=lambda m: sum(lower[p] for p in m))
        chains = [((-1, -1, -1), 0.0)]
        chains += [((a, b, -1), upper[a, b]) for a, b in first]
        chains += [((-1, b, c), lower[b, c]) for b, c in second]
        chains += [
            ((a, b, c), upper[a, b] + lower[b, c]) for a, b in first for d, c in second if b == d
        ]
        assert tuple(chosen[list(joints)]) == max(chains, key=lambda c: c[1])[0]


def test_bipartite_matches_for_the_sum_and_not_greedily():
    # 0.9 is the best single pair, but 0.8 + 0.7 > 0.9 + 0.1.
    assert match(np.array([[0.9, 0.8], [0.7, 0.1]])) == [(0, 1), (1, 0)]


def test_link_score_is_the_mean_over_points_from_end_to_end():
    maps = np.zeros((8, 40, 20), np.float32)
    maps[2, :16, 12] = 1  # right shoulder-elbow: the row y = 2, up to x = 15
    candidates = [np.zeros((0, 3)) for _ in JOINTS]
    candidates[0] = np.array([[3.0, 2.0, 1.0]])
    candidates[1] = np.array([[30.0, 2.0, 1.0], [12.0, 2.0, 1.0]])
    links = score_links(maps, candidates, points=10)
    # x = 3, 6, ..., 30: the five up to 15 lie on the row; and all ten of the second's.
    np.testing.assert_allclose(links[0], [[0.5, 1.0]])
    assert links[1].shape == (2, 0)


def test_both_linkers_choose_the_wrist_at_the_end_of_the_forearm():
    # The stray wrist (50, 10) is higher, but no forearm leads to it.
    arm = right_arm_maps(
        [(10, 30, 1)], [(20, 30, 1)], [(30, 30, 0.7), (50, 10, 0.9)],
        upper=[(x, 30) for x in range(10, 21)], lower=[(x, 30) for x in range(20, 31)],
    )  # fmt: skip
    for linker in (chain, bipartite):
        xy, score, actual = pose(arm, Decoding(3.0), linker)
        np.testing.assert_allclose(xy[:3], [[10, 30], [20, 30], [30, 30]], atol=0.05)
        np.testing.assert_allclose(score[:3], [1, 1, 0.7], atol=0.01)
        assert actual.tolist() == [True] * 3 + [False] * 9


def test_without_links_chain_finds_every_peak_and_bipartite_none():
    arm = right_arm_maps([(10, 30, 1)], [(20, 30, 1)], [(30, 30, 0.7)])
    by_chain, by_matching = pose(arm, Decoding(3.0)), pose(arm, Decoding(3.0), bipartite)
    assert by_chain.found.tolist() == [True] * 3 + [False] * 9
    assert not by_matching.found.any()
    np.testing.assert_array_equal(by_chain.xy, by_matching.xy)  # the fallback


def test_a_hidden_elbow_costs_its_links_but_not_its_neighbours():
    arm = right_arm_maps([(10, 30, 1)], [(20, 30, 0.05)], [(30, 30, 0.8)])
    xy, score, actual = pose(arm, Decoding(3.0, min_score=0.1))
    assert actual[:3].tolist() == [True, False, True]
    np.testing.assert_allclose(xy[1], [20, 30], atol=0.05)
    np.testing.assert_allclose(score[1], 0.05, atol=0.01)


def test_poses_are_the_frames_poses_stacked():
    rng = np.random.default_rng(0)
    maps = rng.random((3, 24, 32, 20)).astype(np.float32)
    together = poses(maps, Decoding(2.0), bipartite)
    assert together.xy.shape == (3, 12, 2) and together.xy.dtype == np.float32
    for k in range(3):
        for part, alone in zip(together, pose(maps[k], Decoding(2.0), bipartite), strict=True):
            np.testing.assert_array_equal(part[k], alone)
