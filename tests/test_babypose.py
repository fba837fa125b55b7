"""The babyPose importer: sheets, images, and the TFDS data set made of them."""

import shutil
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
from babypose_folder import (
    HEADER,
    read_csv,
    to_xlsx,
    write_cells,
    write_csv,
    write_depth,
    write_folder,
)

from data_pipeline.babypose.frames import hide_outside, read_depth, read_frames, read_infants
from data_pipeline.babypose.sheets import Problem, raise_first, read_sheet
from data_pipeline.errors import DataError
from jaxpose.body.skeleton import JOINTS

COLUMN = {name: k for k, name in enumerate(HEADER.split(";"))}


@pytest.fixture
def folder(tmp_path):
    """One infant, six frames; the sheet's rows are 11 16 1 21 26 6."""
    return write_folder(tmp_path / "data")


@pytest.fixture
def sheet_path(folder):
    return folder / "result_pz1.csv"


def problems(folder) -> list[Problem]:
    actual = []
    for _ in read_frames(read_infants(folder, actual.append), actual.append):
        pass
    return actual


def put(path, row, column, cell):
    """Writes one cell; row 1 is the header."""
    rows = read_csv(path)
    rows[row - 1][COLUMN[column]] = cell
    write_cells(path, rows)


def assert_refused(folder, path, row, *words):
    """The one problem is at that file and row, and stops a reader with the same message."""
    (problem,) = problems(folder)
    assert (problem.file, problem.row) == (str(path), row)
    assert all(word in problem.what for word in words), problem.what
    with pytest.raises(DataError) as error:
        list(read_frames(read_infants(folder)))
    place = str(path) if row is None else f"{path}, row {row}"
    assert str(error.value) == f"{place}: {problem.what}"


# ---------------------------------------------------------------- sheets


def test_hands_are_wrists_feet_are_ankles_and_each_cell_lands_at_its_joint(sheet_path):
    rows = read_csv(sheet_path)
    for k in range(14):
        rows[2][k + 1] = f"{k},{100 + k}"
    write_cells(sheet_path, rows)
    sheet = read_sheet(sheet_path, raise_first)
    for joint, name in enumerate(JOINTS):
        column = name.replace("wrist", "hand").replace("ankle", "foot")
        k = COLUMN[column] - 1
        assert sheet.joints[1, joint].tolist() == [k, 100 + k]
    assert sheet.joints.dtype == np.float32


def test_rows_sorted_as_strings_become_frames_sorted_by_number(sheet_path):
    sheet = read_sheet(sheet_path, raise_first)
    assert sheet.frames.tolist() == [11, 16, 1, 21, 26, 6]
    assert sheet.rows.tolist() == [2, 3, 4, 5, 6, 7]
    in_time = sheet.in_time_order()
    assert in_time.frames.tolist() == [1, 6, 11, 16, 21, 26]
    assert in_time.rows.tolist() == [4, 7, 2, 3, 5, 6]
    assert (in_time.joints == sheet.joints[[2, 5, 0, 1, 3, 4]]).all()


def test_the_sheet_without_head_and_neck_gives_the_same_joints(sheet_path):
    full = read_sheet(sheet_path, raise_first)
    stored = [k for name, k in COLUMN.items() if name not in ("head", "neck")]
    write_cells(sheet_path, [[row[k] for k in stored] for row in read_csv(sheet_path)])
    assert (read_sheet(sheet_path, raise_first).joints == full.joints).all()


def test_columns_are_found_by_name_in_any_order(sheet_path):
    full = read_sheet(sheet_path, raise_first)
    write_cells(sheet_path, [row[::-1] for row in read_csv(sheet_path)])
    assert (read_sheet(sheet_path, raise_first).joints == full.joints).all()


def test_a_workbook_reads_as_the_csv_does(folder, sheet_path):
    put(sheet_path, 3, "left_foot", "-1,-1")
    put(sheet_path, 4, "left_foot", "")  # the last column: Excel does not store this cell at all
    from_csv = read_sheet(sheet_path, raise_first)
    workbook = to_xlsx(sheet_path)
    from_xlsx = read_sheet(workbook, raise_first)
    assert from_xlsx.path == workbook
    assert from_xlsx.numbers == from_csv.numbers
    assert (from_xlsx.rows == from_csv.rows).all()
    assert (from_xlsx.joints == from_csv.joints).all()
    assert problems(folder) == []


def test_a_workbook_that_understates_its_extent_is_read_whole(sheet_path):
    workbook = to_xlsx(sheet_path)
    with zipfile.ZipFile(workbook) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    inside = "xl/worksheets/sheet1.xml"
    assert b'ref="A1:O7"' in files[inside]
    files[inside] = files[inside].replace(b'ref="A1:O7"', b'ref="A1"')
    with zipfile.ZipFile(workbook, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert len(read_sheet(workbook, raise_first).rows) == 6


def test_minus_one_and_empty_cells_are_missing_and_nothing_else_is(sheet_path):
    put(sheet_path, 2, "right_hand", "-1,-1")
    put(sheet_path, 3, "left_knee", "")
    put(sheet_path, 4, "head", "-1,-1")
    sheet = read_sheet(sheet_path, raise_first)
    assert np.argwhere(~sheet.visible).tolist() == [
        [0, JOINTS.index("right_wrist")],
        [1, JOINTS.index("left_knee")],
    ]
    assert (sheet.joints[~sheet.visible] == -1).all()


def test_byte_order_mark_crlf_quotes_floats_and_blank_lines_change_nothing(sheet_path):
    plain = read_sheet(sheet_path, raise_first)
    lines = [
        ";".join(f'"{c}"' if k else c for k, c in enumerate(row)) for row in read_csv(sheet_path)
    ]
    text = "\r\n".join(lines).replace(',1"', ',1.0"') + "\r\n\r\n"
    sheet_path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    put_back = read_sheet(sheet_path, raise_first)
    assert (put_back.joints == plain.joints).all()
    assert (put_back.rows == plain.rows).all()


def test_a_float_cell_keeps_its_fraction_and_an_empty_last_column_is_harmless(sheet_path):
    put(sheet_path, 2, "right_hip", "28.25,34.5")
    write_csv(sheet_path, [";".join(row) + ";" for row in read_csv(sheet_path)])
    sheet = read_sheet(sheet_path, raise_first)
    assert sheet.joints[0, JOINTS.index("right_hip")].tolist() == [28.25, 34.5]


@pytest.mark.parametrize(
    "cell", ["280", "280,", "280;346", "a,b", "280,346,1", "nan,nan", "inf,2", "280.346", "1e3,2"]
)
def test_a_cell_that_is_not_x_y_is_refused(folder, sheet_path, cell):
    put(sheet_path, 5, "left_elbow", f'"{cell}"')
    assert_refused(folder, sheet_path, 5, "left_elbow", repr(cell), "x,y")


@pytest.mark.parametrize(
    "name",
    ["../../x.png", "../1_8bit.png", "/etc/1_8bit.png", "pz1/1_8bit.png", "1.png", "_8bit.png",
     "1_8bit.png.png", "1_32bit.png", "-1_8bit.png", "²_8bit.png", ""],
)  # fmt: skip
def test_an_image_name_with_a_path_or_of_another_form_is_refused(folder, sheet_path, name):
    put(sheet_path, 3, "image", name)
    assert_refused(folder, sheet_path, 3, repr(name), "<number>_16bit.png")


@pytest.mark.parametrize("number", [2**31, 1_700_000_000_123_456, "9" * 5000])
def test_a_time_stamp_as_frame_number_is_refused_with_the_greatest_number(
    folder, sheet_path, number
):
    put(sheet_path, 3, "image", f"{number}_16bit.png")
    assert_refused(folder, sheet_path, 3, str(number), "at most 2147483647", "not by time stamps")


def test_the_greatest_frame_number_is_read(folder, sheet_path):
    (folder / "pz1" / "16_16bit.png").rename(folder / "pz1" / "02147483647_16bit.png")
    put(sheet_path, 3, "image", "02147483647_8bit.png")
    assert problems(folder) == []
    assert read_sheet(sheet_path, raise_first).frames[1] == 2**31 - 1


def test_sixteen_bit_names_in_the_sheet_mean_the_same_frames(folder, sheet_path):
    write_csv(sheet_path, [";".join(r).replace("_8bit", "_16bit") for r in read_csv(sheet_path)])
    assert problems(folder) == []
    assert read_sheet(sheet_path, raise_first).frames.tolist() == [11, 16, 1, 21, 26, 6]


@pytest.mark.parametrize("again", ["16_8bit.png", "016_8bit.png", "16_16bit.png"])
def test_the_same_frame_twice_is_refused_and_both_rows_are_named(folder, sheet_path, again):
    put(sheet_path, 6, "image", again)
    assert_refused(folder, sheet_path, 6, "frame 16", "row 3")


def test_a_missing_a_double_and_an_unknown_column_are_refused(folder, sheet_path):
    rows = read_csv(sheet_path)
    put(sheet_path, 1, "left_knee", "left_nee")
    actual = problems(folder)
    assert [(p.file, p.row) for p in actual] == [(str(sheet_path), 1)] * 2
    assert "'left_knee' is missing" in actual[0].what
    assert "unknown column 'left_nee'" in actual[1].what

    write_cells(sheet_path, rows)
    put(sheet_path, 1, "neck", "left_knee")
    assert_refused(folder, sheet_path, 1, "'left_knee' is there 2 times")


def test_commas_between_columns_are_refused_with_the_remedy(folder, sheet_path):
    write_csv(sheet_path, [",".join(row) for row in read_csv(sheet_path)])
    assert_refused(folder, sheet_path, 1, "one column", "';'")


def test_a_row_that_breaks_off_is_refused(folder, sheet_path):
    rows = read_csv(sheet_path)
    rows[4] = rows[4][:7]
    write_cells(sheet_path, rows)
    assert_refused(folder, sheet_path, 5, "7 cells", "15")


def test_a_cell_in_a_column_without_name_is_refused(folder, sheet_path):
    rows = read_csv(sheet_path)
    rows[2].append("7,7")
    write_cells(sheet_path, rows)
    assert_refused(folder, sheet_path, 3, "'7,7'", "without a name")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_sheet_is_refused(folder, sheet_path, content):
    sheet_path.write_text(content)
    assert_refused(folder, sheet_path, None, "empty")


def test_a_sheet_of_two_frames_is_refused(folder, sheet_path):
    write_cells(sheet_path, read_csv(sheet_path)[:3])
    assert_refused(folder, sheet_path, None, "2 annotated frames", "at least 3")


def test_a_header_without_frames_is_refused(folder, sheet_path):
    write_cells(sheet_path, read_csv(sheet_path)[:1])
    assert_refused(folder, sheet_path, None, "0 annotated frames")


def test_a_sheet_with_every_joint_missing_is_refused(folder, sheet_path):
    header, *rows = read_csv(sheet_path)
    write_cells(sheet_path, [header, *([row[0]] + ["-1,-1"] * 14 for row in rows)])
    assert_refused(folder, sheet_path, None, "every joint", "missing")


def test_one_frame_with_every_joint_missing_is_fine(folder, sheet_path):
    header, first, *rows = read_csv(sheet_path)
    write_cells(sheet_path, [header, [first[0]] + ["-1,-1"] * 14, *rows])
    assert problems(folder) == []


@pytest.mark.parametrize("content", [b"", b"image;head\n", b"PK\x03\x04 and no more", None])
def test_an_xlsx_that_is_no_workbook_is_refused(folder, sheet_path, content):
    workbook = to_xlsx(sheet_path)
    if content is None:
        content = workbook.read_bytes()[:-300]
    workbook.write_bytes(content)
    assert_refused(folder, workbook, None, "not an Excel workbook")


def test_a_csv_that_is_not_utf8_text_is_refused(folder, sheet_path):
    sheet_path.write_bytes(sheet_path.read_text().encode("utf-16"))
    assert_refused(folder, sheet_path, None, "UTF-8")


def test_every_problem_of_a_sheet_is_collected_and_its_good_rows_are_kept(sheet_path):
    put(sheet_path, 2, "head", "x")  # ignored column: no problem
    put(sheet_path, 3, "right_hip", "x")
    put(sheet_path, 5, "image", "x")
    put(sheet_path, 7, "left_hip", "x")
    actual = []
    sheet = read_sheet(sheet_path, actual.append)
    assert [p.row for p in actual] == [3, 5, 7]
    assert sheet.rows.tolist() == [2, 4, 6]


# ---------------------------------------------------------------- the folder


@pytest.mark.parametrize(
    "name",
    [
        "result_pz1_corrected.csv", "result_pz1 (1).csv", "result_pz2.ods", "pz1/result_pz1.xls",
        "Result PZ4.txt", "pz9.csv", "pz9.zip", "result_pz9.csv.zip",
    ],
)  # fmt: skip
def test_a_table_whose_name_is_not_quite_a_sheets_is_remarked_upon(folder, name):
    (folder / name).write_text("image;left_hand\n")
    remarks = []
    read_infants(folder, raise_first, remarks.append)
    assert [(r.file, r.what[:8]) for r in remarks] == [(str(folder / name), "not read")]


def test_a_sheet_by_any_name_is_remarked_upon(folder, sheet_path):
    (folder / "annotations.csv").write_text(sheet_path.read_text())
    remarks = []
    read_infants(folder, raise_first, remarks.append)
    assert [r.file for r in remarks] == [str(folder / "annotations.csv")]


def test_a_quote_ends_with_its_line(folder, sheet_path):
    rows = read_csv(sheet_path)
    rows[2][1] = '"12,13'
    write_cells(sheet_path, rows)
    assert_refused(folder, sheet_path, None, "line 3", "close the quote")
    rows[2][1] = '"12,13"'
    write_cells(sheet_path, rows)
    assert len(read_sheet(sheet_path, raise_first).rows) == len(rows) - 1


def test_a_last_line_without_an_end_is_remarked_upon(sheet_path):
    sheet_path.write_text(sheet_path.read_text().rstrip("\n"))
    remarks = []
    read_sheet(sheet_path, raise_first, remarks.append)
    assert ["look whether the file is complete" in r.what for r in remarks] == [True]


def test_lock_files_and_other_tables_are_not_remarked_upon(folder):
    for name in ("~$result_pz1.xlsx", ".~lock.result_pz1.csv", "intrinsics.csv"):
        (folder / name).write_text("")
    read_infants(folder, raise_first, pytest.fail)


def test_infants_in_a_deeper_folder_are_remarked_upon(folder):
    write_folder(folder / "second visit", {"7": 6})
    (folder / "videos").mkdir()
    (folder / "pz8" / "depth").mkdir(parents=True)
    write_folder(folder / "pz1" / "later", {"9": 6})
    write_folder(folder / "videos" / "a", {"10": 6})
    (folder / "loop").symlink_to(folder)
    remarks = []
    read_infants(folder, raise_first, remarks.append)
    assert {(r.file, r.what.split(" ")[0]) for r in remarks} == {
        (str(folder / "pz8"), "not"),
        (str(folder / "second visit"), "contains"),
        (str(folder / "pz1" / "later"), "contains"),
        (str(folder / "videos" / "a"), "contains"),
    }


@pytest.mark.parametrize("name", ["1_16bit.PNG", "1_16BIT.png", "1_16bit.tiff"])
def test_images_of_other_spellings_without_a_sheet_are_refused(folder, name):
    (folder / "pz9").mkdir()
    (folder / "pz9" / name).write_bytes(b"")
    assert_refused(folder, folder / "pz9", None, "images without a sheet")


def test_two_sheets_of_one_infant_are_refused_and_both_are_named(folder, sheet_path):
    text = sheet_path.read_text()
    workbook = to_xlsx(sheet_path)
    sheet_path.write_text(text)
    assert_refused(folder, workbook, None, str(sheet_path), "remove one")


def test_two_sheets_whose_ids_differ_in_zeros_alone_are_refused_and_both_are_named(tmp_path):
    folder = write_folder(tmp_path / "data", {"3": 4, "03": 4})
    reported = problems(folder)
    assert [(p.file, p.row) for p in reported] == [
        (str(folder / "pz3"), None),
        (str(folder / "result_pz3.csv"), None),
    ]
    assert f"{folder / 'pz03'} is a folder of the same infant 3; remove one" in reported[0].what
    assert f"{folder / 'result_pz03.csv'} is a sheet of the same infant 3;" in reported[1].what


def test_two_folders_whose_names_differ_in_capital_letters_alone_are_refused(folder):
    (folder / "PZ1").mkdir()
    if not (folder / "pz1").samefile(folder / "PZ1"):  # as some file systems see it
        assert_refused(folder, folder / "pz1", None, f"{folder / 'PZ1'} is a folder of the same")


def test_a_folder_in_capital_letters_is_the_infants(folder):
    (folder / "pz1").rename(folder / "PZ1")
    (folder / "result_pz1.csv").rename(folder / "RESULT_PZ1.CSV")
    assert problems(folder) == []
    assert read_infants(folder)[0].images[0] == folder / "PZ1" / "1_16bit.png"


def test_an_empty_folder_is_refused(tmp_path):
    assert_refused(tmp_path, tmp_path, None, "no sheet")


@pytest.mark.parametrize("name", ["a4", "A4", "1_old", "-1"])
def test_an_id_that_is_no_number_is_refused_though_its_sheet_is_there(folder, name):
    shutil.copytree(folder / "pz1", folder / f"pz{name}")
    shutil.copy(folder / "result_pz1.csv", folder / f"result_pz{name}.csv")
    what = f"images of an infant whose id is '{name}'; expected a number"
    assert_refused(folder, folder / f"pz{name}", None, what)


def test_images_without_a_sheet_are_refused(folder):
    (folder / "pz12").mkdir()
    write_depth(folder / "pz12" / "1_16bit.png", (48, 64), np.random.default_rng(0))
    assert_refused(folder, folder / "pz12", None, "without a sheet", "result_pz12.csv")


def test_infants_come_by_number(tmp_path):
    folder = write_folder(tmp_path, {"12": 3, "3": 3, "100": 3})
    assert [i.sheet.subject for i in read_infants(folder)] == ["3", "12", "100"]


def test_a_sheet_may_lie_inside_its_folder_and_that_folder_be_used_alone(folder, sheet_path):
    inside = sheet_path.rename(folder / "pz1" / sheet_path.name)
    for root in (folder, folder / "pz1"):
        (infant,) = read_infants(root)
        assert infant.sheet.path == inside
        assert [i.name for i in infant.images[:2]] == ["1_16bit.png", "6_16bit.png"]
        assert problems(root) == []


def test_no_infant_is_given_the_images_of_another(tmp_path):
    folder = write_folder(tmp_path, {"1": 3, "2": 3})
    for image in (folder / "pz2").iterdir():
        image.unlink()
    (folder / "pz2").rmdir()
    astray = (folder / "result_pz2.csv").rename(folder / "pz1" / "result_pz2.csv")
    assert_refused(folder, astray, None, "none of its images exists")


def test_images_beside_two_sheets_belong_to_neither(tmp_path):
    folder = write_folder(tmp_path, {"1": 3, "2": 3})
    for image in (folder / "pz2").iterdir():
        image.rename(folder / image.name)
    (folder / "pz2").rmdir()
    assert_refused(folder, folder / "result_pz2.csv", None, "none of its images exists")


def test_a_missing_image_is_refused_at_its_row(folder, sheet_path):
    (folder / "pz1" / "6_16bit.png").unlink()
    assert_refused(folder, sheet_path, 7, "6_16bit.png is missing")


def test_eight_bit_images_are_taken_only_where_the_infant_has_no_other(folder, sheet_path):
    for image in sorted((folder / "pz1").iterdir()):
        grey = (read_depth(image) >> 8).astype(np.uint8)
        assert cv2.imwrite(str(image).replace("_16bit", "_8bit"), grey)
    assert read_infants(folder)[0].bits == 16
    (folder / "pz1" / "6_16bit.png").unlink()
    assert_refused(folder, sheet_path, 7, "6_16bit.png is missing")
    for image in (folder / "pz1").glob("*_16bit.png"):
        image.unlink()
    (infant,) = read_infants(folder)
    assert infant.bits == 8
    depths = [depth for _, _, depth in read_frames([infant])]
    assert {d.dtype for d in depths} == {np.dtype(np.uint16)}
    assert max(d.max() for d in depths) == 6553 >> 8


# ---------------------------------------------------------------- images


def test_depth_is_read_bit_for_bit_up_to_6553_mm(tmp_path):
    expected = (np.arange(2**16) % 6554).astype(np.uint16).reshape(256, 256)
    cv2.imwrite(str(tmp_path / "1_16bit.png"), expected)
    depth = read_depth(tmp_path / "1_16bit.png")
    assert depth.dtype == np.uint16
    assert (depth == expected).all()


def damage(data: bytes, how) -> bytes:
    if how == "zeros":  # what a broken copy of the right length leaves
        return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    if how == "flipped":
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return data[: int(how * len(data))] if isinstance(how, float) else data[:how]


@pytest.mark.parametrize("how", [0, 7, 8, 30, 60, 0.1, 0.5, 0.9, -13, -12, -1, "zeros", "flipped"])
def test_a_png_cut_or_damaged_anywhere_is_refused_at_its_row(folder, sheet_path, how):
    image = folder / "pz1" / "21_16bit.png"
    image.write_bytes(damage(image.read_bytes(), how))
    assert_refused(folder, sheet_path, 5, "21_16bit.png", "not a complete PNG")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (np.full((48, 64), 7, np.uint8), "8 bits"),
        (np.full((48, 64, 3), 7, np.uint16), "colour"),
        (np.full((48, 64, 3), 7, np.uint8), "colour"),
        (np.zeros((48, 64), np.uint16), "every pixel is 0"),
        (np.full((48, 63), 7, np.uint16), "63x48"),
    ],
)
def test_another_kind_of_image_is_refused_at_its_row(folder, sheet_path, kind, words):
    cv2.imwrite(str(folder / "pz1" / "21_16bit.png"), kind)
    assert_refused(folder, sheet_path, 5, "21_16bit.png", words)


def test_joints_outside_of_the_image_are_hidden_up_to_half_a_pixel_beyond_its_edges():
    xy = np.array(
        [[-0.5, -0.5], [-0.6, 0], [0, -0.6], [9.4, 4.4], [9.5, 4], [9, 4.5], [-1, -1], [-1, 3]],
        np.float32,
    )
    joints, visible = hide_outside(xy, (5, 10))
    assert visible.tolist() == [True, False, False, True, False, False, False, False]
    assert (joints[visible] == xy[visible]).all()
    assert (joints[~visible] == -1).all()
    assert joints.dtype == np.float32


# ---------------------------------------------------------------- the data set


def build(folder, data_dir, config="time_order") -> list[dict]:
    """Examples of the built data set, in order."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from data_pipeline.babypose import babypose_dataset_builder

    builder = babypose_dataset_builder.Builder(data_dir=data_dir, config=config)
    assert builder.name == "babypose"
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder, compute_stats="skip")
    )
    return list(tfds.as_numpy(builder.as_dataset(split="all")))


def ids(examples):
    return [(e["subject"].decode(), int(e["frame"])) for e in examples]


def test_importing_and_checking_need_no_tensorflow():
    code = (
        "import sys, data_pipeline.babypose.frames, data_pipeline.check; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_data_set_holds_every_bit_joint_and_frame_in_order(tmp_path):
    folder = write_folder(tmp_path / "in", {"12": 3, "3": 4})
    path = folder / "result_pz3.csv"
    put(path, 2, "right_hand", "-1,-1")  # frame 11
    put(path, 3, "left_foot", "64,10")  # frame 16: one pixel beyond the right edge
    edge = np.arange(6554 - 48 * 64, 6554).astype(np.uint16).reshape(48, 64)
    cv2.imwrite(str(folder / "pz3" / "6_16bit.png"), edge)

    examples = build(folder, tmp_path / "out")

    assert ids(examples) == [("3", n) for n in (1, 6, 11, 16)] + [("12", n) for n in (1, 6, 11)]
    assert (examples[1]["depth"][..., 0] == edge).all()
    for example, (subject, n) in zip(examples, ids(examples), strict=True):
        raw = cv2.imread(str(folder / f"pz{subject}" / f"{n}_16bit.png"), cv2.IMREAD_UNCHANGED)
        assert example["depth"].dtype == np.uint16
        assert (example["depth"][..., 0] == raw).all()
        assert example["crop"].tolist() == [0, 0, 64, 48]
        assert example["sequence"] == b""
    hidden = [(k, JOINTS[j]) for k, e in enumerate(examples) for j in np.flatnonzero(~e["visible"])]
    assert hidden == [(2, "right_wrist"), (3, "left_ankle")]
    sheet = read_sheet(path, raise_first).in_time_order()
    for k in range(4):
        visible = examples[k]["visible"]
        assert (examples[k]["joints"][visible] == sheet.joints[k][visible]).all()
        assert (examples[k]["joints"][~visible] == -1).all()


def test_row_order_keeps_the_rows_of_the_sheet(folder, tmp_path):
    examples = build(folder, tmp_path / "out", "row_order")
    assert ids(examples) == [("1", n) for n in (11, 16, 1, 21, 26, 6)]


def test_order_survives_when_tfds_sorts_on_disk(folder, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    from tensorflow_datasets.core import shuffle

    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 0)
    filled = []
    add = shuffle._Bucket.add
    monkeypatch.setattr(
        shuffle._Bucket, "add", lambda self, key, data: filled.append(self) or add(self, key, data)
    )
    examples = build(folder, tmp_path / "out")
    assert ids(examples) == [("1", n) for n in (1, 6, 11, 16, 21, 26)]
    assert len(set(filled)) == 6, "examples share a bucket, which TFDS holds in memory"


def test_grey_levels_are_stored_unscaled_and_with_a_remark(folder, tmp_path, capsys):
    for image in sorted((folder / "pz1").iterdir()):
        grey = (read_depth(image) >> 8).astype(np.uint8)
        cv2.imwrite(str(image).replace("_16bit", "_8bit"), grey)
        image.unlink()
    examples = build(folder, tmp_path / "out")
    assert "result_pz1.csv: 8-bit images only: their values are grey" in capsys.readouterr().err
    raw = cv2.imread(str(folder / "pz1" / "1_8bit.png"), cv2.IMREAD_UNCHANGED)
    assert (examples[0]["depth"][..., 0] == raw).all()


def test_a_bad_last_frame_stops_the_build_before_anything_is_written(folder, tmp_path):
    image = folder / "pz1" / "26_16bit.png"
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"result_pz1.csv, row 6: .*26_16bit.png"):
        build(folder, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.tfrecord*"))


# ---------------------------------------------------------------- the published sheets


@pytest.fixture
def real_sheets(real_data):
    paths = sorted((real_data / "babypose_annotations").glob("result_pz*.csv"))
    return {p.stem.removeprefix("result_pz"): read_sheet(p, raise_first) for p in paths}


def consecutive_triplets(frames) -> int:
    return int(((np.diff(frames)[1:] == 5) & (np.diff(frames)[:-1] == 5)).sum())


def test_the_rows_of_every_real_sheet_are_sorted_as_strings_not_in_time(real_sheets):
    assert len(real_sheets) == 14
    for sheet in real_sheets.values():
        names = [f"{number}_8bit.png" for number in sheet.numbers]
        assert names == sorted(names)
        assert consecutive_triplets(sheet.frames) < 0.71 * len(sheet.frames)
        assert (np.diff(sheet.in_time_order().frames) > 0).all()


def test_sorting_by_number_turns_699_consecutive_triplets_of_999_into_994(real_sheets):
    sheet = real_sheets["3"]
    assert len(sheet.rows) == 1001
    assert consecutive_triplets(sheet.frames) == 699
    assert consecutive_triplets(sheet.in_time_order().frames) == 994


def test_real_wrists_are_missing_in_18_percent_of_the_frames_and_left_knees_seldom(real_sheets):
    visible = np.concatenate([sheet.visible for sheet in real_sheets.values()])
    missing = dict(zip(JOINTS, 1 - visible.mean(0), strict=True))
    assert len(visible) == 14_024
    assert missing["right_wrist"] == pytest.approx(2553 / 14_024)
    assert missing["left_wrist"] == pytest.approx(2621 / 14_024)
    assert missing["left_knee"] == min(missing.values())


@pytest.mark.slow
def test_three_real_sheets_with_made_up_depth_become_a_data_set(real_sheets, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    depth = write_depth(folder / "one.png", (480, 640), np.random.default_rng(0))
    depth = depth // 512 * 512 + 1  # compresses well, hence quick
    cv2.imwrite(str(folder / "one.png"), depth)
    chosen = {subject: real_sheets[subject] for subject in ("3", "17", "39")}
    for subject, sheet in chosen.items():
        (folder / f"pz{subject}").mkdir()
        (folder / sheet.path.name).symlink_to(sheet.path)
        for number in sheet.numbers:
            (folder / f"pz{subject}" / f"{number}_16bit.png").symlink_to(folder / "one.png")
    examples = build(folder, tmp_path / "out")
    assert len(examples) == 1001 + 1004 + 1006
    assert ids(examples) == [
        (subject, n)
        for subject, sheet in chosen.items()
        for n in sheet.in_time_order().frames.tolist()
    ]
    assert (examples[-1]["depth"][..., 0] == depth).all()
    visible = np.array([e["visible"] for e in examples])
    # every annotated joint of these sheets lies inside of 640x480
    assert visible.sum() == sum(sheet.visible.sum() for sheet in chosen.values())
