"""The rules of a babyPose folder, one list for `check`, the TFDS importer, `prepare` and a run.

A *problem* prevents an import: something is missing, damaged or ambiguous, or depth or joints would
be changed without notice. A *remark* does not: the data has one clear meaning, which a person
should check. A joint outside the image counts as missing; right and left that look exchanged may be
correct; images that are not 4:3 are squeezed. `joint_rules` and `depth_rules` contain what concerns
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
    check_copies,
    check_joints,
    check_positions,
    check_sizes,
)
from data_pipeline.babypose.sheets import Problem, Report
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import usual_step

SHOWN = 40
"""Lines of each list that a terminal shows."""


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
    check_sizes(infants, remark)
    check_copies(infants, problem)
    check_depths(infants, list(depths.values()), problem, remark)
    _check_clips(root, infants, problem)


def _check_shape(root: Path, infant: Infant, remark: Report) -> None:
    width, height = infant.recording.size
    if 3 * width != 4 * height:
        what = (
            f"images of {width}x{height} are not 4:3; the nets see them squeezed, and errors in "
            "px of 128x96 are squeezed too"
        )
        remark(Problem(str(root), None, what))


def _check_clips(root: Path, infants: list[Infant], problem: Report) -> None:
    """Reports infants without three frames in a row, at the usual step of the folder."""
    in_time = [np.sort(infant.sheet.frames) for infant in infants]
    try:
        step = usual_step(np.concatenate(in_time))
    except DataError as error:
        problem(Problem(str(root), None, str(error)))
        return
    for infant, frames in zip(infants, in_time, strict=True):
        steps = np.diff(frames)
        if len(steps) and not ((steps[1:] == step) & (steps[:-1] == step)).any():
            what = (
                f"no three frames in a row {step} apart, the usual step of this folder, so not one "
                "clip; number its frames like the others', add frames or remove it"
            )
            problem(Problem(str(infant.sheet.path), None, what))
