"""An infant's sizes -> a MuJoCo scene that moves: mattress, walls, infant, a carer's arm.

Geom groups say what is cast when: 0 the infant, 1 the carer's arm, 2 what never moves.
"""

import mujoco
import numpy as np

from data_pipeline.simulated.body import Sizes, contacts_xml, infant_xml, motors_xml
from data_pipeline.simulated.movement import HZ
from jaxpose.skeleton import JOINTS

INFANT, CARER, STILL = range(3)

SUBSTEPS = 10
"""Physical steps per raw frame: 3.3 ms, where the stiffest motor is still stable."""

SETTLE_FRAMES = 3 * HZ
"""Raw frames that an infant gets to sink into its first posture, not recorded."""

AWAY = (0.0, 0.0, -5.0)
"""Where the carer's arm is kept while nobody is there, under the mattress."""


def scene_xml(sizes: Sizes, crib_width: float, crib_length: float) -> str:
    """MJCF of the whole scene, metres and degrees; the camera is not part of it."""
    half_x, half_y = 0.5 * crib_width, 0.5 * crib_length
    middle = (
        -0.35 * sizes.trunk
    )  # the pelvis is at the origin, the head further from it than the feet
    walls = "".join(
        f'<geom type="box" pos="{x:.4f} {y:.4f} 0.06" size="{a:.4f} {b:.4f} 0.06" '
        f'group="{STILL}" density="0"/>'
        for x, y, a, b in (
            (half_x, middle, 0.006, half_y),
            (-half_x, middle, 0.006, half_y),
            (0, half_y + middle, half_x, 0.006),
            (0, -half_y + middle, half_x, 0.006),
        )
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
    {infant_xml(sizes)}
    <body name="carer" mocap="true" pos="{AWAY[0]} {AWAY[1]} {AWAY[2]}">
      <geom type="capsule" fromto="0.10 0 0.02 0.60 0 0.10" size="0.032" group="{CARER}"
        contype="0" conaffinity="0"/>
      <geom type="ellipsoid" pos="0.045 0 0" size="0.085 0.042 0.022" group="{CARER}"
        contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  {contacts_xml()}
  {motors_xml()}
</mujoco>"""


class Scene:
    """MuJoCo's model and state, stepped one raw frame at a time; lengths in metres.

    Attributes:
      model, data: MuJoCo's own.
      joints: [12 3] joint centres in the world frame, of the current state.
    """

    def __init__(self, sizes: Sizes, crib_width: float, crib_length: float):
        self.model = mujoco.MjModel.from_xml_string(scene_xml(sizes, crib_width, crib_length))
        self.data = mujoco.MjData(self.model)
        self._joint_bodies = [self.model.body(name).id for name in JOINTS]
        mujoco.mj_forward(self.model, self.data)

    def settle(self, targets: np.ndarray) -> None:
        """Lets the infant come to rest in its first targets, led there from lying straight."""
        for share in np.minimum(np.linspace(0, 2, SETTLE_FRAMES), 1):
            self.step(share * targets)

    def step(self, targets: np.ndarray) -> None:
        """One raw frame (1/30 s) with the motors at `targets`, in the order of `body.MOTORS`."""
        self.data.ctrl[:] = targets
        mujoco.mj_step(self.model, self.data, nstep=SUBSTEPS)
        # Positions of bodies and geoms are those before the last step until asked for again.
        mujoco.mj_kinematics(self.model, self.data)

    def place_carer(self, position, heading: float) -> None:
        """Puts the carer's fingertips at `position`, the arm coming from `heading` (radians)."""
        self.data.mocap_pos[0] = position
        self.data.mocap_quat[0] = (np.cos(heading / 2), 0, 0, np.sin(heading / 2))

    @property
    def joints(self) -> np.ndarray:
        return self.data.xpos[self._joint_bodies].copy()

    @property
    def head_and_neck(self) -> np.ndarray:
        """[2 3] middle of the skull and root of the neck, world, metres."""
        return np.stack([self.data.geom("skull").xpos, self.data.body("head").xpos])

    def geoms(self, group: int) -> np.ndarray:
        """Ids of a group's geoms."""
        return np.flatnonzero(self.model.geom_group == group)

    def name(self, geom: int) -> str:
        """What a ray hit, for people: `right_elbow` (the forearm), `head`, `carer`, ..."""
        return self.model.body(self.model.geom_bodyid[geom]).name
