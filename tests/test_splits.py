"""Which frames train, validate and test: by infant, and in time within each infant."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_frames import make_frames

from data_pipeline.errors import DataError
from data_pipeline.examples.clips import clip_frames, clip_starts
from data_pipeline.examples.splits import PARTS, fold_ids, split_frames


def infants(lengths: dict[str, int]):
    """Consecutive frames 1, 6, 11, ... of each subject, one recording each."""
    frame = np.concatenate([1 + 5 * np.arange(n) for n in lengths.values()])
    return make_frames(frame, np.repeat(list(lengths), list(lengths.values())), grid=(2, 2))


def numbered(count, length=10):
    return infants({str(k): length for k in range(1, count + 1)})


def each_frame_once(split):
    return (sum(split.used[part].astype(int) for part in PARTS) <= 1).all()


# ---------------------------------------------------------------- by infant


@pytest.mark.parametrize(
    "count, train, val, test",
    [
        (16, 11, 2, 3),  # 16 / 5 = 3.2, 16 / 10 = 1.6
        (14, 10, 1, 3),
        (10, 7, 1, 2),
        (8, 5, 1, 2),  # of UTD-MHAD
        (3, 1, 1, 1),
    ],
)
def test_the_last_fifth_tests_and_half_as_many_before_it_validate(count, train, val, test):
    split = split_frames(numbered(count), "by_infant")
    ids = [str(k) for k in range(1, count + 1)]  # by number: 2 before 10
    assert split.subjects == {
        "train": ids[:train],
        "val": ids[train : train + val],
        "test": ids[train + val :],
    }
    assert len(split.subjects["test"]) == test
    assert [split.used[part].sum() for part in PARTS] == [10 * train, 10 * val, 10 * test]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, 200), min_size=3, max_size=25))
def test_by_infant_the_parts_are_disjoint_and_cover_every_frame(numbers):
    frames = infants({str(n): 1 + n % 4 for n in numbers})
    split = split_frames(frames, "by_infant")
    assert each_frame_once(split)
    assert sum(split.used[part].sum() for part in PARTS) == len(frames)
    for part in PARTS:
        assert set(frames.subject[split.used[part]]) == set(split.subjects[part]) != set()


def test_given_ids_are_taken_and_the_rest_is_chosen_among_the_others():
    frames = numbered(10)
    split = split_frames(frames, "by_infant", {"test": ("1", "2")})
    assert split.subjects["test"] == ["1", "2"]
    assert split.subjects["val"] == ["10"]
    assert split.subjects["train"] == ["3", "4", "5", "6", "7", "8", "9"]
    assert set(frames.subject[split.used["test"]]) == {"1", "2"}


def test_with_ids_for_every_part_the_other_infants_are_in_none():
    frames = numbered(6)
    ids = {"train": ("2", "5"), "val": ("1",), "test": ("6",)}
    split = split_frames(frames, "by_infant", ids)
    assert split.subjects == {"train": ["2", "5"], "val": ["1"], "test": ["6"]}
    unused = ~np.logical_or.reduce([split.used[part] for part in PARTS])
    assert set(frames.subject[unused]) == {"3", "4"}


@pytest.mark.parametrize("a, b", [("train", "val"), ("train", "test"), ("val", "test")])
def test_an_infant_in_two_parts_is_refused_and_named(a, b):
    ids = {a: ("1", "2"), b: ("3", "2")}
    with pytest.raises(DataError, match=f"--{a}_ids and --{b}_ids both name 2; .* name it once"):
        split_frames(numbered(6), "by_infant", ids)


@pytest.mark.parametrize("kind", ["by_infant", "within_infant"])
def test_an_unknown_id_is_refused_with_the_ids_that_there_are(kind):
    expected = re.escape("--train_ids: unknown id '7'; ids here: 1, 2, 10")
    with pytest.raises(DataError, match=expected):
        split_frames(infants({"10": 3, "2": 3, "1": 3}), kind, {"train": ("7",)})


@pytest.mark.parametrize(
    "count, ids, left_out",
    [
        (2, {}, "train"),
        (1, {}, "train"),
        (3, {"test": ("1", "2", "3")}, "train"),
        (3, {"val": ("1",), "test": ("2", "3")}, "train"),
        (3, {"train": ("1", "2", "3"), "val": ()}, "val"),
    ],
)
def test_a_part_without_a_subject_is_refused(count, ids, left_out):
    expected = rf"--{left_out}_ids: no subject left for it; ids here: .* or --split=within_infant"
    with pytest.raises(DataError, match=expected):
        split_frames(numbered(count), "by_infant", ids)


# ---------------------------------------------------------------- within each infant


def test_of_1000_frames_751_train_and_validate_and_249_test_in_time_order():
    split = split_frames(infants({"1": 1000}), "within_infant")
    train, val, test = (np.flatnonzero(split.used[part]) for part in PARTS)
    # validation is the last 150 of the 751; the 2 frames before it are in no part
    assert (train.min(), train.max(), len(train)) == (0, 598, 599)
    assert (val.min(), val.max(), len(val)) == (601, 750, 150)
    assert (test.min(), test.max(), len(test)) == (751, 999, 249)


def test_every_infant_is_divided_by_itself_and_is_in_every_part():
    frames = infants({"3": 1000, "12": 100, "5": 500})
    split = split_frames(frames, "within_infant")
    assert split.subjects == {part: ["3", "5", "12"] for part in PARTS}
    counts = {
        subject: [int(split.used[part][frames.subject == subject].sum()) for part in PARTS]
        for subject in ("3", "12", "5")
    }
    # 100 -> 75 + 25, 75 -> 58 + gap 2 + 15; 500 -> 376 + 124 (375.5 to even), 376 -> 299 + 2 + 75
    assert counts == {"3": [599, 150, 249], "12": [58, 15, 25], "5": [299, 75, 124]}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(20, 90), min_size=1, max_size=4))
def test_within_infant_no_clip_shares_a_frame_with_another_part(lengths):
    frames = infants({str(k + 1): n for k, n in enumerate(lengths)})
    split = split_frames(frames, "within_infant")
    assert each_frame_once(split)
    clips = {
        part: set(clip_frames(clip_starts(frames, split.used[part], 1)).ravel()) for part in PARTS
    }
    assert not clips["train"] & clips["val"]
    assert not clips["train"] & clips["test"]
    assert not clips["val"] & clips["test"]
    for subject in split.subjects["test"]:
        last = [
            frames.frame[split.used[part] & (frames.subject == subject)].max(initial=0)
            for part in PARTS
        ]
        assert last[0] < last[2] and last[1] < last[2]  # tests on the future


def test_train_ids_choose_the_infants_that_are_divided():
    frames = numbered(4, 100)
    split = split_frames(frames, "within_infant", {"train": ("2", "4")})
    assert split.subjects["test"] == ["2", "4"]
    for part in PARTS:
        assert set(frames.subject[split.used[part]]) == {"2", "4"}


def test_train_ids_that_name_nobody_do_not_mean_everybody():
    with pytest.raises(DataError, match="--train_ids: names no id; ids here: 1, 2, 3, 4; leave"):
        split_frames(numbered(4, 100), "within_infant", {"train": ()})


@pytest.mark.parametrize("part", ["val", "test"])
def test_other_ids_have_no_meaning_within_infants(part):
    with pytest.raises(DataError, match="have no meaning with --split=within_infant"):
        split_frames(numbered(4), "within_infant", {part: ("1",)})


# ---------------------------------------------------------------- on paper


def test_as_json_tells_each_part_of_each_infant_by_recording_and_frame():
    frames = make_frames(
        1 + 5 * np.arange(30), ["1"] * 20 + ["2"] * 5 + ["3"] * 5, ["a"] * 8 + ["b"] * 22
    )
    captured = split_frames(frames, "by_infant").as_json(frames)
    assert json.loads(json.dumps(captured)) == captured
    assert captured == {
        "kind": "by_infant",
        "data": frames.digest(),
        "parts": {
            "train": {"1": {"frames": 20, "first": ["a", 1], "last": ["b", 96]}},
            "val": {"2": {"frames": 5, "first": ["b", 101], "last": ["b", 121]}},
            "test": {"3": {"frames": 5, "first": ["b", 126], "last": ["b", 146]}},
        },
    }


def test_as_json_of_1000_frames_within_an_infant():
    frames = infants({"8": 1000})
    captured = split_frames(frames, "within_infant").as_json(frames)["parts"]
    # frame number = 1 + 5 index
    assert captured["train"]["8"] == {"frames": 599, "first": ["", 1], "last": ["", 2991]}
    assert captured["val"]["8"] == {"frames": 150, "first": ["", 3006], "last": ["", 3751]}
    assert captured["test"]["8"] == {"frames": 249, "first": ["", 3756], "last": ["", 4996]}


def test_an_infant_too_short_for_a_clip_in_every_part_is_named():
    # 17 -> 13 + 4, and a fifth of 13 is 3; 10 -> 8 + 2
    split_frames(infants({"1": 1000, "2": 17}), "within_infant")
    with pytest.raises(DataError, match="2 has 10 frames, too few for a clip of 3 in every part"):
        split_frames(infants({"1": 1000, "2": 10}), "within_infant")


@given(st.integers(3, 40), st.data())
def test_every_infant_is_tested_exactly_once_over_all_folds(count, data):
    folds = data.draw(st.integers(3, count))
    known = [str(k) for k in range(count)]
    tested = []
    for fold in range(folds):
        ids = fold_ids(known, fold, folds)
        assert sorted((*ids["train"], *ids["val"], *ids["test"]), key=int) == known
        assert ids["val"] == fold_ids(known, (fold + 1) % folds, folds)["test"]
        assert ids["train"]
        tested += ids["test"]
    assert sorted(tested, key=int) == known


def test_as_many_folds_as_infants_leave_one_out():
    ids = fold_ids(["1", "2", "3", "4"], 3, 4)
    assert ids == {"train": ("2", "3"), "val": ("1",), "test": ("4",)}


def test_more_folds_than_infants_are_refused():
    with pytest.raises(DataError, match="--folds=4: 3 infants in the data"):
        fold_ids(["1", "2", "3"], 0, 4)
