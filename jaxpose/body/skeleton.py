"""The limb model of an infant: names and indices of joints, connections and limbs.

Joint maps come first and connection maps after them, in the order below, everywhere in the
project: detection maps, confidence maps, masks, tables. Right and left are the infant's own.
"""

JOINTS = (
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
)  # fmt: skip

LIMBS = {
    "right_arm": (0, 1, 2),
    "left_arm": (3, 4, 5),
    "right_leg": (6, 7, 8),
    "left_leg": (9, 10, 11),
}
"""Limb name -> its three joints, from the trunk outwards."""

CONNECTIONS = tuple(
    pair for root, middle, end in LIMBS.values() for pair in ((root, middle), (middle, end))
)
"""Pairs of joint indices; limb k of `LIMBS` owns connections 2k and 2k + 1."""

CONNECTION_NAMES = tuple(f"{JOINTS[a]}-{JOINTS[b].split('_')[1]}" for a, b in CONNECTIONS)

MAPS = len(JOINTS) + len(CONNECTIONS)
"""Number of detection maps, and of confidence maps: 12 joints, then 8 connections."""

SHOULDERS = (JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder"))
HIPS = (JOINTS.index("right_hip"), JOINTS.index("left_hip"))

MIRROR = tuple(
    JOINTS.index(j.replace("right", "L").replace("left", "right").replace("L", "left"))
    for j in JOINTS
)
"""Index of each joint's counterpart on the other side of the body."""
