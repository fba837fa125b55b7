"""An exported folder and a corrected COCO file -> an infant of a ward, ready to train on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxpose.errors import DataError
from jaxpose.labels import coco
from jaxpose.labels.package import Package, depth_files, read_package
from jaxpose.labels.sheet import check_free, write_infant

MOVED_PX = 1.0
"""Distance from the prediction from which a joint counts as moved, px: some tools round to whole
pixels."""


class Changes(NamedTuple):
    """Numbers of joints that a person changed."""

    moved: int
    added: int
    removed: int


def changes(package: Package, joints: dict[int, Float[np.ndarray, "12 2"]]) -> Changes:
    """Counts what differs from the predictions, in the frames that are annotated."""
    before = np.stack([f.joints() for f in package.frames if f.number in joints])
    after = np.stack([joints[f.number] for f in package.frames if f.number in joints])
    had, has = np.isfinite(before).all(-1), np.isfinite(after).all(-1)
    distance = np.linalg.norm(np.where((had & has)[..., None], after - before, 0), axis=-1)
    return Changes(
        moved=int((distance > MOVED_PX).sum()),
        added=int((has & ~had).sum()),
        removed=int((had & ~has).sum()),
    )


def read_back(
    folder: Path,
    corrected: Path,
    out: Path,
    infant: str,
    *,
    partial: bool = False,
    keep_hidden: bool = False,
) -> tuple[dict, list[str]]:
    """Writes the infant; returns what is printed, and remarks. Options as in `coco.read`.

    Raises:
      DataError: a file cannot be used, or the ward holds the infant already.
      OSError: a file cannot be written.
    """
    package = read_package(folder)
    check_free(out, infant)
    depth = depth_files(package)
    joints, remarks = coco.read(corrected, package, partial=partial, keep_hidden=keep_hidden)
    clips = whole_clips(package, joints)
    if not clips:
        raise DataError(
            f"{corrected}: no clip has all its frames annotated; nets train on three neighbours, "
            "such as " + ", ".join(f.image for f in package.frames[:3])
        )
    if not any(np.isfinite(xy).any() for xy in joints.values()):
        raise DataError(f"{corrected}: every joint of every image is missing; place the joints")
    sheet = write_infant(out, infant, joints, depth, package.size)
    missing = sum(int(np.isnan(xy[:, 0]).sum()) for xy in joints.values())
    return {
        "infant": infant,
        "frames": len(joints),
        "clips": clips,
        "joints": sum(len(xy) for xy in joints.values()),
        "joints_missing": missing,
        **{f"joints_{name}": value for name, value in changes(package, joints)._asdict().items()},
        "sheet": str(sheet),
    }, remarks


def whole_clips(package: Package, joints: dict) -> int:
    """Returns the number of clips all of whose frames are annotated."""
    frames: dict[int, list[bool]] = {}
    for frame in package.frames:
        frames.setdefault(frame.clip, []).append(frame.number in joints)
    return sum(map(all, frames.values()))
