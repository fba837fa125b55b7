"""Poses of the test frames -> one row of errors and counts per test infant."""

import numpy as np
from jaxtyping import Bool, Float, Shaped

from jaxpose.body.skeleton import LIMBS


def rows(
    subject: Shaped[np.ndarray, " n"],
    fallback_px: Float[np.ndarray, "n 4"],
    found_px: Float[np.ndarray, "n 4"],
    found: Bool[np.ndarray, "n 12"],
    visible: Bool[np.ndarray, "n 12"],
) -> list[dict]:
    """Returns one row per infant.

    `fallback_px` and `found_px` are RMSD per limb in px of 128x96, with missing joints at their
    map's maximum, and over found joints alone; NaN where no joint counts. A row has their mean over
    frames and the number of frames, for each limb and for all limbs pooled, and counts of joints.
    """
    return [
        {
            "id": str(infant),
            "frames": int((subject == infant).sum()),
            "rmsd_fallback_px": _means(fallback_px[subject == infant]),
            "rmsd_px": _means(found_px[subject == infant]),
            **_counts(found[subject == infant], visible[subject == infant]),
        }
        for infant in dict.fromkeys(subject.tolist())
    ]


def _means(rmsd: Float[np.ndarray, "n 4"]) -> dict[str, dict[str, float | int | None]]:
    """Returns the mean and the number of frames of each limb and of all limbs pooled."""
    columns = dict(zip(LIMBS, rmsd.T, strict=True)) | {"all": rmsd.ravel()}
    table = {}
    for limb, values in columns.items():
        values = values[~np.isnan(values)]
        mean = float(values.mean()) if len(values) else None
        table[limb] = {"mean": mean, "n": len(values)}
    return table


def _counts(found: Bool[np.ndarray, "n 12"], visible: Bool[np.ndarray, "n 12"]) -> dict[str, int]:
    return {
        "visible_joints": int(visible.sum()),
        "missed_joints": int((visible & ~found).sum()),
        "hidden_joints": int((~visible).sum()),
        "hidden_found_joints": int((~visible & found).sum()),
    }
