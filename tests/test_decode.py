"""Peaks of maps: where they are, which ones count, and how far noise and borders move them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpose.decoding.peaks import Decoding, find_peaks, sample, suppress

GRIDS = {3: (48, 64), 6: (96, 128)}
"""Radius r of the masks in px -> the grid (h, w) it belongs to."""

KINDS = {"sharp Gaussian": 1 / 3, "flat Gaussian": 3.0, "disc": np.inf}
"""Standard deviation of a mask, in r; all of them end at r."""


def blob(shape, xy, r, std):
    y, x = np.mgrid[: shape[0], : shape[1]]
    squared = (x - xy[0]) ** 2 + (y - xy[1]) ** 2
    return np.where(squared <= r * r, np.exp(-squared / (2 * (std * r) ** 2)), 0).astype("float32")


def errors(r, std, centres, noise=0.0, second=0.0, rng=None):
    """Distance of each map's best candidate to the blob's centre, 10 maps at a time."""
    shape = GRIDS[r]
    out = []
    for group in np.array_split(centres, max(1, len(centres) // 10)):
        maps = np.stack([blob(shape, xy, r, std) for xy in group], axis=-1)
        if second:
            away = np.array([shape[1] - 1, shape[0] - 1]) - group
            far = np.linalg.norm(away - group, axis=1) > 3 * r
            group, away, maps = group[far], away[far], maps[..., far]
            weaker = [second * blob(shape, xy, r, std) for xy in away]
            maps = np.maximum(maps, np.stack(weaker, axis=-1))
        if noise:
            maps = maps + noise * rng.standard_normal(maps.shape).astype("float32")
        peaks = find_peaks(maps, Decoding(float(r)))
        best = np.array([c[0, :2] for c in peaks.candidates])
        out.append(np.linalg.norm(best - group, axis=1))
    return np.concatenate(out)


def anywhere(rng, r, n=100):
    h, w = GRIDS[r]
    return rng.uniform([0, 0], [w - 1, h - 1], (n, 2))


def inside(rng, r, n=100):
    h, w = GRIDS[r]
    return rng.uniform([r + 1, r + 1], [w - 2 - r, h - 2 - r], (n, 2))


def cut(rng, r, n=100):
    """Joints less than r from a border, which cuts their blob."""
    h, w = GRIDS[r]
    xy = anywhere(rng, r, n)
    axis, far, depth = rng.integers(2, size=n), rng.integers(2, size=n), rng.uniform(0, r, n)
    xy[np.arange(n), axis] = np.where(far, np.array([w, h])[axis] - 1 - depth, depth)
    return xy


def test_sampling_between_pixels_is_bilinear_and_clamped_outside():
    maps = np.array([[0, 1], [2, 5]], np.float32)[..., None]
    xy = np.array([[0, 0], [1, 0], [0.5, 0], [0.5, 0.5], [1, 0.25], [9, 9], [-3, 1]], np.float64)
    np.testing.assert_allclose(sample(maps, 0, xy), [0, 1, 0.5, 2, 2, 5, 2])


def test_sampling_reads_the_channel_it_is_given():
    maps = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)  # value: 12 y + 4 x + channel
    xy = np.array([[1.0, 0.0], [2.0, 1.0]])
    np.testing.assert_allclose(sample(maps, np.array([3, 1]), xy), [7, 21])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("r", GRIDS)
def test_a_whole_blob_is_found_to_a_fraction_of_a_pixel(r, kind):
    error = errors(r, KINDS[kind], inside(np.random.default_rng(0), r))
    assert np.median(error) < 0.2 and np.quantile(error, 0.99) < 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("r", GRIDS)
def test_a_blob_cut_by_the_border_is_found_to_half_a_pixel(r, kind):
    error = errors(r, KINDS[kind], cut(np.random.default_rng(0), r))
    # A flat blob says where it is by its rim alone, and there half of the rim is missing.
    median, worst = (0.1, 0.15 * r) if KINDS[kind] < 1 else (0.5, 0.45 * r)
    assert np.median(error) < median and np.quantile(error, 0.99) < worst


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("r", GRIDS)
def test_noise_and_a_weaker_blob_elsewhere_do_not_mislead_it(r, kind):
    rng = np.random.default_rng(0)
    error = errors(r, KINDS[kind], inside(rng, r), noise=0.05, second=0.7, rng=rng)
    assert np.median(error) < 0.3 and np.quantile(error, 0.99) < 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_turning_the_map_turns_the_candidate(kind):
    maps = blob((48, 64), (7.3, 2.6), 3, KINDS[kind])[..., None]
    x, y, score = find_peaks(maps, Decoding(3.0)).candidates[0][0]
    turned = find_peaks(np.ascontiguousarray(maps[::-1, ::-1]), Decoding(3.0)).candidates[0][0]
    np.testing.assert_allclose(turned, [63 - x, 47 - y, score], atol=1e-4)


def test_two_blobs_give_two_candidates_best_first_with_their_heights():
    maps = np.zeros((48, 64, 2), np.float32)
    maps[..., 1] = 0.6 * blob((48, 64), (10, 20), 3, 1 / 3) + blob((48, 64), (40, 20), 3, 1 / 3)
    empty, both = find_peaks(maps, Decoding(3.0)).candidates
    assert empty.shape == (0, 3)
    np.testing.assert_allclose(both, [[40, 20, 1], [10, 20, 0.6]], atol=1e-3)


def test_a_blob_below_half_of_the_maximum_is_no_candidate():
    maps = blob((48, 64), (10, 20), 3, 1 / 3) + 0.4 * blob((48, 64), (40, 20), 3, 1 / 3)
    assert len(find_peaks(maps[..., None], Decoding(3.0)).candidates[0]) == 1


def test_a_map_below_min_score_has_no_candidate_but_a_fallback():
    maps = 0.09 * blob((48, 64), (31, 12), 3, 1 / 3)[..., None]
    peaks = find_peaks(maps, Decoding(3.0, min_score=0.1))
    assert len(peaks.candidates[0]) == 0
    np.testing.assert_allclose(peaks.fallback, [[31, 12, 0.09]], atol=1e-3)
    assert len(find_peaks(maps, Decoding(3.0, min_score=0.08)).candidates[0]) == 1


@pytest.mark.parametrize("value", (0.0, -0.3, 1.0))
def test_a_constant_map_is_decoded_without_failing(value):
    peaks = find_peaks(np.full((48, 64, 2), value, np.float32), Decoding(3.0))
    assert all((len(c) > 0) == (value >= 0.1) for c in peaks.candidates)
    assert np.isfinite(peaks.fallback).all()
    np.testing.assert_allclose(peaks.fallback[:, 2], value, atol=1e-6)


def test_one_loud_pixel_of_noise_is_not_preferred_to_a_blob():
    maps = 0.8 * blob((48, 64), (20, 20), 3, 1 / 3)
    maps[40, 50] = 1.0
    peaks = find_peaks(maps[..., None], Decoding(3.0))
    np.testing.assert_allclose(peaks.fallback[0, :2], [20, 20], atol=0.1)


def test_maps_are_decoded_independently_of_each_other():
    rng = np.random.default_rng(2)
    maps = rng.random((48, 64, 3)).astype(np.float32)
    together = find_peaks(maps, Decoding(3.0))
    for k in range(3):
        alone = find_peaks(maps[..., k : k + 1], Decoding(3.0))
        np.testing.assert_allclose(alone.candidates[0], together.candidates[k])
        np.testing.assert_allclose(alone.fallback[0], together.fallback[k])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((0.5, 1.0, 2.0)))
def test_candidates_of_random_maps_are_apart_ordered_inside_and_high_enough(seed, loudness):
    maps = np.random.default_rng(seed).normal(0, loudness, (24, 32, 3)).astype(np.float32)
    decoding = Decoding(2.0, max_candidates=4)
    for c in find_peaks(maps, decoding).candidates:
        assert len(c) <= 4 and (np.diff(c[:, 2]) <= 0).all() and (c[:, 2] >= 0.1).all()
        assert (c[:, :2] >= 0).all() and (c[:, :2] <= [31, 23]).all()
        distance = np.linalg.norm(c[:, None, :2] - c[None, :, :2], axis=-1)
        assert (distance[~np.eye(len(c), dtype=bool)] > 2).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 12)] * 3), max_size=12))
def test_suppression_keeps_exactly_the_peaks_without_a_better_kept_one_nearby(points):
    peaks = np.array(points, np.float64).reshape(-1, 3)
    left, expected = sorted(peaks.tolist(), key=lambda p: -p[2]), []
    while left:  # the best takes everything within the radius with it
        best = left[0]
        expected.append(best)
        left = [p for p in left if (p[0] - best[0]) ** 2 + (p[1] - best[1]) ** 2 > 9]
    stored = suppress(peaks, Decoding(3.0, max_candidates=3))
    np.testing.assert_array_equal(stored, np.array(expected[:3]).reshape(-1, 3))
