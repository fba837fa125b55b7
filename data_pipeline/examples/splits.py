"""Frames -> training, validation and test frames: by infant, or within each infant in time."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool

from data_pipeline.errors import DataError
from data_pipeline.examples.clips import CLIP, clip_starts
from data_pipeline.examples.frames import Frames

Kind = Literal["by_infant", "within_infant"]
PARTS = ("train", "val", "test")

TRAIN_SHARE = 751 / 1000
"""Share of each infant's frames, the first in time, that train (the paper, Sec. III-A)."""
VAL_SHARE = 150 / 751
"""Share of those, the last in time, that validate. paper: unclear, a validation set is named but
not defined."""
GAP = 2
"""Number of frames left out between training and validation, so that no clip has frames of both."""


@dataclasses.dataclass(frozen=True)
class Split:
    """The part of every frame: train, val, test, or none."""

    kind: Kind
    subjects: dict[str, list[str]]
    """Part -> ids of the infants with a frame in it."""
    used: dict[str, Bool[np.ndarray, " n"]]
    """Part -> whether each frame belongs to it."""

    def as_json(self, frames: Frames) -> dict:
        """Returns the split as JSON: subjects, and numbers of their first and last frames.

        It does not depend on positions in arrays.
        """
        ranges = {}
        for part in PARTS:
            ranges[part] = {}
            for subject in self.subjects[part]:
                own = np.flatnonzero(self.used[part] & (frames.subject == subject))
                first, last = own[0], own[-1]
                ranges[part][subject] = {
                    "frames": len(own),
                    "first": [str(frames.sequence[first]), int(frames.frame[first])],
                    "last": [str(frames.sequence[last]), int(frames.frame[last])],
                }
        return {"kind": self.kind, "data": frames.digest(), "parts": ranges}


def split_frames(
    frames: Frames,
    kind: Kind,
    ids: dict[str, tuple[str, ...] | None] | None = None,
    fold: tuple[int, int] | None = None,
) -> Split:
    """Divides frames into training, validation and test frames, without randomness.

    `by_infant` gives each subject to one part. `ids` names the subjects of the parts; by default
    the last fifth of all ids tests, the tenth before it validates, and the others train. `fold`
    (k, n) divides the subjects by `fold_ids` instead.

    `within_infant` divides each subject's frames in time: the first 75.1 % train, of which the last
    fifth validates, and the others test.

    Raises:
      DataError: unknown ids, a part without subjects, more folds than subjects, or a subject with
        too few frames.
    """
    ids = {part: (ids or {}).get(part) for part in PARTS}
    known = ids_of(frames)
    if fold is not None:
        ids = fold_ids(known, *fold)
    for part, chosen in ids.items():
        for subject in chosen or ():
            if subject not in known:
                raise DataError(
                    f"--{part}_ids: unknown id {subject!r}; ids here: {', '.join(known)}"
                )
    return (_by_infant if kind == "by_infant" else _within_infant)(frames, known, ids)


def fold_ids(known: list[str], fold: int, folds: int) -> dict[str, tuple[str, ...]]:
    """Returns the ids of each part in fold `fold` of `folds`.

    The fold tests, the next one validates, the others train. It depends on the sorted ids `known`
    alone. Over all folds every id is tested exactly once; with as many folds as ids that is
    leave-one-out.

    Raises:
      DataError: there are more folds than ids.
    """
    if folds > len(known):
        raise DataError(
            f"--folds={folds}: {len(known)} infants in the data; expected at most as many folds"
        )
    test, val = known[fold::folds], known[(fold + 1) % folds :: folds]
    train = [subject for subject in known if subject not in (*test, *val)]
    return {"train": tuple(train), "val": tuple(val), "test": tuple(test)}


def check_parts(frames: Frames, split: Split, parts: Sequence[str] = PARTS) -> None:
    """Checks that every subject of the named parts has a clip, and every part a visible joint.

    Raises:
      DataError: a part is empty, or has no visible joint, or a subject has no clip.
    """
    for part in parts:
        if not split.subjects[part]:
            raise DataError(f"--{part}_ids: names no id; ids here: {', '.join(ids_of(frames))}")
        for subject in split.subjects[part]:
            of_subject = split.used[part] & (frames.subject == subject)
            if not len(clip_starts(frames, of_subject, 1)):
                raise DataError(
                    f"--{part}_ids: no clip of {CLIP} consecutive frames in {subject}; "
                    "choose others"
                )
        if not frames.visible[split.used[part]].any():
            raise DataError(
                f"--{part}_ids: {', '.join(split.subjects[part])}: no visible joint in any frame "
                f"of {part}; choose others, or look at the annotations with "
                "`python -m data_pipeline.check`"
            )


def named_ids(text: str | None) -> tuple[str, ...] | None:
    """Returns the ids that an option names, "1,2,3"; None where the option is not given."""
    return None if text is None else tuple(s.strip() for s in text.split(",") if s.strip())


def ids_of(frames: Frames) -> list[str]:
    """Returns the ids of all subjects, shorter ids first, then in alphabetical order."""
    return sorted(set(frames.subject.tolist()), key=lambda s: (len(s), s))


def _by_infant(frames: Frames, known: list[str], ids) -> Split:
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        if both := sorted(set(ids[a] or ()) & set(ids[b] or ())):
            raise DataError(
                f"--{a}_ids and --{b}_ids both name {', '.join(both)}; an infant belongs to one "
                "part, or the test frames are no longer unseen; name it once"
            )
    free = [s for s in known if not any(s in (chosen or ()) for chosen in ids.values())]
    subjects = {part: list(chosen or ()) for part, chosen in ids.items()}
    for part, share in (("test", 5), ("val", 10)):
        if ids[part] is None:
            count = max(1, round(len(known) / share))
            subjects[part], free = free[-count:], free[:-count]
    if ids["train"] is None:
        subjects["train"] = free
    for part, chosen in subjects.items():
        if not chosen:
            raise DataError(
                f"--{part}_ids: no subject left for it; ids here: {', '.join(known)}; "
                "expected at least three, or --split=within_infant"
            )
    used = {part: np.isin(frames.subject, chosen) for part, chosen in subjects.items()}
    return Split("by_infant", subjects, used)


def _within_infant(frames: Frames, known: list[str], ids) -> Split:
    if ids["val"] is not None or ids["test"] is not None:
        raise DataError(
            "--val_ids and --test_ids have no meaning with --split=within_infant, where every "
            "infant is in every part; use --train_ids alone to choose the infants"
        )
    chosen = list(known if ids["train"] is None else ids["train"])
    if not chosen:
        raise DataError(
            f"--train_ids: names no id; ids here: {', '.join(known)}; leave the option out to "
            "use every infant"
        )
    used = {part: np.zeros(len(frames), bool) for part in PARTS}
    for subject in chosen:
        own = np.flatnonzero(frames.subject == subject)
        train = round(len(own) * TRAIN_SHARE)
        val = round(train * VAL_SHARE)
        if min(val, train - val - GAP, len(own) - train) < CLIP:
            raise DataError(
                f"--split=within_infant: {subject} has {len(own)} frames, too few for a clip of "
                f"{CLIP} in every part; leave it out with --train_ids"
            )
        used["train"][own[: train - val - GAP]] = True
        used["val"][own[train - val : train]] = True
        used["test"][own[train:]] = True
    return Split("within_infant", {part: chosen for part in PARTS}, used)
