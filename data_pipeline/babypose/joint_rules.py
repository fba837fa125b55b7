"""Rules for the joints of a sheet: position, size, exchanged sides, copies of another infant's."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.babypose.frames import Infant
from data_pipeline.babypose.sheets import COLUMNS, FEWEST_FRAMES, Problem, Report, Sheet
from jaxpose.body.sides import RIGHT, exchanged_pairs, looks_mirrored
from jaxpose.body.skeleton import CONNECTIONS, JOINTS

MOST_OUTSIDE = 0.5
"""Largest share of an infant's joints outside the image; beyond it, the image has another size."""
FEWEST_JOINTS = 6
"""Visible joints of a frame whose extent says something about the infant's size."""
LEAST_EXTENT = 1 / 40
"""Least extent of an infant as a share of the image's longer side: 16 px of 640."""
MOST_TIMES = 2.5
"""Largest ratio of the length of an infant's segments to the usual one."""
ENOUGH_FRAMES = 10
"""Fewer frames can repeat by chance."""
MANY_FRAMES = 100
"""In fewer frames, a joint or most of them can be covered all the time."""
MOST_REPEATED = 0.05
"""Largest share of frames with exactly the joints of an earlier frame."""
MOST_AT_REST = 0.3
"""Largest share of frames in which a joint is at one position to the last digit."""
OF_USUAL = 3
"""... and how many times as often as other joints of the infant are at theirs."""
LEAST_VISIBLE = 0.5
"""Least share of joints that are annotated; in the published sheets it is 0.79 and more."""
MOST_IN_CORNER = 0.5
"""Largest share of joints in the corner 0,0; beyond it, joints have another unit."""
IN_ONE_PLACE = (3, 5)
"""Joints of a frame at one position that deserve a look (real sheets have three), and too many."""


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


def check_positions(sheet: Sheet, problem: Report, remark: Report) -> None:
    """Reports joints at a position that stands for "missing": a corner, or one for several."""
    in_corner = ((sheet.joints >= -0.5) & (sheet.joints <= 1)).all(-1)
    if in_corner.sum() > MOST_IN_CORNER * sheet.visible.sum():
        what = (
            f"{in_corner.sum()} of {sheet.visible.sum()} joints are within a pixel of the corner "
            "0,0; expected pixels, not shares of the image's size, and -1,-1 where one is missing"
        )
        problem(Problem(str(sheet.path), None, what))
        return
    for k, joint in np.argwhere(in_corner):
        x, y = sheet.joints[k, joint]
        what = f"{COLUMNS[joint]} is {x:g},{y:g}; expected -1,-1 where a joint is missing"
        problem(Problem(str(sheet.path), int(sheet.rows[k]), what))
    for k, (joints, visible) in enumerate(zip(sheet.joints, sheet.visible, strict=True)):
        places = Counter(map(tuple, joints[visible & ~in_corner[k]].tolist()))
        for (x, y), count in places.items():
            if count >= IN_ONE_PLACE[0]:
                what = f"{count} joints are at {x:g},{y:g}; expected -1,-1 where a joint is missing"
                report = problem if count >= IN_ONE_PLACE[1] else remark
                report(Problem(str(sheet.path), int(sheet.rows[k]), what))


def check_joints(infant: Infant, problem: Report, remark: Report) -> None:
    """Reports an infant's joints outside the image, its size, and exchanged sides."""
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
    _check_size(infant, problem, remark)
    for k in np.flatnonzero(joints.exchanged.any(1)):
        pairs = (
            JOINTS[RIGHT[p]].removeprefix("right_") for p in np.flatnonzero(joints.exchanged[k])
        )
        what = f"right and left look exchanged: {', '.join(pairs)}; look at the image"
        remark(Problem(path, int(sheet.rows[k]), what))
    if joints.mirrored:
        what = "right and left look exchanged in most frames, or the infant lies on its belly"
        remark(Problem(path, None, what))


def check_repeats(sheet: Sheet, remark: Report) -> None:
    """Reports joints that do not change: copied rows, a joint that never moves or is never seen."""
    visible = sheet.visible
    path, frames = str(sheet.path), len(sheet.rows)
    if frames < ENOUGH_FRAMES or not visible.any():
        return
    rows = sheet.joints[visible.sum(1) >= FEWEST_JOINTS]
    repeated = len(rows) - len({row.tobytes() for row in rows})
    if repeated > MOST_REPEATED * frames:
        what = (
            f"{repeated} of {frames} frames have exactly the joints of another frame; look whether "
            "they were copied instead of annotated"
        )
        remark(Problem(path, None, what))
    if frames >= MANY_FRAMES and visible.mean() < LEAST_VISIBLE:
        remark(Problem(path, None, f"{1 - visible.mean():.0%} of the joints are missing"))
    places = [
        Counter(map(tuple, sheet.joints[visible[:, joint], joint].tolist())).most_common(1)
        for joint in range(len(COLUMNS))
    ]
    usual = np.median([place[0][1] for place in places if place])
    for name, place in zip(COLUMNS, places, strict=True):
        if not place:
            if frames >= MANY_FRAMES:
                remark(Problem(path, None, f"{name} is missing in every frame; look at the images"))
            continue
        (x, y), count = place[0]
        if count > max(MOST_AT_REST * frames, OF_USUAL * usual):
            what = (
                f"{name} is at {x:g},{y:g} in {count} of {frames} frames; expected -1,-1 where a "
                "joint is missing"
            )
            remark(Problem(path, None, what))


def check_columns(root: Path, infants: list[Infant], remark: Report) -> None:
    """Reports joints that no infant of the folder has in any frame."""
    seen = np.any([infant.sheet.visible.any(0) for infant in infants], axis=0)
    if not seen.all():
        names = ", ".join(COLUMNS[joint] for joint in np.flatnonzero(~seen))
        what = f"missing in every frame of every infant: {names}; look whether a column was lost"
        remark(Problem(str(root), None, what))


def check_sizes(infants: list[Infant], remark: Report) -> None:
    """Reports infants that are much larger or smaller in their images than the others."""
    lengths = [_segment(infant.sheet) for infant in infants]
    for infant, length, usual in zip(infants, lengths, usual_of(lengths), strict=True):
        if max(length, usual) > MOST_TIMES * min(length, usual):
            what = (
                f"the segments of its limbs are {length:.2g} px long, usual are {usual:.2g}; look "
                "whether its joints are pixels of images of another size"
            )
            remark(Problem(str(infant.sheet.path), None, what))


def check_copies(infants: list[Infant], problem: Report) -> None:
    """Reports sheets with the joints of another infant: copies would be in two parts of a split."""
    owner: dict[bytes, Infant] = {}
    for infant in infants:
        sheet = infant.sheet
        rows = sheet.joints[sheet.visible.sum(1) >= FEWEST_JOINTS]
        owners = Counter(
            str(owner[key].sheet.path)
            for key in {row.tobytes() for row in rows}
            if owner.setdefault(key, infant) is not infant
        )
        for other, count in owners.items():
            if count >= FEWEST_FRAMES:
                what = (
                    f"{count} frames have exactly the joints of frames of {other}; an infant with "
                    "two ids would be trained on and tested on: remove one of the two"
                )
                problem(Problem(str(sheet.path), None, what))


def usual_of(values: list[float]) -> list[float]:
    """Returns what to compare each infant's value with: their median; of two, the other's."""
    if len(values) == 2:
        return values[::-1]
    known = [value for value in values if np.isfinite(value)]
    return [float(np.median(known)) if known else np.nan] * len(values)


def _extent(sheet: Sheet) -> float:
    """Returns the median extent of the infant in px; NaN where too few joints are visible."""
    visible = sheet.visible
    shown = visible.sum(1) >= FEWEST_JOINTS
    joints: Float[np.ndarray, "n 12 2"] = np.where(visible[..., None], sheet.joints, np.nan)[shown]
    if not shown.any():
        return float("nan")
    return float(np.median((np.nanmax(joints, 1) - np.nanmin(joints, 1)).max(-1)))


def _segment(sheet: Sheet) -> float:
    """Returns the median length of the infant's limb segments in px; NaN where none is visible."""
    ends = np.array(CONNECTIONS)
    shown = sheet.visible[:, ends].all(-1)
    lengths = np.linalg.norm(sheet.joints[:, ends[:, 0]] - sheet.joints[:, ends[:, 1]], axis=-1)
    return float(np.median(lengths[shown])) if shown.any() else float("nan")


def _check_size(infant: Infant, problem: Report, remark: Report) -> None:
    """Reports joints that are not pixels of the infant's images."""
    sheet, (width, height) = infant.sheet, infant.recording.size
    path, joints = str(sheet.path), sheet.joints[sheet.visible]
    if _extent(sheet) < LEAST_EXTENT * max(width, height):
        what = (
            f"all joints of a frame are within {_extent(sheet):.2g} px; expected pixels of its "
            f"{width}x{height} images, not shares of their size"
        )
        problem(Problem(path, None, what))
    elif len(joints) and (joints < (width / 2, height / 2)).all():
        what = (
            f"all joints are in the upper left quarter of the {width}x{height} images; look "
            "whether they are pixels of smaller images"
        )
        remark(Problem(path, None, what))
