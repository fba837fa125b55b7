"""Which three frames make a clip, and in which order clips are trained on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_frames import make_frames

from data_pipeline.examples.clips import clip_frames, clip_starts, order


def starts(frames, shift, without=()):
    used = np.ones(len(frames), bool)
    used[list(without)] = False
    return clip_starts(frames, used, shift).tolist()


@pytest.mark.parametrize(
    "count, shift, expected",
    [
        (7, 1, [0, 1, 2, 3, 4]),
        (7, 3, [0, 3]),  # frame 6 is alone
        (9, 3, [0, 3, 6]),
        (3, 1, [0]),
        (3, 3, [0]),
        (2, 1, []),
        (1, 3, []),
    ],
)
def test_a_run_of_n_frames_has_n_minus_2_clips_or_a_third_of_n(count, shift, expected):
    assert starts(make_frames(1 + 5 * np.arange(count)), shift) == expected


def test_no_clip_lies_across_a_gap_and_shift_3_begins_anew_after_it():
    frames = make_frames([1, 6, 11, 16, 26, 31, 36, 41, 46])  # 21 is missing: 4 + 5 frames
    assert starts(frames, 1) == [0, 1, 4, 5, 6]
    assert starts(frames, 3) == [0, 4]


def test_no_clip_lies_across_the_end_of_a_recording_or_of_a_subject():
    # frame numbers go on, so only the names tell
    frames = make_frames(1 + 5 * np.arange(10), ["1"] * 7 + ["2"] * 3, ["a"] * 4 + ["b"] * 6)
    assert starts(frames, 1) == [0, 1, 4, 7]
    assert starts(frames, 3) == [0, 4, 7]


def test_runs_shorter_than_3_make_no_clip():
    frames = make_frames([1, 6, 100, 200, 205, 300, 305, 310])
    assert starts(frames, 1) == [5]


def test_a_frame_that_is_not_used_divides_its_run():
    frames = make_frames(1 + 5 * np.arange(10))
    assert starts(frames, 1, without=[4]) == [0, 1, 5, 6, 7]
    assert starts(frames, 3, without=[4]) == [0, 5]
    assert starts(frames, 1, without=[0, 9]) == [1, 2, 3, 4, 5, 6]
    assert starts(frames, 1, without=[2, 5, 8]) == []
    assert starts(frames, 1, without=range(10)) == []


def test_rows_in_the_sheets_order_make_clips_across_gaps_but_not_across_infants():
    frames = make_frames([11, 16, 1, 21, 6, 11], ["1"] * 4 + ["2"] * 2, step=0)
    assert starts(frames, 1) == [0, 1]


def test_a_clip_is_its_start_and_the_two_frames_after_it():
    assert clip_frames(np.array([4, 0])).tolist() == [[4, 5, 6], [0, 1, 2]]
    assert clip_frames(np.zeros(0, np.int64)).shape == (0, 3)


@st.composite
def recordings(draw):
    """Frames with gaps, changing subjects and sequences, and which of them are used."""
    rows = draw(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=1, max_size=40))
    gap, subject, sequence, used = np.array(rows).T
    return make_frames(
        np.cumsum(np.where(gap == 0, 10, 5)),
        np.cumsum(subject == 0).astype(str),
        np.cumsum(sequence == 0).astype(str),
        step=draw(st.sampled_from([0, 5, 10])),
    ), used > 0


@settings(max_examples=150, deadline=None)
@given(recordings(), st.sampled_from([1, 2, 3]))
def test_every_clip_is_three_consecutive_used_frames_of_one_recording(case, shift):
    frames, used = case
    first = clip_starts(frames, used, shift)
    index = clip_frames(first)
    assert first.dtype == np.int64
    assert (np.diff(first) >= 1).all() and (index < len(frames)).all()
    assert used[index].all()
    for names in (frames.subject[index], frames.sequence[index]):
        assert (names == names[:, :1]).all()
    if frames.step:
        assert (np.diff(frames.frame[index]) == frames.step).all()


@settings(max_examples=150, deadline=None)
@given(recordings())
def test_shift_1_leaves_no_clip_out_and_shift_3_uses_no_frame_twice(case):
    frames, used = case
    follows = frames.follows()
    every = [
        i
        for i in range(len(frames) - 2)
        if used[i : i + 3].all() and follows[i + 1] and follows[i + 2]
    ]
    assert clip_starts(frames, used, 1).tolist() == every
    apart = clip_frames(clip_starts(frames, used, 3)).ravel()
    assert len(set(apart)) == len(apart)
    assert set(apart) <= set(clip_frames(np.array(every, int)).ravel())


# ---------------------------------------------------------------- the order of training


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 100), st.integers(0, 2**32))
def test_every_clip_comes_once_before_any_comes_again(clips, count, seed):
    first = 7 * np.arange(clips)
    drawn = order(first, (seed,), count)
    assert len(drawn) == count
    for begin in range(0, count, clips):
        turn = drawn[begin : begin + clips]
        assert len(set(turn)) == len(turn) and set(turn) <= set(first)
    assert set(drawn[:clips]) == set(first) or count < clips


def test_the_order_depends_on_the_seed_alone():
    first = np.arange(100)
    np.random.seed(1)
    once = order(first, (3, 7), 250)
    np.random.seed(2)
    np.testing.assert_array_equal(order(first, (3, 7), 250), once)
    np.testing.assert_array_equal(order(first, (3, 7), 120), once[:120])
    # 100! orders: that two seeds, or two rounds, agree by chance cannot happen
    assert (order(first, (3, 8), 250) != once).any()
    assert (order(first, (4, 7), 250) != once).any()
    assert (once[:100] != once[100:200]).any() and (once[:100] != first).any()
