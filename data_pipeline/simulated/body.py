"""Sizes of a preterm infant -> the infant as MJCF: bodies, joints with ranges, motors.

Body frame, metres: x to the infant's right, y towards the feet, z to the front (up, when supine):
the same as the world's, as the infant lies with its head to the lower edge of the image.
A limb's angles have the same meaning on both sides, zero is straight along the trunk: `abduct`
takes it away from the midline in the frontal plane, `lift` takes it to the front, `twist` turns it
outwards about itself, `bend` flexes the elbow (to the front) or the knee (to the back).
"""

import dataclasses
from typing import Annotated

import numpy as np

from data_pipeline.simulated.ranges import Ascending, Bounds, Checked, Share

LIMB_DOFS = ("abduct", "lift", "twist", "bend", "end")
"""Names of a limb's angles from the trunk outwards; `end` is the wrist or the ankle."""

ROOT_DOFS = ("x", "y", "yaw", "roll", "side_bend", "waist_twist", "head_turn", "head_tilt")
"""Degrees of freedom of the trunk that have a motor; height and pitch have none."""

LIMB_NAMES = ("right_arm", "left_arm", "right_leg", "left_leg")

MOTORS = ROOT_DOFS + tuple(f"{limb}_{dof}" for limb in LIMB_NAMES for dof in LIMB_DOFS)
"""Order of the joint targets everywhere; x and y are in metres, the rest in radians."""

PARTS = {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}
"""Names of a limb's joints; a joint is the origin of the body that hangs on it."""

RANGES_DEG = {
    "arm": ((-25, 165), (-35, 120), (-90, 95), (0, 145), (-40, 50)),
    "leg": ((-10, 80), (-15, 115), (-35, 90), (0, 135), (-20, 50)),
}
"""Smallest and largest angle, in the order of `LIMB_DOFS`.

They are set by hand from what is known of newborns: elbows, hips and knees do not extend further
than straight, and hips abduct and turn outwards further than an adult's."""

STIFFNESS = {"arm": (0.9, 0.9, 0.3, 0.6, 0.05), "leg": (2.5, 2.5, 1.0, 1.5, 0.1)}
"""Stiffness of each motor, Nm/rad: a lifted limb (0.08 and 0.25 Nm) sags by 0.1 rad."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of one infant in metres; lengths are between joint centres."""

    crown_heel: float
    shoulder_width: float
    hip_width: float
    trunk: float
    upper_arm: float
    forearm: float
    thigh: float
    shank: float
    girth: float
    """Crown-heel length times a factor for stoutness; all thicknesses are in proportion to it."""
    nappy: bool

    def radius(self, joint: str) -> float:
        """Returns the radius at one of `jaxpose.body.skeleton.JOINTS`, or that of the `head`."""
        return self.girth * RADII[joint.split("_")[-1]]


Length = Annotated[float, Bounds(0.2, 0.8)]
Fraction = Annotated[float, Bounds(0.08, 0.45)]
Girth = Annotated[float, Bounds(0.8, 1.25)]
Deviation = Annotated[float, Bounds(0, 0.3)]
"""The upper bound leaves a thin infant's belly thicker than the deepest breath."""


@dataclasses.dataclass(frozen=True)
class Proportions(Checked):
    """How infants differ in size. Fractions are of the crown-heel length.

    A crown-heel length of 35-50 cm is that of 28 to 40 weeks. The means were chosen so that the
    projected segments have the ratios of the 14 babyPose sheets: trunk 28, shoulders 16, hips 12,
    upper arm 10, forearm 10, thigh 9 and shank 11 px of 128x96.
    """

    crown_heel_m: Annotated[tuple[Length, Length], Ascending()] = (0.35, 0.50)
    shoulder_width: Fraction = 0.245
    hip_width: Fraction = 0.170
    trunk: Fraction = 0.375
    upper_arm: Fraction = 0.156
    forearm: Fraction = 0.154
    thigh: Fraction = 0.137
    shank: Fraction = 0.190
    girth: Girth = 1.0
    spread: Deviation = 0.09
    """Standard deviation of every proportion, as a share of the proportion."""
    most: Deviation = 0.22
    """Largest deviation of a proportion, as a share of the proportion."""
    nappy: Share = 0.8
    """Share of the infants that wear a nappy."""


RADII = {
    "shoulder": 0.036, "elbow": 0.030, "wrist": 0.024,
    "hip": 0.050, "knee": 0.040, "ankle": 0.028, "head": 0.115, "neck": 0.050,
}  # fmt: skip
"""Limb radius at each joint, as a fraction of the crown-heel length.

A segment has the radius of its outer joint along its whole length, and that of its inner joint at
its inner end."""


def draw_sizes(rng: np.random.Generator, proportions: Proportions) -> Sizes:
    crown_heel = rng.uniform(*proportions.crown_heel_m)
    lengths = {}
    for field in dataclasses.fields(Sizes)[1:-1]:
        deviation = np.clip(rng.normal(0, proportions.spread), -proportions.most, proportions.most)
        lengths[field.name] = crown_heel * getattr(proportions, field.name) * (1 + deviation)
    return Sizes(crown_heel, **lengths, nappy=bool(rng.uniform() < proportions.nappy))


def infant_xml(sizes: Sizes) -> str:
    """Returns the `<body>` of a supine infant, its pelvis at the origin and 0.1 `girth` high."""
    g = sizes.girth
    waist, shoulders = -0.25 * sizes.trunk, -0.75 * sizes.trunk
    neck = shoulders - 0.03 * g
    w, h = (0.72, 0.092) if sizes.nappy else (0.62, 0.078)
    return f"""
<body name="pelvis" pos="0 0 {0.1 * g:.5f}">
  <joint name="x" type="slide" axis="1 0 0" damping="90"/>
  <joint name="y" type="slide" axis="0 1 0" damping="90"/>
  <joint name="z" type="slide" axis="0 0 1" damping="5"/>
  <joint name="yaw" axis="0 0 1" damping="0.5"/>
  <joint name="roll" axis="0 1 0" damping="0.3"/>
  <joint name="pitch" axis="1 0 0" damping="0.1" stiffness="0.5"/>
  {_ellipsoid("hips", (0, -0.01 * g, 0), (w * sizes.hip_width, 0.095 * g, h * g))}
  {_limb("right", "leg", sizes, (0.5 * sizes.hip_width, 0, 0.01 * g))}
  {_limb("left", "leg", sizes, (-0.5 * sizes.hip_width, 0, 0.01 * g))}
  <body name="thorax" pos="0 {waist:.5f} 0">
    <joint name="side_bend" axis="0 0 1" range="-25 25" damping="0.2"/>
    <joint name="waist_twist" axis="0 1 0" range="-25 25" damping="0.2"/>
    {_ellipsoid("belly", (0, 0, 0.005 * g), (0.125 * g, 0.30 * sizes.trunk, 0.088 * g))}
    {
        _ellipsoid(
            "chest",
            (0, 0.58 * shoulders, 0),
            (0.50 * sizes.shoulder_width, 0.44 * sizes.trunk, 0.084 * g),
        )
    }
    {_capsule("neck", (0, neck + 0.08 * g, 0), (0, neck, 0.01 * g), RADII["neck"] * g)}
    {_limb("right", "arm", sizes, (0.5 * sizes.shoulder_width, shoulders, 0))}
    {_limb("left", "arm", sizes, (-0.5 * sizes.shoulder_width, shoulders, 0))}
    <body name="head" pos="0 {neck:.5f} {0.02 * g:.5f}">
      <joint name="head_turn" axis="0 1 0" range="-80 80" damping="0.05"/>
      <joint name="head_tilt" axis="0 0 1" range="-25 25" damping="0.05"/>
      <joint name="head_nod" axis="1 0 0" range="-20 20" damping="0.05" stiffness="0.3"/>
      {_ellipsoid("skull", (0, -0.095 * g, 0), (0.112 * g, 0.135 * g, RADII["head"] * g))}
      {_ellipsoid("nose", (0, -0.075 * g, 0.114 * g), (0.013 * g, 0.018 * g, 0.016 * g))}
    </body>
  </body>
</body>"""


def contacts_xml() -> str:
    """Returns the `<contact>`: the outer halves of upper arms and thighs collide with the trunk.

    MuJoCo ignores contacts between a body and its parent, such as upper arm and chest. Thigh and
    belly overlap at the hip, so their contact is excluded: it would push them apart.
    """
    parts = []
    for side in ("right", "left"):
        parts.append(f'<exclude body1="{side}_hip" body2="thorax"/>')
        for limb, trunk in (("hip", "belly"), ("shoulder", "chest")):
            parts.append(
                f'<pair geom1="{side}_{limb}_lower" geom2="{trunk}" condim="3" '
                'friction="0.15 0.15 0.01 0.001 0.001" solref="0.015 1" solimp="0.95 0.99 0.001"/>'
            )
    return f"<contact>{''.join(parts)}</contact>"


def motors_xml() -> str:
    """Returns the `<actuator>` with one position motor per entry of `MOTORS`, in that order."""
    trunk = (1500, 1500, 8.0, 6.0, 5.0, 5.0, 0.8, 0.8)
    stiffness = dict(zip(ROOT_DOFS, trunk, strict=True))
    for limb in LIMB_NAMES:
        for dof, k in zip(LIMB_DOFS, STIFFNESS[limb.split("_")[1]], strict=True):
            stiffness[f"{limb}_{dof}"] = k
    return "<actuator>{}</actuator>".format(
        "".join(f'<position joint="{m}" kp="{stiffness[m]}" name="{m}"/>' for m in MOTORS)
    )


def _limb(side: str, kind: str, sizes: Sizes, root: tuple[float, float, float]) -> str:
    """Returns three nested bodies with the limb's joints as origins; angles: see the module."""
    s = 1 if side == "right" else -1
    arm = kind == "arm"
    upper, lower = (sizes.upper_arm, sizes.forearm) if arm else (sizes.thigh, sizes.shank)
    inner, middle, outer = (f"{side}_{part}" for part in PARTS[kind])
    axes = ((0, 0, -s), (1, 0, 0), (0, s, 0), (1 if arm else -1, 0, 0), (1, 0, 0))
    hinges = [
        f'<joint name="{side}_{kind}_{dof}" axis="{axis[0]} {axis[1]} {axis[2]}" '
        f'range="{low} {high}" damping="{0.06 * k:.4f}"/>'
        for dof, axis, (low, high), k in zip(
            LIMB_DOFS, axes, RANGES_DEG[kind], STIFFNESS[kind], strict=True
        )
    ]
    g = sizes.girth
    if arm:
        end = _ellipsoid(f"{side}_hand", (0, 0.05 * g, 0), (0.030 * g, 0.058 * g, 0.020 * g))
    else:
        end = _ellipsoid(
            f"{side}_foot", (0, 0.022 * g, 0.035 * g), (0.028 * g, 0.025 * g, 0.078 * g)
        )
    r0, r1, r2 = (sizes.radius(joint) for joint in (inner, middle, outer))
    return f"""
<body name="{inner}" pos="{_vector(root)}">
  {"".join(hinges[:3])}
  {_capsule(f"{inner}_upper", (0, 0, 0), (0, 0.5 * upper, 0), r0)}
  {_capsule(f"{inner}_lower", (0, 0.45 * upper, 0), (0, upper, 0), r1)}
  <body name="{middle}" pos="0 {upper:.5f} 0">
    {hinges[3]}
    {_capsule(f"{middle}_upper", (0, 0, 0), (0, 0.6 * lower, 0), 0.5 * (r1 + r2))}
    {_capsule(f"{middle}_lower", (0, 0.3 * lower, 0), (0, lower, 0), r2)}
    <body name="{outer}" pos="0 {lower:.5f} 0">
      {hinges[4]}
      {end}
    </body>
  </body>
</body>"""


def _capsule(name: str, start, end, radius: float) -> str:
    ends = f"{_vector(start)} {_vector(end)}"
    return f'<geom name="{name}" type="capsule" fromto="{ends}" size="{radius:.5f}"/>'


def _ellipsoid(name: str, centre, semi_axes) -> str:
    where = f'pos="{_vector(centre)}" size="{_vector(semi_axes)}"'
    return f'<geom name="{name}" type="ellipsoid" {where}/>'


def _vector(v) -> str:
    return " ".join(f"{x:.5f}" for x in v)
