"""Which frames a pose is computed from, at any rate, with gaps and with time stamps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpose.prediction.planner import TOLERANCE, Planner
from jaxpose.recordings.clips import clip_plan

INTERVAL_S = 1 / 6


def plan(times, *, overlap=True, lost=()):
    """Returns the clip of each frame, checking that frames come in order."""
    planner = Planner(3, INTERVAL_S, overlap=overlap)
    steps = [planner.add(float(time_s), k not in lost) for k, time_s in enumerate(times)]
    pairs = [pair for step in [*steps, planner.finish()] for pair in step]
    assert [index for index, _ in pairs] == list(range(len(times)))
    return [clip for _, clip in pairs]


def test_at_30_frames_per_second_frame_t_is_in_the_middle_of_t_minus_5_t_and_t_plus_5():
    clips = plan(np.arange(40) / 30)
    assert [c.frames for c in clips[5:35]] == [(t - 5, t, t + 5) for t in range(5, 35)]
    assert {c.position for c in clips[5:35]} == {1}
    assert [c.frames for c in clips[:5]] == [(t, t + 5, t + 10) for t in range(5)]
    assert [c.frames for c in clips[35:]] == [(t - 10, t - 5, t) for t in range(35, 40)]
    assert [c.position for c in clips[:5] + clips[35:]] == [0] * 5 + [2] * 5
    assert all(c.complete for c in clips)


@given(st.integers(3, 40), st.sampled_from([True, False]), st.integers(0, 10**6))
def test_at_6_frames_per_second_clips_are_those_of_the_evaluation(count, overlap, first):
    starts, clip_of, position = clip_plan(count, 3, 1 if overlap else 3)
    clips = plan((first + 5 * np.arange(count)) / 30, overlap=overlap)
    expected = [tuple(range(starts[c], starts[c] + 3)) for c in clip_of]
    assert [c.frames for c in clips] == expected
    assert [c.position for c in clips] == position.tolist()


def test_without_overlap_three_frames_share_a_clip():
    clips = plan(np.arange(30) / 30, overlap=False)
    assert len({c.frames for c in clips}) == 10
    assert [c.frames for c in clips[:15]] == [(t % 5, t % 5 + 5, t % 5 + 10) for t in range(15)]
    assert [c.position for c in clips] == [0] * 5 + [1] * 5 + [2] * 5 + [0] * 5 + [1] * 5 + [2] * 5


def test_a_lost_frame_is_in_no_clip_and_the_nearest_one_takes_its_place():
    clips = plan(np.arange(40) / 30, lost={20})
    assert clips[20] is None
    assert not any(20 in c.frames for c in clips if c)
    assert clips[15].frames in ((10, 15, 19), (10, 15, 21))  # equally near
    assert clips[25].frames in ((19, 25, 30), (21, 25, 30))
    assert all(c.complete for c in clips if c)


def test_no_clip_reaches_across_a_gap():
    times = np.concatenate([np.arange(20), 1000 + np.arange(20)]) / 30
    clips = plan(times)
    assert all(max(c.frames) < 20 for c in clips[:20])
    assert all(min(c.frames) >= 20 for c in clips[20:])
    assert [c.frames for c in clips[15:20]] == [(t - 10, t - 5, t) for t in range(15, 20)]
    assert [c.frames for c in clips[20:25]] == [(t, t + 5, t + 10) for t in range(20, 25)]


@pytest.mark.parametrize("rate, step", [(5, 1), (10, 2), (15, 2), (25, 4), (90, 15)])
def test_at_other_rates_neighbours_are_the_nearest_frames(rate, step):
    clips = plan(np.arange(60) / rate)
    assert all(c.complete for c in clips)
    for t in range(step, 60 - step - 1):
        before, middle, after = clips[t].frames
        if clips[t].position == 1:
            assert (
                middle == t
                and abs(t - before - rate / 6) <= 0.5
                and abs(after - t - rate / 6) <= 0.5
            )


def test_a_frame_stands_in_for_neighbours_that_do_not_exist():
    clips = plan([0, 1, 2, 2 + INTERVAL_S])
    assert [c.frames for c in clips] == [(0, 0, 0), (1, 1, 1), (2, 2, 3), (2, 3, 3)]
    assert not any(c.complete for c in clips) and {c.position for c in clips} == {1}


@given(
    st.lists(st.floats(0.005, 0.4), min_size=1, max_size=60),
    st.sets(st.integers(0, 59), max_size=20),
    st.booleans(),
)
def test_neighbours_are_near_their_times_and_few_frames_are_remembered(steps, lost, overlap):
    times = np.cumsum(steps)
    for k, clip in enumerate(plan(times, overlap=overlap, lost=lost)):
        assert (clip is None) == (k in lost)
        if clip is not None:
            assert clip.frames[clip.position] == k and not lost & set(clip.frames)
            wanted = times[k] + (np.arange(3) - clip.position) * INTERVAL_S
            off = np.abs(times[list(clip.frames)] - wanted) / INTERVAL_S
            # without overlap, neighbours are near their times as seen from the first frame
            most = TOLERANCE * (1 if overlap else 2) + 1e-9
            assert (off <= most).all() or not clip.complete
            assert list(clip.frames) == sorted(clip.frames)


def test_memory_is_constant():
    planner = Planner(3, INTERVAL_S)
    for k in range(10_000):
        for _ in planner.add(k / 30):
            pass
        assert k - planner.oldest <= 2 * 12 and len(planner._index) <= 25


@pytest.mark.parametrize("times", [[0, 0], [1, 0.5], [0, float("nan")]])
def test_times_must_increase(times):
    with pytest.raises(ValueError, match="frame 1: time .* is not after"):
        plan(times)
