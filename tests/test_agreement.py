"""One list of rules for `check`, the TFDS importer and `prepare`, on sound and damaged folders."""

import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from babypose_folder import HEADER, read_csv, to_xlsx, write_cells, write_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline import check, prepare
from data_pipeline.babypose.rules import FolderError
from data_pipeline.load import read

COLUMN = {name: k for k, name in enumerate(HEADER.split(";"))}
INFANTS = {"3": 6, "20": 7}
SIZE = (24, 32)


def sheet(folder, subject):
    return folder / f"result_pz{subject}.csv"


def image_of(folder, subject, row):
    number = read_csv(sheet(folder, subject))[1 + row][0].split("_")[0]
    return folder / f"pz{subject}" / f"{number}_16bit.png"


def put(folder, subject, row, column, cell):
    rows = read_csv(sheet(folder, subject))
    rows[1 + row][COLUMN[column]] = cell
    write_cells(sheet(folder, subject), rows)


def write(path, image):
    assert cv2.imwrite(str(path), image)


def missing_image(folder, subject, row):
    image_of(folder, subject, row).unlink()


def eight_bits(folder, subject, row):
    write(image_of(folder, subject, row), np.full(SIZE, 7, np.uint8))


def truncated(folder, subject, row):
    path = image_of(folder, subject, row)
    path.write_bytes(path.read_bytes()[: 40 + 60 * row])


def other_size(folder, subject, row):
    write(image_of(folder, subject, row), np.full((24, 33), 900, np.uint16))


def holes_65535(folder, subject, row):
    image = np.full(SIZE, 900, np.uint16)
    image[row, row] = 65535
    write(image_of(folder, subject, row), image)


def empty_image(folder, subject, row):
    write(image_of(folder, subject, row), np.zeros(SIZE, np.uint16))


def broken_link(folder, subject, row):
    image_of(folder, subject, row).unlink()
    image_of(folder, subject, row).symlink_to("nowhere.png")


def same_number_twice(folder, subject, row):
    rows = read_csv(sheet(folder, subject))
    write_cells(sheet(folder, subject), [*rows, rows[1 + row]])


def zero_zero(folder, subject, row):
    put(folder, subject, row, "left_hand", "0,0")


def bad_cell(folder, subject, row):
    put(folder, subject, row, "right_foot", "12;")


def bad_name(folder, subject, row):
    rows = read_csv(sheet(folder, subject))
    rows.append([f"{10**16 + row}_8bit.png", *rows[1][1:]])
    write_cells(sheet(folder, subject), rows)


def zeros_in_front(folder, subject, row):
    shutil.copy(sheet(folder, subject), folder / f"result_pz{'0' * (row + 1)}{subject}.csv")


def images_without_a_sheet(folder, subject, row):
    shutil.copytree(folder / f"pz{subject}", folder / f"pz9{subject}", dirs_exist_ok=True)


def lost_folder(folder, subject, row):
    link = folder / f"pz7{row}"
    if not link.is_symlink():
        link.symlink_to(folder.parent / "a disk that is not there")


def another(folder, number, depth, shape=lambda xy: xy, bits=16):
    """Adds an infant whose images are made by `depth`(random depth), and its cells by `shape`."""
    rng = np.random.default_rng(number)
    (folder / f"pz{number}").mkdir(exist_ok=True)
    rows = read_csv(sheet(folder, "3"))[:1]
    joints = rng.uniform(0.2, 0.8, (4, 14, 2)) * SIZE[::-1]
    for k, frame in enumerate(joints.round()):
        image = depth(rng.integers(2800, 3600, SIZE).astype(np.uint16))
        write(folder / f"pz{number}" / f"{1 + 5 * k}_{bits}bit.png", image)
        cells = [f"{x:.3f},{y:.3f}" for x, y in map(shape, frame)]
        rows.append([f"{1 + 5 * k}_8bit.png", *cells])
    write_cells(sheet(folder, str(number)), rows)


def folder_under_a_second_id(folder, subject, row):
    link = folder / f"pz{100 + row}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder / f"pz{subject}")
    shutil.copy(sheet(folder, subject), sheet(folder, str(100 + row)))


def images_of_another_infant(folder, subject, row):
    another(folder, 200 + row, lambda depth: depth)
    shutil.copy(
        folder / f"pz{200 + row}" / "6_16bit.png", folder / f"pz{200 + row}" / "9_16bit.png"
    )
    another(folder, 210 + row, lambda depth: depth)
    for path in (folder / f"pz{200 + row}").glob("*_16bit.png"):
        shutil.copy(path, folder / f"pz{210 + row}")


def joints_of_another_infant(folder, subject, row):
    another(folder, 220 + row, lambda depth: depth)
    another(folder, 230 + row, lambda depth: depth)
    shutil.copy(sheet(folder, str(220 + row)), sheet(folder, str(230 + row)))


def joints_as_shares(folder, subject, row):
    another(folder, 300 + row, lambda depth: depth, lambda xy: xy / SIZE[::-1])


def joints_at_one_place(folder, subject, row):
    another(folder, 310 + row, lambda depth: depth, lambda xy: (7, 5))


def ones_for_missing(folder, subject, row):
    put(folder, subject, row, "left_hand", "1,1")


def almost_zero_for_missing(folder, subject, row):
    put(folder, subject, row, "left_hand", "0.001,0")


def constant_for_no_return(folder, subject, row):
    def depth(image):
        image[:2] = 4095
        return image

    another(folder, 400 + row, depth)


def centimetres(folder, subject, row):
    another(folder, 410 + row, lambda depth: depth // 10)


def grey_levels_beside_depth(folder, subject, row):
    another(folder, 420 + row, lambda depth: (depth // 15).astype(np.uint8), bits=8)


DAMAGES = (
    folder_under_a_second_id, images_of_another_infant, joints_of_another_infant, joints_as_shares,
    joints_at_one_place, ones_for_missing, almost_zero_for_missing, constant_for_no_return,
    centimetres, grey_levels_beside_depth, lost_folder,
    missing_image, eight_bits, truncated, other_size, holes_65535, empty_image, broken_link,
    same_number_twice, zero_zero, bad_cell, bad_name, zeros_in_front, images_without_a_sheet,
)  # fmt: skip


def outside(folder, subject, row):
    put(folder, subject, row, "right_hip", f"{SIZE[1]},3")


def exchanged(folder, subject, row):
    rows = read_csv(sheet(folder, subject))
    for part in ("shoulder", "elbow", "hand"):
        a, b = COLUMN[f"right_{part}"], COLUMN[f"left_{part}"]
        cells = rows[1 + row]
        cells[a], cells[b] = cells[b], cells[a]
    write_cells(sheet(folder, subject), rows)


def hidden(folder, subject, row):
    put(folder, subject, row, "left_knee", "-1,-1")


def linked_image(folder, subject, row):
    path = image_of(folder, subject, row)
    path.rename(folder.parent / f"{subject}-{row}.png")
    path.symlink_to(folder.parent / f"{subject}-{row}.png")


def joints_of_smaller_images(folder, subject, row):
    another(folder, 500 + row, lambda depth: depth, lambda xy: xy / 2)


def three_joints_at_one_place(folder, subject, row):
    for column in ("left_hand", "left_elbow", "right_hand"):
        put(folder, subject, row, column, "9,9")


SOUND = (
    outside, exchanged, hidden, linked_image, joints_of_smaller_images, three_joints_at_one_place,
)  # fmt: skip
LAYOUTS = ("plain", "sheet inside", "linked folder", "workbook")


@st.composite
def changes(draw):
    """Up to three changes of different frames; at most rows 0 to 5, which both infants have."""
    places = st.tuples(st.sampled_from(sorted(INFANTS)), st.integers(0, 5))
    chosen = draw(st.lists(places, max_size=3, unique=True))
    return [(draw(st.sampled_from(DAMAGES + SOUND)), *place) for place in chosen]


def lay_out(folder, layout):
    """Moves the files of the second infant, whose meaning stays the same."""
    images, path = folder / "pz20", sheet(folder, "20")
    if layout == "sheet inside":
        path.rename(images / path.name)
    elif layout == "linked folder":
        images.rename(folder.parent / "elsewhere")
        images.symlink_to(folder.parent / "elsewhere")
    elif layout == "workbook":
        to_xlsx(path)


def outcomes(folder):
    """(exit code, JSON) of check, and (exit code, problems, remarks, stderr) of prepare."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        checked = check.main([str(folder)])
    report = json.loads(out.getvalue().splitlines()[-1])
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        out_file = folder.parent / "frames.npz"
        prepared = prepare.main(
            ["--dataset=babypose", f"--data_dir={folder}", f"--out={out_file}", "--grid=8x6"]
        )
        problems = []
        try:
            read("babypose", folder, (6, 8), "time_order")
        except FolderError as error:
            problems = [problem._asdict() for problem in error.problems]
    assert out_file.exists() == (prepared == 0)
    return checked, report, prepared, problems, err.getvalue()


def assert_agree(what, layout):
    with tempfile.TemporaryDirectory() as root:
        folder = write_folder(Path(root) / "data", INFANTS, SIZE)
        for change, *place in what:
            change(folder, *place)
        lay_out(folder, layout)
        checked, report, prepared, problems, text = outcomes(folder)
    assert (checked, prepared) in ((0, 0), (1, 2))
    assert problems == report["problems"]
    damaged = any(change in DAMAGES for change, *_ in what)
    assert (checked == 1) == damaged
    for entry in (*problems, *report["remarks"]):  # prepare prints them all
        where = entry["file"] if entry["row"] is None else f"{entry['file']}, row {entry['row']}"
        assert f"{where}: {entry['what']}" in text


several = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(several, max_examples=30)
@given(what=changes(), layout=st.sampled_from(LAYOUTS))
def test_check_reports_a_problem_exactly_where_prepare_refuses_with_the_same_list(what, layout):
    assert_agree(what, layout)


@pytest.mark.slow
@settings(several, max_examples=200)
@given(what=changes(), layout=st.sampled_from(LAYOUTS))
def test_check_and_prepare_agree_on_200_folders(what, layout):
    assert_agree(what, layout)


@pytest.mark.parametrize("change", [*DAMAGES, *SOUND], ids=lambda change: change.__name__)
def test_check_and_prepare_agree_on_every_single_change(change):
    assert_agree([(change, "20", 4)], "plain")


def test_the_importer_of_tfds_refuses_with_the_same_list(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    from test_babypose import build

    folder = write_folder(tmp_path / "data", INFANTS, SIZE)
    for k, change in enumerate((zero_zero, holes_65535, missing_image, outside)):
        change(folder, "20", k)
    with pytest.raises(FolderError) as error:
        build(folder, tmp_path / "out")
    report = check.check(folder)
    assert list(error.value.problems) == report.problems
    assert list(error.value.remarks) == report.remarks
    assert (len(report.problems), len(report.remarks)) == (3, 1)
    assert not list((tmp_path / "out").rglob("*.tfrecord*"))
