"""Holes, noise and edges of images in which they are known, and the picture that shows them."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from data_pipeline.simulate import simulate
from data_pipeline.simulated import look, traits


def plane(noise_mm: np.ndarray, tilt: float = 0.5) -> np.ndarray:
    """A surface 1 to 1.4 m away, tilted along both axes, mm per px, with noise [h w]."""
    v, u = np.mgrid[: noise_mm.shape[0], : noise_mm.shape[1]]
    return np.rint(1000 + tilt * (u + v) + noise_mm).astype(np.uint16)


def white(mm: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, mm, (320, 480))


def step(width: int, lost: int = 0, height: int = 120) -> np.ndarray:
    """0.7 m, then 0.9 m: a ramp of `width` px between, or `lost` px without a return."""
    row = np.concatenate([np.full(40, 700), np.full(lost, 0), np.full(40, 900)])
    if width > 1:
        ramp = np.linspace(700, 900, width + 1)[1:-1]
        row = np.concatenate([np.full(40, 700), ramp, np.full(40, 900)])
    return np.tile(row.astype(np.uint16), (height, 1))


def test_white_noise_of_2_mm_on_a_tilted_plane_is_measured_within_5_percent():
    """Rounding to whole mm adds a variance of 1/12."""
    actual = traits.noise(traits.patches([plane(white(2.0))]))
    assert actual["noise_mm"] == pytest.approx(math.hypot(2, 12**-0.5), rel=0.05)
    assert actual["lag_1"] == pytest.approx(0, abs=0.05)
    assert actual["distance_m"] == pytest.approx(1.2, abs=0.01)


def test_a_curved_limb_is_not_noise():
    """A cylinder of 60 px radius, 100 mm: its curvature is 3 mm over half a patch."""
    v = np.arange(320)[:, None] - 160
    limb = 100 * (1 - np.sqrt(1 - (np.clip(v, -40, 40) / 60) ** 2))
    actual = traits.noise(traits.patches([plane(white(2.0) + limb)[120:200]]))
    assert actual["noise_mm"] == pytest.approx(2, rel=0.06)


def test_noise_of_disparities_lies_on_a_line_through_distance_squared():
    frames = [plane(white(2.5 * m**2) + 1000 * (m - 1), tilt=0) for m in (0.7, 1.05, 1.5, 2.2)]
    actual = traits.patches(frames)
    metres, mm = look.noise_by_distance(actual)
    np.testing.assert_allclose(metres, (0.7, 1.05, 1.5, 2.2), rtol=0.01)
    np.testing.assert_allclose(mm / metres**2, 2.5, rtol=0.05)
    assert traits.noise(actual)["noise_mm_at_1m"] == pytest.approx(2.5, rel=0.05)


def test_noise_blurred_by_one_pixel_is_as_much_alike_as_the_fit_leaves_of_it():
    """A Gaussian of std 1 px makes white noise's correlation exp(-lag^2 / 4): 0.78, 0.37, 0.11.

    Of the covariance C the fit leaves R C R, with R as it is for white noise: 0.72, 0.22, -0.08.
    """
    noise = 3 * 2 * math.pi**0.5 * cv2.GaussianBlur(white(1.0), (0, 0), 1.0)
    curve = traits.correlation(traits.patches([plane(noise)]))
    n = traits.PATCH_PX
    alike = np.exp(-((np.arange(n)[:, None] - np.arange(n)) ** 2) / 4)
    v, u = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j].reshape(2, -1)
    basis, _ = np.linalg.qr(np.stack([v**0, u, v, u * u, u * v, v * v], axis=1))
    rest = np.eye(n * n) - basis @ basis.T
    left = (rest @ np.kron(alike, alike) @ rest).reshape(n, n, n, n)
    same = np.einsum("ijij->", left) / n**2
    for lag in (1, 2, 3, 4):
        expected = np.einsum("ijij->", left[:, :-lag, :, lag:]) / (n * (n - lag)) / same
        assert curve[lag - 1] == pytest.approx(expected, abs=0.02)


def test_a_share_of_holes_is_measured_as_it_was_made_and_the_border_is_left_out():
    depth = plane(np.zeros((320, 480)), tilt=0)
    at = np.random.default_rng(1).permutation(300 * 400)[:2400]  # 2 % of 300x400
    inner = depth[10:310, 70:470]
    inner[np.unravel_index(at, inner.shape)] = 0
    depth[:, :48] = 0  # a dead band, a tenth
    actual = traits.holes([depth])
    assert actual["no_return"] == pytest.approx(0.1 + 2400 / depth.size)
    assert actual["no_return_elsewhere"] == pytest.approx(2400 / (320 * 432))
    assert math.isnan(actual["no_return_by_edges"])


def test_a_shadow_is_by_the_edge_and_not_elsewhere():
    """4 px of shadow in 118 of 120 rows; the 2 px next to a step and 5 to either side are near."""
    depth = step(1, lost=4)
    depth[[0, -1]] = traits.filled(depth)[0]  # the shadow ends within the image
    actual = traits.holes([depth])
    assert actual["no_return_elsewhere"] == 0
    assert actual["no_return_by_edges"] == pytest.approx(4 * 118 / (12 * 120))


@pytest.mark.parametrize("width", [1, 2, 4])
def test_an_edge_is_as_wide_as_its_ramp(width):
    assert traits.edge_widths([step(width)])["edge_width_px"] == pytest.approx(width, rel=0.02)


def test_a_shadow_makes_an_edge_sharp_and_is_counted():
    actual = traits.edge_widths([step(1, lost=5)])
    assert actual == {"edge_width_px": 1, "lost_at_edge_px": 5}


def test_an_image_without_edges_or_smooth_patches_has_no_numbers_of_them():
    flat = traits.edge_widths([plane(np.zeros((64, 64)))])
    assert all(math.isnan(v) for v in flat.values())
    small = traits.noise(traits.patches([plane(np.zeros((8, 8)))]))
    assert all(math.isnan(v) for v in small.values())


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("look") / "sim"
    simulate(out, infants=2, frames=3, seed=3, size=(320, 240), processes=1)
    return out


@pytest.fixture(scope="module")
def stills(tmp_path_factory) -> Path:
    """Two images of different sizes."""
    folder = tmp_path_factory.mktemp("look") / "stills"
    folder.mkdir()
    for k, depth in enumerate((plane(white(2.0)), plane(white(2.0))[:200])):
        cv2.imwrite(str(folder / f"{k}.png"), depth)
    return folder


@pytest.fixture(scope="module")
def kinect(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("look") / "kinect"
    for kind in ("Depth", "Skeleton"):
        (folder / kind).mkdir(parents=True)
    depth = np.zeros((240, 320, 6), np.uint16)
    depth[40:200, 100:220] = 2700
    savemat(folder / "Depth/a1_s1_t1_depth.mat", {"d_depth": depth})
    skeleton = np.zeros((20, 3, 6))
    skeleton[:, 2] = 2.7
    savemat(folder / "Skeleton/a1_s1_t1_skeleton.mat", {"d_skel": skeleton})
    return folder


def test_every_folder_gets_a_row_of_the_picture_and_its_numbers(
    simulated, stills, kinect, tmp_path, capsys
):
    out = tmp_path / "look.png"
    argv = [str(simulated), *(f"--real={f}" for f in (stills, kinect, simulated)), f"--out={out}"]
    assert look.main(argv) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = result["sources"]
    names = [row["name"] for row in rows]
    assert names == ["simulated", "stills", "kinect", "sim"]
    assert [row["frames"] for row in rows] == [6, 2, 1, 6]
    assert rows[2]["no_return"] == pytest.approx(1 - 160 * 120 / (240 * 320))
    assert rows[2]["noise_mm"] == 0 and rows[2]["lag_1"] is None
    assert {k: v for k, v in rows[0].items() if k != "name"} == {
        k: v for k, v in rows[3].items() if k != "name"
    }
    # Four rows of 2.9 inches and one of 4.2, 80 px each.
    assert cv2.imread(str(out)).shape == (round(80 * (4 * 2.9 + 4.2)), 80 * 14, 3)


def test_the_law_is_that_of_the_folders_own_sensor(simulated, stills, tmp_path):
    """0.08 px and steps of 1/16 px; 570 px x 55 mm: 2.6 mm at a metre."""
    note = json.loads((simulated / "simulation.json").read_text())
    note["parameters"]["sensor"] |= {"noise_px": 0.08, "quantum_px": 1 / 16, "baseline_m": 0.055}
    note["parameters"]["view"]["focal_at_640"] = 570
    (tmp_path / "simulation.json").write_text(json.dumps(note))
    assert look.law(tmp_path) == pytest.approx(2.616, abs=1e-3)
    assert look.law(stills) is None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("nowhere", "no such folder: {}; give one that holds depth images"),
        ("empty", "{}: no depth images in it; expected 16-bit PNGs"),
        ("colour", "PNG of 8 bits with colour or a palette; expected 16 bits"),
    ],
)
def test_a_real_folder_that_holds_no_depth_is_named(inputs, message, simulated, tmp_path, capsys):
    folder, out = tmp_path / inputs, tmp_path / "look.png"
    if inputs != "nowhere":
        folder.mkdir()
    if inputs == "colour":
        cv2.imwrite(str(folder / "photo.png"), np.zeros((8, 8, 3), np.uint8))
    assert look.main([str(simulated), f"--real={folder}", f"--out={out}"]) == 2
    assert message.format(folder) in capsys.readouterr().err
    assert not out.exists()


def test_bad_options_and_notes_are_named(simulated, stills, tmp_path, capsys):
    def output(folder, *options):
        assert look.main([str(folder), f"--real={stills}", *options]) == 2
        return capsys.readouterr().err

    out = f"--out={tmp_path / 'look.png'}"
    assert "no such folder" in output(tmp_path / "nowhere", out)
    assert "no sheet result_pz<ID>.csv" in output(stills, out)
    assert "--frames=0: expected at least 1" in output(simulated, out, "--frames=0")
    assert "look.jpg: expected a name in .png" in output(simulated, "--out=look.jpg")
    (tmp_path / "simulation.json").write_text("{}")
    assert "simulation.json: cannot read the sensor's settings" in output(tmp_path, out)


SHARED = Path(__file__).parents[1].resolve() / "../shared/data"


@pytest.mark.skipif(not SHARED.exists(), reason="the real frames are not here")
def test_real_sensors_lose_hardly_a_pixel_away_from_edges_and_have_noise_that_is_alike():
    for name in ("bed_depth_d455", "utd_mhad"):
        actual = look.measure(name, look.read(SHARED / name, 6)).numbers
        assert actual["no_return_elsewhere"] < 0.01 < 0.3 < actual["lag_1"]
