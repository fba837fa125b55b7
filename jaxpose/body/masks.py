"""Joints -> the 20 target masks of the paper's Sec. II-A: 12 joints, then 8 connections.

Numpy, `jax.numpy` and `tf.experimental.numpy` share one definition, whose first argument is the
array module: the input pipeline and the jitted training step cannot draw different targets.
"""

import dataclasses

from jaxpose.body.skeleton import CONNECTIONS


@dataclasses.dataclass(frozen=True)
class Target:
    """Sizes of the masks that one stage is trained on, in px of the net's grid."""

    radius_px: float
    """Radius of a joint's disc, and thickness of a connection's rectangle."""
    std_px: float | None = None
    """Standard deviation of Gaussian masks, for the regression net. None: binary masks, for the
    detection net."""

    def draw(self, xp, xy, visible, grid: tuple[int, int]):
        """Draws masks of this size, as the function `draw` does."""
        return draw(xp, xy, visible, grid, self.radius_px, self.std_px)


def draw(xp, xy, visible, grid: tuple[int, int], radius_px: float, std_px: float | None = None):
    """Draws the masks float32 [*n h w 20] of joints xy float32 [*n 12 2], visible bool [*n 12].

    `xp` is the array module; xy are (x, y) in px of the grid (rows, columns).

    A joint is the disc of radius `radius_px` around (x, y), a connection the rectangle along it
    of total thickness `radius_px`. Binary by default; with `std_px` the same supports carry
    exp(-d^2 / (2 std^2)), where d is the distance to the joint or to the connection's axis.
    The map of a joint that is not visible is empty, and so are its connections'.

    paper: unclear, "thickness r" taken as the full width of the rectangle (Du et al. 2018: half
    of it); "along the connection direction" taken as a function of the distance to the segment.
    """
    axes = (1,) * (len(xy.shape) - 2)  # the axes *n: arrays of different rank are never broadcast
    ys = xp.reshape(xp.arange(grid[0], dtype=xp.float32), (*axes, grid[0], 1, 1))
    xs = xp.reshape(xp.arange(grid[1], dtype=xp.float32), (*axes, 1, grid[1], 1))
    root, end = ([pair[k] for pair in CONNECTIONS] for k in (0, 1))

    joint = xy[..., None, None, :, :]
    from_joint = (xs - joint[..., 0]) ** 2 + (ys - joint[..., 1]) ** 2
    disc = from_joint <= radius_px**2

    start = xp.stack([joint[..., j, :] for j in root], axis=-2)
    along = xp.stack([joint[..., j, :] for j in end], axis=-2) - start
    dx, dy = xs - start[..., 0], ys - start[..., 1]
    length2 = along[..., 0] ** 2 + along[..., 1] ** 2
    advance = dx * along[..., 0] + dy * along[..., 1]
    across = dx * along[..., 1] - dy * along[..., 0]
    from_axis = across**2 / xp.maximum(length2, xp.full_like(length2, 1e-6))
    bar = (advance >= 0) & (advance <= length2) & (from_axis <= (radius_px / 2) ** 2)
    bar = bar & (length2 > 0)  # two joints on one point have no axis between them

    joint_visible = visible[..., None, None, :]
    connection_visible = xp.stack(
        [joint_visible[..., a] & joint_visible[..., b] for a, b in CONNECTIONS], axis=-1
    )
    support = xp.concatenate([disc & joint_visible, bar & connection_visible], axis=-1)
    distance2 = xp.concatenate([from_joint, from_axis], axis=-1)
    value = xp.ones_like(distance2)
    if std_px is not None:
        value = xp.exp(distance2 * (-0.5 / std_px**2))
    return xp.where(support, value, xp.zeros_like(value))
