"""Simulated recordings: exact truth, honest visibility, the same bytes for the same seed."""

import dataclasses
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import typing
import warnings
from pathlib import Path
from statistics import NormalDist

import cv2
import mujoco
import numpy as np
import pytest

from data_pipeline import simulate as command
from data_pipeline.check import check
from data_pipeline.errors import DataError
from data_pipeline.simulate import simulate
from data_pipeline.simulated import annotation, camera, curves, mattress, movement, scene, sensor
from data_pipeline.simulated.body import LIMB_DOFS, MOTORS, draw_sizes
from data_pipeline.simulated.cloths import Cloth
from data_pipeline.simulated.mattress import draw_mattress
from data_pipeline.simulated.parameters import DEFAULT, Parameters, read_parameters
from data_pipeline.simulated.quota import draw_quota
from data_pipeline.simulated.ranges import Bounds
from data_pipeline.simulated.recording import MATTRESS, Recording
from data_pipeline.simulated.scene import Scene
from data_pipeline.simulated.tubes import Tube
from jaxpose.body.skeleton import JOINTS

SIZE = (160, 120)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("recordings") / "sim"
    simulate(out, infants=3, frames=12, seed=3, size=SIZE, processes=1)
    return out


def read_sheet(out: Path, infant: int) -> tuple[list[str], np.ndarray]:
    """Image names and clicked joints [n 12 2] in the project's order."""
    header, *rows = (out / f"result_pz{infant}.csv").read_text().splitlines()
    columns = header.split(";")
    expected = [j.replace("wrist", "hand").replace("ankle", "foot") for j in JOINTS]
    cells = [row.split(";") for row in rows]
    xy = [[[int(v) for v in c[columns.index(w)].split(",")] for w in expected] for c in cells]
    return [c[0] for c in cells], np.array(xy)


def test_the_same_seed_gives_the_same_bytes_on_one_process_and_on_two(recordings, tmp_path):
    simulate(tmp_path / "two", infants=3, frames=12, seed=3, size=SIZE, processes=2)
    assert hashes(tmp_path / "two") == hashes(recordings)


def test_the_readme_names_the_command_and_the_versions_that_made_the_folder(recordings, tmp_path):
    outputs = (recordings / "README.md").read_text()
    assert "--infants=3 --frames=12 --seed=3 \\\n        --size=160,120 --out=...\n" in outputs
    numpy, opencv = np.__version__, cv2.__version__
    assert f"mujoco {mujoco.__version__}, numpy {numpy}, opencv-python {opencv}." in outputs
    changed = dataclasses.replace(DEFAULT, sensor=sensor.Sensor(noise_px=0.1))
    out = tmp_path / "changed"
    settings = dict(infants=1, frames=3, seed=3, size=(160, 120), processes=1, images=False)
    simulate(out, parameters=changed, **settings)
    outputs = (out / "README.md").read_text()
    assert "--size=160,120 --sheets_only --parameters=FILE.json --out=...\n" in outputs
    assert "What FILE.json changed is in `simulation.json`." in outputs


def test_an_infant_does_not_depend_on_how_many_are_asked_for(recordings, tmp_path):
    simulate(tmp_path / "one", infants=1, frames=12, seed=3, size=SIZE, processes=1)
    alone = {k: v for k, v in hashes(tmp_path / "one").items() if "pz1" in k}
    assert len(alone) == 12 + 4
    assert alone == {k: v for k, v in hashes(recordings).items() if "pz1" in k}


def test_infants_and_seeds_differ(recordings, tmp_path):
    simulate(tmp_path / "other", infants=1, frames=12, seed=4, size=SIZE, processes=1)
    first = [recordings / "pz1", recordings / "pz2", tmp_path / "other" / "pz1"]
    assert len({hashes(folder)["1_16bit.png"] for folder in first}) == 3


def test_check_finds_its_frames_and_no_problem(recordings):
    report = check(recordings)
    assert report.problems == []
    assert {k: infant.frames for k, infant in report.infants.items()} == {k: 12 for k in "123"}


def test_the_layout_is_babyposes(recordings):
    names = {p.name for p in recordings.iterdir()}
    assert names == {"README.md", "simulation.json", "frames.png"} | {
        f for k in (1, 2, 3) for f in (f"pz{k}", f"result_pz{k}.csv")
    }
    numbers = range(1, 60, 5)
    assert {p.name for p in (recordings / "pz2").iterdir()} == {
        "camera.json", "truth.npz", "scene.xml", *(f"{n}_16bit.png" for n in numbers)
    }  # fmt: skip
    images, xy = read_sheet(recordings, 2)
    assert images == [f"{n}_8bit.png" for n in numbers]
    assert xy.shape == (12, 12, 2)
    assert "simulated" in (recordings / "README.md").read_text().lower()


@pytest.mark.parametrize("infant", [1, 2, 3])
def test_frames_are_16_bit_millimetres_of_a_mattress_0_6_to_0_9_m_away(recordings, infant):
    image = cv2.imread(str(recordings / f"pz{infant}" / "6_16bit.png"), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16 and image.shape == (120, 160)
    # Tilted by up to 12 degrees, an image 0.76 m high spans 0.08 m of depth to either side.
    assert 500 < np.median(image[image > 0]) < 1000
    # At least the specks. At most clear walls, hoses and hair on 22 % of the image (infant 1), of
    # which the sensor loses 60 %, and the rims and shadows of the rest, 9 % (infant 2).
    lost = sensor.DEFAULT.lost_on_poor_material * 0.22 + 0.09
    assert sensor.DEFAULT.specks < (image == 0).mean() < lost


@pytest.mark.parametrize("infant", [1, 2, 3])
def test_the_scene_opens_in_mujoco_with_the_infant_settled_as_in_the_first_frame(
    recordings, infant
):
    model = mujoco.MjModel.from_xml_path(str(recordings / f"pz{infant}" / "scene.xml"))
    data = mujoco.MjData(model)
    settled = model.key("settled")
    mujoco.mj_resetDataKeyframe(model, data, settled.id)
    mujoco.mj_kinematics(model, data)
    # Distances between joints do not depend on where the camera hangs.
    world = np.array([data.body(joint).xpos for joint in JOINTS])
    first = np.load(recordings / f"pz{infant}" / "truth.npz")["joints_mm"][0]
    apart = [np.linalg.norm(p[:, None] - p, axis=-1) for p in (1000 * world, first)]
    np.testing.assert_allclose(*apart, rtol=0, atol=3)  # a thirtieth of a second of movement
    assert [model.actuator(k).name for k in range(model.nu)] == list(MOTORS)
    # The motors hold that posture, and the carer's arms wait below.
    mujoco.mj_step(model, data, nstep=scene.SUBSTEPS)
    moved = np.array([data.body(joint).xpos for joint in JOINTS]) - world
    assert np.linalg.norm(moved, axis=-1).max() < 0.003
    for arm in range(scene.ARMS):
        np.testing.assert_allclose(data.body(f"carer_{arm}").xpos, scene.AWAY)


@pytest.mark.parametrize("infant", [1, 2, 3])
def test_truth_in_pixels_is_truth_in_millimetres_through_the_camera(recordings, infant):
    c = json.loads((recordings / f"pz{infant}" / "camera.json").read_text())
    assert (c["width"], c["height"], c["cx"], c["cy"]) == (160, 120, 79.5, 59.5)
    truth = np.load(recordings / f"pz{infant}" / "truth.npz", allow_pickle=False)
    x, y, z = np.moveaxis(truth["joints_mm"], -1, 0)
    px = np.stack([c["fx"] * x / z + c["cx"], c["fy"] * y / z + c["cy"]], axis=-1)
    np.testing.assert_allclose(truth["joints_px"], px, atol=1e-9)
    assert truth["visible"].shape == (12, 12)
    np.testing.assert_array_equal(truth["visible"], truth["hidden_by"] == "")


@pytest.mark.parametrize("infant", [1, 2, 3])
def test_cells_are_clicked_within_three_deviations_or_missing(recordings, infant):
    _, xy = read_sheet(recordings, infant)
    truth = np.load(recordings / f"pz{infant}" / "truth.npz")
    missing = (xy == -1).all(-1)
    np.testing.assert_array_equal(missing, ~truth["visible"])
    error = np.linalg.norm(xy - truth["joints_px"], axis=-1)[~missing]
    # Three deviations of at most 3.1 * 1.15 px of 640, a quarter here; rounding adds sqrt(1/2).
    assert error.max() <= 3 * 3.1 * 1.15 / 4 + np.sqrt(0.5)
    assert 0.3 < np.median(error) < 1.2


def test_clicks_scale_with_the_image_and_never_leave_it():
    rng = np.random.default_rng(0)
    px = np.full((5000, 2), (639.4, 0.0))
    spread = np.full(5000, 2.0)
    clicked = annotation.click(rng, spread, px, np.ones(5000, bool), (640, 480))
    assert clicked.min() >= 0 and clicked[:, 0].max() == 639
    middle = np.full((5000, 2), 200.0)
    error = annotation.click(rng, spread, middle, np.ones(5000, bool), (640, 480)) - middle
    # The median length of two normal axes is 1.18 deviations.
    assert np.median(np.linalg.norm(error, axis=-1)) == pytest.approx(2.36, abs=0.15)
    assert np.linalg.norm(error, axis=-1).max() <= 6 + np.sqrt(0.5)


@pytest.fixture(scope="module")
def played():
    """[(recording, [(frame, causes of the joints)])] of six infants, half a minute together."""
    out = []
    for infant in range(1, 7):
        recording = Recording(11, infant, (320, 240), 30)
        out.append((recording, [(f, f.causes[: len(JOINTS)]) for f in recording.frames()]))
    return out


def test_a_visible_joint_lies_within_its_limb_behind_the_surface_never_in_front(played):
    for recording, frames in played:
        radii_mm = [1000 * recording.sizes.radius(joint) for joint in JOINTS]
        model = recording.scene.model
        for frame, causes in frames:
            px = np.rint(recording.camera.project(frame.joints)).astype(int)
            for j in np.flatnonzero(causes == ""):
                u, v = px[j]
                behind_mm = 1000 * (frame.joints[j, 2] - frame.depth[v, u])
                body, hit = model.body(JOINTS[j]), frame.hit[v, u]
                own = hit >= 0 and model.geom_bodyid[hit] in (body.id, body.parentid[0])
                assert -5 <= behind_mm <= (3 if own else 1) * radii_mm[j] + 15


def test_a_hidden_joint_names_something_between_it_and_the_camera(played):
    seen = set()
    for recording, frames in played:
        for frame, causes in frames:
            px = recording.camera.project(frame.joints)
            for j in np.flatnonzero(causes != ""):
                seen.add(str(causes[j]))
                u, v = np.rint(px[j]).astype(int)
                if causes[j] == "outside":
                    assert not (0 <= u < 320 and 0 <= v < 240)
                else:
                    assert frame.depth[v, u] < frame.joints[j, 2]
                    assert frame.hit[v, u] != MATTRESS
    assert len(seen) >= 3


def test_a_limb_hides_the_joint_at_its_end_only_when_it_is_nearly_upright():
    """A radius of 2 cm: 3.5 cm below anything else, 7.5 cm below the limb itself."""
    names = {0: "right_hip", 1: "pelvis", 2: "left_hip"}
    hip, at_m = JOINTS.index("right_hip"), 0.7
    joints = np.tile((0.0, 0.0, at_m), (len(JOINTS), 1))
    expected = {(0, 0.074): "", (0, 0.076): "right_hip", (1, 0.074): "", (1, 0.076): "pelvis",
                (2, 0.034): "", (2, 0.036): "left_hip"}  # fmt: skip
    for (geom, above_m), cause in expected.items():
        causes = annotation.hidden_by(
            joints,
            inside=np.ones(len(JOINTS), bool),
            radii=np.full(len(JOINTS), 0.02),
            depth=np.full(len(JOINTS), at_m - above_m),
            hit=np.full(len(JOINTS), geom),
            names=names,
            opaque=set(),
        )
        assert causes[hip] == cause, (geom, above_m)


def test_missing_joints_are_some_but_not_many(played):
    missing = np.mean([causes != "" for _, frames in played for _, causes in frames])
    assert 0.02 < missing < 0.35


def test_limbs_lie_on_the_mattress_and_not_in_it(played):
    """Joint centres, in the world, are a limb's radius above z = 0, give or take 5 mm."""
    for recording, frames in played:
        c = recording.camera
        radii = np.array([recording.sizes.radius(joint) for joint in JOINTS])
        for frame, _ in frames:
            world = frame.joints @ c.rotation + c.position
            assert (world[:, 2] > radii - 0.005).mean() > 0.99
            assert world[:, 2].min() > 0.5 * radii.min()


def test_the_infant_lies_head_down_with_its_right_at_larger_x(played):
    px = np.array([r.camera.project(f.joints) for r, frames in played for f, _ in frames])
    joint = {name: px[:, k] for k, name in enumerate(JOINTS)}
    for kind in ("shoulder", "hip"):
        assert (joint[f"right_{kind}"][:, 0] > joint[f"left_{kind}"][:, 0]).all()
    assert (joint["right_shoulder"][:, 1] > joint["right_hip"][:, 1]).all()
    assert np.median(joint["right_wrist"][:, 0] - joint["left_wrist"][:, 0]) > 0


def test_segments_have_the_lengths_of_the_babypose_sheets(played):
    """Medians at 128x96 (px / 2.5): upper arm 10, forearm 10, thigh 9, shank 11, within 25 %."""
    px = np.array([r.camera.project(f.joints) for r, frames in played for f, _ in frames]) / 2.5
    for (a, b), expected in {(0, 1): 10, (1, 2): 10, (6, 7): 9, (7, 8): 11}.items():
        lengths = [np.linalg.norm(px[:, a + s] - px[:, b + s], axis=-1) for s in (0, 3)]
        assert np.median(lengths) == pytest.approx(expected, rel=0.25)


def test_poses_differ_more_between_infants_than_within_one(played):
    px = np.array([[r.camera.project(f.joints) for f, _ in frames] for r, frames in played]) / 2.5
    within = px.std(axis=1).mean()
    between = px.mean(axis=1).std(axis=0).mean()
    assert between > 2 * within > 0.5


def test_rays_pass_through_the_pixels_that_points_project_to():
    view = camera.draw_camera(np.random.default_rng(2), DEFAULT.view, (64, 48), 0.42, (0, 0))
    points = view.position + 0.7 * view.rays()
    u, v = np.meshgrid(np.arange(64), np.arange(48))
    px = view.project(view.to_camera(points))
    np.testing.assert_allclose(px, np.stack([u, v], axis=-1), atol=1e-6)
    assert np.linalg.det(view.rotation) == pytest.approx(1)


def test_cast_depth_is_z_of_a_sphere_and_not_the_length_of_the_ray():
    """A sphere of 0.1 m, 1 m below and 0.3 m beside a camera that looks straight down."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom name='ball' size='0.1' pos='0.3 0 0'/></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    position = np.array([0, 0, 1.0])
    view = camera.Camera(101, 75, 100.0, position, np.diag([1.0, -1.0, -1.0]))
    rays = view.rays()
    depth, hit = camera.cast(model, data, view, rays, np.array([0]), 0)
    inside = hit == 0
    assert not np.isfinite(depth[~inside]).any()
    depth[~inside] = 0
    points = position + rays * (depth / (rays @ view.rotation[2]))[..., None]
    np.testing.assert_allclose(
        np.linalg.norm(points[inside] - (0.3, 0, 0), axis=-1), 0.1, atol=1e-6
    )
    # Its silhouette is centred between the two tangents, at tan(atan(0.3) -+ asin(0.1/|d|)).
    a, b = np.arctan(0.3), np.arcsin(0.1 / np.hypot(0.3, 1))
    columns = np.flatnonzero(inside.any(0))
    assert columns[0] == np.ceil(50 + 100 * np.tan(a - b))
    assert columns[-1] == np.floor(50 + 100 * np.tan(a + b))


def test_the_mattress_is_met_where_its_own_height_says():
    rng = np.random.default_rng(5)
    sheet, view = (
        draw_mattress(rng),
        camera.draw_camera(rng, DEFAULT.view, (160, 120), 0.42, (0, 0)),
    )
    rays = view.rays()
    distance = sheet.depth(view, rays) / (rays @ view.rotation[2])
    x, y, z = np.moveaxis(view.position + rays * distance[..., None], -1, 0)
    # A step leaves at most the sheet's slope along a ray, 0.32 here, of the error of the one
    # before, and four steps start at `SINK`.
    np.testing.assert_allclose(z, sheet.height(x, y), rtol=0, atol=0.32**4 * np.ptp(z))
    assert 0 <= z.min() < z.max() <= 0.017  # 6 mm, six waves of 1 mm, creases of 5
    assert z.mean() == pytest.approx(mattress.SINK, abs=0.001)


def test_a_ball_on_a_soft_mattress_lies_in_a_dent_as_deep_as_it_sinks():
    """A ball of 3 cm that touches z = 0 in the middle of a flat sheet 6 mm higher."""
    grid = mattress.CELL * np.arange(-25, 26)
    x, y = np.meshgrid(grid, grid)
    away = np.hypot(x, y)
    ball = np.where(away < 0.03, 0.03 - np.sqrt(np.maximum(0.03**2 - away**2, 0)), np.inf)
    dent = mattress.dents(np.full_like(x, 0.006), ball)
    assert dent.max() == pytest.approx(0.006, abs=1e-6)
    assert (0.006 - dent <= ball + 1e-6).all()
    # The ball is 6 mm up 18 mm from its middle; a rim can reach 6 mm / 0.4 = 15 mm further, and the
    # rounding 5 cells of 4 mm.
    assert dent.min() == 0 and away[dent > 1e-5].max() < 0.018 + 0.015 + 0.020
    slope = np.hypot(*np.gradient(dent, mattress.CELL))
    assert slope[away > 0.018].max() < 1.4 * mattress.RIM  # along the diagonal of a square grid


def test_bodies_lie_in_the_sheet_and_never_under_it():
    """What a ray from below meets of the infant is above the sheet that the camera sees there."""
    recording = Recording(11, 1, (320, 240), 3)
    model, data, view = recording.scene.model, recording.scene.data, recording.camera
    for frame in recording.frames():
        seen = frame.hit == MATTRESS
        depth = frame.depth[seen] / (recording.rays[seen] @ view.rotation[2])
        points = view.position + recording.rays[seen] * depth[:, None]
        lowest = camera.underside(model, data, points * (1, 1, 0), scene.INFANT)
        over = np.isfinite(lowest)
        assert over.sum() > 200  # beside rounded limbs the camera sees under them
        # The grid of 4 mm is read between its points: a limb of 1 cm bends by 0.2 mm there.
        assert (points[over, 2] < lowest[over] + 0.001).mean() > 0.995


def test_the_underside_of_a_ball_and_of_a_capsule_is_met_from_below():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom type='sphere' size='0.03' pos='0.2 0 0.05'/>"
        "<geom type='capsule' fromto='-0.2 -0.3 0.02 -0.2 0.3 0.02' size='0.01'/>"
        "</worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    x, y = np.meshgrid(np.linspace(-0.3, 0.3, 61), np.linspace(-0.4, 0.4, 41))
    actual = camera.underside(model, data, np.stack([x, y, 0 * x], axis=-1), 0)
    ball, tube = np.hypot(x - 0.2, y), np.hypot(x + 0.2, np.maximum(np.abs(y) - 0.3, 0))
    for away, radius, z in ((ball, 0.03, 0.05), (tube, 0.01, 0.02)):
        inner = away < 0.8 * radius  # the rays lean by up to 0.4 / 50
        expected = z - np.sqrt(radius**2 - away[inner] ** 2)
        np.testing.assert_allclose(actual[inner], expected, atol=0.001)
    assert np.isinf(actual[(ball > 0.031) & (tube > 0.011)]).all()


def test_a_head_is_clicked_and_hidden_like_a_joint(recordings):
    for infant in (1, 2, 3):
        header, *rows = (recordings / f"result_pz{infant}.csv").read_text().splitlines()
        columns = [header.split(";").index(name) for name in ("head", "neck")]
        cells = [[row.split(";")[c].split(",") for c in columns] for row in rows]
        clicked = np.array(cells, int)
        truth = np.load(recordings / f"pz{infant}" / "truth.npz")
        visible = truth["head_neck_visible"]
        np.testing.assert_array_equal((clicked == -1).all(-1), ~visible)
        np.testing.assert_array_equal(visible, truth["head_neck_hidden_by"] == "")
        error = np.linalg.norm(clicked - truth["head_neck_px"], axis=-1)[visible]
        assert 0.2 < np.median(error) < 1.2
        assert error.max() <= 3 * 3.1 / 4 + np.sqrt(0.5)


def test_a_hose_hides_a_joint_and_a_cable_does_not():
    """Both laid straight over a shoulder of the same recording."""
    actual = {}
    for hose, metres in ((True, 0.02), (False, 0.005)):
        recording = Recording(11, 1, (320, 240), 3)
        shoulder = recording.scene.points[0][:2]
        # A curve from 5 cm beside the shoulder to as far on its other side.
        tube = Tube(3, np.zeros(3), shoulder, shoulder + (0.05, 0), metres, hose)
        tube = dataclasses.replace(
            tube, bend=2 * shoulder - 0.5 * recording.scene.points[3][:2] - 0.5 * tube.end
        )
        recording.cloths, recording.tubes = [], [tube]
        actual[hose] = [frame.causes[0] for frame in recording.frames()]
    assert actual == {True: ["hose"] * 3, False: [""] * 3}


def test_a_cloth_lies_above_whatever_is_under_it():
    rng = np.random.default_rng(1)
    view = camera.draw_camera(rng, DEFAULT.view, (160, 120), 0.42, (0, 0))
    corners = np.array([(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)])
    wrinkles = rng.normal(0, 0.003, (12, 16))
    always, still = np.ones(1, bool), np.zeros((1, 2))
    cloth = Cloth(corners, np.zeros(2), None, always, still, wrinkles)
    below = rng.uniform(0.6, 0.75, (120, 160))
    covered = cloth.mask(0, np.zeros((12, 3)), view) > 0
    draped = below.copy()
    cloth.drape(draped, covered.astype(np.uint8), view)
    np.testing.assert_array_equal(draped[~covered], below[~covered])
    # 0.2 m at about 0.7 m and a focal length of 142 px are 40 px; seen at a tilt, somewhat less.
    assert 0.5 * 40**2 < covered.sum() < 1.6 * 40**2
    assert (draped[covered] < below[covered] - 0.003).all()


def test_what_a_flat_sheet_is_off_by_on_the_average_is_the_beat_of_two_roundings():
    """Depth steps of 1.12 mm (1/16 px of disparity at 0.75 m), then rounded to whole mm.

    At one distance the two grids leave up to half a mm, of either sign; over all of them nothing.
    """
    step, spread = sensor.DEFAULT.quantum_px, NormalDist(0, sensor.DEFAULT.noise_px)
    off = []
    for metres in np.linspace(0.7, 0.8, 9):
        seen = sensor.sense(np.random.default_rng(0), np.full((120, 160), metres), 142.5)
        exact = 570 * sensor.DEFAULT.baseline_m / metres  # px of 640x480
        steps = np.arange(np.floor((exact - 0.6) / step), np.ceil((exact + 0.6) / step))
        edges = [spread.cdf((k + s) * step - exact) for s in (-0.5, 0.5) for k in steps]
        share = np.subtract(*np.split(np.array(edges), 2)[::-1])
        mm = np.rint(1000 * metres * exact / (steps * step))
        assert seen[seen > 0].mean() == pytest.approx((share * mm).sum(), abs=0.08)
        off.append((share * mm).sum() - 1000 * metres)
    assert -0.5 < min(off) < 0 < max(off) < 0.5
    distances = np.linspace(0.6, 0.9, 60)
    tiles = [
        sensor.sense(np.random.default_rng(k), np.full((48, 64), z), 57.0)
        for k, z in enumerate(distances)
    ]
    bias = [t[t > 0].mean() - 1000 * z for t, z in zip(tiles, distances, strict=True)]
    assert np.mean(bias) == pytest.approx(0, abs=0.1)


def test_the_sensor_is_noisy_and_shades_one_side_of_a_step():
    depth = np.full((240, 320), 0.75)
    depth[60:180, 140:180] = 0.65
    seen = sensor.sense(np.random.default_rng(0), depth, 285.0)
    flat = seen[5:50, 5:300].astype(float)
    assert 1.0 < flat[flat > 0].std() < 1.5
    # Step of 0.1 m: f b (1/0.65 - 1/0.75) = 285 x 0.055 x 0.205 = 3.2 px of shadow, right only.
    lost = (seen[70:170] == 0).mean(0)
    assert lost[181] == 1 and lost[136] < 0.1 and lost[186] < 0.1


@pytest.mark.parametrize("width", (640, 320, 256, 160))
@pytest.mark.parametrize("lean", (0.0, 0.1))
def test_the_sensor_sees_a_hose_and_not_a_cable(width, lean):
    """Both as thick as they come, straight through the middle of the image, upright and across."""
    size = (width, 3 * width // 4)
    view = camera.Camera(*size, 570 * width / 640, np.array([0, 0, 0.75]), np.diag([1.0, -1, -1]))
    points = np.zeros((14, 3)) - (0.1, lean, 0)
    mm = {}
    for hose, metres in ((True, 0.014), (False, 0.005)):
        end = np.array([0.1, lean])
        tube = Tube(0, np.zeros(3), np.zeros(2), end, metres, hose)
        depth = np.full(size[::-1], 0.75)
        mask = tube.mask(points, view)
        tube.lay(depth, mask, view)
        seen = sensor.sense(np.random.default_rng(0), depth, view.focal).astype(float)
        seen[seen == 0] = np.nan
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8)) if hose else mask
        if not hose and width < 256:
            assert not mask.any()
            continue
        assert inner.sum() > 10
        mm[hose] = np.nanmedian(seen[inner > 0])
    # one step of the disparity is 1.1 mm, and may be rounded to 2
    assert mm[True] == pytest.approx(750 - 12, abs=4)
    assert mm.get(False, 750) == pytest.approx(750, abs=2)


def test_poor_material_returns_what_the_sensor_says_if_it_is_wide_enough():
    depth, poor = np.full((480, 640), 0.75), np.zeros((480, 640), bool)
    poor[:, :320] = poor[:, 500:503] = True
    lost = sensor.sense(np.random.default_rng(0), depth, 570.0, poor=poor) == 0
    share = sensor.DEFAULT.lost_on_poor_material
    # 320 x 480 px hold some 500 patches of 5 px's correlation: 2 % of deviation
    assert lost[:, :320].mean() == pytest.approx(share, abs=0.06)
    assert lost[:, 330:].mean() < 2 * sensor.DEFAULT.specks


@pytest.mark.parametrize("window", (0, 7))
def test_a_window_that_the_filter_cannot_do_is_refused(window):
    with pytest.raises(DataError, match=f"window_px is {window}; expected a number from 1 to 5"):
        sensor.Sensor(window_px=window)


def test_an_infant_that_flies_apart_is_an_error_and_not_a_recording(tmp_path, monkeypatch):
    """MuJoCo itself goes on, from the pose lying straight."""
    monkeypatch.chdir(tmp_path)  # where MuJoCo writes its log
    still = at_rest()
    still.data.qvel[:] = 1e12
    with pytest.raises(DataError, match="flies apart; .* less extreme"):
        still.step(np.zeros(len(MOTORS)))


@pytest.mark.parametrize("seed", [0, 1, 1001])
def test_sixteen_infants_cover_every_sixteenth_of_each_number_once(seed):
    for first in (1, 17):
        ward = [draw_quota(seed, first + k) for k in range(16)]
        numbers = np.array(
            [(q.busy, q.vigour, q.wrapped, q.covered, *q.shoulders, *q.hips) for q in ward]
        )
        for column in numbers.T:
            assert sorted((16 * column).astype(int)) == list(range(16))
        order = np.argsort(numbers, axis=0).T
        assert len({tuple(o) for o in order}) == 8


def test_minimum_jerk_passes_its_knots_at_rest():
    knots_t, knots = np.array([0.0, 1.0, 3.0]), np.array([[0.0], [2.0], [-1.0]])
    t = np.array([-5, 0, 0.5, 1 - 1e-4, 1, 1 + 1e-4, 2, 3, 9])
    y = curves.minimum_jerk(knots_t, knots, t)[:, 0]
    np.testing.assert_allclose(y, [0, 0, 1, 2, 2, 2, 0.5, -1, -1], atol=1e-7)


def test_targets_are_mostly_slow_with_bursts_and_the_sides_differ():
    for seed in range(3):
        targets = movement.joint_targets(
            np.random.default_rng(seed), DEFAULT.movement, 3000, busy=0.5, vigour=0.5
        )
        assert targets.shape == (3000, len(MOTORS))
        speed = np.degrees(np.abs(np.diff(targets, axis=0))) * curves.HZ
        elbow = speed[:, MOTORS.index("right_arm_bend")]
        assert np.median(elbow) < 20 and np.percentile(elbow, 99) > 60
        arms = [speed[:, MOTORS.index(f"{s}_arm_bend")] for s in ("right", "left")]
        assert np.corrcoef(arms)[0, 1] < 0.8


def test_a_kicking_leg_draws_up_and_thrusts_out_and_the_heel_stays_on_the_sheet():
    """Kicks alone, on a leg that rests half bent: both ends of `KICK_DEG` within 3 deviations."""
    still = np.tile((28.0, 46.0, 30.0, 78.0, 10.0), (300, 1))
    t = np.arange(300) / curves.HZ
    lift, reached = LIMB_DOFS.index("lift"), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        angles = still + movement._kicks(rng, DEFAULT.movement, still, 1.0, 4.0, t)
        np.testing.assert_allclose(angles[[0, -1]], still[:2])  # before the kicks and after them
        reached.append((angles[:, lift].min(), angles[:, lift].max()))
        # From one end to the other, 70 degrees, takes 0.2 to 0.35 s: 1.875 x / s at the middle.
        speed = np.abs(np.diff(angles[:, lift])).max() * curves.HZ
        assert 200 < speed < 1.875 * 130 / 0.2
    low, high = np.transpose(reached)
    assert (np.abs(low - 28) < 30).all() and (np.abs(high - 98) < 30).all()


def test_only_legs_that_kick_thrust_and_one_leg_at_a_time():
    """A thrust lifts or lowers a thigh by over 45 degrees in a sixth of a second, as a frame sees.

    A submovement of 0.3 to 0.8 s does so only if it is one of the largest."""
    thrusts = {}
    for share in (0.0, 1.0):
        changed = dataclasses.replace(DEFAULT.movement, kicks=share)
        targets = movement.joint_targets(
            np.random.default_rng(4), changed, 9000, busy=0.8, vigour=0.5
        )
        lift = [targets[:, MOTORS.index(f"{side}_leg_lift")] for side in ("right", "left")]
        thrusts[share] = np.abs(np.degrees([leg[5:] - leg[:-5] for leg in lift])) > 45
    assert (thrusts[1.0].sum(axis=1) > 2 * thrusts[0.0].sum(axis=1)).all()
    legs = thrusts[1.0].sum(axis=0)
    assert (legs == 1).sum() > 3 * (legs == 2).sum()


def at_rest() -> Scene:
    rng = np.random.default_rng(0)
    sizes = draw_sizes(rng, DEFAULT.body)
    return Scene(sizes, scene.draw_crib(rng, sizes))


def test_the_same_angles_mirror_the_pose_on_the_other_side():
    still = at_rest()
    for kind in ("arm", "leg"):
        for dof, angle in zip(LIMB_DOFS, (0.5, 0.2, 0.6, 0.7, 0.1), strict=True):
            for side in ("right", "left"):
                still.data.joint(f"{side}_{kind}_{dof}").qpos[0] = angle
    mujoco.mj_kinematics(still.model, still.data)
    joints = still.joints
    left = [JOINTS.index(j.replace("right", "left")) for j in JOINTS[:3] + JOINTS[6:9]]
    np.testing.assert_allclose(joints[[0, 1, 2, 6, 7, 8]] * (-1, 1, 1), joints[left], atol=1e-9)
    assert joints[1, 0] > joints[0, 0] and joints[1, 2] > joints[0, 2]


def test_the_carers_arm_is_cast_apart_from_the_infant():
    still = at_rest()
    assert {still.name(g) for g in still.geoms(scene.CARER)} == {"carer"}
    assert not set(still.geoms(scene.CARER)) & set(still.geoms(scene.INFANT))


def test_finished_infants_are_kept_and_unfinished_ones_made_again(recordings, tmp_path):
    out = tmp_path / "sim"
    settings = dict(frames=12, seed=3, size=SIZE, processes=1)
    simulate(out, infants=2, **settings)
    (out / "result_pz2.csv").unlink()
    (out / "pz2" / "1_16bit.png").write_bytes(b"half")
    (out / "pz3.partial").mkdir()
    stored = (out / "pz1" / "1_16bit.png").stat()
    simulate(out, infants=3, **settings)
    assert (out / "pz1" / "1_16bit.png").stat().st_mtime_ns == stored.st_mtime_ns
    assert hashes(out) == hashes(recordings)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(processes, tmp_path):
    out, whole = tmp_path / "sim", tmp_path / "whole"
    simulate(whole, infants=3, frames=40, seed=3, size=(320, 240), processes=1)
    argv = [sys.executable, "-m", "data_pipeline.simulate", "--infants=3", "--frames=40"]
    argv += ["--seed=3", "--size=320,240", f"--processes={processes}", f"--out={out}"]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (out / "result_pz1.csv").exists() and time.monotonic() < until:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # for the other processes to notice
    sheets = len(list(out.glob("result_*.csv")))
    time.sleep(1.5)
    assert len(list(out.glob("result_*.csv"))) == sheets
    first = (out / "result_pz1.csv").stat().st_mtime_ns
    assert not (out / "result_pz3.csv").exists()
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert (out / "result_pz1.csv").stat().st_mtime_ns == first
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == 120
    assert hashes(out) == hashes(whole)


def test_a_folder_whose_readme_was_never_written_gets_it(tmp_path, monkeypatch):
    """Killed after the last sheet."""
    out = tmp_path / "sim"
    simulate(out, infants=1, frames=3, seed=0, size=SIZE, processes=1)
    whole = hashes(out)
    (out / "README.md").unlink(), (out / "frames.png").unlink()
    monkeypatch.chdir(out)
    simulate(Path("."), infants=1, frames=3, seed=0, size=SIZE, processes=1)
    assert hashes(out) == whole


def test_a_folder_with_another_simulation_is_refused_and_left_alone(recordings):
    before = hashes(recordings)
    for changed in (dict(seed=4), dict(frames=13), dict(size=(320, 240))):
        settings = dict(infants=3, frames=12, seed=3, size=SIZE, processes=1) | changed
        with pytest.raises(DataError, match="holds another simulation"):
            simulate(recordings, **settings)
    with pytest.raises(DataError, match=r"more than the 2 infants.*result_pz3\.csv"):
        simulate(recordings, infants=2, frames=12, seed=3, size=SIZE, processes=1)
    assert hashes(recordings) == before


def test_a_folder_of_a_run_that_was_killed_in_its_first_write_is_taken(tmp_path):
    (tmp_path / ".simulation.json.123.part").write_text("{")
    simulate(tmp_path, infants=1, frames=3, seed=0, size=(160, 120), processes=1, images=False)
    assert (tmp_path / "README.md").exists() and not list(tmp_path.glob(".*.part"))


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DataError, match="holds something else"):
        simulate(tmp_path, infants=1, frames=3, seed=0, size=SIZE, processes=1)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--infants=0", "--infants=0: expected 1 or more"),
        ("--frames=2", "--frames=2: expected 3 or more"),
        ("--size=800,600", "--size=800,600: expected a 4:3 image that is 160 to 640 px wide"),
        ("--seed=-1", "--seed=-1: expected 0 or more"),
        ("--size=640,400", "--size=640,400: expected a 4:3 image"),
        ("--size=640", "expected WIDTH,HEIGHT"),
        ("--processes=0", "--processes=0: expected 1 or more"),
        ("--frame=3", "Unrecognized options"),
    ],
)
def test_a_bad_value_exits_with_2_and_a_message_and_makes_no_folder(
    option, message, tmp_path, capsys
):
    argv = [f"--out={tmp_path / 'sim'}", option]
    try:
        code = command.main(argv)
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "sim").exists()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"sensors": {}}, "p.json: unknown 'sensors'; one of: body, movement, view, bedding, "),
        ({"sensor": {"nois_px": 1}}, "p.json: sensor: unknown 'nois_px'; one of: baseline_m, "),
        ({"sensor": {"noise_px": "1"}}, "p.json: sensor: noise_px is '1'; expected a number"),
        ({"sensor": 3}, "p.json: sensor is 3; expected an object with baseline_m, "),
    ],
)
def test_a_parameter_file_that_is_wrong_names_the_file_the_key_and_what_there_is(
    inputs, message, tmp_path, capsys
):
    (tmp_path / "p.json").write_text(json.dumps(inputs))
    out = tmp_path / "sim"
    assert command.main([f"--parameters={tmp_path / 'p.json'}", f"--out={out}"]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def ends(kind) -> tuple:
    """The lowest and the highest value of a field's type, of a pair or more of all its members."""
    marks = getattr(kind, "__metadata__", ())
    if marks and isinstance(marks[0], Bounds):
        return tuple(marks[0])
    members = typing.get_args(typing.get_args(kind)[0] if marks else kind)
    return tuple(zip(*map(ends, members), strict=True))


FIELDS = [
    (part, name, ends(kind))
    for part, model in typing.get_type_hints(Parameters).items()
    for name, kind in typing.get_type_hints(model, include_extras=True).items()
]


def test_every_number_of_the_model_has_bounds_that_its_default_is_within():
    assert len(FIELDS) == sum(len(part) for part in dataclasses.asdict(DEFAULT).values())
    for part, name, (low, high) in FIELDS:
        inputs = getattr(getattr(DEFAULT, part), name)
        assert (np.array(low) <= inputs).all() and (np.array(inputs) <= high).all(), name
        assert (np.array(low) < high).all() and np.isfinite([low, high]).all(), name


def refused(inputs, tmp_path, capsys) -> str:
    """What the command says to a parameter file, once it has refused it and written nothing."""
    (tmp_path / "p.json").write_text(inputs if isinstance(inputs, str) else json.dumps(inputs))
    out = tmp_path / "sim"
    argv = ["--infants=1", "--frames=3", "--size=160,120", "--processes=1", f"--out={out}"]
    assert command.main([f"--parameters={tmp_path / 'p.json'}", *argv]) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "p.json"]
    return capsys.readouterr().err


@pytest.mark.parametrize(("part", "name", "bounds"), FIELDS)
def test_a_number_beyond_its_bounds_is_refused_before_anything_is_written(
    part, name, bounds, tmp_path, capsys
):
    for value, beyond in zip(bounds, (-np.inf, np.inf), strict=True):
        outside = np.nextafter(value, beyond).tolist()
        for inputs in (outside, np.full_like(value, np.nan, float).tolist()):
            captured = refused({part: {name: inputs}}, tmp_path, capsys)
            assert f"p.json: {part}: {name} is {inputs}; expected " in captured


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"movement": {"step_s": [0, 1]}},
         "movement: step_s is [0, 1]; expected two ascending numbers from 0.0333 to 3600"),
        ({"movement": {"step_s": [1, 0.5]}}, "step_s is [1, 0.5]; expected two ascending numbers"),
        ({"movement": {"step_s": 1}}, "movement: step_s is 1; expected two ascending numbers"),
        ({"view": {"tilt_deg": [1, 2]}}, "tilt_deg is [1, 2]; expected three numbers from 0 to 30"),
        ({"view": {"nearest_m": 1}}, "view: nearest_m is 1; expected at most farthest_m, 0.9"),
        ({"bedding": {"edge_m": [0.0, -0.01]}},
         "edge_m is [0.0, -0.01]; expected two numbers from -0.1 to 0.1, from 0 to 0.1"),
        ({"bedding": {"blanket": True}}, "blanket is True; expected a number from 0 to 1"),
        ('{"sensor": {"noise_px": Infinity}}', "noise_px is inf; expected a number from 0 to 2"),
        ('{"sensor": {"noise_px": 1%s}}' % (400 * "0"), "expected a number from 0 to 2"),
        ({"annotator": {"click_by_kind": 5 * [1]}}, "expected six numbers from 0 to 5"),
    ],
)  # fmt: skip
def test_what_is_wanted_instead_is_told(inputs, message, tmp_path, capsys):
    assert message in refused(inputs, tmp_path, capsys)


def test_a_mean_and_its_deviation_need_not_ascend(tmp_path):
    (tmp_path / "p.json").write_text('{"bedding": {"edge_m": [0.005, 0]}}')
    assert read_parameters(tmp_path / "p.json").bedding.edge_m == (0.005, 0.0)


CROWDED = {
    "bedding": dict(
        blanket=1.0, wrapped_arm=0.5, both_arms=0.5, wrap_reaches_shoulder=1.0, wrapped_leg=0.5,
        at_shoulder=1.0, at_hip=1.0,
    ),
    "lines": dict(hose=1.0, leads=1.0, feeding_tube=1.0, infusion=1.0, probe=1.0),
    "carer": dict(gap_s=1.0, both_hands=1.0),
}  # fmt: skip
"""Everything that only some infants have, so that each number is drawn from."""


@pytest.mark.slow
@pytest.mark.parametrize(("part", "name", "bounds"), FIELDS)
def test_the_lowest_and_the_highest_value_of_every_number_play(part, name, bounds, tmp_path):
    for value in bounds:
        inputs = {key: dict(changes) for key, changes in CROWDED.items()}
        inputs.setdefault(part, {})[name] = value
        if name in ("nearest_m", "farthest_m"):
            inputs[part] = {"nearest_m": value, "farthest_m": value}
        (tmp_path / "p.json").write_text(json.dumps(inputs))
        recording = Recording(5, 1, SIZE, 3, read_parameters(tmp_path / "p.json"))
        with warnings.catch_warnings(action="error"):
            for frame in recording.frames():
                assert np.isfinite(frame.depth).all() and recording.sense(frame).any()
                recording.click(frame)


PLACES = (
    "simulation.json", "1_16bit.png", "6_16bit.png", "truth.npz", "camera.json", "scene.xml",
    "result_pz1.csv", "frames.png", "README.md",
)  # fmt: skip
"""Every file that is written, in this order, of an infant's recording and of the folder."""


class FullDisk(io.FileIO):
    """A file that takes half of the first bytes given, and then nothing more."""

    def __init__(self, path, mode):
        super().__init__(path, mode)
        self.full = False

    def write(self, data):
        if not self.full:
            self.full = True
            return super().write(bytes(data)[: len(data) // 2])
        raise OSError(28, "No space left on device")


def fill_up(monkeypatch, place: str, infant: int) -> list[str]:
    """Lets the disk fill up while `place` is written, for that infant; names what it stopped."""
    existing, opens, stopped = f"pz{infant}.partial", io.open, []

    def open_(file, mode="r", *args, **kwargs):
        path = Path(file) if isinstance(file, str | Path) else Path()
        name = re.sub(r"^\.(.*)\.\d+\.part$", r"\1", path.name)
        inside = path.parent.name == existing or not path.parent.name.startswith("pz")
        if "w" not in mode or name != place or not inside:
            return opens(file, mode, *args, **kwargs)
        stopped.append(name)
        raw = io.BufferedWriter(FullDisk(file, mode.replace("b", "").replace("t", "")))
        return raw if "b" in mode else io.TextIOWrapper(raw, encoding="utf-8")

    # What pathlib and zipfile open files with; numpy.savez takes zipfile.
    monkeypatch.setattr(io, "open", open_)
    monkeypatch.setattr("builtins.open", open_)
    return stopped


@pytest.mark.parametrize("infant", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_a_disk_that_fills_up_leaves_nothing_half_written_and_the_run_goes_on_with_space(
    place, infant, tmp_path, capsys, monkeypatch
):
    place = place.replace("pz1", f"pz{infant}")
    out = tmp_path / "sim"
    argv = ["--infants=2", "--frames=3", "--size=160,120", "--processes=1"]
    with monkeypatch.context() as patch:
        stopped = fill_up(patch, place, infant)
        assert command.main([*argv, f"--out={out}"]) == 1
    assert stopped == [place]
    assert "No space left on device; make room" in capsys.readouterr().err
    assert not [*out.rglob("*.partial"), *out.rglob("*.part")]
    whole = {path.stem.removeprefix("result_") for path in out.glob("result_*")}
    assert {path.name for path in out.glob("pz*")} == whole
    outside = place in ("simulation.json", "frames.png", "README.md")
    done = 0 if place == "simulation.json" else 2 if outside else infant - 1
    assert whole == {"pz1", "pz2"} - {f"pz{k}" for k in (1, 2) if k > done}
    assert not (out / place).exists()

    assert command.main([*argv, f"--out={out}"]) == 0
    assert command.main([*argv, f"--out={tmp_path / 'undisturbed'}"]) == 0
    assert hashes(out) == hashes(tmp_path / "undisturbed")
    written = {Path(name).name for name in hashes(out)}
    expected = {*PLACES, "11_16bit.png", "result_pz2.csv"}
    assert written == expected  # a new file belongs into the list


def test_nothing_of_it_imports_tensorflow_or_jax():
    code = (
        "import sys, data_pipeline.simulate; "
        "print({'tensorflow', 'jax', 'tensorflow_datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
