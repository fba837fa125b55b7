"""From the files of a data set to frames on the net's grid, and what the cache keeps of it."""

import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from babypose_folder import numbers, read_csv, write_cells, write_folder
from test_utd_mhad import skeleton_at
from test_utd_mhad import write as write_recording

from data_pipeline import load
from data_pipeline.babypose import frames as babypose_frames
from data_pipeline.errors import DataError
from jaxpose.body import geometry
from jaxpose.prediction.view import View
from jaxpose.recordings.opening import Format, open_source


def write_babypose(folder, infants, size=(48, 64)):
    """As `write_folder`, with depth of 1 to 3 m and 30 % of holes; returns the images."""
    random = np.random.default_rng(5)
    write_folder(folder, infants, size)
    depth = {}
    for subject, count in infants.items():
        for n in numbers(count):
            image = random.integers(1000, 3000, size, dtype=np.uint16)
            image[random.random(size) < 0.3] = 0
            assert cv2.imwrite(str(folder / f"pz{subject}" / f"{n}_16bit.png"), image)
            depth[subject, n] = image
    return depth


@pytest.fixture(scope="module")
def babypose(tmp_path_factory):
    """The folder, what is in its images, its cache, and the frames that came of it."""
    root = tmp_path_factory.mktemp("babypose")
    depth = write_babypose(root / "in", {"2": 4, "10": 6})
    frames = load.load_frames("babypose", root / "in", (24, 32), root / "cache")
    return root / "in", depth, root / "cache", frames


# ---------------------------------------------------------------- babyPose


def test_frames_come_by_infant_and_in_time_with_a_step_of_five(babypose):
    *_, frames = babypose
    assert (frames.dataset, frames.step, frames.grid, len(frames)) == ("babypose", 5, (24, 32), 10)
    assert frames.subject.tolist() == ["2"] * 4 + ["10"] * 6
    assert frames.frame.tolist() == [1, 6, 11, 16, 1, 6, 11, 16, 21, 26]
    assert (frames.sequence == "").all()
    assert (frames.crop == [0, 0, 64, 48]).all()
    assert np.flatnonzero(~frames.follows()).tolist() == [0, 4]
    shapes = {"depth_mm": (10, 24, 32), "xy": (10, 12, 2), "visible": (10, 12)}
    for name, shape in shapes.items():
        assert getattr(frames, name).shape == shape


def test_a_cell_is_the_mean_of_its_valid_pixels_and_a_hole_the_lower_median(babypose):
    _, depth, _, frames = babypose
    holes = 0
    for k, image in enumerate(depth.values()):
        blocks = image.reshape(24, 2, 32, 2).transpose(0, 2, 1, 3).reshape(24, 32, 4)
        count = (blocks > 0).sum(-1)
        mean = blocks.sum(-1) / np.maximum(count, 1)
        median = np.percentile(mean[count > 0], 50, method="lower")
        holes += (count == 0).sum()
        expected = np.where(count > 0, mean, median)
        np.testing.assert_allclose(frames.depth_mm[k], expected, rtol=0, atol=0.051)
    assert holes > 10


def test_a_joint_at_pixel_x_is_at_half_of_x_minus_a_quarter_on_a_grid_half_as_fine(babypose):
    # (x + 0.5) / 2 - 0.5 = x / 2 - 0.25
    folder, *_, frames = babypose
    header, *rows = read_csv(folder / "result_pz10.csv")
    rows.sort(key=lambda row: int(row[0].split("_")[0]))
    column = header.index("right_hand")  # the sheet's hands are wrists
    clicked = np.array([[int(v) for v in row[column].split(",")] for row in rows])
    np.testing.assert_allclose(frames.xy[4:, 2], clicked / 2 - 0.25, atol=1e-5)
    assert frames.visible.all()


@pytest.mark.parametrize(
    "size, grid", [((48, 58), (24, 32)), ((48, 80), (24, 32)), ((48, 64), (16, 32))]
)
def test_images_keep_their_proportions_as_in_prediction(tmp_path, size, grid):
    """512x424 pixels, say, on a grid of 64x48."""
    folder = write_folder(tmp_path / "data", size=size)
    frames = load.read("babypose", folder, grid, "time_order")
    x, y, width, height = frames.crop[0]
    assert width / height == pytest.approx(grid[1] / grid[0], rel=0.02)
    assert (x, y) == ((size[1] - width) // 2, (size[0] - height) // 2) and min(x, y) < 0
    image = open_source(str(folder / "pz1"), Format())
    depth = np.stack([reading.frame.depth_mm for reading in image.read()])
    box = View().box((size[1], size[0]), grid)
    assert (*frames.crop[0],) == box
    by_number = {reading.frame.number: k for k, reading in enumerate(image.read())}
    expected = geometry.depth_to_grid(depth, box, grid)[[by_number[n] for n in frames.frame]]
    np.testing.assert_array_equal(frames.depth_mm, expected)


def test_a_missing_joint_is_hidden_and_lies_at_minus_one(tmp_path):
    write_babypose(tmp_path / "in", {"1": 3})
    rows = read_csv(tmp_path / "in" / "result_pz1.csv")
    rows[1][rows[0].index("left_foot")] = "-1,-1"
    write_cells(tmp_path / "in" / "result_pz1.csv", rows)
    frames = load.load_frames("babypose", tmp_path / "in", (24, 32), tmp_path / "cache")
    # the sheet's first row is frame 11, the third in time
    assert np.argwhere(~frames.visible).tolist() == [[2, 11]]
    assert frames.xy[2, 11].tolist() == [-1, -1]


def test_rows_in_the_sheets_order_have_step_0(tmp_path):
    write_babypose(tmp_path / "in", {"1": 4})
    frames = load.load_frames("babypose", tmp_path / "in", (24, 32), tmp_path, "row_order")
    assert frames.frame.tolist() == [11, 16, 1, 6]  # as strings
    assert frames.step == 0
    assert frames.follows().tolist() == [False, True, True, True]


# ---------------------------------------------------------------- UTD-MHAD


@pytest.fixture(scope="module")
def utd(tmp_path_factory):
    """Two recordings on 48x64. The body is 21 px wide around column 160, in rows 50 ... 179, its
    upper half at 2000 mm and its lower at 2100; its crop is [64 43 192 144], so a cell is 3x3."""
    root = tmp_path_factory.mktemp("utd")
    depth = np.zeros((240, 320, 20), np.uint16)
    depth[50:115, 150:171] = 2000
    depth[115:180, 150:171] = 2100
    for name in ("a2_s1_t1", "a1_s10_t2"):
        write_recording(root / "in", name, depth, skeleton_at(160, 20))
    return load.load_frames("utd_mhad", root / "in", (48, 64), root / "cache")


def test_recordings_come_by_subject_and_every_fifth_frame_from_the_lag_on(utd):
    assert (utd.dataset, utd.step, utd.grid) == ("utd_mhad", 5, (48, 64))
    assert utd.subject.tolist() == ["1"] * 4 + ["10"] * 4
    assert utd.sequence.tolist() == ["a2_t1"] * 4 + ["a1_t2"] * 4
    assert utd.frame.tolist() == [2, 7, 12, 17] * 2
    assert (utd.crop == [64, 43, 192, 144]).all()


def test_joints_follow_the_crop_by_the_half_pixel_rule(utd):
    # x: (160 + 0.5 - 64) / 3 - 0.5 = 31.6667; y of joint k: (60 + 10 k + 0.5 - 43) / 3 - 0.5
    np.testing.assert_allclose(utd.xy[..., 0], 31.6667, atol=1e-3)
    rows = np.broadcast_to(5.3333 + 3.3333 * np.arange(12), (8, 12))
    np.testing.assert_allclose(utd.xy[..., 1], rows, atol=1e-3)
    assert utd.visible.all()


def test_removed_background_lies_600_mm_behind_the_lower_median_of_the_body(utd):
    # columns 150 ... 170 are 86 ... 106 of the crop: cells 28 ... 35; rows 50 ... 114 are 7 ... 71:
    # cells 2 ... 23; rows 115 ... 179 are 72 ... 136: cells 24 ... 45. 22 x 8 cells of each, so the
    # lower median is 2000, not 2050 or 2100. Cells cut by the body's edge keep the body's depth.
    expected = np.full((48, 64), 2600.0)
    expected[2:24, 28:36] = 2000
    expected[24:46, 28:36] = 2100
    np.testing.assert_allclose(utd.depth_mm, np.broadcast_to(expected, (8, 48, 64)), atol=1e-3)


# ---------------------------------------------------------------- the cache


def test_a_second_call_reads_the_cache_and_builds_nothing(babypose, monkeypatch):
    folder, _, cache, frames = babypose
    monkeypatch.setattr(load, "read", None)
    again = load.load_frames("babypose", folder, (24, 32), cache)
    assert again.digest() == frames.digest()


def test_a_changed_source_is_read_again(tmp_path):
    def frames():
        return load.load_frames("babypose", tmp_path / "in", (12, 16), tmp_path / "cache")

    write_babypose(tmp_path / "in", {"1": 3})
    before = frames()
    image = tmp_path / "in" / "pz1" / "6_16bit.png"
    assert cv2.imwrite(str(image), np.full((48, 64), 1234, np.uint16))
    after = frames()
    np.testing.assert_allclose(after.depth_mm[1], 1234, atol=0.05)
    np.testing.assert_array_equal(after.depth_mm[[0, 2]], before.depth_mm[[0, 2]])


@pytest.mark.parametrize("linked", ["images", "whole"])
def test_a_changed_image_behind_a_linked_folder_is_read_again(tmp_path, linked):
    write_babypose(tmp_path / "real", {"1": 3})
    if linked == "whole":  # the sheet, too, lies behind the link
        (tmp_path / "real" / "result_pz1.csv").rename(tmp_path / "real" / "pz1" / "result_pz1.csv")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "pz1").symlink_to(tmp_path / "real" / "pz1")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    if linked == "images":
        (tmp_path / "real" / "result_pz1.csv").rename(tmp_path / "in" / "result_pz1.csv")
    before = load.load_frames("babypose", tmp_path / "in", (12, 16), tmp_path / "cache")
    image = tmp_path / "real" / "pz1" / "6_16bit.png"
    assert cv2.imwrite(str(image), np.full((48, 64), 1234, np.uint16))
    after = load.load_frames("babypose", tmp_path / "in", (12, 16), tmp_path / "cache")
    assert not np.allclose(before.depth_mm[1], 1234, atol=0.05)
    np.testing.assert_allclose(after.depth_mm[1], 1234, atol=0.05)


def test_two_first_reads_on_different_grids_do_not_disturb_each_other(tmp_path):
    write_babypose(tmp_path / "in", {"1": 40})
    results = {}

    def work(grid):
        results[grid] = load.load_frames("babypose", tmp_path / "in", grid, tmp_path / "cache")

    threads = [threading.Thread(target=work, args=(grid,)) for grid in ((12, 16), (24, 32))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {grid: frames.grid for grid, frames in results.items()} == {g: g for g in results}
    assert len(results) == 2


def test_every_image_is_decoded_once(tmp_path, monkeypatch):
    write_babypose(tmp_path / "in", {"2": 4, "10": 6})
    decoded, imdecode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *a: decoded.append(1) or imdecode(*a))
    load.load_frames("babypose", tmp_path / "in", (24, 32), tmp_path / "cache")
    assert len(decoded) == 10


def test_loading_imports_neither_tensorflow_nor_jax(tmp_path):
    code = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = sys.modules["jax"] = None
from pathlib import Path
from data_pipeline.load import load_frames
print(len(load_frames("babypose", Path(sys.argv[1]), (12, 16), Path(sys.argv[2]))))
"""
    write_babypose(tmp_path / "in", {"1": 3})
    command = [sys.executable, "-c", code, str(tmp_path / "in"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


def test_a_few_images_at_a_time_are_in_memory(tmp_path, monkeypatch):
    write_babypose(tmp_path / "in", {"1": 40})
    running, most = [0], [0]
    read = babypose_frames._read

    def counted(*arguments):
        running[0] += 1
        most[0] = max(most[0], running[0])
        return read(*arguments)

    def used(*arguments):
        running[0] -= 1
        return geometry.depth_to_grid(*arguments)

    monkeypatch.setattr(babypose_frames, "_read", counted)
    monkeypatch.setattr(load, "depth_to_grid", used)
    load.load_frames("babypose", tmp_path / "in", (24, 32), tmp_path / "cache")
    assert running[0] == 0
    assert most[0] <= 2 * 4 + 1  # two per thread, at most four threads, and one at work


def cached(root):
    (path,) = (root / "cache").glob("*.npz")
    return path


def load_small(root, config=None):
    return load.load_frames("babypose", root / "in", (12, 16), root / "cache", config)


@pytest.mark.parametrize("change", ["content", "time kept", "new file", "config", "version"])
def test_the_name_of_the_cached_file_follows_what_the_frames_depend_on(
    tmp_path, monkeypatch, change
):
    write_babypose(tmp_path / "in", {"1": 3})
    load_small(tmp_path)
    before, image = cached(tmp_path), tmp_path / "in" / "pz1" / "6_16bit.png"
    before.unlink()
    state, config = image.stat(), None
    if change in ("content", "time kept"):
        image.write_bytes(image.read_bytes())
        if change == "time kept":  # as `cp --preserve` leaves it
            os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif change == "new file":
        (tmp_path / "in" / "pz1" / "7_16bit.png").write_bytes(image.read_bytes())
    elif change == "config":
        config = "row_order"
    else:
        monkeypatch.setattr(load, "LOADER", load.LOADER + 1)
    load_small(tmp_path, config)
    assert cached(tmp_path) != before


def test_a_damaged_file_in_the_cache_is_read_anew(tmp_path):
    write_babypose(tmp_path / "in", {"1": 3})
    before = load_small(tmp_path)
    cached(tmp_path).write_bytes(cached(tmp_path).read_bytes()[:-30])
    assert load_small(tmp_path).digest() == before.digest()


def test_a_file_beside_the_data_changes_nothing(tmp_path):
    write_babypose(tmp_path / "in", {"1": 3})
    load_small(tmp_path)
    before = cached(tmp_path)
    (tmp_path / "in" / "README.md").write_text("about the data")
    (tmp_path / "in" / "pz1" / "camera.json").write_text("{}")
    load_small(tmp_path)
    assert cached(tmp_path) == before


def test_8_bit_images_are_warned_of_also_when_the_cache_answers(tmp_path):
    write_folder(tmp_path / "in", {"1": 3})
    for n in numbers(3):
        image = tmp_path / "in" / "pz1" / f"{n}_16bit.png"
        image.unlink()
        assert cv2.imwrite(str(image).replace("16bit", "8bit"), np.full((48, 64), 99, np.uint8))
    for _ in range(2):
        with pytest.warns(UserWarning, match="no depth above 255 in 1: grey levels"):
            load.load_frames("babypose", tmp_path / "in", (12, 16), tmp_path / "cache")


# ---------------------------------------------------------------- errors


def test_an_unknown_data_set_is_named_with_those_that_there_are(tmp_path):
    expected = "unknown data set 'nonsense'; one of: simulated, utd_mhad, babypose"
    with pytest.raises(DataError, match=expected):
        load.load_frames("nonsense", tmp_path, (12, 16), tmp_path)


def test_an_unknown_data_set_in_a_missing_folder_is_named_too(tmp_path):
    with pytest.raises(DataError, match="unknown data set"):
        load.load_frames("nonsense", tmp_path / "none", (12, 16), tmp_path)


def test_a_missing_folder_is_named_with_what_it_should_hold(tmp_path):
    expected = "none: no such folder; expected the files of utd_mhad: Depth/.*_depth.mat and"
    with pytest.raises(DataError, match=expected):
        load.load_frames("utd_mhad", tmp_path / "none", (12, 16), tmp_path)


def test_depth_that_the_file_cannot_hold_is_refused_and_no_file_is_left(tmp_path):
    write_folder(tmp_path / "in", {"1": 3}, deepest_mm=65535)
    with pytest.raises(DataError, match="result_pz1.csv, row 2: .*11_16bit.png: depth of up to"):
        load.load_frames("babypose", tmp_path / "in", (12, 16), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npz"))
