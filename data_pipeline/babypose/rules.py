"""The rules of a babyPose folder, one list for `check`, the TFDS importer, `prepare` and a run.

A *problem* prevents an import: something is missing, damaged or ambiguous, or depth or joints would
be changed without notice. A *remark* does not: the data has one clear meaning, which a person
should check. A joint outside the image counts as missing; right and left that look exchanged may be
correct; images that are not 4:3 get margins. `joint_rules` and `depth_rules` contain what concerns
one of the two.
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from tqdm import tqdm

from data_pipeline.babypose.depth_rules import Depths, check_depths
from data_pipeline.babypose.frames import Infant, read_frames, read_infants
from data_pipeline.babypose.joint_rules import (
    ENOUGH_FRAMES,
    check_columns,
    check_copies,
    check_joints,
    check_positions,
    check_repeats,
    check_sizes,
)
from data_pipeline.babypose.sheets import FEWEST_FRAMES, Problem, Report
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import usual_step

SHOWN = 40
"""Lines of each list that a terminal shows."""
IN_CLIPS = (0.25, 0.8)
"""Least share of an infant's frames that must be in clips, and that usually are."""
OFF_STEP = (0.1, 0.25)
"""Share of steps that are no multiple of the usual one: deserves a look, and is too much."""


class FolderError(DataError):
    """A folder with problems. The text lists the first `SHOWN` of them.

    Attributes:
      problems: all problems; each prevents an import.
      remarks: all remarks, which do not.
    """

    def __init__(self, findings: "Findings"):
        self.problems, self.remarks = tuple(findings.problems), tuple(findings.remarks)
        lines = [str(problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            more = len(self.problems) - SHOWN
            lines.append(f"... and {more} more; `python -m data_pipeline.check DIR` lists all")
        if len(lines) > 1:
            lines.insert(0, f"{len(self.problems)} problems in the data")
        super().__init__("\n  ".join(lines))


@dataclasses.dataclass
class Findings:
    """Every problem and every remark with its file and row, in the order of reading."""

    problems: list[Problem] = dataclasses.field(default_factory=list)
    remarks: list[Problem] = dataclasses.field(default_factory=list)

    def table(self) -> str:
        """Formats both lists for a terminal."""
        lines = []
        for name, entries in (("problem", self.problems), ("remark", self.remarks)):
            lines.append(f"\n{len(entries)} {name}{'' if len(entries) == 1 else 's'}")
            lines += [f"  {entry}" for entry in entries[:SHOWN]]
            if len(entries) > SHOWN:
                lines.append(f"  ... and {len(entries) - SHOWN} more, see the JSON on stdout")
        return "\n".join(lines)

    def print_remarks(self) -> None:
        """Prints the remarks to stderr, a line each."""
        for remark in self.remarks[:SHOWN]:
            print(f"remark: {remark}", file=sys.stderr)
        if len(self.remarks) > SHOWN:
            more = f"{len(self.remarks) - SHOWN} more remarks"
            print(f"... and {more}; `python -m data_pipeline.check DIR` lists all", file=sys.stderr)


def read_folder(
    root: Path, findings: Findings, *, row_order: bool = False
) -> Iterator[tuple[Infant, int, UInt16[np.ndarray, "h w"] | None]]:
    """Reads every image once: yields (infant, index of its frame, depth in mm or None if unusable).

    `findings` is complete after the last frame. Raises nothing for what is wrong in the folder.
    """
    problem, remark = findings.problems.append, findings.remarks.append
    infants = read_infants(root, problem, remark, row_order=row_order)
    for infant in infants:
        check_positions(infant.sheet, problem, remark)
        check_repeats(infant.sheet, remark)
    total = sum(len(infant.images) for infant in infants)
    frames = read_frames(infants, problem)
    depths = {infant.sheet.subject: Depths() for infant in infants}
    for infant, index, depth in tqdm(
        frames, f"reading {root}", total=total, unit="frame", leave=False
    ):
        if depth is not None:
            depths[infant.sheet.subject].add(index, depth)
        yield infant, index, depth
    if not infants:
        return
    _check_shape(root, infants[0], remark)
    for infant in infants:
        check_joints(infant, problem, remark)
    check_columns(root, infants, remark)
    check_sizes(infants, remark)
    check_copies(infants, problem)
    check_depths(infants, list(depths.values()), problem, remark)
    _check_clips(root, infants, problem, remark)


def _check_shape(root: Path, infant: Infant, remark: Report) -> None:
    width, height = infant.recording.size
    if 3 * width != 4 * height:
        what = (
            f"images of {width}x{height} are not 4:3; a grid of 4:3 gets margins around them, so "
            "the nets see the infants smaller than in images of 4:3"
        )
        remark(Problem(str(root), None, what))


def _check_clips(root: Path, infants: list[Infant], problem: Report, remark: Report) -> None:
    """Reports frames that are in no clip: three in a row, at the usual step of the folder."""
    in_time = [np.sort(infant.sheet.frames) for infant in infants]
    try:
        step = usual_step(np.concatenate(in_time))
    except DataError as error:
        problem(Problem(str(root), None, str(error)))
        return
    for infant, frames in zip(infants, in_time, strict=True):
        path, follows = str(infant.sheet.path), np.diff(frames) == step
        starts = np.flatnonzero(follows[1:] & follows[:-1])
        used = len({k + i for k in starts.tolist() for i in range(FEWEST_FRAMES)})
        if not used:
            what = (
                f"no three frames in a row {step} apart, the usual step of this folder, so not one "
                "clip; number its frames like the others', add frames or remove it"
            )
            if len(frames) >= FEWEST_FRAMES:  # fewer were reported already
                problem(Problem(path, None, what))
            continue
        if used < IN_CLIPS[1] * len(frames):
            what = (
                f"{len(frames) - used} of {len(frames)} frames are in no clip of three that are "
                f"{step} apart, the usual step of this folder"
            )
            report = problem if used < IN_CLIPS[0] * len(frames) else remark
            report(Problem(path, None, what))
        off = np.count_nonzero(np.diff(frames) % step)
        if len(frames) >= ENOUGH_FRAMES and off > OFF_STEP[0] * len(frames):
            what = (
                f"{off} of {len(frames) - 1} steps from frame to frame are no multiple of {step}, "
                "the usual step of this folder; number all frames by one step, not by time stamps"
            )
            report = problem if off > OFF_STEP[1] * len(frames) else remark
            report(Problem(path, None, what))
