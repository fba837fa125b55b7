"""`jaxpose label`: frames to correct elsewhere, and what comes back: same, changed or broken."""

import contextlib
import copy
import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from models import SPECIFICATION, make_model
from test_estimator import frames

import jaxpose
from data_pipeline.babypose.sheets import COLUMNS, raise_first, read_sheet
from data_pipeline.check import check
from data_pipeline.check import main as run_check
from jaxpose import cli
from jaxpose.body.skeleton import JOINTS
from jaxpose.errors import DataError
from jaxpose.labels import choice, exporting, sheet, tools
from jaxpose.labels.package import read_package
from jaxpose.labels.pictures import stretched
from jaxpose.outputs import doubts
from jaxpose.recordings.orientation import turn

DEPTH = frames(40)
COCO = "annotations/person_keypoints_default.json"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, a recording of 40 frames (every fifth raw frame), and what was exported of it."""
    place = tmp_path_factory.mktemp("label")
    model = make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=20.0))
    model.save(place / "model.safetensors")
    (place / "bed1").mkdir()
    for k, image in enumerate(DEPTH):
        assert cv2.imwrite(str(place / "bed1" / f"{1 + 5 * k}_16bit.png"), image)
    assert export(place, place / "labels", "--frames=12") == 0
    return place


@pytest.fixture
def work(place, tmp_path):
    """A copy of the exported folder that a test may change."""
    shutil.copytree(place / "labels", tmp_path / "labels")
    return tmp_path


def export(place, out, *options, recording="bed1"):
    arguments = [str(place / recording), f"--out={out}", f"--model={place / 'model.safetensors'}"]
    return cli.main(["label", "export", *arguments, "--quiet", *options])


def bring_back(work, content=None, *options, id="7"):
    """Imports the exported annotations, or `content` in their place."""
    path = work / "corrected.json"
    path.write_text(json.dumps(exported(work) if content is None else content))
    arguments = [str(work / "labels"), str(path), f"--out={work / 'ward'}", f"--id={id}"]
    return cli.main(["label", "import", *arguments, *options])


def exported(work):
    return json.loads((work / "labels" / COCO).read_text())


def joints_of(work, id="7"):
    """The joints of the sheet that was written, NaN where missing; row after row."""
    read = read_sheet(work / "ward" / f"result_pz{id}.csv", raise_first)
    return np.where(read.visible[..., None], read.joints, np.nan)


def predicted(work):
    return np.stack([frame.joints() for frame in read_package(work / "labels").frames])


# ---------------------------------------------------------------- export


def test_what_is_exported_is_the_recordings_depth_bit_for_bit_and_8_bit_pictures(place):
    package = read_package(place / "labels")
    numbers = np.array([f.number for f in package.frames]).reshape(4, 3)
    np.testing.assert_array_equal(np.diff(numbers), 5)
    np.testing.assert_allclose(numbers[:, 1], [26, 76, 126, 171], atol=5)
    for frame in package.frames:
        original = place / "bed1" / frame.depth
        depth = cv2.imread(str(place / "labels" / "depth" / frame.depth), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(depth, cv2.imread(str(original), cv2.IMREAD_UNCHANGED))
        picture = cv2.imread(str(place / "labels" / "images" / frame.image), cv2.IMREAD_UNCHANGED)
        assert picture.dtype == np.uint8 and picture.shape == depth.shape
        assert (picture[depth == 0] == 0).all() and np.ptp(picture) > 150


def test_the_predictions_are_those_of_the_estimator(place):
    model = jaxpose.Model.load(place / "model.safetensors")
    pose = jaxpose.Estimator(model)(DEPTH, rate_hz=6.0)
    for frame in read_package(place / "labels").frames:
        np.testing.assert_allclose(frame.joints(), pose.xy[(frame.number - 1) // 5], atol=0.006)


def test_the_coco_file_has_what_the_format_demands(place):
    content = json.loads((place / "labels" / COCO).read_text())
    (category,) = content["categories"]
    assert category["keypoints"] == list(JOINTS) and [1, 2] in category["skeleton"]
    joints = predicted(place)
    for one, image, xy in zip(content["annotations"], content["images"], joints, strict=True):
        assert (one["image_id"], one["category_id"]) == (image["id"], category["id"])
        points = np.array(one["keypoints"]).reshape(12, 3)
        seen = points[:, 2] == 2
        assert one["num_keypoints"] == seen.sum() and (points[~seen] == 0).all()
        np.testing.assert_array_equal(seen, np.isfinite(xy[:, 0]))
        np.testing.assert_allclose(points[seen, :2], xy[seen] + 0.5, atol=0.011)
        x, y, width, height = one["bbox"]
        low, high = points[seen, :2].min(0), points[seen, :2].max(0)
        np.testing.assert_allclose([x, y, x + width, y + height], [*low, *high], atol=0.02)
        assert (one["segmentation"], one["iscrowd"]) == ([], 0)


def test_a_turned_and_cut_recording_is_exported_as_the_nets_see_it(place, tmp_path):
    options = ["--rotate=90", "--crop=8,0,72,60", "--frames=3"]
    assert export(place, tmp_path / "turned", *options) == 0
    package = read_package(tmp_path / "turned")
    assert package.size == (60, 72)
    for frame in package.frames:
        depth = cv2.imread(str(tmp_path / "turned" / "depth" / frame.depth), cv2.IMREAD_UNCHANGED)
        whole = DEPTH[(frame.number - 1) // 5]
        np.testing.assert_array_equal(depth, turn(whole[:60, 8:80], 90))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_predictions_of_a_turned_and_cut_recording_are_where_its_images_show_them(
    place, tmp_path, degrees
):
    np.save(tmp_path / "bed.npy", DEPTH)
    options = [f"--rotate={degrees}", "--crop=8,0,72,60", "--rate=6", "--frames=6"]
    assert export(place, tmp_path / "l", *options, recording=tmp_path / "bed.npy") == 0
    model = jaxpose.Model.load(place / "model.safetensors")
    view = jaxpose.View(crop=(8, 0, 72, 60), turn=degrees)
    pose = jaxpose.Estimator(model)(DEPTH, rate_hz=6.0, view=view)
    marked = np.zeros((60, 72))  # of the image that was cut, not turned
    for frame in read_package(tmp_path / "l").frames:
        for shown, xy in zip(frame.joints(), pose.xy[frame.frame], strict=True):
            assert np.isfinite(shown).all() == np.isfinite(xy).all()
            if np.isfinite(xy).all():
                x, y = np.round(xy).astype(int) - (8, 0)
                marked[:] = 0
                marked[y, x] = 1
                (row, column) = np.argwhere(turn(marked, degrees))[0]
                np.testing.assert_allclose(shown, (column, row), atol=0.51)


def test_frames_without_depth_inside_of_the_crop_are_not_chosen(place, tmp_path):
    depth = DEPTH.copy()
    depth[10:20, 10:] = 0
    np.save(tmp_path / "bed.npy", depth)
    options = ["--rate=6", "--crop=0,10,96,54", "--frames=30"]
    assert export(place, tmp_path / "l", *options, recording=tmp_path / "bed.npy") == 0
    frames = [frame.frame for frame in read_package(tmp_path / "l").frames]
    assert len(frames) == 27 and not set(frames) & set(range(10, 20))


@pytest.mark.parametrize(
    "error, code", [(KeyboardInterrupt, 130), (OSError(28, "No space left"), 1), (IndexError, None)]
)
def test_an_export_that_fails_leaves_nothing_and_can_be_repeated(
    place, tmp_path, monkeypatch, error, code
):
    def fail(package):
        tools.write(package)
        raise error

    (tmp_path / "l").mkdir()
    with monkeypatch.context() as patch, contextlib.suppress(IndexError):
        patch.setattr(exporting.Package, "write", fail)
        assert export(place, tmp_path / "l", "--frames=3") == code
    assert list((tmp_path / "l").iterdir()) == []
    assert export(place, tmp_path / "l", "--frames=3") == 0


def test_an_export_warns_of_what_a_prediction_warns_of(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(doubts.DISTANCES_MM, "none", (1, 2))  # the data set of the model
    for command in (
        ["label", "export", str(place / "bed1"), f"--out={tmp_path / 'l'}", "--frames=3"],
        ["predict", str(place / "bed1"), f"--out={tmp_path / 'o'}", "--no-video"],
    ):
        options = ["--rotate=180", "--quiet", f"--model={place / 'model.safetensors'}"]
        assert cli.main([*command, *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    about = ("the images look turned", "the median depth", "the head points", "right and left look")
    warnings = [line for line in lines if any(words in line for words in about)]
    assert len(warnings) >= 4 and len(set(warnings)) == len(warnings) / 2


def test_frames_are_numbered_30_per_second_whatever_the_rate(place, tmp_path):
    np.save(tmp_path / "slow.npy", DEPTH)
    export(place, tmp_path / "l", "--rate=12", "--frames=6", recording=tmp_path / "slow.npy")
    package = read_package(tmp_path / "l")
    numbers = np.array([f.number for f in package.frames]).reshape(-1, 3)
    times = np.array([f.time_s for f in package.frames]).reshape(-1, 3)
    np.testing.assert_array_equal(np.diff(numbers), 5)
    np.testing.assert_allclose(np.diff(times), 2 / 12)
    np.testing.assert_allclose(numbers[:, 1] - 1, 30 * times[:, 1], atol=0.5)
    assert bring_back_from(tmp_path, "l") == 0
    assert not check(tmp_path / "ward").problems


def bring_back_from(work, name):
    corrected = work / name / COCO
    arguments = [str(work / name), str(corrected), f"--out={work / 'ward'}", "--id=1"]
    return cli.main(["label", "import", *arguments])


@pytest.mark.parametrize("how", ["even", "uncertain"])
def test_clips_are_chosen_from_all_of_the_recording_and_share_no_frame(how):
    number = np.arange(300)
    clips = choice.clips_of(number, number / 30, number != 100, 3, 1 / 6)
    assert (clips[0].frames, clips[0].numbers) == ((0, 5, 10), (0, 5, 10))
    assert all(100 not in clip.frames for clip in clips)
    confidence = np.where(number[:, None] % 50 < 25, 0.2, 0.9).repeat(12, axis=1)
    chosen = choice.choose(clips, confidence, 6, how)
    middle = np.array([clip.frames[1] for clip in chosen])
    assert len(chosen) == 6 and (np.diff(middle) > 10).all()
    if how == "even":
        np.testing.assert_allclose(middle, 50 * np.arange(6) + 25, atol=5)
    else:
        assert (confidence[middle] < 0.5).all()


def test_of_a_short_recording_all_clips_are_chosen_and_without_one_it_is_refused():
    time = np.arange(8) / 6
    clips = choice.clips_of(np.arange(8), time, np.ones(8, bool), 3, 1 / 6)
    assert len(clips) == 6 and clips[0].numbers == (1, 6, 11)  # numbers do not count 30 per second
    assert len(choice.choose(clips, np.ones((8, 12)), 7, "even")) == 2
    with pytest.raises(DataError, match="as far apart as the model's clips need"):
        choice.choose([], np.ones((0, 12)), 7, "even")


def test_contrast_is_stretched_and_holes_are_black():
    depth = np.full((60, 80), 700, np.uint16)
    depth[20:40, 20:40] = 660  # an infant 40 mm above the mattress
    depth[0, 0] = 0
    picture = stretched(depth)
    assert picture[0, 0] == 0 and int(picture[30, 30]) - int(picture[50, 60]) > 100


@pytest.mark.parametrize(
    "options, words",
    [
        (["--frames=2"], "--frames=2: expected 3 or more"),
        (["--rate=0"], "--rate=0.0: expected frames per second"),
        (["--crop=0,0,900,60"], "the crop 0,0,900,60 reaches beyond images of 96x64"),
        (["--rotate=45"], "a turn by 45 degrees"),
        (["--mm_per_unit=1", "--frames=3", "--crop=1,2"], "--crop=1,2: expected 4 numbers"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    place, tmp_path, capsys, options, words
):
    assert export(place, tmp_path / "out", *options) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_written_to(place, work, capsys):
    before = sorted(p.name for p in (work / "labels").iterdir())
    assert export(place, work / "labels") == 2
    assert "labels: the folder is not empty; choose another --out" in capsys.readouterr().err
    assert sorted(p.name for p in (work / "labels").iterdir()) == before
    assert cli.main(["label", "export", "-", f"--out={work / 'x'}"]) == 2
    assert "frames are read twice" in capsys.readouterr().err


# ---------------------------------------------------------------- import


def test_unchanged_labels_are_the_predictions_and_the_check_passes(work, capsys):
    assert bring_back(work) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    missing = int(np.isnan(predicted(work)[..., 0]).sum())
    assert (line["frames"], line["clips"], line["joints_missing"]) == (12, 4, missing)
    assert (line["joints_moved"], line["joints_added"], line["joints_removed"]) == (0, 0, 0)
    np.testing.assert_allclose(joints_of(work), predicted(work), atol=0.011)
    for frame in read_package(work / "labels").frames:
        copied = work / "ward" / "pz7" / frame.depth
        assert copied.read_bytes() == (work / "labels" / "depth" / frame.depth).read_bytes()
    report = check(work / "ward")
    assert not report.problems and report.infants["7"].frames == 12


def test_the_phase_with_the_most_clips_is_chosen_and_of_several_the_least_confident():
    number = np.arange(60)
    clips = choice.clips_of(number, number / 30, number >= 0, 3, 1 / 6)
    confidence = np.where(number % 5 == 3, 0.2, 0.9)[:, None].repeat(12, axis=1)
    for how, phase, count in (("even", 0, 3), ("uncertain", 3, 3)):
        chosen = choice.choose(clips, confidence, count, how)
        assert len(chosen) == count and {n % 5 for clip in chosen for n in clip.numbers} == {phase}
        assert choice.choose(clips, confidence, count, how) == chosen
    few = [clip for clip in clips if clip.numbers[0] % 5 == 4 or clip.numbers[0] == 3]
    assert [c.numbers[0] for c in choice.choose(few, confidence, 3, "uncertain")][0] % 5 == 4


@pytest.mark.parametrize("rate, how", [(30, "even"), (25, "uncertain"), (12, "even")])
def test_unchanged_labels_of_any_rate_bring_no_remark_of_the_check(place, tmp_path, rate, how):
    depth = frames(24, size=(72, 96))[(6 / rate * np.arange(4 * rate)).astype(int)]
    np.save(tmp_path / "bed.npy", depth)
    options = [f"--rate={rate}", "--frames=12", f"--choose={how}"]
    assert export(place, tmp_path / "l", *options, recording=tmp_path / "bed.npy") == 0
    assert bring_back_from(tmp_path, "l") == 0
    report = check(tmp_path / "ward")
    assert report.infants["1"].frames == 12 and not report.problems
    about_joints = ("missing in every frame", "expected -1,-1")  # the model is untrained
    assert [r.what for r in report.remarks if not any(w in r.what for w in about_joints)] == []


@pytest.mark.parametrize("options", [[], ["--rotate=90"], ["--crop=8,0,30,60"]])
def test_unchanged_labels_of_images_with_margins_come_back(place, tmp_path, options):
    np.save(tmp_path / "narrow.npy", frames(24, size=(64, 40)))
    options = ["--rate=6", "--frames=12", *options]
    assert export(place, tmp_path / "l", *options, recording=tmp_path / "narrow.npy") == 0
    assert bring_back_from(tmp_path, "l") == 0
    assert not check(tmp_path / "ward").problems


def test_ten_moved_joints_are_the_only_ones_that_differ(work, capsys):
    content, rng = exported(work), np.random.default_rng(3)
    before = predicted(work)
    present = np.argwhere(np.isfinite(before[..., 0]))
    moved = present[rng.choice(len(present), 10, replace=False)]
    for frame, joint in moved:
        points = content["annotations"][frame]["keypoints"]
        points[3 * joint] = (points[3 * joint] + 20) % 96
    assert bring_back(work, content) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["joints_moved"] == 10
    distance = np.linalg.norm(np.nan_to_num(joints_of(work)) - np.nan_to_num(before), axis=-1)
    assert {tuple(pair) for pair in np.argwhere(distance > 0.02)} == {*map(tuple, moved)}
    for frame, joint in moved:
        x = content["annotations"][frame]["keypoints"][3 * joint]
        assert joints_of(work)[frame, joint, 0] == pytest.approx(x - 0.5, abs=0.01)


def as_another_tool(content, prefix):
    """The same labels as a tool may write them: other order, ids and names, whole pixels."""
    order = [5, 0, 3, 8, 1, 11, 2, 4, 10, 6, 9, 7]
    category = content["categories"][0]
    category["keypoints"] = [JOINTS[k] for k in order]
    category["id"] = 3
    content["categories"].insert(0, {"id": 0, "name": "box", "supercategory": ""})
    for image, one in zip(content["images"], content["annotations"], strict=True):
        image["file_name"] = prefix + image["file_name"]
        image["id"] = one["image_id"] = image["id"] + 1000
        points = np.array(one["keypoints"]).reshape(12, 3)[order]
        one |= {"keypoints": points.round().astype(int).ravel().tolist(), "category_id": 3}
        del one["bbox"], one["area"], one["segmentation"]
    box = {"id": 999, "image_id": 1001, "category_id": 0, "bbox": [0, 0, 5, 5]}
    content["annotations"] = [*content["annotations"][::-1], box]
    return content


@pytest.mark.parametrize(
    "prefix", ["images/default/", "/data/local-files/?d=images/", "/data/upload/1/0a1b2c3d-"]
)
def test_keypoints_in_another_order_are_matched_by_name_and_that_is_said(work, capsys, prefix):
    assert bring_back(work, as_another_tool(exported(work), prefix)) == 0
    captured = capsys.readouterr()
    assert "corrected.json: categories[1] (id 3) 'infant' has the keypoints in another order" in (
        captured.err
    )
    assert json.loads(captured.out.splitlines()[-1])["joints_moved"] == 0
    distance = np.linalg.norm(joints_of(work) - predicted(work), axis=-1)
    assert (
        np.nanmax(distance) < 1 and (np.isnan(distance) == np.isnan(predicted(work)[..., 0])).all()
    )


def test_occluded_joints_are_missing_unless_their_place_is_kept(work):
    content = exported(work)
    present = np.isfinite(predicted(work)[0, :, 0])
    joint = int(np.flatnonzero(present)[0])
    content["annotations"][0]["keypoints"][3 * joint + 2] = 1
    assert bring_back(work, content) == 0
    assert np.isnan(joints_of(work)[0, joint]).all()
    assert bring_back(work, content, "--keep_hidden", id="8") == 0
    np.testing.assert_allclose(joints_of(work, "8"), predicted(work), atol=0.011)


def test_images_without_an_annotation_are_left_out_only_if_asked(work, capsys):
    content = exported(work)
    del content["annotations"][4]
    assert bring_back(work, content) == 2
    error = capsys.readouterr().err
    assert "annotations: none for 1 of the 12 exported images: 76_8bit.png" in error
    assert bring_back(work, content, "--partial") == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["frames"], line["clips"]) == (11, 3)
    assert not check(work / "ward").problems


def test_the_columns_are_those_that_the_reader_of_sheets_expects():
    assert sheet.COLUMNS == COLUMNS


@pytest.mark.parametrize(
    "xy, text",
    [
        ((1.25, 2), "1.25,2"),
        ((-0.5, 63.49), "-0.5,63.49"),
        ((95.5, 63.5), "95.49,63.49"),  # the image's corner, which is no longer inside
        ((0, 0), "0.01,0.01"),  # 0,0 in a sheet is a mistake of some programs
        ((-0.001, 5), "0,5"),
        ((np.nan, 5), "-1,-1"),
    ],
)
def test_a_cell_is_what_the_sheets_reader_takes_for_that_point(xy, text):
    assert sheet.cell(np.array(xy, float), (96, 64)) == text


# ---------------------------------------------------------------- bad files


def change(path, value):
    """Returns a function that sets one value of a COCO file, such as images/0/file_name."""

    def apply(content):
        *keys, last = [int(k) if k.isdigit() else k for k in path.split("/")]
        for key in keys:
            content = content[key]
        content[last] = value

    return apply


def repeated(key, **changes):
    def apply(content):
        content[key].append(copy.deepcopy(content[key][0]) | changes)

    return apply


def renamed(content):
    content["categories"][0]["keypoints"][2] = "right_hand"


def second_person(content):
    points = [v + (1 if k % 3 == 0 and v else 0) for k, v in enumerate(first_points(content))]
    repeated("annotations", id=77, keypoints=points)(content)


def first_points(content):
    return content["annotations"][0]["keypoints"]


def outside(content):
    first_points(content)[3:6] = [700, 20, 2]


def short(content):
    del first_points(content)[-1]


def visibility(content):
    first_points(content)[2] = 3


def not_placed(content):
    first_points(content)[:3] = [0, 0, 2]


def not_a_number(content):
    first_points(content)[:3] = ["12", 3, 2]


@pytest.mark.parametrize(
    "damage, words",
    [
        (change("images/1/file_name", "9_8bit.png"), r"images\[1\].*'9_8bit.png' is no exported"),
        (change("images/1/file_name", "../26_8bit.png"), r"images\[1\].*leaves the folder"),
        (change("images/1/file_name", "/etc/26_8bit.png"), r"images\[1\].*leaves the folder"),
        (change("images/1/file_name", "C:\\26_8bit.png"), r"images\[1\].*leaves the folder"),
        (change("images/1/file_name", None), r"images\[1\] \(id 2\): file_name None is no name"),
        (change("images/1/width", 1280), r"26_8bit.png is 1280x64 px there, 96x64 as exported"),
        (change("images/1/id", 1), r"images\[1\] \(id 1\): 21_8bit.png has the same id"),
        (change("images/1/id", [1]), r"images\[1\] \(id \[1\]\): id is \[1\]; expected a number"),
        (repeated("images", id=99), r"images\[12\] .*21_8bit.png is there already, in images\[0\]"),
        (renamed, r"categories\[0\].*keypoints missing: right_wrist; expected right_shoulder"),
        (change("categories/0/keypoints", "x"), r"categories\[0\].*expected a list of names"),
        (change("categories/0/keypoints", []), "categories: none has keypoints"),
        (
            repeated("annotations"),
            r"annotations\[12\] \(id 1\): another annotation has the same id",
        ),
        (repeated("annotations", id=77), r"\(id 77\) of 21_8bit.png: is the same as annotations"),
        (second_person, r"\(id 77\) of 21_8bit.png: is a second person beside annotations\[0\]"),
        (change("annotations/0/image_id", 88), r"annotations\[0\].*no image has the id 88"),
        (change("annotations/0/category_id", 5), r"no category with keypoints has the id 5"),
        (change("annotations/0", 5), r"annotations\[0\]: is 5; expected an object"),
        (outside, r"annotations\[0\].*21_8bit.png: right_elbow is at 700,20, outside of the image"),
        (short, r"annotations\[0\].*keypoints are 35 numbers; expected 36"),
        (visibility, "right_shoulder has visibility 3; expected 0, 1 or 2"),
        (not_placed, "right_shoulder is at 0,0 with visibility 2; expected visibility 0"),
        (not_a_number, "right_shoulder is at '12',3; expected two numbers"),
        (change("images", None), "has no list 'images'; expected COCO keypoints"),
        (change("annotations", []), "none for 12 of the 12 exported images"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_the_entry(work, capsys, damage, words):
    content = exported(work)
    damage(content)
    assert bring_back(work, content) == 2
    error = capsys.readouterr().err
    assert re.search(words, error), error
    assert "corrected.json: " in error and "Traceback" not in error
    assert not (work / "ward").exists()


def test_several_mistakes_are_listed_together(work, capsys):
    content = exported(work)
    for damage in (outside, change("images/3/file_name", "x.png"), second_person):
        damage(content)
    assert bring_back(work, content) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 4 problems\n") and error.count("corrected.json: ") == 4


def test_a_file_cut_short_or_of_another_kind_is_refused(work, capsys):
    path = work / "corrected.json"
    text = json.dumps(exported(work))
    arguments = [str(work / "labels"), str(path), f"--out={work / 'ward'}", "--id=7"]
    for content, words in [
        (text[: len(text) // 2], "corrected.json: not complete JSON"),
        ("[]", "corrected.json: has no list 'images'"),
        ("\x89PNG", "corrected.json: not complete JSON"),
        ("[" * 100_000, "corrected.json: not complete JSON"),
    ]:
        path.write_text(content)
        assert cli.main(["label", "import", *arguments]) == 2
        assert words in capsys.readouterr().err
    path.unlink()
    assert cli.main(["label", "import", *arguments]) == 2
    assert "corrected.json: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_depth_that_is_missing_or_was_changed_is_named(work, capsys):
    path = work / "labels" / "depth" / "26_16bit.png"
    before = path.read_bytes()
    cv2.imwrite(str(path), DEPTH[0])
    assert bring_back(work) == 2
    assert "26_16bit.png: is not the image that was exported" in capsys.readouterr().err
    path.unlink()
    assert bring_back(work) == 2
    assert "26_16bit.png: cannot be read (No such file or directory)" in capsys.readouterr().err
    path.write_bytes(before)
    assert bring_back(work) == 0


def test_a_folder_that_was_not_exported_is_refused(work, capsys):
    (work / "labels" / "labels.json").write_text('{"format": "other"}')
    assert bring_back(work) == 2
    assert "labels.json: format 'other', expected 'jaxpose labels 1'" in capsys.readouterr().err
    (work / "labels" / "labels.json").unlink()
    assert bring_back(work) == 2
    assert "labels.json: is missing; expected a folder that" in capsys.readouterr().err


def test_an_infant_that_the_ward_has_is_not_overwritten(work, capsys):
    assert bring_back(work, id="07") == 0
    before = (work / "ward" / "result_pz07.csv").read_bytes()
    assert bring_back(work, id="7") == 2
    assert "infant 7 is there already; choose another --id" in capsys.readouterr().err
    assert (work / "ward" / "result_pz07.csv").read_bytes() == before
    assert bring_back(work, id="x") == 2
    assert "--id=x: expected a number" in capsys.readouterr().err


# ---------------------------------------------------------------- tools


def test_cvats_skeleton_has_the_joints_in_order_and_the_connections(place):
    (label,) = json.loads((place / "labels" / tools.CVAT).read_text())
    assert (label["name"], label["type"]) == ("infant", "skeleton")
    assert [point["name"] for point in label["sublabels"]] == list(JOINTS)
    nodes = re.findall(
        r'data-element-id="(\d+)" data-node-id="\1" data-label-name="(\w+)"', label["svg"]
    )
    assert nodes == [(str(k), name) for k, name in enumerate(JOINTS, 1)]
    assert re.findall(r'from="(\d+)" data-node-to="(\d+)"', label["svg"])[:2] == [
        ("1", "2"),
        ("2", "3"),
    ]


def test_label_studios_tasks_have_a_named_keypoint_per_joint_in_percent(place):
    tasks = json.loads((place / "labels" / tools.TASKS).read_text())
    joints = predicted(place)
    for task, xy in zip(tasks, joints, strict=True):
        result = task["predictions"][0]["result"]
        names = [r["value"]["keypointlabels"][0] for r in result]
        assert names == [j for j, p in zip(JOINTS, xy, strict=True) if np.isfinite(p).all()]
        percent = np.array([(r["value"]["x"], r["value"]["y"]) for r in result])
        back = percent * np.array([96, 64]) / 100 - 0.5
        np.testing.assert_allclose(back, xy[np.isfinite(xy[:, 0])], atol=0.01)
    text = (place / "labels" / tools.INTERFACE).read_text()
    assert re.findall(r'<Label value="(\w+)" model_index="(\d+)"', text) == [
        (name, str(k)) for k, name in enumerate(JOINTS)
    ]


# ---------------------------------------------------------------- the guide

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "label.md").read_text()
COMMANDS = re.findall(r"^    (?:jaxpose|python -m data_pipeline\.check) .*$", GUIDE, re.MULTILINE)


def test_the_commands_of_the_guide_run_one_after_the_other(place, tmp_path, monkeypatch):
    assert len(COMMANDS) == 3
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxpose.estimator.shipped_model", lambda: place / "model.safetensors")
    shutil.copytree(place / "bed1", "ward1")
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "jaxpose":
            assert cli.main(arguments) == 0
        else:
            assert run_check(arguments[2:]) == 0
        if (tmp_path / "labels").exists():  # as if a tool had written it
            shutil.copy(tmp_path / "labels" / COCO, "corrected.json")
    assert len(read_sheet(tmp_path / "ward" / "result_pz1.csv", raise_first).rows) == 21
