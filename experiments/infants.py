"""Poses of the test frames -> one row of errors and counts per test infant."""

import numpy as np
from jaxtyping import Bool, Float, Shaped

from jaxpose.body.skeleton import LIMBS


def rows(
    subject: Shaped[np.ndarray, " n"],
    fallback: Float[np.ndarray, "n 4"],
    result: Float[np.ndarray, "n 4"],
    is_found: Bool[np.ndarray, "n 12"],
    visible: Bool[np.ndarray, "n 12"],
) -> list[dict]:
    """Returns one row per infant.

    `fallback` and `found` are RMSD per limb in px of 128x96, NaN where nothing counts: with missing
    joints at their map's maximum, and over found joints alone. A row has the mean over frames and
    the number of frames of each limb and of all limbs pooled, and counts of joints.
    """
    return [
        {
            "id": str(infant),
            "frames": int((subject == infant).sum()),
            "rmsd_fallback_px": _means(fallback[subject == infant]),
            "rmsd_px": _means(result[subject == infant]),
            **_counts(is_found[subject == infant], visible[subject == infant]),
        }
        for infant in dict.fromkeys(subject.tolist())
    ]


def _means(rmsd: Float[np.ndarray, "n 4"]) -> dict[str, dict[str, float | int | None]]:
    columns = dict(zip(LIMBS, rmsd.T, strict=True)) | {"all": rmsd.ravel()}
    table = {}
    for limb, values in columns.items():
        values = values[~np.isnan(values)]
        mean = float(values.mean()) if len(values) else None
        table[limb] = {"mean": mean, "n": len(values)}
    return table


def _counts(result: Bool[np.ndarray, "n 12"], visible: Bool[np.ndarray, "n 12"]) -> dict[str, int]:
    return {
        "visible_joints": int(visible.sum()),
        "missed_joints": int((visible & ~result).sum()),
        "hidden_joints": int((~visible).sum()),
        "hidden_found_joints": int((~visible & result).sum()),
    }
