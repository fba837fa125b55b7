"""(seed, infant, size, frames) -> one simulated recording, frame by frame, in memory."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from data_pipeline.simulated import annotation, scene
from data_pipeline.simulated.annotation import draw_clicks
from data_pipeline.simulated.body import Sizes, draw_sizes
from data_pipeline.simulated.camera import Camera, cast, draw_camera, glance, underside
from data_pipeline.simulated.carer import Carer, draw_carer
from data_pipeline.simulated.cloths import Cloth, draw_cloths
from data_pipeline.simulated.mattress import Bed, draw_mattress
from data_pipeline.simulated.movement import breathing, joint_targets
from data_pipeline.simulated.parameters import DEFAULT, Parameters
from data_pipeline.simulated.quota import draw_quota
from data_pipeline.simulated.scene import Scene, draw_crib
from data_pipeline.simulated.sensor import sense
from data_pipeline.simulated.tubes import Tube, draw_tubes
from jaxpose.body.skeleton import JOINTS

KEEP = 5
"""One raw frame in five is annotated, as in babyPose."""

MATTRESS, CLOTH, HOSE, FLOOR = -1, -2, -3, -4
"""Codes of what a ray hit that is no geom; geoms have their ids."""

FLOOR_M = -0.3
"""Height of the floor beyond the crib's walls, metres."""


@dataclasses.dataclass
class Frame:
    """One annotated frame without noise.

    Attributes:
      points: [14 3] m in the camera's frame: the joints, head and neck.
      causes: str [14], what hides each point, "" for a visible one.
      surface: [14] m, z of what the camera sees at each point's pixel; below a cloth or a hose,
        which hide the point at any distance, z of what is under them.
      depth, hit: [h w] z in metres and codes of what was hit; None for a frame without an image.
    """

    number: int
    points: np.ndarray
    causes: np.ndarray
    surface: np.ndarray
    depth: np.ndarray | None
    hit: np.ndarray | None

    @property
    def joints(self) -> np.ndarray:
        return self.points[: len(JOINTS)]


class Recording:
    """One simulated infant under one camera; `frames()` can be iterated once.

    Each part draws from its own random stream, so that a change in one does not change the others.
    """

    def __init__(
        self,
        seed: int,
        infant: int,
        size: tuple[int, int],
        frames: int,
        parameters: Parameters = DEFAULT,
    ):
        """Infants count from 1; `frames` counts annotated frames; `size` is (width, height), px."""
        streams = map(np.random.default_rng, np.random.SeedSequence((seed, infant)).spawn(9))
        body, move, view, cover, self.sensor_rng, self.click_rng, lines, carer, ward = streams
        self.size, self.parameters = size, parameters
        self.raw_frames = KEEP * (frames - 1) + 1
        self.sizes: Sizes = draw_sizes(body, parameters.body)
        # Radii of what surrounds each point; the neck lies under the chin, where it is clicked.
        self.radii = np.array([self.sizes.radius(name) for name in (*JOINTS, "head", "head")])
        self.crib = draw_crib(ward, self.sizes)
        self.scene = Scene(self.sizes, self.crib)
        quota = draw_quota(seed, infant)
        self.targets = joint_targets(
            move, parameters.movement, self.raw_frames, quota.busy, quota.vigour
        )
        self.breath = breathing(move, parameters.movement, self.raw_frames)
        self.scene.settle(self.targets[0])
        joints = self.scene.joints
        self.cloths: list[Cloth] = draw_cloths(
            cover, parameters.bedding, self.raw_frames, joints, quota
        )
        self.tubes: list[Tube] = draw_tubes(lines, parameters.lines, self.scene.points)
        self.carer: Carer = draw_carer(carer, parameters.carer, self.raw_frames, joints)
        middle = (0.0, -0.5 * self.sizes.trunk)
        self.camera: Camera = draw_camera(
            view, parameters.view, size, self.sizes.crown_heel, middle
        )
        self.rays = self.camera.rays()
        crib = self.crib
        self.bed = Bed(
            draw_mattress(ward), self.camera, self.rays, crib.width, crib.length, crib.middle
        )
        self._still = self._cast_still()
        self._click_px = draw_clicks(self.click_rng, parameters.annotator)
        self.names, self._opaque, self._poor = self._materials(ward)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yields the annotated frames in time order.

        The first frame and every `every`-th after it have an image, none for 0. Everything else
        does not depend on `every`.
        """
        for raw in range(self.raw_frames):
            self.scene.step(self.targets[raw], self.breath[raw])
            if raw % KEEP:
                continue
            points = self.camera.to_camera(self.scene.points)
            u, v = np.rint(self.camera.project(points)).astype(int).T
            inside = (u >= 0) & (u < self.size[0]) & (v >= 0) & (v < self.size[1])
            at = np.where(inside, v, 0), np.where(inside, u, 0)
            arms = self._place_arms(raw)
            seen = self._glance(raw, at, arms)
            causes = annotation.hidden_by(
                points, inside, self.radii, *seen, self.names, self._opaque
            )
            image = every and raw // KEEP % every == 0
            depth, hit = self._render(raw, arms) if image else (None, None)
            yield Frame(raw + 1, points, causes, seen[0], depth, hit)

    def sense(self, frame: Frame) -> np.ndarray:
        """Returns the sensor's image of the frame: uint16 mm [h w]."""
        poor = self._poor[frame.hit]
        sensor = self.parameters.sensor
        return sense(self.sensor_rng, frame.depth, self.camera.focal, sensor, poor)

    def click(self, frame: Frame) -> np.ndarray:
        """Returns the annotator's clicks on joints, head and neck: integers (x, y) [14 2].

        A hidden point is (-1, -1).
        """
        px = self.camera.project(frame.points)
        return annotation.click(self.click_rng, self._click_px, px, frame.causes == "", self.size)

    def _materials(self, rng: np.random.Generator):
        """Returns names of what a ray can hit, what hides at any distance, and what reflects badly.

        The last is an array with an entry per code, negative codes at its end. Hoses reflect badly,
        often also hair and clear walls.
        """
        s = self.scene
        names = {MATTRESS: "mattress", CLOTH: "cloth", HOSE: "hose", FLOOR: "floor"}
        names |= {g: s.name(g) for g in range(s.model.ngeom)}
        opaque = {CLOTH, HOSE, *s.geoms(scene.CARER)}
        hair, clear = rng.uniform(size=2) < (0.4, 0.5)
        poor = np.zeros(s.model.ngeom + 4, bool)
        poor[HOSE] = True
        poor[s.model.geom("skull").id] = hair
        for g, name in names.items():
            poor[g] |= clear and name == "wall"
        return names, opaque, poor

    def _cast_still(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns depth and codes of what never moves: the sheet, the floor, walls and nest."""
        floor = (FLOOR_M - self.camera.position[2]) / self.rays[..., 2]
        depth = np.where(
            self.bed.beyond, floor * (self.rays @ self.camera.rotation[2]), self.bed.depth
        )
        hit = np.where(self.bed.beyond, np.int32(FLOOR), np.int32(MATTRESS))
        return _nearer((depth, hit), self._cast(scene.STILL, self.scene.geoms(scene.STILL)))

    def _cast(self, group: int, geoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        model, data = self.scene.model, self.scene.data
        return cast(model, data, self.camera, self.rays, geoms, group)

    def _render(self, raw: int, arms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Renders depth and codes [h w]: infant, then cloths, tubes and the carer over it."""
        model, data, points = self.scene.model, self.scene.data, self.scene.points
        depth, hit = _lying_on(
            self._still, self._cast(scene.INFANT, self.scene.geoms(scene.INFANT))
        )
        sheet = self.bed.dented(lambda at: underside(model, data, at, scene.INFANT))
        depth = np.where(hit == MATTRESS, sheet, depth)
        for cloth in self._cloths(raw):
            mask = cloth.mask(raw, points[: len(JOINTS)], self.camera)
            cloth.drape(depth, mask, self.camera)
            hit[mask > 0] = CLOTH
        for tube in self.tubes:
            mask = tube.mask(points, self.camera)
            tube.lay(depth, mask, self.camera)
            if tube.hose:
                hit[mask > 0] = HOSE
        if len(arms):
            over, arm = self._cast(scene.CARER, arms)
            return _nearer((depth, hit), (over, arm))
        return depth, hit

    def _glance(self, raw: int, at, arms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns depth and codes at the pixels `at` (rows, columns) of the 14 points.

        They differ from those of `_render` in three ways: depth is that below cloths and hoses, a
        cable is its whole diameter nearer, and the sheet has no dents. A hose does not hide the
        point that it is fastened to.
        """
        model, data, points = self.scene.model, self.scene.data, self.scene.points
        rays = np.ascontiguousarray(self.rays[at])
        depth, hit = _lying_on(
            (self._still[0][at], self._still[1][at]),
            glance(model, data, self.camera, rays, scene.INFANT),
        )
        for cloth in self._cloths(raw):
            hit[cloth.mask(raw, points[: len(JOINTS)], self.camera)[at] > 0] = CLOTH
        for tube in self.tubes:
            here = tube.mask(points, self.camera)[at] > 0
            if tube.hose:
                here[tube.starts] = False
                hit[here] = HOSE
            else:
                depth[here] -= tube.diameter
        if len(arms):
            depth, hit = _nearer((depth, hit), glance(model, data, self.camera, rays, scene.CARER))
        return depth, hit

    def _cloths(self, raw: int) -> list[Cloth]:
        return [cloth for cloth in self.cloths if cloth.present[raw]]

    def _place_arms(self, raw: int) -> np.ndarray:
        """Moves the carer's arms to their places and returns the geoms of the arms present."""
        geoms = []
        for arm in range(scene.ARMS):
            existing = self.carer.present[raw, arm]
            where = self.carer.position[raw, arm] if existing else scene.AWAY
            self.scene.place_carer(arm, where, self.carer.heading[raw, arm])
            if existing:
                self.scene.lift_carer(arm)
                geoms += list(self.scene.arm_geoms(arm))
        return np.array(geoms, int)


def _lying_on(still, body):
    """Returns the nearer of two (depth, hit), except that the body always wins over the sheet."""
    before = np.isfinite(body[0]) & (still[1] == MATTRESS)
    return _nearer((np.where(before, np.inf, still[0]), still[1]), body)


def _nearer(a, b):
    """Returns the nearer of two (depth, hit), pixel by pixel."""
    nearer = b[0] < a[0]
    return np.where(nearer, b[0], a[0]), np.where(nearer, b[1], a[1])
