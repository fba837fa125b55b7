"""Records -> which way the head points, and whether right and left look exchanged."""

import numpy as np
from jaxtyping import Float

from jaxpose.body.sides import exchanged_pairs, looks_mirrored
from jaxpose.body.skeleton import HIPS, SHOULDERS
from jaxpose.decoding.confidence import MISSING, STATES
from jaxpose.recordings.orientation import side_of, turn_direction

LONGEST = 3000
"""Number of frames that are searched at a time for exchanged sides."""
MOST_NAMED = 100
"""Largest number of frames with exchanged sides that quality.json names."""
LEAST_SHARE = 0.02
"""Share of frames with exchanged sides from which there is a warning."""
SHORTEST = 0.05
"""Trunk of a mean pose, as a share of the grid's rows, below which it has no direction."""


def head_direction(records: np.ndarray) -> Float[np.ndarray, " 2"] | None:
    """Returns the usual way from the hips to the shoulders in px of the image; None if unknown."""
    present = records["state"] != STATES.index(MISSING)
    seen = records["xy"][present[:, SHOULDERS + HIPS].all(axis=1)]
    if not len(seen):
        return None
    return np.median(seen[:, SHOULDERS].mean(1) - seen[:, HIPS].mean(1), axis=0)


def trained_direction(
    mean_pose: Float[np.ndarray, "12 2"], rows: int, degrees: int
) -> Float[np.ndarray, " 2"] | None:
    """Returns the same of a model's mean training pose, in an image that is turned for the nets.

    None if the mean pose has almost no trunk: the heads pointed to all sides.
    """
    way = mean_pose[SHOULDERS, :].mean(0) - mean_pose[HIPS, :].mean(0)
    if not np.linalg.norm(way) > SHORTEST * rows:
        return None
    return turn_direction(way, (360 - degrees) % 360)


def anatomy(
    records: np.ndarray, trained: Float[np.ndarray, " 2"] | None, width: int
) -> tuple[dict, list[str]]:
    """Returns a part of quality.json, and warnings.

    `trained` is from `trained_direction`, `width` that of the image in px.
    """
    head, number = head_direction(records), records["number"].astype(np.int64)
    present = records["state"] != STATES.index(MISSING)
    exchanged = np.zeros(len(records), bool)
    for first in range(0, len(records), LONGEST):
        part = slice(first, first + LONGEST)
        xy = records["xy"][part].astype(np.float64)
        exchanged[part] = exchanged_pairs(xy, present[part], number[part], width).any(axis=1)
    mirrored = looks_mirrored(records["xy"].astype(np.float64), present)
    warnings = []
    if head is not None and trained is not None and head @ trained < 0:
        warnings.append(
            f"the head points to the {side_of(head)} of the image, in this model's training it "
            f"pointed to the {side_of(trained)}; look at the poses, and try another --rotate"
        )
    if mirrored:
        warnings.append(
            "right and left look exchanged in most frames, as those of an infant on its back "
            "cannot be: the poses are wrong, or the model was trained otherwise; look at "
            "the poses"
        )
    elif exchanged.mean() >= LEAST_SHARE:
        warnings.append(
            f"right and left look exchanged in {100 * exchanged.mean():.0f} % of the frames, the "
            f"first is {number[exchanged.argmax()]}; look at the poses"
        )
    found = {
        "head_towards": None if head is None else side_of(head),
        "head_towards_in_training": None if trained is None else side_of(trained),
        "mirrored": mirrored,
        "frames_exchanged": int(exchanged.sum()),
        "exchanged": number[exchanged][:MOST_NAMED].tolist(),
    }
    return found, warnings
