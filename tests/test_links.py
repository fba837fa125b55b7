"""Folders and files behind symbolic links count as what the links lead to, in every command."""

import os
import shutil

import cv2
import numpy as np
import pytest
from babypose_folder import write_folder
from test_load import write_babypose
from test_utd_mhad import skeleton_at
from test_utd_mhad import write as write_recording

from data_pipeline.babypose.layout import source_files
from data_pipeline.check import check
from data_pipeline.load import load_frames
from data_pipeline.load import read as read_grid

GRID = (12, 16)


def linked(root, inside: bool):
    """A folder whose pz<ID> are links to folders elsewhere, with the sheets in one or the other."""
    store, folder = root / "store", root / "data"
    write_babypose(store, {"2": 4, "10": 5})
    folder.mkdir()
    for subject in ("2", "10"):
        (folder / f"pz{subject}").symlink_to(store / f"pz{subject}")
        sheet = f"result_pz{subject}.csv"
        (store / sheet).rename((store / f"pz{subject}" if inside else folder) / sheet)
    return folder


def move_away(folder, mm):
    """Every image again, as if it had been recorded from further away."""
    for path in source_files(folder):
        if path.suffix == ".png":
            depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            depth[depth > 0] += mm
            assert cv2.imwrite(str(path), depth)


@pytest.mark.parametrize("inside", [False, True])
def test_images_that_change_behind_a_link_are_read_again(tmp_path, inside):
    folder = linked(tmp_path, inside)
    before = load_frames("babypose", folder, GRID, tmp_path / "cache")
    move_away(folder, 150)
    after = load_frames("babypose", folder, GRID, tmp_path / "cache")
    np.testing.assert_allclose(after.depth_mm, before.depth_mm + 150, atol=0.11)


@pytest.mark.parametrize("inside", [False, True])
def test_check_and_prepare_see_the_same_infants_behind_links(tmp_path, inside):
    folder = linked(tmp_path, inside)
    report = check(folder)
    assert report.problems == []
    frames = read_grid("babypose", folder, GRID, "time_order")
    assert {s: i.frames for s, i in report.infants.items()} == {"2": 4, "10": 5}
    assert dict(zip(*np.unique(frames.subject, return_counts=True), strict=True)) == {
        "2": 4,
        "10": 5,
    }


def test_linked_images_and_sheets_are_files(tmp_path):
    write_babypose(tmp_path / "store", {"1": 4})
    folder = tmp_path / "data"
    (folder / "pz1").mkdir(parents=True)
    (folder / "result_pz1.csv").symlink_to(tmp_path / "store" / "result_pz1.csv")
    for image in (tmp_path / "store" / "pz1").iterdir():
        (folder / "pz1" / image.name).symlink_to(image)
    before = load_frames("babypose", folder, GRID, tmp_path / "cache")
    move_away(tmp_path / "store", 150)
    after = load_frames("babypose", folder, GRID, tmp_path / "cache")
    np.testing.assert_allclose(after.depth_mm, before.depth_mm + 150, atol=0.11)


def test_links_of_utd_mhad_are_followed_too(tmp_path):
    depth = np.zeros((240, 320, 20), np.uint16)
    depth[50:180, 150:171] = 2000
    write_recording(tmp_path / "store", "a1_s1_t1", depth, skeleton_at(160, 20))
    folder = tmp_path / "data"
    folder.mkdir()
    for kind in ("Depth", "Skeleton"):
        (folder / kind).symlink_to(tmp_path / "store" / kind)
    before = load_frames("utd_mhad", folder, GRID, tmp_path / "cache")
    write_recording(tmp_path / "store", "a1_s1_t1", depth // 2, skeleton_at(160, 20))
    after = load_frames("utd_mhad", folder, GRID, tmp_path / "cache")
    assert (before.depth_mm.min(), after.depth_mm.min()) == (2000, 1000)


@pytest.mark.parametrize("target", [".", ".."])
def test_a_link_that_leads_back_ends_and_adds_nothing(tmp_path, target):
    folder = write_folder(tmp_path / "data", {"1": 4})
    (folder / "pz1" / "again").symlink_to(folder / "pz1" / target)
    (folder / "pz1x").symlink_to(folder)  # is listed as a folder of images, and holds the sheet
    report = check(folder)
    assert report.problems == []
    assert {s: i.frames for s, i in report.infants.items()} == {"1": 4}
    assert len(read_grid("babypose", folder, GRID, "time_order")) == 4


def test_a_sheet_that_is_a_link_to_nothing_is_a_problem_of_check_and_prepare(tmp_path):
    folder = write_folder(tmp_path / "data", {"1": 4, "2": 4})
    shutil.rmtree(folder / "pz2")
    (folder / "result_pz2.csv").unlink()
    (folder / "result_pz2.csv").symlink_to(tmp_path / "nowhere.csv")
    (problem,) = check(folder).problems
    assert problem.file == str(folder / "result_pz2.csv")
    assert "link to a file that is missing" in problem.what
    with pytest.raises(ValueError, match="result_pz2.csv: is a link to a file that is missing"):
        read_grid("babypose", folder, GRID, "time_order")


def test_an_image_that_is_a_link_to_nothing_is_missing(tmp_path):
    folder = write_folder(tmp_path / "data", {"1": 6})
    image = folder / "pz1" / "6_16bit.png"
    image.unlink()
    os.symlink(tmp_path / "nowhere.png", image)
    (problem,) = check(folder).problems
    assert f"{image} is missing" in problem.what
