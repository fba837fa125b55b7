"""(seed, infant, size, frames) -> one infant's recording on disk, in babyPose's layout.

pz<ID>/<n>_16bit.png   uint16 mm, 0 = no return, n = 1, 6, 11, ...
pz<ID>/camera.json     fx fy cx cy (px), width, height
pz<ID>/truth.npz       joints_mm [n 12 3], joints_px [n 12 2], visible [n 12], hidden_by [n 12]
result_pz<ID>.csv      written last: a sheet means that the recording is whole
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import mujoco
import numpy as np

from data_pipeline.simulated import annotation, scene
from data_pipeline.simulated.body import Sizes, draw_sizes
from data_pipeline.simulated.camera import Camera, cast, draw_camera
from data_pipeline.simulated.cover import Carer, Cloth, draw_carer, draw_cloths, draw_mattress
from data_pipeline.simulated.movement import joint_targets
from data_pipeline.simulated.scene import Scene
from data_pipeline.simulated.sensor import sense
from jaxpose.skeleton import JOINTS

KEEP = 5
"""One raw frame in five is kept and annotated, as in babyPose."""

MATTRESS, CLOTH = -1, -2
"""Codes of what a ray hit, beside the ids of geoms."""


@dataclasses.dataclass
class Frame:
    """One annotated frame without noise: z in metres [h w], what was hit [h w], joints [12 3] m."""

    number: int
    depth: np.ndarray
    hit: np.ndarray
    joints: np.ndarray
    extra: np.ndarray
    """Head and neck [2 3] m, for the sheet's other two columns."""


class Recording:
    """One simulated infant under one camera; `frames()` plays it from the start, once.

    Each part draws from its own stream, so that a change in one leaves the others alone.
    """

    def __init__(self, seed: int, infant: int, size: tuple[int, int], frames: int):
        """`infant` counts from 1; `frames` are annotated ones; `size` is (width, height)."""
        streams = np.random.SeedSequence((seed, infant)).spawn(6)
        body, move, view, cover, self.sensor_rng, self.click_rng = map(
            np.random.default_rng, streams
        )
        self.size = size
        self.raw_frames = KEEP * (frames - 1) + 1
        self.sizes: Sizes = draw_sizes(body)
        self.scene = Scene(self.sizes, view.uniform(0.5, 0.7), view.uniform(0.62, 0.8))
        self.targets = joint_targets(move, self.raw_frames)
        self.scene.settle(self.targets[0])
        first = self.scene.joints
        self.cloths: list[Cloth] = draw_cloths(cover, self.raw_frames, first)
        self.carer: Carer = draw_carer(cover, self.raw_frames, first)
        # The middle of the trunk is in the middle of the image, give or take the width of an arm.
        middle = (0, -0.5 * self.sizes.trunk)
        look_at = np.array([*view.normal(middle, (0.045, 0.025)), 0.0])
        self.camera: Camera = draw_camera(view, size, self.sizes.crown_heel, look_at)
        self.rays = self.camera.rays()
        self._still = self._cast_still(draw_mattress(view))

    def frames(self):
        """Yields a `Frame` per annotated frame, in time order."""
        for raw in range(self.raw_frames):
            self.scene.step(self.targets[raw])
            if raw % KEEP == 0:
                depth, hit = self._render(raw)
                joints = self.camera.to_camera(self.scene.joints)
                extra = self.camera.to_camera(self.scene.head_and_neck)
                yield Frame(raw + 1, depth, hit, joints, extra)

    def causes(self, frame: Frame) -> np.ndarray:
        """What hides each joint of the frame, "" if nothing: str [12]."""
        radii = np.array([self.sizes.radius(joint) for joint in JOINTS])
        names = {MATTRESS: "mattress", CLOTH: "cloth"}
        names |= {g: self.scene.name(g) for g in range(self.scene.model.ngeom)}
        opaque = {CLOTH, *self.scene.geoms(scene.CARER)}
        px = self.camera.project(frame.joints)
        return np.array(
            annotation.hidden_by(frame.joints, px, radii, frame.depth, frame.hit, names, opaque),
            dtype="U16",
        )

    def sense(self, frame: Frame) -> np.ndarray:
        """What the sensor returns for the frame: uint16 mm [h w]."""
        return sense(self.sensor_rng, frame.depth, self.camera.focal)

    def _cast(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        model, data = self.scene.model, self.scene.data
        return cast(model, data, self.camera, self.rays, self.scene.geoms(group), group)

    def _cast_still(self, mattress) -> tuple[np.ndarray, np.ndarray]:
        depth = mattress.depth(self.camera, self.rays)
        return _nearer((depth, np.full(depth.shape, MATTRESS, np.int32)), self._cast(scene.STILL))

    def _render(self, raw: int) -> tuple[np.ndarray, np.ndarray]:
        """What never moves was cast once; the infant, then cloths, then the carer lie over it."""
        seen = _nearer(self._still, self._cast(scene.INFANT))
        for cloth in self.cloths:
            if cloth.present[raw]:
                draped = cloth.drape(seen[0], self.camera)
                seen = _nearer(seen, (draped, np.full(draped.shape, CLOTH, np.int32)))
        if self.carer.present[raw]:
            self.scene.place_carer(self.carer.position[raw], self.carer.heading[raw])
            mujoco.mj_kinematics(self.scene.model, self.scene.data)
            seen = _nearer(seen, self._cast(scene.CARER))
        return seen


def _nearer(a, b):
    """The nearer one of two (depth, hit), pixel by pixel."""
    nearer = b[0] < a[0]
    return np.where(nearer, b[0], a[0]), np.where(nearer, b[1], a[1])


def sheet_path(out: Path, infant: int) -> Path:
    return out / f"result_pz{infant}.csv"


def write_recording(
    out: Path,
    infant: int,
    *,
    seed: int,
    size: tuple[int, int],
    frames: int,
    tick: Callable[[], None],
) -> None:
    """Writes infant `infant` of `seed` below `out`; `tick` is called after every frame.

    Frames go to `pz<ID>.partial/`, which is renamed once whole; then comes the sheet.
    """
    folder, partial = out / f"pz{infant}", out / f"pz{infant}.partial"
    for leftover in (folder, partial):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    recording = Recording(seed, infant, size, frames)
    rows = [";".join(annotation.HEADER)]
    joints_mm, joints_px, hidden = [], [], []
    for frame in recording.frames():
        _write_png(partial / f"{frame.number}_16bit.png", recording.sense(frame))
        px, causes = recording.camera.project(frame.joints), recording.causes(frame)
        clicked = annotation.click(recording.click_rng, px, causes == "", size)
        extra = np.rint(recording.camera.project(frame.extra)).astype(int)
        inside = ((extra >= 0) & (extra < size)).all(-1, keepdims=True)
        rows.append(
            annotation.sheet_row(f"{frame.number}_8bit.png", clicked, *np.where(inside, extra, -1))
        )
        joints_mm.append(1000 * frame.joints)
        joints_px.append(px)
        hidden.append(causes)
        tick()
    hidden = np.stack(hidden)
    np.savez(
        partial / "truth.npz",
        joints_mm=np.stack(joints_mm),
        joints_px=np.stack(joints_px),
        visible=hidden == "",
        hidden_by=hidden,
    )
    (partial / "camera.json").write_text(json.dumps(recording.camera.intrinsics(), indent=1) + "\n")
    partial.rename(folder)
    beside = sheet_path(out, infant).with_suffix(".csv.partial")
    beside.write_text("\n".join(rows) + "\n")
    beside.rename(sheet_path(out, infant))


def _write_png(path: Path, image: np.ndarray) -> None:
    # cv2.imwrite says nothing about a full disk; write_bytes does.
    ok, data = cv2.imencode(".png", image, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    assert ok, f"could not encode {path}"
    path.write_bytes(data.tobytes())
