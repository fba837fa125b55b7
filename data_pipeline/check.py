"""A babyPose folder -> its problems and remarks, and what each infant's recording contains.

    python -m data_pipeline.check DIR

The command writes a table to stderr. The last line of stdout is one JSON object with `infants`,
`problems` and `remarks`. A problem prevents every import, also by `prepare` or a run (exit code 1).
A remark does not, but a person should look at it: joints outside the image, right and left that
look exchanged, 8-bit images. The rules are those of `data_pipeline.babypose.rules`.
"""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.babypose.frames import Infant
from data_pipeline.babypose.joint_rules import Joints
from data_pipeline.babypose.rules import Findings, read_folder
from data_pipeline.babypose.sheets import Problem
from data_pipeline.errors import DataError
from jaxpose.commands import UNUSABLE, print_result, print_table, run_command
from jaxpose.options import parse_options


@dataclasses.dataclass
class InfantReport:
    """One infant's line of the table.

    Attributes:
      frames: number of annotated frames with an image.
      first: lowest number of these frames.
      last: highest number of these frames.
      step: usual difference of successive numbers.
      gaps: number of places where successive numbers differ by more than `step`.
      missing_share: share of all joints that have no position, or one outside the image.
      outside: number of joints outside the image.
      swaps: number of frames in which right and left look exchanged.
      bits: 16 = depth in mm, 8 = grey levels.
      depth_mm: 1st and 99th percentile of the depth above 0; None where no depth is in mm.
      hole_share: share of the pixels that are 0.
      size: (width, height) px of the images.
    """

    frames: int
    first: int
    last: int
    step: int
    gaps: int
    missing_share: float
    outside: int
    swaps: int
    bits: int
    depth_mm: tuple[int, int] | None
    hole_share: float
    size: tuple[int, int]


@dataclasses.dataclass
class Report:
    """The infants of a folder by id, and every problem and remark with its file and row."""

    infants: dict[str, InfantReport]
    findings: Findings

    @property
    def problems(self) -> list[Problem]:
        """The problems, each of which prevents an import."""
        return self.findings.problems

    @property
    def remarks(self) -> list[Problem]:
        """The remarks, which a person should look at."""
        return self.findings.remarks

    def as_json(self) -> dict:
        """Returns the report as a JSON object: {infants, problems, remarks}."""
        return {
            "infants": {k: dataclasses.asdict(v) for k, v in self.infants.items()},
            "problems": [p._asdict() for p in self.problems],
            "remarks": [p._asdict() for p in self.remarks],
        }


def check(folder: Path) -> Report:
    """Reads every sheet and every image below `folder` (layout: `data_pipeline.babypose.frames`).

    Raises nothing for problems of the folder: they are in the report.
    """
    report = Report({}, Findings())
    infants: dict[str, Infant] = {}
    pixels: dict[str, np.ndarray] = {}
    for infant, _, depth in read_folder(folder, report.findings):
        subject = infant.sheet.subject
        infants[subject] = infant
        counts = pixels.setdefault(subject, np.zeros(2**16, np.int64))
        if depth is not None:
            counts += np.bincount(depth.ravel(), minlength=2**16)
    for subject, infant in infants.items():
        report.infants[subject] = _describe(infant, pixels[subject])
    return report


def _describe(infant: Infant, pixels: np.ndarray) -> InfantReport:
    """Describes one infant; `pixels` counts the pixels of each depth value."""
    sheet, joints = infant.sheet, Joints.of(infant)
    _, visible = infant.joints
    steps = np.diff(sheet.frames)
    step = int(np.median(steps)) if len(steps) else 0
    return InfantReport(
        frames=len(sheet.rows),
        first=int(sheet.frames[0]),
        last=int(sheet.frames[-1]),
        step=step,
        gaps=int((steps > step).sum()),
        missing_share=round(float(1 - visible.mean()), 4),
        outside=int(joints.outside.sum()),
        swaps=int(joints.exchanged.any(1).sum()),
        bits=infant.bits,
        depth_mm=_range(pixels) if infant.bits == 16 and pixels.any() else None,
        hole_share=round(float(pixels[0] / max(1, pixels.sum())), 4),
        size=infant.recording.size,
    )


def _range(pixels: np.ndarray) -> tuple[int, int]:
    """Returns the exact 1st and 99th percentile of depth above 0; `pixels` as in `_describe`."""
    up_to = np.cumsum(pixels[1:])
    low, high = (int(np.searchsorted(up_to, share * up_to[-1])) + 1 for share in (0.01, 0.99))
    return low, high


def table(report: Report) -> str:
    """Formats the report for people: one line per infant, then problems and remarks."""
    lines = []
    if report.infants:
        lines.append(
            f"{'infant':>6} {'frames':>6} {'numbers':>12} {'gaps':>4} {'missing':>7} "
            f"{'outside':>7} {'swapped':>7} {'depth':>6} {'1-99 % mm':>11} {'holes':>6}"
        )
    for subject, i in report.infants.items():
        depth = "-" if i.depth_mm is None else f"{i.depth_mm[0]}-{i.depth_mm[1]}"
        lines.append(
            f"{subject:>6} {i.frames:>6} {f'{i.first}-{i.last}':>12} {i.gaps:>4} "
            f"{i.missing_share:>7.1%} {i.outside:>7} {i.swaps:>7} {i.bits:>2} bit {depth:>11} "
            f"{i.hole_share:>6.1%}"
        )
    return "\n".join([*lines, report.findings.table()])


@dataclasses.dataclass(frozen=True)
class Options:
    """Reads a babyPose folder and lists its problems by file and row.

    The exit code is 0 if the folder can be used, 1 if it has problems, and 2 if it cannot be read.
    The last line of stdout is one JSON object: {infants, problems, remarks}."""

    dir: tyro.conf.Positional[Path]
    """Folder with sheets result_pz<ID>.csv or .xlsx and images pz<ID>/<n>_16bit.png."""


def run(options: Options) -> int:
    """Checks the folder and prints the report; returns the exit code."""
    folder = options.dir
    if not os.path.isdir(folder):  # Path.is_dir raises where a name is too long
        raise DataError(f"no such folder: {folder}; expected the one that contains the sheets")
    report = check(folder)
    print_table(table(report))
    print_result(report.as_json())
    return 1 if report.problems else 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "data_pipeline.check")
    return run_command(lambda: run(options), failed=UNUSABLE)


if __name__ == "__main__":
    sys.exit(main())
