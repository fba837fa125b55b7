"""An infant's sizes -> a MuJoCo scene that moves: mattress, crib, nest, infant, a carer's arms.

The geom group says what a geom belongs to: 0 the infant, 1 the carer's arms, 2 what never moves.
"""

import dataclasses

import mujoco
import numpy as np

from data_pipeline.errors import DataError
from data_pipeline.simulated.body import Sizes, contacts_xml, infant_xml, motors_xml
from data_pipeline.simulated.curves import HZ
from jaxpose.body.skeleton import JOINTS

INFANT, CARER, STILL = range(3)

SUBSTEPS = 10
"""Steps of the physics per raw frame, 3.3 ms each: the stiffest motor is stable with them."""

SETTLE_FRAMES = 3 * HZ
"""Raw frames before the recording, in which an infant comes to rest in its first posture."""

AWAY = (0.0, 0.0, -5.0)
"""Position of the carer's arms when no carer is there: below the mattress, metres."""

ARMS = 2

CLEAR = 0.005
"""Smallest distance between a carer's arm and the infant, metres: it never touches the infant."""

LIFTS = 6
"""Largest number of steps in which an arm is raised to that distance."""

UNSTABLE = tuple(
    getattr(mujoco.mjtWarning, f"mjWARN_BAD{what}") for what in ("QPOS", "QVEL", "QACC")
)


@dataclasses.dataclass(frozen=True)
class Crib:
    """A mattress between four walls, and the rolls around the infant; lengths are metres.

    Attributes:
      width, length: size of the mattress.
      middle: y of its middle in the world; the pelvis starts at the origin.
      nest: [n 7] capsules of the rolls: both ends x y z, x y z, and the radius.
    """

    width: float
    length: float
    middle: float
    nest: np.ndarray


def draw_crib(rng: np.random.Generator, sizes: Sizes) -> Crib:
    """Draws a mattress of 50-70 x 62-80 cm, and for four in ten infants a nest of rolls.

    The rolls are 5 to 7 cm thick and form a U around legs and trunk, wide enough for legs that
    fall to the sides.
    """
    # The head is further from the pelvis than the feet, mostly.
    crib = Crib(rng.uniform(0.5, 0.7), rng.uniform(0.62, 0.8), -0.35 * sizes.trunk, _no_nest())
    if rng.uniform() > 0.4:
        return crib
    radius = rng.uniform(0.025, 0.035)
    half = 0.42 * sizes.crown_heel * rng.uniform(0.9, 1.1)
    foot = 0.38 * sizes.crown_heel * rng.uniform(0.9, 1.15)
    top = -0.25 * sizes.trunk
    corners = np.array([(-1, top), (-1.05, 0.4 * foot), (-0.6, foot), (0.6, foot),
                        (1.05, 0.4 * foot), (1, top)])  # fmt: skip
    corners = corners * (half, 1) + rng.normal(0, 0.01, corners.shape)
    points = np.column_stack([corners, np.full(len(corners), 0.8 * radius)])
    radii = np.full((len(points) - 1, 1), radius)
    return dataclasses.replace(crib, nest=np.hstack([points[:-1], points[1:], radii]))


def _no_nest() -> np.ndarray:
    return np.zeros((0, 7))


def scene_xml(sizes: Sizes, crib: Crib) -> str:
    """Returns the MJCF of the whole scene, metres and degrees, without the camera."""
    half_x, half_y, middle = 0.5 * crib.width, 0.5 * crib.length, crib.middle
    still = f'group="{STILL}" density="0"'
    walls = "".join(
        f'<geom name="wall_{k}" type="box" pos="{x:.4f} {y:.4f} 0.06" size="{a:.4f} {b:.4f} 0.06" '
        f"{still}/>"
        for k, (x, y, a, b) in enumerate(
            (
                (half_x, middle, 0.006, half_y),
                (-half_x, middle, 0.006, half_y),
                (0, half_y + middle, half_x, 0.006),
                (0, -half_y + middle, half_x, 0.006),
            )
        )
    )
    nest = "".join(
        f'<geom name="nest_{k}" type="capsule" fromto="{" ".join(f"{v:.4f}" for v in roll[:6])}" '
        f'size="{roll[6]:.4f}" {still}/>'
        for k, roll in enumerate(crib.nest)
    )
    return f"""
<mujoco model="simulated infant">
  <compiler angle="degree"/>
  <option timestep="{1 / (HZ * SUBSTEPS):.8f}" integrator="implicitfast"/>
  <default>
    <joint armature="0.0005" limited="auto"/>
    <geom density="1000" group="{INFANT}" condim="3" friction="0.15 0.01 0.001"
      solref="0.015 1" solimp="0.95 0.99 0.001"/>
  </default>
  <worldbody>
    <geom name="mattress" type="plane" size="1 1 0.1" group="5"/>
    {walls}
    {nest}
    {infant_xml(sizes)}
    {"".join(_arm(k) for k in range(ARMS))}
  </worldbody>
  {contacts_xml()}
  {motors_xml()}
</mujoco>"""


def _arm(k: int) -> str:
    """Returns a carer's arm: fingertips at the origin, the forearm towards x and upwards."""
    parts = "".join(
        f'<geom {shape} group="{CARER}" contype="0" conaffinity="0"/>'
        for shape in (
            'type="capsule" fromto="0.17 0 0.03 0.62 0 0.13" size="0.034"',
            'type="ellipsoid" pos="0.115 0 0.012" size="0.062 0.044 0.019"',
            *(
                f'type="capsule" fromto="0.075 {y} 0.012 {x} {1.25 * y} -0.004" size="0.0085"'
                for x, y in ((0.012, -0.03), (0.0, -0.01), (0.004, 0.01), (0.02, 0.029))
            ),
            'type="capsule" fromto="0.12 0.035 0.01 0.06 0.062 0.0" size="0.010"',
        )
    )
    return f'<body name="carer_{k}" mocap="true" pos="{AWAY[0]} {AWAY[1]} {AWAY[2]}">{parts}</body>'


class Scene:
    """MuJoCo's model and state, which advance by one raw frame at a time; lengths are metres.

    Attributes:
      model, data: MuJoCo's model and state.
      joints: [12 3] joint centres in the world frame, of the current state.
      xml: the scene as MJCF; after `settle` with that posture as the keyframe `settled`.
    """

    def __init__(self, sizes: Sizes, crib: Crib):
        self.xml = scene_xml(sizes, crib).lstrip()
        self.model = mujoco.MjModel.from_xml_string(self.xml)
        self.data = mujoco.MjData(self.model)
        self._joint_bodies = [self.model.body(name).id for name in JOINTS]
        self._trunk = [self.model.geom(name).id for name in ("belly", "chest")]
        self._at_rest = self.model.geom_size[self._trunk, 2].copy()
        mujoco.mj_forward(self.model, self.data)

    def settle(self, targets: np.ndarray) -> None:
        """Moves the infant from lying straight to its first targets, where it comes to rest."""
        for share in np.minimum(np.linspace(0, 2, SETTLE_FRAMES), 1):
            self.step(share * targets)
        qpos, ctrl = (" ".join(f"{v:.6g}" for v in a) for a in (self.data.qpos, self.data.ctrl))
        key = f'<keyframe><key name="settled" qpos="{qpos}" ctrl="{ctrl}"/></keyframe>'
        self.xml = self.xml.replace("</mujoco>", f"  {key}\n</mujoco>\n")

    def step(self, targets: np.ndarray, breath: float = 0.0) -> None:
        """Advances by one raw frame (1/30 s) with motors at `targets`, ordered as `body.MOTORS`.

        `breath` is the belly's height above its mean, metres; the chest rises half as much.

        Raises:
          DataError: the physics is unstable, which several extreme parameters together can cause.
        """
        self.data.ctrl[:] = targets
        self.model.geom_size[self._trunk, 2] = self._at_rest + breath * np.array([1.0, 0.5])
        mujoco.mj_step(self.model, self.data, nstep=SUBSTEPS)
        # MuJoCo then resets the infant to lying straight; only these warnings report it.
        if any(self.data.warning[kind].number for kind in UNSTABLE):
            raise DataError("the infant flies apart; give sizes or movements that are less extreme")
        # Positions of bodies and geoms are those before the last step until asked for again.
        mujoco.mj_kinematics(self.model, self.data)

    def place_carer(self, arm: int, position, heading: float) -> None:
        """Puts an arm's fingertips at `position`, the arm coming from `heading` (radians)."""
        self.data.mocap_pos[arm] = position
        self.data.mocap_quat[arm] = (np.cos(heading / 2), 0, 0, np.sin(heading / 2))
        mujoco.mj_kinematics(self.model, self.data)

    def lift_carer(self, arm: int) -> None:
        """Raises an arm until it is `CLEAR` of the infant."""
        around = self.geoms(INFANT)
        mocap = self.model.body(f"carer_{arm}").mocapid[0]
        pairs = [(int(a), int(b)) for a in self.arm_geoms(arm) for b in around]
        for _ in range(LIFTS):
            gap = min(mujoco.mj_geomDistance(self.model, self.data, *p, CLEAR, None) for p in pairs)
            if gap >= CLEAR:
                return
            self.data.mocap_pos[mocap, 2] += CLEAR - gap
            mujoco.mj_kinematics(self.model, self.data)

    def deepest_contact(self) -> tuple[float, str]:
        """Returns the depth of the infant's deepest contact, m, and the names of both geoms."""
        contacts = self.data.contact
        if not len(contacts.dist):
            return 0.0, ""
        k = int(np.argmin(contacts.dist))
        pair = " in ".join(self.model.geom(g).name for g in contacts.geom[k])
        return max(-float(contacts.dist[k]), 0.0), pair

    @property
    def joints(self) -> np.ndarray:
        return self.data.xpos[self._joint_bodies].copy()

    @property
    def points(self) -> np.ndarray:
        """Joints, middle of the skull and root of the neck in the world, metres [14 3]."""
        return np.vstack([self.joints, self.data.geom("skull").xpos, self.data.body("head").xpos])

    def geoms(self, group: int) -> np.ndarray:
        """Returns the ids of a group's geoms."""
        return np.flatnonzero(self.model.geom_group == group)

    def name(self, geom: int) -> str:
        """Returns a geom's name in files: `right_elbow` (the forearm), `head`, `nest`, `carer`."""
        body = self.model.geom_bodyid[geom]
        name = self.model.body(body).name if body else self.model.geom(geom).name
        return name.rstrip("_0123456789")

    def arm_geoms(self, arm: int) -> np.ndarray:
        """Returns the ids of the geoms of one of the carer's arms."""
        return np.flatnonzero(self.model.geom_bodyid == self.model.body(f"carer_{arm}").id)
