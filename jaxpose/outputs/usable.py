"""Records -> the positions that movements are measured in, and how much of each limb they cover.

The numbers of `kinematics.csv` and what `quality.json` says about them follow from the same
positions: of found joints, in mm where that leaves no part out, else in px.
"""

import numpy as np
from jaxtyping import Bool, Float

from jaxpose.body.skeleton import HIPS, JOINTS, LIMBS, SHOULDERS
from jaxpose.decoding.confidence import FOUND, STATES
from jaxpose.kinematics.table import LEAST_COVERAGE
from jaxpose.outputs.rows import interval_s
from jaxpose.recordings.numbering import absent_before

PARTS = {name: [joint] for joint, name in enumerate(JOINTS)} | {
    "trunk": [*SHOULDERS, *HIPS],
    **LIMBS,
}
"""Name of what is measured -> joints that must have a position at the same time."""


def frames_without_gaps(records: np.ndarray) -> int:
    """Returns how many frames there would be without gaps in the numbers or in time.

    Each gap counts by itself, so that rounded times do not add up to frames.
    """
    numbered = len(records) + int(absent_before(records["number"].astype(np.int64)).sum())
    step_s = interval_s(records)
    if step_s is None:
        return numbered
    steps = np.diff(records["time_s"].astype(np.float64)) / step_s
    return max(numbered, len(records) + int(np.maximum(np.round(steps) - 1, 0).sum()))


def known_positions(records: np.ndarray) -> tuple[Bool[np.ndarray, "n 12"], ...]:
    """Tells which joints were found, thus have a position in px, and which have one in mm."""
    found = records["state"] == STATES.index(FOUND)
    return found, found & np.isfinite(records["mm"]).all(-1)


def shares(known: Bool[np.ndarray, "n 12"], total: int) -> dict[str, float]:
    """Returns the share of the time, `total` frames, in which all joints of a part are known."""
    return {name: float(known[:, joints].all(1).sum()) / total for name, joints in PARTS.items()}


def lost_in_mm(records: np.ndarray) -> list[str]:
    """Returns the parts that are covered well enough to be measured in px, and not in mm."""
    in_px, in_mm = (
        shares(known, frames_without_gaps(records)) for known in known_positions(records)
    )
    return [name for name in PARTS if in_mm[name] < LEAST_COVERAGE <= in_px[name]]


def unit_of(records: np.ndarray) -> str:
    """Returns the unit that movements are measured in, "mm" or "px".

    It is mm where at least `LEAST_COVERAGE` of the found joints have a position in mm, and no part
    is lost in mm.
    """
    found, in_mm = known_positions(records)
    enough = found.any() and in_mm.sum() >= LEAST_COVERAGE * found.sum()
    return "mm" if enough and not lost_in_mm(records) else "px"


def positions(records: np.ndarray) -> tuple[Float[np.ndarray, "n 12 axes"], str]:
    """Returns positions of found joints, [n 12 3] in mm or else [n 12 2] in px, and the unit.

    Joints without one are NaN.
    """
    unit, (found, in_mm) = unit_of(records), known_positions(records)
    known, values = (in_mm, records["mm"]) if unit == "mm" else (found, records["xy"])
    return np.where(known[..., None], values, np.nan).astype(np.float64), unit


def usable(records: np.ndarray) -> dict[str, dict]:
    """Returns for each limb the share of the time with all its joints, and whether that is enough.

    Time without frames is time without joints. Joints must have a position for `kinematics.csv`,
    which this is about: it takes no weak ones.
    """
    total = frames_without_gaps(records)
    duration_s = float(records["time_s"][-1] - records["time_s"][0])
    values, unit = positions(records)
    share_of, limbs = shares(np.isfinite(values).all(-1), total), {}
    where = "found" if unit == "px" else "found with a position in mm"
    for name in LIMBS:
        share = share_of[name]
        include = share >= LEAST_COVERAGE
        limbs[name] = {"share": round(share, 4), "usable_s": round(share * duration_s, 3)}
        limbs[name] |= {"include": include}
        if not include:
            limbs[name]["reason"] = (
                f"all its joints are {where} in {100 * share:.0f} % of the time; expected at "
                f"least {100 * LEAST_COVERAGE:.0f} %"
            )
    return limbs
