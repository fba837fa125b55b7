"""Predictions -> COCO keypoints for a labelling tool, and corrected COCO keypoints -> joints.

COCO counts from the corner of the image, half a pixel before the centre of the top-left pixel,
where (0, 0) is here. Visibility: 2 is a position, 1 a joint that cannot be seen, 0 none at all.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxpose.body.skeleton import JOINTS
from jaxpose.errors import DataError
from jaxpose.files import written_whole
from jaxpose.labels.entries import Entries, described, images_of
from jaxpose.labels.package import Exported, Package
from jaxpose.outputs.coco import CATEGORY

VISIBLE, HIDDEN, ABSENT = 2, 1, 0


def annotation(frame: Exported, number: int) -> dict[str, Any]:
    """Returns the predicted joints of a frame; `number` is the id of image and annotation."""
    joints = frame.joints() + 0.5
    present = np.isfinite(joints).all(axis=1)
    points = np.where(present[:, None], joints, 0)
    low, high = np.zeros(2), np.zeros(2)
    if present.any():
        low, high = joints[present].min(0), joints[present].max(0)
    keypoints: list[float] = []
    for (x, y), seen in zip(points.tolist(), present.tolist(), strict=True):
        keypoints += [round(x, 2), round(y, 2), VISIBLE if seen else ABSENT]
    return {
        "id": number,
        "image_id": number,
        "category_id": CATEGORY["id"],
        "keypoints": keypoints,
        "num_keypoints": int(present.sum()),
        "bbox": [round(float(v), 2) for v in (*low, *(high - low))],
        "area": round(float(np.prod(high - low)), 2),
        "segmentation": [],
        "iscrowd": 0,
    }


def write(path: Path, package: Package, info: dict[str, Any]) -> None:
    """Writes the predictions of all frames.

    Raises:
      OSError: the file cannot be written.
    """
    (width, height), frames = package.size, list(enumerate(package.frames, 1))
    images = [
        {"id": k, "file_name": frame.image, "width": width, "height": height} for k, frame in frames
    ]
    content = {
        "info": info,
        "licenses": [],
        "categories": [CATEGORY],
        "images": images,
        "annotations": [annotation(frame, k) for k, frame in frames],
    }
    with written_whole(path) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(
    path: Path, package: Package, *, partial: bool = False, keep_hidden: bool = False
) -> tuple[dict[int, Float[np.ndarray, "12 2"]], list[str]]:
    """Reads corrected joints, px, by frame number; NaN where missing. Returns them, and remarks.

    With `partial`, frames without an annotation are left out. With `keep_hidden`, joints of
    visibility 1 keep their position; by default they are missing, as in babyPose's sheets.

    Raises:
      DataError: the file cannot be used; the message names the file and every entry.
    """
    entries = Entries(path)
    names = {frame.image: frame for frame in package.frames}
    images = images_of(entries, names, package.size)
    orders = _orders(entries)
    joints: dict[int, np.ndarray] = {}
    first: dict[int, tuple[str, Any]] = {}
    seen: set = set()
    for place, one in entries.of("annotations"):
        if one.get("id") in seen:
            entries.problem(place, "another annotation has the same id; remove one of the two")
            continue
        seen.add(one.get("id"))
        image, order = images.get(one.get("image_id")), orders.get(one.get("category_id"))
        if image is None:
            if one.get("image_id") not in entries.refused:
                entries.problem(place, f"no image has the id {one.get('image_id')!r}")
            continue
        where = f"{place} of {image.image}"
        if order is None:
            if one.get("category_id") in entries.other_categories and not one.get("keypoints"):
                continue  # a box or a mask
            if one.get("category_id") not in entries.refused_categories:
                what = f"no category with keypoints has the id {one.get('category_id')!r}"
                entries.problem(where, f"{what}; label the infant's keypoints alone")
            continue
        if image.number in first:
            before, points = first[image.number]
            same = points == one.get("keypoints")
            what = "is the same as" if same else "is a second person beside"
            entries.problem(where, f"{what} {before}; keep one annotation, the infant's")
            continue
        first[image.number] = (place, one.get("keypoints"))
        xy = _joints(entries, where, one.get("keypoints"), order, package.size, keep_hidden)
        if xy is not None:
            joints[image.number] = xy
    lacking = [f.image for f in package.frames if f.number not in first]
    if lacking and not partial:
        entries.problem(
            "annotations",
            f"none for {len(lacking)} of the {len(package.frames)} exported images: "
            f"{described(lacking)}; label them, or leave them out with --partial",
        )
    entries.raise_problems()
    if not joints:
        raise DataError(f"{path}: no image is annotated; export the labels once more")
    return dict(sorted(joints.items())), entries.remarks


def _orders(entries: Entries) -> dict[Any, list[int]]:
    """Returns the index of each joint among the keypoints of a category, by the category's id."""
    orders, any_keypoints = {}, False
    for place, category in entries.of("categories"):
        names = category.get("keypoints")
        if not names:
            entries.other_categories.add(category.get("id"))
            continue
        any_keypoints = True
        problem = _names_problem(names)
        if problem:
            entries.problem(f"{place} {category.get('name')!r}", problem)
            entries.refused_categories.add(category.get("id"))
            continue
        if names != list(JOINTS):
            what = "has the keypoints in another order; they are matched by name"
            entries.remarks.append(f"{entries.path}: {place} {category.get('name')!r} {what}")
        orders[category.get("id")] = [names.index(joint) for joint in JOINTS]
    if not any_keypoints:
        what = f"none has keypoints; expected one with {', '.join(JOINTS)}"
        entries.problem("categories", what)
    return orders


def _names_problem(names) -> str:
    """Returns what is wrong with the names of a category's keypoints; "" if they are JOINTS."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return f"keypoints are {names!r:.60}; expected a list of names"
    missing = [name for name in JOINTS if name not in names]
    unknown = [name for name in names if name not in JOINTS]
    double = [name for name in JOINTS if names.count(name) > 1]
    for kind, wrong in (("missing", missing), ("unknown", unknown), ("twice", double)):
        if wrong:
            return f"keypoints {kind}: {described(wrong)}; expected {', '.join(JOINTS)}"
    return ""


def _joints(
    entries: Entries, where: str, values, order: list[int], size: tuple[int, int], keep_hidden: bool
) -> Float[np.ndarray, "12 2"] | None:
    """Returns the joints of one annotation; None where something in it is wrong."""
    count = 3 * len(JOINTS)
    if not isinstance(values, list) or len(values) != count:
        actual = f"{len(values)} numbers" if isinstance(values, list) else repr(values)
        entries.problem(where, f"keypoints are {actual:.60}; expected {count} numbers: x, y, v ...")
        return None
    xy, sound = np.full((len(JOINTS), 2), np.nan), True
    for joint, name in enumerate(JOINTS):
        x, y, seen = values[3 * order[joint] : 3 * order[joint] + 3]
        problem = _point_problem(x, y, seen, size)
        if problem:
            entries.problem(where, f"{name} {problem}")
            sound = False
        elif seen == VISIBLE or (seen == HIDDEN and keep_hidden):
            xy[joint] = x - 0.5, y - 0.5
    return xy if sound else None


def _point_problem(x, y, seen, size: tuple[int, int]) -> str:
    """Returns what is wrong with a keypoint; "" if nothing is."""
    if isinstance(seen, bool) or seen not in (ABSENT, HIDDEN, VISIBLE):
        return f"has visibility {seen!r}; expected 0, 1 or 2"
    if seen == ABSENT:
        return ""
    for value in (x, y):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            return f"is at {x!r},{y!r}; expected two numbers"
    if x == y == 0:
        return f"is at 0,0 with visibility {seen}; expected visibility 0 where a joint is missing"
    if not (0 <= x <= size[0] and 0 <= y <= size[1]):
        return (
            f"is at {x:g},{y:g}, outside of the image of {size[0]}x{size[1]}; move it inside, or "
            "set its visibility to 0"
        )
    return ""
