"""A babyPose folder -> what is wrong with it, before anyone trains on it.

    python -m data_pipeline.check DIR

The table goes to stderr; the last line of stdout is one JSON object with `infants`, `problems`
and `remarks`. A problem is to be mended or looked at before anyone trains (exit code 1): what the
importer or a run would stop at, joints outside of the image, right and left exchanged. A remark is
not.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from data_pipeline.babypose.frames import Infant, hide_outside, read_frames, read_infants
from data_pipeline.babypose.sheets import Problem
from data_pipeline.babypose.swaps import RIGHT, exchanged_pairs, looks_mirrored
from data_pipeline.commands import expand, parse_options, run_command
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import DEEPEST_MM, usual_step
from jaxpose.body.skeleton import JOINTS

SHOWN = 40  # lines of each list on the terminal; the JSON has them all


@dataclasses.dataclass
class InfantReport:
    """frames:        annotated frames with an image
    first, last:   their lowest and highest number
    step:          the usual difference of successive numbers
    gaps:          places where successive numbers differ by more than that
    missing_share: joints without a position, or outside of the image, of all joints
    outside:       joints outside of the image
    swaps:         frames in which right and left look exchanged
    bits:          16 = depth in mm, 8 = grey levels
    depth_mm:      1st and 99th percentile of the depth above 0; null where there is none in mm
    hole_share:    pixels that are 0
    size:          (width, height) px
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
    """infants by id; every problem and remark with its file and row."""

    infants: dict[str, InfantReport]
    problems: list[Problem]
    remarks: list[Problem]

    def to_json(self) -> str:
        return json.dumps(
            {
                "infants": {k: dataclasses.asdict(v) for k, v in self.infants.items()},
                "problems": [p._asdict() for p in self.problems],
                "remarks": [p._asdict() for p in self.remarks],
            }
        )


def check(folder: Path, *, progress: bool = False) -> Report:
    """Reads every sheet and every image below `folder` (layout: `data_pipeline.babypose.frames`).

    Raises nothing for what is wrong in the folder: it is in the report.
    """
    report = Report({}, [], [])
    infants = read_infants(folder, report.problems.append)
    values = {infant.sheet.subject: np.zeros(2**16, np.int64) for infant in infants}
    too_deep = {infant.sheet.subject: [] for infant in infants}
    size = None
    frames = tqdm(
        read_frames(infants, report.problems.append),
        "Reading images",
        total=sum(len(infant.images) for infant in infants),
        unit=" frames",
        disable=not progress,
    )
    for infant, index, depth in frames:
        if depth is not None:
            size = depth.shape
            values[infant.sheet.subject] += np.bincount(depth.ravel(), minlength=2**16)
            if depth.max() > DEEPEST_MM:
                too_deep[infant.sheet.subject].append(index)
    if size is not None:
        if 3 * size[1] != 4 * size[0]:
            what = (
                f"images of {size[1]}x{size[0]} are not 4:3; the nets see them squeezed, and "
                "so are errors in px of 128x96"
            )
            report.remarks.append(Problem(str(folder), None, what))
        for infant in infants:
            subject = infant.sheet.subject
            if too_deep[subject]:
                report.problems.append(_too_deep(infant, values[subject], too_deep[subject]))
            report.infants[subject] = _describe(infant, values[subject], size, report)
        _look_for_clips(infants, folder, report)
    return report


def _too_deep(infant: Infant, values: np.ndarray, frames: list[int]) -> Problem:
    """Of an infant whose depth cannot be stored; `frames` are their indices in the sheet."""
    sheet, first = infant.sheet, frames[0]
    what = (
        f"depth of up to {np.flatnonzero(values)[-1]} mm in {len(frames)} images, first in "
        f"{infant.images[first]}; expected at most {DEEPEST_MM} mm; is the depth in millimetres?"
    )
    return Problem(str(sheet.path), int(sheet.rows[first]), what)


def _look_for_clips(infants: list[Infant], folder: Path, report: Report) -> None:
    """Every infant needs three frames in a row, at the one step that a run takes for all."""
    try:
        step = usual_step(np.concatenate([infant.sheet.frames for infant in infants]))
    except DataError as error:
        report.problems.append(Problem(str(folder), None, str(error)))
        return
    for infant in infants:
        steps = np.diff(infant.sheet.frames)
        if len(steps) and not ((steps[1:] == step) & (steps[:-1] == step)).any():
            what = (
                f"no three frames in a row {step} apart, the usual step of this folder, so not one "
                "clip; number its frames like the others', add frames or remove it"
            )
            report.problems.append(Problem(str(infant.sheet.path), None, what))


def _describe(
    infant: Infant, values: np.ndarray, size: tuple[int, int], report: Report
) -> InfantReport:
    """One infant's line of the table; `values` counts the pixels of each depth value."""
    sheet = infant.sheet

    def problem(what: str, row: int | None = None) -> None:
        report.problems.append(Problem(str(sheet.path), row, what))

    joints, visible = hide_outside(sheet.joints, size)
    outside = sheet.visible & ~visible
    for k, joint in zip(*np.nonzero(outside), strict=True):
        x, y = sheet.joints[k, joint]
        what = f"{JOINTS[joint]} at {x:g},{y:g} is outside of the image; it counts as missing"
        problem(what, int(sheet.rows[k]))
    swapped = exchanged_pairs(joints, visible, sheet.frames, size[1])
    for k in np.flatnonzero(swapped.any(1)):
        pairs = ", ".join(
            JOINTS[RIGHT[p]].removeprefix("right_") for p in np.flatnonzero(swapped[k])
        )
        problem(f"right and left look exchanged: {pairs}; look at the image", int(sheet.rows[k]))
    if looks_mirrored(joints, visible):
        problem("right and left look exchanged in most frames, or the infant lies on its belly")
    if infant.bits == 8:
        what = "8-bit images only: their values are grey levels, not millimetres"
        report.remarks.append(Problem(str(sheet.path), None, what))

    steps = np.diff(sheet.frames)
    step = int(np.median(steps)) if len(steps) else 0
    return InfantReport(
        frames=len(sheet.rows),
        first=int(sheet.frames[0]),
        last=int(sheet.frames[-1]),
        step=step,
        gaps=int((steps > step).sum()),
        missing_share=round(float(1 - visible.mean()), 4),
        outside=int(outside.sum()),
        swaps=int(swapped.any(1).sum()),
        bits=infant.bits,
        depth_mm=_range(values) if infant.bits == 16 and values.any() else None,
        hole_share=round(float(values[0] / max(1, values.sum())), 4),
        size=(size[1], size[0]),
    )


def _range(values: np.ndarray) -> tuple[int, int]:
    """1st and 99th percentile of the values above 0, exactly."""
    up_to = np.cumsum(values[1:])
    low, high = (int(np.searchsorted(up_to, share * up_to[-1])) + 1 for share in (0.01, 0.99))
    return low, high


def table(report: Report) -> str:
    """The report for people: one line per infant, then problems and remarks."""
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
    for name, entries in (("problem", report.problems), ("remark", report.remarks)):
        lines.append(f"\n{len(entries)} {name}{'' if len(entries) == 1 else 's'}")
        lines += [f"  {entry}" for entry in entries[:SHOWN]]
        if len(entries) > SHOWN:
            lines.append(f"  ... and {len(entries) - SHOWN} more, see the JSON on stdout")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Options:
    """Reads a babyPose folder and lists what is wrong with it, by file and row.

    Exit code: 0 = fit for use, 1 = there are problems, 2 = no such folder. The last line of stdout
    is one JSON object: {infants, problems, remarks}."""

    dir: tyro.conf.Positional[str]
    """Folder with result_pz<ID>.csv (or .xlsx) and pz<ID>/<n>_16bit.png."""


def run(options: Options) -> int:
    folder = expand(options.dir)
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}; expected the one that holds the sheets")
    report = check(folder, progress=True)
    print(table(report), file=sys.stderr)
    print(report.to_json())
    return 1 if report.problems else 0


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.check")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
