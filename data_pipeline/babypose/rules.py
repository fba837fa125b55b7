"""The rules of a babyPose folder, one list for `check`, the TFDS importer, `prepare` and a run.

A *problem* prevents an import: something is missing, damaged or ambiguous, or depth or joints would
be changed without notice. A *remark* does not: the data has one clear meaning, which a person
should check. A joint outside the image counts as missing; right and left that look exchanged may be
correct; 8-bit images contain grey levels; images that are not 4:3 are squeezed.
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt16
from tqdm import tqdm

from data_pipeline.babypose.frames import Infant, read_frames, read_infants
from data_pipeline.babypose.sheets import Problem, Report
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import usual_step
from jaxpose.body.sides import RIGHT, exchanged_pairs, looks_mirrored
from jaxpose.body.skeleton import JOINTS

SHOWN = 40
"""Lines of each list that a terminal shows."""
MOST_OUTSIDE = 0.5
"""Largest share of an infant's joints outside the image; beyond it, the image has another size."""


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


@dataclasses.dataclass(frozen=True)
class Joints:
    """Properties of one infant's joints that the rules depend on.

    Attributes:
      outside: which joints are annotated, but outside the image.
      exchanged: which pairs of `RIGHT` and `LEFT` of `jaxpose.body.sides` look exchanged.
      mirrored: whether right and left look exchanged in most frames.
    """

    outside: Bool[np.ndarray, "n 12"]
    exchanged: Bool[np.ndarray, "n 6"]
    mirrored: bool

    @classmethod
    def of(cls, infant: Infant) -> "Joints":
        joints, visible = infant.joints
        frames, width = infant.sheet.frames, infant.recording.size[0]
        time = np.argsort(frames)
        exchanged = np.zeros((len(frames), len(RIGHT)), bool)
        exchanged[time] = exchanged_pairs(joints[time], visible[time], frames[time], width)
        return cls(
            outside=infant.sheet.visible & ~visible,
            exchanged=exchanged,
            mirrored=looks_mirrored(joints, visible),
        )


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
    infants = read_infants(root, problem, row_order=row_order)
    total = sum(len(infant.images) for infant in infants)
    frames = read_frames(infants, problem)
    yield from tqdm(frames, f"reading {root}", total=total, unit="frame", leave=False)
    if not infants:
        return
    _check_shape(root, infants[0], remark)
    for infant in infants:
        _check_joints(infant, problem, remark)
    _check_clips(root, infants, problem)


def _check_shape(root: Path, infant: Infant, remark: Report) -> None:
    width, height = infant.recording.size
    if 3 * width != 4 * height:
        what = (
            f"images of {width}x{height} are not 4:3; the nets see them squeezed, and errors in "
            "px of 128x96 are squeezed too"
        )
        remark(Problem(str(root), None, what))


def _check_joints(infant: Infant, problem: Report, remark: Report) -> None:
    """Reports an infant's joints outside the image, exchanged sides, and grey levels."""
    sheet, joints = infant.sheet, Joints.of(infant)
    path, (width, height) = str(sheet.path), infant.recording.size
    if joints.outside.sum() > MOST_OUTSIDE * sheet.visible.sum():
        what = (
            f"{joints.outside.sum()} of {sheet.visible.sum()} joints are outside of the image; "
            f"expected pixels of its {width}x{height} images; annotate images of that size"
        )
        problem(Problem(path, None, what))
    else:
        for k, joint in np.argwhere(joints.outside):
            x, y = sheet.joints[k, joint]
            what = f"{JOINTS[joint]} at {x:g},{y:g} is outside of the image; it counts as missing"
            remark(Problem(path, int(sheet.rows[k]), what))
    for k in np.flatnonzero(joints.exchanged.any(1)):
        pairs = (
            JOINTS[RIGHT[p]].removeprefix("right_") for p in np.flatnonzero(joints.exchanged[k])
        )
        what = f"right and left look exchanged: {', '.join(pairs)}; look at the image"
        remark(Problem(path, int(sheet.rows[k]), what))
    if joints.mirrored:
        what = "right and left look exchanged in most frames, or the infant lies on its belly"
        remark(Problem(path, None, what))
    if infant.bits == 8:
        what = "8-bit images only: their values are grey levels, not millimetres"
        remark(Problem(path, None, what))


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
