"""`python -m data_pipeline.check`: what it finds in a folder, and how it says so."""

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from babypose_folder import HEADER, numbers, read_csv, write_cells, write_depth, write_folder

from data_pipeline.babypose.frames import hide_outside
from data_pipeline.babypose.rules import FolderError
from data_pipeline.babypose.sheets import COLUMNS as SHEET_COLUMNS
from data_pipeline.babypose.sheets import raise_first, read_sheet
from data_pipeline.check import check, main
from data_pipeline.examples.clips import clip_starts
from data_pipeline.load import load_frames
from jaxpose.body.sides import LEFT, RIGHT, TRUNK, exchanged_pairs, looks_mirrored
from jaxpose.body.skeleton import JOINTS, MIRROR

COLUMN = {name: k for k, name in enumerate(HEADER.split(";"))}


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data", {"2": 12, "10": 5}, deepest_mm=6553)


def edit(path, change):
    rows = read_csv(path)
    change(rows)
    write_cells(path, rows)


def exchange(row, *parts):
    """Exchanges the cells of both sides in one row of a sheet."""
    for part in parts:
        a, b = COLUMN[f"right_{part}"], COLUMN[f"left_{part}"]
        row[a], row[b] = row[b], row[a]


def test_a_sound_folder_has_neither_problems_nor_remarks(folder):
    report = check(folder)
    assert report.problems == []
    assert report.remarks == []
    assert list(report.infants) == ["2", "10"]
    infant = report.infants["2"]
    assert (infant.frames, infant.first, infant.last, infant.step) == (12, 1, 56, 5)
    assert (infant.gaps, infant.missing_share, infant.outside, infant.swaps) == (0, 0, 0, 0)
    assert (infant.bits, infant.size) == (16, (64, 48))


def test_depth_range_and_holes_are_counted_exactly_over_all_frames(folder):
    values = np.zeros((48, 64), np.uint16)  # 3072 pixels, of which 1000 are 1001 ... 2000 mm
    values.ravel()[:1000] = np.arange(1001, 2001)
    for n in numbers(5):
        cv2.imwrite(str(folder / "pz10" / f"{n}_16bit.png"), values)
    infant = check(folder).infants["10"]
    # the smallest values that 1 % and 99 % of the 5000 pixels with a return do not exceed
    assert infant.depth_mm == (1010, 1990)
    assert infant.hole_share == round(2072 / 3072, 4)


def test_gaps_are_counted_in_time_not_in_row_order_and_are_no_problem(folder):
    def drop_frames_16_21_and_41(rows):
        rows[:] = [r for r in rows if r[0] not in ("16_8bit.png", "21_8bit.png", "41_8bit.png")]

    edit(folder / "result_pz2.csv", drop_frames_16_21_and_41)
    # a frame between two others is no gap
    edit(folder / "result_pz2.csv", lambda rows: rows.append(["3_8bit.png", *rows[1][1:]]))
    (folder / "pz2" / "1_16bit.png").rename(folder / "pz2" / "3_16bit.png")
    write_depth(folder / "pz2" / "1_16bit.png", (48, 64), np.random.default_rng(3))
    report = check(folder)
    assert report.infants["2"].frames == 10
    assert report.infants["2"].gaps == 2
    assert report.problems == []
    copied, clips, steps = report.remarks
    assert "1 of 10 frames have exactly the joints of another frame" in copied.what
    assert "4 of 10 frames are in no clip of three that are 5 apart" in clips.what
    assert "2 of 9 steps from frame to frame are no multiple of 5" in steps.what


def test_missing_joints_are_shares_of_all_joints(folder):
    def hide(rows):
        for row in rows[1:4]:
            row[COLUMN["left_hand"]] = "-1,-1"
        rows[5][COLUMN["right_knee"]] = ""
        rows[5][COLUMN["neck"]] = "-1,-1"  # not one of the 12

    edit(folder / "result_pz2.csv", hide)
    assert check(folder).infants["2"].missing_share == round(4 / (12 * 12), 4)


def test_a_joint_outside_of_the_image_is_a_remark_with_its_row_and_counts_as_missing(folder):
    path = folder / "result_pz10.csv"

    def move_out(rows):
        rows[3][COLUMN["right_foot"]] = "64,3"

    edit(path, move_out)
    report = check(folder)
    (remark,) = report.remarks
    assert (remark.file, remark.row) == (str(path), 4)
    assert "right_ankle at 64,3 is outside" in remark.what
    assert report.infants["10"].outside == 1
    assert report.infants["10"].missing_share == round(1 / (5 * 12), 4)
    assert report.problems == []


def test_a_sheet_of_which_most_joints_are_outside_of_the_image_is_one_problem(folder):
    path = folder / "result_pz10.csv"

    def double(rows):  # as annotated on images twice as large: those at x > 31 or y > 23 fall out
        for row in rows[1:]:
            for k in range(1, len(row)):
                x, y = row[k].split(",")
                row[k] = f"{2 * int(x)},{2 * int(y)}"

    edit(path, double)
    report = check(folder)
    (problem,) = report.problems
    assert (problem.file, problem.row) == (str(path), None)
    assert "of 60 joints are outside of the image; expected pixels of its 64x48" in problem.what
    assert not any("outside" in remark.what for remark in report.remarks)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        (("shoulder", "elbow", "hand"), "shoulder, elbow, wrist"),
        (("hip", "knee", "foot"), "hip, knee, ankle"),
        (("hand",), "wrist"),
    ],
)
def test_an_exchanged_limb_or_joint_is_a_remark_with_its_row(folder, parts, named):
    path = folder / "result_pz2.csv"
    edit(path, lambda rows: exchange(rows[6], *parts))
    report = check(folder)
    (remark,) = report.remarks
    assert (remark.file, remark.row) == (str(path), 7)
    assert f"exchanged: {named};" in remark.what
    assert report.infants["2"].swaps == 1
    assert report.problems == []


def test_an_exchanged_limb_at_either_end_of_the_recording_is_found(folder):
    path = folder / "result_pz2.csv"
    rows = [row[0] for row in read_csv(path)]
    for n in (1, 56):
        index = rows.index(f"{n}_8bit.png")
        edit(path, lambda rows, k=index: exchange(rows[k], "shoulder", "elbow", "hand"))
    assert [r.row for r in check(folder).remarks] == [
        rows.index("1_8bit.png") + 1,
        rows.index("56_8bit.png") + 1,
    ]


def test_a_run_of_exchanged_frames_is_found_by_its_trunk(folder):
    path = folder / "result_pz2.csv"
    names = [f"{n}_8bit.png" for n in (16, 21, 26, 31)]

    def exchange_run(rows):
        for row in rows:
            if row[0] in names:
                exchange(row, "shoulder", "elbow", "hand", "hip", "knee", "foot")

    edit(path, exchange_run)
    rows = [row[0] for row in read_csv(path)]
    rows_found = {r.row for r in check(folder).remarks}
    assert rows_found == {rows.index(name) + 1 for name in names}


def test_a_sheet_with_all_sides_exchanged_is_reported_once(folder):
    path = folder / "result_pz2.csv"

    def exchange_all(rows):
        for row in rows[1:]:
            exchange(row, "shoulder", "elbow", "hand", "hip", "knee", "foot")

    edit(path, exchange_all)
    (remark,) = check(folder).remarks
    assert (remark.file, remark.row) == (str(path), None)
    assert "most frames" in remark.what


@pytest.mark.parametrize("quarter_turns", range(4))
def test_turning_the_image_never_looks_like_mirroring_it(folder, quarter_turns):
    sheet = read_sheet(folder / "result_pz2.csv", raise_first)
    turn = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), quarter_turns)
    turned = sheet.joints @ turn.T + 100
    assert not looks_mirrored(turned, sheet.visible)
    assert looks_mirrored(turned * (-1, 1), sheet.visible)


def still(frames=12, apart=200):
    """An infant that does not move: its right side at x = 400, its left `apart` px from there."""
    joints = np.zeros((frames, 12, 2), np.float32)
    joints[:, RIGHT] = (400, 200)
    joints[:, LEFT] = (400 - apart, 200)
    return joints, np.ones((frames, 12), bool), np.arange(frames) * 5


def test_neighbours_across_a_gap_do_not_count():
    """The infant turns over within a gap: the frames on both sides are right as they are."""
    joints, visible, frames = still()
    joints[1:] = joints[1:, MIRROR]
    beyond_trunk = [p for p in range(6) if p not in TRUNK]
    assert exchanged_pairs(joints, visible, frames, 640)[0, beyond_trunk].all()
    frames[1:] += 500
    assert not exchanged_pairs(joints, visible, frames, 640)[:, beyond_trunk].any()


def test_one_exchanged_frame_does_not_hide_the_next_nor_accuse_its_neighbours():
    joints, visible, frames = still()
    joints[6:8] = joints[6:8, MIRROR]
    flags = exchanged_pairs(joints, visible, frames, 640)
    assert np.flatnonzero(flags.any(1)).tolist() == [6, 7]
    assert flags[6:8].all()


@pytest.mark.parametrize(("apart", "found"), [(9, False), (11, True)])
def test_sides_closer_than_a_64th_of_the_width_cannot_be_told_apart(apart, found):
    # an exchange moves both joints of a pair by `apart`; 2 * 10 px is 1/32 of 640
    joints, visible, frames = still(apart=apart)
    joints[6] = joints[6, MIRROR]
    assert exchanged_pairs(joints, visible, frames, 640).any() == found


def test_one_pixel_deeper_than_can_be_stored_is_a_problem_with_its_row(folder):
    for n, deepest in ((11, 6554), (16, 7000), (21, 6553)):
        values = np.full((48, 64), 1000, np.uint16)
        values[20, 30] = deepest
        cv2.imwrite(str(folder / "pz10" / f"{n}_16bit.png"), values)
    path = folder / "result_pz10.csv"
    rows = [row[0] for row in read_csv(path)]
    problems = {(p.file, p.row): p.what for p in check(folder).problems}
    assert problems.keys() == {(str(path), rows.index(f"{n}_8bit.png") + 1) for n in (11, 16)}
    what = problems[str(path), rows.index("16_8bit.png") + 1]
    image = folder / "pz10" / "16_16bit.png"
    assert f"{image}: depth of up to 7000 mm; expected at most 6553 mm" in what


def renumber(folder, subject, old, new):
    """Gives an infant's frames other numbers, in its sheet and in the names of its images."""
    names = {f"{a}_8bit.png": f"{b}_8bit.png" for a, b in zip(old, new, strict=True)}

    def rename(rows):
        for row in rows[1:]:
            row[0] = names[row[0]]

    edit(folder / f"result_pz{subject}.csv", rename)
    for a, b in zip(old, new, strict=True):  # ascending, and no image gets a higher number
        (folder / f"pz{subject}" / f"{a}_16bit.png").rename(
            folder / f"pz{subject}" / f"{b}_16bit.png"
        )


@pytest.mark.parametrize(
    "new",
    [
        (1, 2, 3, 4, 5),  # evenly, but not as the other infant's
        (1, 6, 7, 12, 13),  # 5 apart only in twos
    ],
)
def test_an_infant_without_three_frames_in_a_row_at_the_folders_step_is_a_problem(folder, new):
    renumber(folder, "10", numbers(5), new)
    report = check(folder)
    (problem,) = report.problems
    assert (problem.file, problem.row) == (str(folder / "result_pz10.csv"), None)
    assert "no three frames in a row 5 apart, the usual step" in problem.what
    assert report.infants["10"].frames == 5


def test_three_frames_in_a_row_at_the_folders_step_are_enough(folder):
    # most often 1 apart, as the other infant never is, and yet 3, 8, 13 are a clip
    renumber(folder, "10", numbers(5), (1, 2, 3, 8, 13))
    assert check(folder).problems == []


@pytest.mark.parametrize("new", [(1, 2, 3, 4, 5), (1, 6, 7, 12, 13)])
def test_an_infant_without_a_clip_is_refused_by_a_run_with_the_problem_of_the_check(
    folder, new, tmp_path
):
    renumber(folder, "10", numbers(5), new)
    with pytest.raises(FolderError) as error:
        load_frames("babypose", folder, (12, 16), tmp_path / "cache")
    assert list(error.value.problems) == check(folder).problems != []


def test_three_frames_in_a_row_at_the_folders_step_are_one_clip_of_a_run(folder, tmp_path):
    renumber(folder, "10", numbers(5), (1, 2, 3, 8, 13))
    frames = load_frames("babypose", folder, (12, 16), tmp_path / "cache")
    clips = {s: len(clip_starts(frames, frames.subject == s, 1)) for s in ("2", "10")}
    assert clips == {"2": 10, "10": 1}


def test_frames_that_never_follow_one_another_are_a_problem_of_the_folder(tmp_path):
    folder = write_folder(tmp_path / "single", {"1": 3}, deepest_mm=6553)
    for n in (6, 11):
        (folder / "pz1" / f"{n}_16bit.png").unlink()
    assert [p.what for p in check(folder).problems if p.file == str(folder)] == [
        "no two frames follow one another; expected runs of consecutive frames"
    ]


def to_grey(folder, subject, frames):
    rng = np.random.default_rng(int(subject))
    for n in numbers(frames):
        (folder / f"pz{subject}" / f"{n}_16bit.png").unlink()
        grey = rng.integers(1, 200, (48, 64)).astype(np.uint8)
        cv2.imwrite(str(folder / f"pz{subject}" / f"{n}_8bit.png"), grey)


def test_grey_levels_are_a_remark_and_have_no_range_in_mm(folder):
    to_grey(folder, "10", 5)
    to_grey(folder, "2", 12)
    report = check(folder)
    assert ["grey levels" in remark.what for remark in report.remarks] == [True, True]
    assert report.problems == []
    assert report.infants["10"].bits == 8
    assert report.infants["10"].depth_mm is None


def test_grey_levels_beside_depth_are_a_problem(folder):
    to_grey(folder, "10", 5)
    (problem,) = check(folder).problems
    assert problem.file.endswith("result_pz10.csv")
    assert "grey levels, beside infants with depth in mm" in problem.what


def test_an_infant_under_two_ids_is_a_problem_that_names_the_other(folder):
    (folder / "pz9").symlink_to(folder / "pz2")
    (folder / "result_pz9.csv").write_text((folder / "result_pz2.csv").read_text())
    joints, images = check(folder).problems
    for problem in (joints, images):
        assert problem.file.endswith("result_pz9.csv")
        assert "result_pz2.csv" in problem.what
    assert "12 frames have exactly the joints" in joints.what
    assert "images that are images of" in images.what


@pytest.mark.parametrize("share", [0.02, 0.3])
@pytest.mark.parametrize("value", [4095, 2047, 32000])
def test_a_constant_above_all_depth_is_a_problem(tmp_path, value, share):
    folder = write_folder(tmp_path / "data", {"2": 5}, deepest_mm=1500)
    rng = np.random.default_rng(0)
    for path in (folder / "pz2").iterdir():
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        depth[rng.random(depth.shape) < share] = value
        cv2.imwrite(str(path), depth)
    (problem, *_) = check(folder).problems
    if value < 6554:
        assert f"many pixels are exactly {value}" in problem.what
    else:
        assert f"{value}" in problem.what  # deeper than a camera measures, image by image


@pytest.mark.parametrize("factor", [0.1, 10])
def test_an_infant_in_another_unit_is_a_problem(tmp_path, factor):
    folder = write_folder(tmp_path / "data", {"2": 5, "3": 5, "4": 5}, deepest_mm=600)
    for path in (folder / "pz3").iterdir():
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.minimum(depth * factor, 6500).astype(np.uint16))
    (problem,) = check(folder).problems
    assert problem.file.endswith("result_pz3.csv")
    assert "expected millimetres in all images" in problem.what


def moving(folder, subject, change, frames=120):
    """Writes a sheet of an infant that moves; `change` edits the joints [frames 12 2]."""
    (folder / f"pz{subject}").mkdir()
    header = HEADER.split(";")
    rng = np.random.default_rng(7)
    start = rng.uniform((8, 8), (56, 40), (12, 2))
    joints = (start + np.cumsum(rng.normal(0, 0.3, (frames, 12, 2)), 0)).clip(3, 44)
    joints = change(joints.round(1))
    rows = [header]
    for n, frame in zip(numbers(frames), joints, strict=True):
        write_depth(folder / f"pz{subject}" / f"{n}_16bit.png", (48, 64), rng)
        cells = dict.fromkeys(header, "-1,-1") | {"image": f"{n}_8bit.png"}
        cells |= {c: f"{x:g},{y:g}" for c, (x, y) in zip(SHEET_COLUMNS, frame, strict=True)}
        rows.append([cells[name] for name in header])
    write_cells(folder / f"result_pz{subject}.csv", rows)


def put_at(joints, index, joint, place):
    joints[index, joint] = place
    return joints


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda joints: joints[[0] * 8 + [*range(8, 120)]], "7 of 120 frames have exactly the"),
        (lambda joints: put_at(joints, slice(0, 120, 2), 5, (5, 6)), "left_hand is at 5,6 in 60"),
        (lambda joints: put_at(joints, slice(None), 8, (-1, -1)), "right_foot is missing in every"),
        (lambda joints: put_at(joints, slice(0, 75), slice(None), (-1, -1)), "62% of the joints"),
    ],
    ids=["copied rows", "one position", "never seen", "hardly seen"],
)
def test_joints_that_were_not_annotated_are_a_remark(folder, change, words):
    moving(folder, "5", change)
    report = check(folder)
    assert not report.problems
    assert any(
        r.what.startswith(words) and r.file.endswith("result_pz5.csv") for r in report.remarks
    )


def test_a_column_that_every_sheet_lacks_is_a_remark_and_a_covered_joint_of_a_few_frames_is_not(
    folder,
):
    def hide(subject):
        def change(rows):
            for row in rows[1:]:
                row[COLUMN["left_foot"]] = "-1,-1"

        edit(folder / f"result_pz{subject}.csv", change)

    hide("2")
    assert check(folder).remarks == []
    hide("10")
    (remark,) = check(folder).remarks
    assert remark.file == str(folder)
    assert remark.what.startswith("missing in every frame of every infant: left_foot; look")


def test_joints_that_move_are_not_taken_for_copies(folder):
    moving(folder, "5", lambda joints: joints)
    report = check(folder)
    assert not report.problems
    assert not [r for r in report.remarks if "of 120 frames" in r.what or "missing" in r.what]


def test_numbers_that_are_time_stamps_are_a_problem(tmp_path):
    folder = write_folder(tmp_path / "data", {"2": 12})
    stamps = {n: round(k * 1000 / 30) for k, n in enumerate(numbers(12))}
    for n, stamp in reversed(stamps.items()):
        (folder / "pz2" / f"{n}_16bit.png").rename(folder / "pz2" / f"{stamp}_16bit.png")

    def number(rows):
        for row in rows[1:]:
            row[0] = f"{stamps[int(row[0].split('_')[0])]}_8bit.png"

    edit(folder / "result_pz2.csv", number)
    (problem,) = check(folder).problems
    assert "no multiple of 33" in problem.what and "not by time stamps" in problem.what


def change_images(folder, subject, change, images=None):
    for path in sorted((folder / f"pz{subject}").iterdir())[:images]:
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), change(depth).astype(np.uint16))


def with_pixel(depth, value):
    depth[2:8] = 4095
    depth[20, 20] = value
    return depth


@pytest.mark.parametrize(
    "change, images, words",
    [
        (lambda d: with_pixel(d, 4096), None, "many pixels are exactly 4095"),
        (lambda d: np.where(np.arange(64) % 8 > 0, 3500, d), None, "many pixels are exactly 3500"),
        (lambda d: np.where(np.arange(64) % 8 > 6, 1, d), None, "many pixels are exactly 1 "),
        (lambda d: d // 10, 4, "median depth 65, of the infant's images 6"),
        (lambda d: d * 4, None, "median depth 2"),
        (lambda d: d // 8 + 150, None, "no value is above 255: grey levels"),
    ],
    ids=["one hot pixel", "background", "low", "some in cm", "quarter mm", "grey in 16 bits"],
)
def test_depth_that_is_no_depth_in_mm_is_a_problem(tmp_path, change, images, words):
    folder = write_folder(tmp_path / "data", {"2": 10, "3": 10, "4": 10}, deepest_mm=1)
    rng = np.random.default_rng(1)
    for subject in "234":
        change_images(folder, subject, lambda d: rng.integers(500, 800, d.shape))
    change_images(folder, "3", change, images)
    problem, *_ = check(folder).problems
    assert problem.file.endswith("result_pz3.csv") and problem.what.startswith(words)


def test_images_almost_without_depth_are_a_remark(folder):
    change_images(folder, "2", lambda d: np.where(np.arange(64) == 9, d, 0), images=2)
    (remark,) = check(folder).remarks
    assert "depth in less than 10% of their pixels: 2" in remark.what


def test_problems_of_several_files_are_all_reported_and_the_rest_is_described(folder):
    edit(folder / "result_pz10.csv", lambda rows: rows[2].__setitem__(4, "7"))
    image = folder / "pz2" / "1_16bit.png"
    image.write_bytes(image.read_bytes()[:99])
    (folder / "pz2" / "56_16bit.png").unlink()
    report = check(folder)
    rows = [row[0] for row in read_csv(folder / "result_pz2.csv")]
    assert {(p.file, p.row) for p in report.problems} == {
        (str(folder / "result_pz10.csv"), 3),
        (str(folder / "result_pz2.csv"), rows.index("1_8bit.png") + 1),
        (str(folder / "result_pz2.csv"), rows.index("56_8bit.png") + 1),
    }
    assert {k: v.frames for k, v in report.infants.items()} == {"2": 11, "10": 4}


def test_the_last_line_is_json_with_every_problem_and_the_table_goes_to_stderr(folder, capsys):
    assert main([str(folder)]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out.splitlines()[-1])
    assert set(result) == {"infants", "problems", "remarks"}
    assert result["problems"] == []
    assert result["infants"]["10"]["frames"] == 5
    assert re.search(r"^ +10 +5 +1-21 ", err, re.MULTILINE)

    path = folder / "result_pz10.csv"
    edit(path, lambda rows: rows[2].__setitem__(4, "7"))
    assert main([str(folder)]) == 1
    out, err = capsys.readouterr()
    (problem,) = json.loads(out.splitlines()[-1])["problems"]
    assert (problem["file"], problem["row"]) == (str(path), 3)
    assert "right_shoulder is '7'" in problem["what"]
    assert f"{path}, row 3: right_shoulder is '7'" in err


def test_an_empty_folder_is_a_problem(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["infants"] == {}
    assert [p["file"] for p in result["problems"]] == [str(tmp_path)]


def test_no_such_folder_and_no_argument_exit_with_2(tmp_path):
    for arguments in ([str(tmp_path / "nowhere")], []):
        command = [sys.executable, "-m", "data_pipeline.check", *arguments]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 2
        assert run.stdout == ""
        assert "nowhere" in run.stderr or "Required" in run.stderr


# ---------------------------------------------------------------- the published sheets


@pytest.fixture
def real_tracks(real_data):
    """(joints, visible, frames) of the 14 sheets, in time order."""
    tracks = []
    for path in sorted((real_data / "babypose_annotations").glob("result_pz*.csv")):
        sheet = read_sheet(path, raise_first).in_time_order()
        tracks.append((*hide_outside(sheet.joints, (480, 640)), sheet.frames))
    return tracks


def test_no_frame_of_the_14_real_sheets_is_suspected(real_tracks):
    assert len(real_tracks) == 14
    for joints, visible, frames in real_tracks:
        assert not exchanged_pairs(joints, visible, frames, 640).any()
        assert not looks_mirrored(joints, visible)


@pytest.mark.parametrize("limb", ["arm", "leg"])
def test_99_percent_of_limbs_exchanged_in_single_real_frames_are_found(real_tracks, limb):
    start = JOINTS.index("right_shoulder" if limb == "arm" else "right_hip")
    right, left = np.arange(start, start + 3), np.arange(start + 3, start + 6)
    exchanged = found = false = 0
    for joints, visible, frames in real_tracks:
        chosen = np.arange(5, len(joints) - 5, 12)
        chosen = chosen[(visible[chosen][:, right] & visible[chosen][:, left]).sum(1) >= 2]
        wrong = joints.copy()
        wrong[np.ix_(chosen, right)] = joints[np.ix_(chosen, left)]
        wrong[np.ix_(chosen, left)] = joints[np.ix_(chosen, right)]
        wrong_visible = visible.copy()
        wrong_visible[np.ix_(chosen, right)] = visible[np.ix_(chosen, left)]
        wrong_visible[np.ix_(chosen, left)] = visible[np.ix_(chosen, right)]
        flags = exchanged_pairs(wrong, wrong_visible, frames, 640).any(1)
        exchanged += len(chosen)
        found += flags[chosen].sum()
        false += np.delete(flags, chosen).sum()
    assert exchanged > 500
    assert found >= 0.99 * exchanged
    assert false <= 0.01 * exchanged


def test_images_that_are_not_4_to_3_are_a_remark(tmp_path):
    folder = write_folder(tmp_path / "wide", {"1": 4}, size=(48, 80), deepest_mm=6553)
    report = check(folder)
    assert report.problems == []
    (remark,) = report.remarks
    assert "80x48 are not 4:3; a grid of 4:3 gets margins" in remark.what
