"""Both nets' maps, decoded poses and depth -> numbers that tell how far a joint can be trusted.

Each is a property of one joint in one frame, made so that it does not depend on the grid's size:
lengths are in radii of the masks, depths in units of the nets' input. A calibration
(`jaxpose.decoding.confidence`) turns them into a probability.
"""

import numpy as np
from jaxtyping import Float, Int

from jaxpose.body.skeleton import CONNECTIONS, JOINTS, LIMBS, MIRROR
from jaxpose.decoding.combine import combine
from jaxpose.decoding.linking import Poses

Maps = Float[np.ndarray, "n h w 20"]

KINDS = tuple(dict.fromkeys(joint.split("_")[1] for joint in JOINTS))
"""Kinds of joints: right and left are alike."""
LEAST = 1e-3
"""Summand of a map's values before their logarithm is taken."""
FAR = 8.0
"""Largest distance, in radii: farther is no different."""
POINTS = 10
"""Number of points of a link at which its map is read."""
STEPS = (0.6, 1.25, 2.0, 3.0)
"""Distances from a joint, in radii, at which depth is compared with the depth at the joint."""

_COUNT = len(JOINTS)

FEATURES = (
    "found",
    "score",
    *(
        f"{net}{part}"
        for net in ("detection", "regression", "combined")
        for part in ("", "_log", "_elsewhere", "_mass", "_other_mass")
    ),
    *(
        f"{what}_{side}"
        for what in ("limb", "detection", "regression", "length")
        for side in ("inward", "outward")
    ),
    "length_difference",
    *("x", "y", "border", "counterpart", "counterpart_detection", "depth"),
    *(
        f"{line}_{side}_{step:g}"
        for line in ("across", "along", "across_link")
        for step in STEPS
        for side in ("less", "more")
    ),
    *KINDS,
)
"""Names of the features, in order."""


def evidence(
    detection: Maps,
    regression: Maps,
    depth: Float[np.ndarray, "n h w"],
    poses: Poses,
    radius_px: float,
) -> dict[str, Float[np.ndarray, "n 12"]]:
    """Returns name -> value of each feature of n >= 1 frames' joints.

    `detection` and `regression` are as in `jaxpose.model.Maps`, `depth` is the nets' input, and
    `poses` are what was decoded from the maps, in px of the grid.
    """
    radius_px = np.float32(radius_px)
    maps = {"detection": detection, "regression": np.maximum(regression, 0)}
    maps["combined"] = combine(detection, regression)
    values: dict[str, np.ndarray] = {"found": poses.found, "score": poses.score}
    near = _near(poses.xy, detection.shape[1:3], 1.5 * radius_px)
    for name, net in maps.items():
        values |= _peak(name, net, poses.xy, near, radius_px)
    values |= _rest_of_limb("limb", values["combined"])
    for name in ("detection", "regression"):
        values |= _links(name, maps[name], poses.xy)
    values |= _position(poses.xy, detection, radius_px)
    values |= _relief(depth, poses.xy, radius_px)
    for kind in KINDS:
        values[kind] = np.broadcast_to([j.endswith(kind) for j in JOINTS], poses.found.shape)
    return {name: np.asarray(values[name], np.float32) for name in FEATURES}


def _peak(
    name: str, net: Maps, xy: Float[np.ndarray, "n 12 2"], near: np.ndarray, radius_px: np.float32
) -> dict[str, np.ndarray]:
    """Returns a map's height at each joint, and how much of it is near the joint and elsewhere."""
    at = _read(net, np.arange(_COUNT)[None], xy)
    planes = np.ascontiguousarray(np.moveaxis(net[..., :_COUNT], -1, 1))  # n 12 h w
    inside = planes * near
    disc = np.float32(np.pi) * radius_px**2
    mass, all_mass = inside.sum(axis=(2, 3)), planes.sum(axis=(2, 3))
    planes -= inside
    return {
        name: at,
        f"{name}_log": np.log(at + LEAST),
        f"{name}_elsewhere": np.log(planes.max(axis=(2, 3)) + LEAST),
        f"{name}_mass": mass / disc,
        f"{name}_other_mass": np.minimum((all_mass - mass) / disc, FAR),
    }


def _read(
    maps: Float[np.ndarray, "n h w c"],
    channel: Int[np.ndarray, "*#n"],
    xy: Float[np.ndarray, "n *k 2"],
) -> Float[np.ndarray, "n *k"]:
    """Reads each frame's map `channel` at its points (x, y), bilinearly; outside, at the border."""
    count, h, w, c = maps.shape
    x, y = np.clip(xy[..., 0], 0, w - 1), np.clip(xy[..., 1], 0, h - 1)
    left, top = np.minimum(x.astype(int), w - 2), np.minimum(y.astype(int), h - 2)
    x, y = x - left, y - top
    frame = np.arange(count).reshape(-1, *[1] * (x.ndim - 1))
    flat, corner = maps.reshape(-1), ((frame * h + top) * w + left) * c + channel
    upper = flat[corner] * (1 - x) + flat[corner + c] * x
    corner = corner + w * c
    lower = flat[corner] * (1 - x) + flat[corner + c] * x
    return upper * (1 - y) + lower * y


def _near(xy: Float[np.ndarray, "n 12 2"], grid: tuple[int, int], reach_px: np.float32):
    """Tells which pixels of a joint's map are within reach of the joint: bool [n 12 h w]."""
    across = (np.arange(grid[1], dtype=np.float32) - xy[..., :1]) ** 2
    down = (np.arange(grid[0], dtype=np.float32) - xy[..., 1:]) ** 2
    return down[..., :, None] + across[..., None, :] <= reach_px**2


def _both_sides(inward, outward) -> tuple[np.ndarray, np.ndarray]:
    """Copies where a limb ends: a shoulder has nothing inward of it, a wrist nothing outward."""
    inward = np.where(np.isnan(inward), outward, inward)
    return inward, np.where(np.isnan(outward), inward, outward)


def _links(name: str, net: Maps, xy: Float[np.ndarray, "n 12 2"]) -> dict[str, np.ndarray]:
    """Returns the mean of the connections' maps along each joint's links."""
    inward, outward = np.full((2, *xy.shape[:2]), np.nan, np.float32)
    share = np.linspace(0, 1, POINTS, dtype=np.float32)[:, None]
    for k, (a, b) in enumerate(CONNECTIONS):
        points = xy[:, None, a] + share * (xy[:, None, b] - xy[:, None, a])
        outward[:, a] = inward[:, b] = _read(net, np.array(_COUNT + k), points).mean(axis=1)
    inward, outward = _both_sides(inward, outward)
    return {f"{name}_inward": inward, f"{name}_outward": outward}


def _rest_of_limb(name: str, score: Float[np.ndarray, "n 12"]) -> dict[str, np.ndarray]:
    """Returns the scores of the joints before and after each joint of a limb."""
    inward, outward = np.full((2, *score.shape), np.nan, np.float32)
    for joints in LIMBS.values():
        inward[:, joints[1:]] = score[:, joints[:-1]]
        outward[:, joints[:-1]] = score[:, joints[1:]]
    inward, outward = _both_sides(inward, outward)
    return {f"{name}_inward": inward, f"{name}_outward": outward}


def _position(
    xy: Float[np.ndarray, "n 12 2"], detection: Maps, radius_px: np.float32
) -> dict[str, np.ndarray]:
    """Returns where each joint is, and how near to its counterpart on the other side."""
    last = np.array(detection.shape[2:0:-1], np.float32) - 1
    border = np.minimum(xy, last - xy).min(axis=-1) / radius_px
    apart = np.linalg.norm(xy - xy[:, MIRROR], axis=-1) / radius_px
    inward, outward = np.full((2, *xy.shape[:2]), np.nan, np.float32)
    for a, b in CONNECTIONS:
        length = np.linalg.norm(xy[:, b] - xy[:, a], axis=-1) / radius_px
        outward[:, a] = inward[:, b] = np.minimum(length, 2 * FAR)
    inward, outward = _both_sides(inward, outward)
    return {
        "length_inward": inward,
        "length_outward": outward,
        "length_difference": inward - inward[:, MIRROR],
        "x": 2 * xy[..., 0] / last[0] - 1,
        "y": 2 * xy[..., 1] / last[1] - 1,
        "border": np.clip(border, 0, FAR),
        "counterpart": np.minimum(apart, FAR),
        "counterpart_detection": _read(detection, np.array(MIRROR)[None], xy),
    }


def _relief(
    depth: Float[np.ndarray, "n h w"], xy: Float[np.ndarray, "n 12 2"], radius_px: np.float32
) -> dict[str, np.ndarray]:
    """Returns the depth at each joint, and how it changes across and along the limb.

    A limb stands out from what is beside it; a cloth that hides it does not.
    """
    depth, zero = depth[..., None], np.array(0)
    steps = radius_px * np.array(STEPS, np.float32)[:, None]
    inner = np.array([max(joint - 1, limb[0]) for limb in LIMBS.values() for joint in limb])
    outer = np.maximum(np.arange(_COUNT), inner + 1)
    link = xy[:, outer] - xy[:, inner]
    length = np.linalg.norm(link, axis=-1, keepdims=True)
    along = link / np.maximum(length, 1e-6)
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    at = _read(depth, zero, xy)
    middle = (xy[:, outer] + xy[:, inner]) / 2
    values = {"depth": at}
    for name, centre, direction in (
        ("across", xy, across), ("along", xy, along), ("across_link", middle, across),
    ):  # fmt: skip
        base = _read(depth, zero, centre)[..., None]
        back, ahead = (
            _read(depth, zero, centre[:, :, None] + sign * steps * direction[:, :, None]) - base
            for sign in (-1, 1)
        )
        if name != "along":  # which side is which depends on the view
            back, ahead = np.minimum(back, ahead), np.maximum(back, ahead)
        for k, step in enumerate(STEPS):
            values[f"{name}_less_{step:g}"] = back[..., k]
            values[f"{name}_more_{step:g}"] = ahead[..., k]
    return values
