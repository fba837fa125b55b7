"""UTD-MHAD's files: the lag, the projection, the crop, bad input, and the TFDS builder's output."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from data_pipeline.errors import DataError
from data_pipeline.sources import utd_mhad
from data_pipeline.utd_mhad.recordings import find_recordings, project, read
from jaxpose.body.skeleton import JOINTS
from jaxpose.recordings.utd_mhad import body_crop

FOCAL = 285.63
KINECT = {
    "left_shoulder": 4, "left_elbow": 5, "left_wrist": 6,
    "right_shoulder": 8, "right_elbow": 9, "right_wrist": 10,
    "left_hip": 12, "left_knee": 13, "left_ankle": 14,
    "right_hip": 16, "right_knee": 17, "right_ankle": 18,
}  # fmt: skip


def skeleton_at(x_px, frames):
    """[20 3 frames]: every point at 2 m, in column x_px[t]; the named joint k in row 60 + 10 k."""
    points = np.zeros((20, 3, frames))
    points[:, 0] = (np.broadcast_to(x_px, frames) - 160) / FOCAL * 2
    points[:, 2] = 2
    for row, joint in enumerate(JOINTS):
        points[KINECT[joint], 1] = -(60 + 10 * row - 120) / FOCAL * 2
    return points


def body_at(x_px, frames):
    """[240 320 frames]: a body 21 px wide around column x_px[t], in rows 50 ... 179."""
    depth = np.zeros((240, 320, frames), np.uint16)
    for t, x in enumerate(np.broadcast_to(x_px, frames)):
        depth[50:180, x - 10 : x + 11, t] = 2000
    return depth


def write(folder, name="a1_s1_t1", depth=None, skeleton=None):
    for kind, key, values in (
        ("depth", "d_depth", body_at(160, 20) if depth is None else depth),
        ("skeleton", "d_skel", skeleton_at(160, 20) if skeleton is None else skeleton),
    ):
        inside = folder / kind.capitalize()
        inside.mkdir(exist_ok=True, parents=True)
        savemat(inside / f"{name}_{kind}.mat", {key: values}, do_compression=True)
    return folder


def read_only(folder, every=5):
    (recording,) = find_recordings(folder)
    return read(recording, every)


def test_a_point_on_the_axis_is_at_160_120_and_one_focal_length_of_slope_is_285_63_px():
    # 160 + 285.63 * 0.5 / 2 = 231.4075; 120 - 285.63 * 0.2 / 2 = 91.437: up is a smaller row
    xy, visible = project(np.array([[0.0, 0.0, 3.0], [0.5, 0.2, 2.0]]))
    np.testing.assert_allclose(xy, [[160, 120], [231.4075, 91.437]], atol=1e-4)
    assert visible.all()


def test_points_off_the_image_behind_the_camera_or_lost_by_the_sensor_are_not_visible():
    edge = (319.4 - 160) / FOCAL
    lost = [[2, 0, 1], [0, -2, 1], [0, 0, -1], [0, 0, 0], [np.nan, np.nan, np.nan]]
    xy, visible = project(np.array([*lost, [edge, 0, 1], [edge + 0.001, 0, 1]], float))
    assert visible.tolist() == [False] * 5 + [True, False]
    assert (xy[:5] == -1).all()


def test_every_joint_takes_the_kinects_row_of_its_own_name(tmp_path):
    joints = read_only(write(tmp_path)).joints
    np.testing.assert_allclose(joints[0, :, 1], 60 + 10 * np.arange(12), atol=1e-3)
    np.testing.assert_allclose(joints[0, :, 0], 160, atol=1e-3)


def test_the_skeleton_of_two_frames_before_lies_in_the_middle_of_the_body(tmp_path):
    x = 60 + 10 * np.arange(20)  # the body moves 10 px per frame
    depth, skeleton = body_at(np.maximum(x - 20, 60), 20), skeleton_at(x, 20)
    frames = read_only(write(tmp_path, depth=depth, skeleton=skeleton), every=1)
    middle = [np.nonzero(frame.any(0))[0].mean() for frame in frames.depth]
    np.testing.assert_allclose(frames.joints[:, 0, 0], middle, atol=1e-3)


@pytest.mark.parametrize(
    "every, depths, skeletons, stored",
    [
        (5, 20, 20, [2, 7, 12, 17]),
        (5, 18, 18, [2, 7, 12, 17]),
        (5, 17, 17, [2, 7, 12]),
        (1, 6, 6, [2, 3, 4, 5]),
        (1, 9, 4, [2, 3, 4, 5]),  # skeleton 3 is the last and belongs to depth 5
        (1, 6, 9, [2, 3, 4, 5]),
    ],
)
def test_kept_frames_start_at_the_lag_and_end_with_the_shorter_file(
    tmp_path, every, depths, skeletons, stored
):
    depth = body_at(160, depths) + np.arange(depths, dtype=np.uint16)
    frames = read_only(write(tmp_path, depth=depth, skeleton=skeleton_at(160, skeletons)), every)
    assert list(frames.recording.numbers) == stored
    assert frames.depth[:, 0, 0].tolist() == stored  # the background says which frame it is


def test_the_crop_of_a_known_body_is_4_to_3_centred_and_has_its_margin():
    # rows 50 ... 179: 130 px and ceil(6.5) = 7 on each side make 144 = 3 * 48, so 192 x 144 px,
    # centred on column 160 (159.5 + 0.5) and row 115: 43 ... 186
    crop = body_crop(np.moveaxis(body_at(160, 3), 2, 0))
    assert crop.tolist() == [64, 43, 192, 144]


@settings(max_examples=60, deadline=None)
@given(
    x=st.tuples(st.integers(0, 319), st.integers(0, 319)).map(sorted),
    y=st.tuples(st.integers(0, 239), st.integers(0, 239)).map(sorted),
)
def test_any_crop_is_4_to_3_inside_the_image_and_holds_the_body(x, y):
    depth = np.zeros((2, 240, 320), np.uint16)
    depth[0, y[0] : y[1] + 1, x[0] : x[1] + 1] = 900
    left, top, width, height = body_crop(depth)
    assert 3 * width == 4 * height
    assert 0 <= left <= x[0] and x[1] < left + width <= 320
    assert 0 <= top <= y[0] and y[1] < top + height <= 240


def test_specks_do_not_move_the_crop_but_a_hand_that_is_cut_off_does():
    depth = np.moveaxis(body_at(160, 3), 2, 0).copy()  # 21 * 130 = 2730 px, so a speck is <= 27
    clean = body_crop(depth)
    depth[1, 0:5, 0:5] = 1500
    assert (body_crop(depth) == clean).all()
    depth[1, 60:67, 30:37] = 1500  # 49 px
    left, _, width, _ = body_crop(depth)
    assert left <= 30 and left + width > 170


def test_recordings_are_sorted_by_subject_action_and_trial_as_numbers(tmp_path):
    for name in ("a10_s1_t1", "a2_s1_t2", "a2_s1_t1", "a1_s2_t1", "a1_s10_t1"):
        write(tmp_path, name)
    actual = [(r.subject, r.sequence) for r in find_recordings(tmp_path)]
    assert actual == [(1, "a2_t1"), (1, "a2_t2"), (1, "a10_t1"), (2, "a1_t1"), (10, "a1_t1")]


def test_a_file_with_another_name_is_left_out_with_a_warning(tmp_path):
    write(write(tmp_path), "a2_s1_t1 (1)")
    shouted = next((tmp_path / "Depth").iterdir()).with_name("a3_s1_t1_depth.MAT")
    shouted.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match=r"a2_s1_t1 \(1\)_depth.mat: not named a\{action\}_s"),
        pytest.warns(UserWarning, match=r"a2_s1_t1 \(1\)_skeleton.mat"),
        pytest.warns(UserWarning, match=r"a3_s1_t1_depth.MAT: not named"),
    ):
        assert len(find_recordings(tmp_path)) == 1


def test_a_folder_that_is_not_the_datasets_is_named_with_the_layout_wanted(tmp_path):
    with pytest.raises(DataError, match="no folder Depth in it; expected Depth/a1_s1_t1_depth.mat"):
        find_recordings(tmp_path)
    (tmp_path / "Depth").mkdir()
    with pytest.raises(DataError, match="no folder Skeleton in it"):
        find_recordings(tmp_path)
    (tmp_path / "Skeleton").mkdir()
    with pytest.raises(DataError, match="no recordings; expected"):
        find_recordings(tmp_path)


@pytest.mark.parametrize("kind, other", [("depth", "skeleton"), ("skeleton", "depth")])
def test_a_file_without_its_partner_is_named_with_the_partner_wanted(tmp_path, kind, other):
    write(write(tmp_path), "a2_s1_t1")
    (tmp_path / other.capitalize() / f"a2_s1_t1_{other}.mat").unlink()
    with pytest.raises(
        DataError, match=rf"a2_s1_t1_{kind}.mat: expected .*a2_s1_t1_{other}.mat too"
    ):
        find_recordings(tmp_path)


@pytest.mark.parametrize("kind", ["Depth", "Skeleton"])
@pytest.mark.parametrize("size", [0, 50, 130, 150, 0.5, -1])
def test_a_file_cut_short_anywhere_is_named(tmp_path, kind, size):
    write(tmp_path, depth=np.random.default_rng(0).integers(0, 9, (240, 320, 20), np.uint16))
    (path,) = (tmp_path / kind).iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * size) if isinstance(size, float) else size])
    with pytest.raises(DataError, match=rf"{path.name}: cannot be read .* fetch or unpack"):
        read_only(tmp_path)


def test_a_file_that_is_no_mat_file_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "Depth" / "a1_s1_t1_depth.mat").write_text("<html>404 not found</html>" * 20)
    with pytest.raises(DataError, match=r"a1_s1_t1_depth.mat: cannot be read as a MATLAB 5 file"):
        read_only(tmp_path)


@pytest.mark.parametrize("kind, key", [("Depth", "d_depth"), ("Skeleton", "d_skel")])
def test_a_file_without_its_variable_is_named(tmp_path, kind, key):
    write(tmp_path)
    (path,) = (tmp_path / kind).iterdir()
    savemat(path, {"d_iner": np.ones((3, 3))})
    with pytest.raises(DataError, match=f"{path.name}: no variable {key}"):
        read_only(tmp_path)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"depth": body_at(160, 20).astype(float)}, "d_depth is float64; expected uint16"),
        ({"depth": body_at(160, 20).astype(np.int16)}, "d_depth is int16; expected uint16"),
        (
            {"depth": body_at(160, 20)[:, :, 0]},
            r"d_depth is \[240, 320\]; expected \[240, 320, T\]",
        ),
        (
            {"depth": body_at(160, 20)[:120]},
            r"d_depth is \[120, 320, 20\]; expected \[240, 320, T\]",
        ),
        (
            {"skeleton": skeleton_at(160, 20)[:15]},
            r"d_skel is \[15, 3, 20\]; expected \[20, 3, T\]",
        ),
        ({"skeleton": skeleton_at(160, 20).astype(int)}, "d_skel is int64; expected float64"),
        ({"skeleton": np.array("no")}, "d_skel is <U2; expected float64"),
        ({"depth": np.zeros((240, 320, 20), np.uint16)}, "depth is 0 in every frame that is used"),
        ({"depth": np.zeros((240, 320, 20), np.uint8)}, "depth is 0 in every frame that is used"),
        ({"depth": np.zeros((240, 320, 0), np.uint16)}, "d_depth has no frames; fetch"),
        ({"skeleton": np.zeros((20, 3, 0))}, "d_skel has no frames; fetch"),
        ({"skeleton": np.full((20, 3, 20), np.nan)}, "no joint falls inside the image in any"),
        ({"skeleton": np.zeros((20, 3, 20))}, "no joint falls inside the image in any"),
    ],
)
def test_wrong_values_are_named_with_what_was_wanted(tmp_path, bad, message):
    with pytest.raises(DataError, match=rf"a1_s1_t1_\w+.mat: {message}"):
        read_only(write(tmp_path, **bad))


def test_one_joint_in_one_kept_frame_is_enough(tmp_path):
    skeleton = np.full((20, 3, 20), np.nan)
    skeleton[KINECT["left_hip"], :, 5] = skeleton_at(160, 20)[KINECT["left_hip"], :, 5]
    frames = read_only(write(tmp_path, skeleton=skeleton))
    # of depth frames 2, 7, 12 and 17 the second has skeleton 5
    assert np.argwhere(frames.visible).tolist() == [[1, JOINTS.index("left_hip")]]


def test_a_short_recording_is_left_out_with_a_warning_and_nothing_left_is_an_error(tmp_path):
    write(write(tmp_path), "a2_s1_t1", body_at(160, 12), skeleton_at(160, 12))  # frames 2 and 7
    with pytest.warns(UserWarning, match="a2_s1_t1_depth.mat: 12 depth and .* leave 2 at every=5"):
        frames = list(utd_mhad(tmp_path, "every5"))
    assert [(f.recording.sequence, f.number) for f in frames] == [
        ("a1_t1", number) for number in (2, 7, 12, 17)
    ]
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(DataError, match="none of the 2 recordings has 3 frames at every=9"),
    ):
        list(utd_mhad(tmp_path, "every9"))


def test_reading_recordings_needs_no_tensorflow():
    code = "import sys, data_pipeline.utd_mhad.recordings; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def build(source, out, **kwargs):
    tfds = pytest.importorskip("tensorflow_datasets")
    from data_pipeline.utd_mhad import utd_mhad_dataset_builder as module

    builder = module.Builder(data_dir=out, **kwargs)
    config = tfds.download.DownloadConfig(manual_dir=source)
    builder.download_and_prepare(download_config=config)
    assert tfds.builder("utd_mhad", data_dir=out, **kwargs).info.splits.keys() == {"train"}
    return list(tfds.as_numpy(builder.as_dataset(split="all")))


def test_the_builder_keeps_every_bit_and_the_order_of_frames(tmp_path):
    noise = np.random.default_rng(0).integers(0, 6554, (240, 320, 20), dtype=np.uint16)
    noise[0, :2, 2] = 6553, 0
    write(tmp_path / "in", "a10_s1_t1", depth=noise)
    for name in ("a1_s2_t1", "a2_s1_t2"):
        write(tmp_path / "in", name)
    examples = build(tmp_path / "in", tmp_path / "out")
    order = [(e["subject"].decode(), e["sequence"].decode(), int(e["frame"])) for e in examples]
    assert order == [
        (subject, sequence, frame)
        for subject, sequence in (("1", "a2_t2"), ("1", "a10_t1"), ("2", "a1_t1"))
        for frame in (2, 7, 12, 17)
    ]
    for example, frame in zip(examples[4:8], (2, 7, 12, 17), strict=True):
        assert example["depth"].dtype == np.uint16
        np.testing.assert_array_equal(example["depth"][..., 0], noise[..., frame])
    np.testing.assert_allclose(examples[0]["joints"][:, 1], 60 + 10 * np.arange(12), atol=1e-3)
    assert examples[0]["visible"].all()
    assert examples[0]["crop"].tolist() == [64, 43, 192, 144]


def test_the_config_every1_keeps_all_frames_that_have_a_skeleton(tmp_path):
    examples = build(write(tmp_path / "in"), tmp_path / "out", config="every1")
    assert [int(e["frame"]) for e in examples] == list(range(2, 20))


def test_bad_sources_stop_the_builder_before_it_writes_anything(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="does not exist or is empty"):
        build(tmp_path / "in", tmp_path / "out")
    write(write(tmp_path / "in"), "a9_s9_t9", depth=np.zeros((240, 320, 20), np.uint16))
    with pytest.raises(DataError, match="a9_s9_t9_depth.mat: depth is 0"):
        build(tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*tfrecord*"))


def test_a_config_that_keeps_no_frame_is_refused():
    pytest.importorskip("tensorflow_datasets")
    from data_pipeline.utd_mhad.utd_mhad_dataset_builder import UtdMhadConfig

    with pytest.raises(ValueError, match="every=0: expected 1"):
        UtdMhadConfig(name="every0", every=0)


def test_fast_arms_of_real_recordings_fall_on_the_body_most_often_at_a_lag_of_two(real_data):
    recordings = find_recordings(real_data / "utd_mhad")
    assert len(recordings) == 324
    arms = [JOINTS.index(f"{side}_{j}") for side in ("right", "left") for j in ("elbow", "wrist")]
    on_body = {1: [], 2: [], 3: []}
    for recording in recordings[::20]:
        frames = read(recording, every=1)
        xy = frames.joints[:, arms]
        for lag, share in on_body.items():
            # `joints[i]` is the skeleton of two frames before, so lag 1 is the next one
            for i in range(3, len(xy) - 3):
                moved = xy[i + 2 - lag]
                fast = np.linalg.norm(xy[i + 3 - lag] - xy[i + 1 - lag], axis=-1) > 8
                x, y = np.clip(np.rint(moved[fast]).astype(int).T, 0, [[319], [239]])
                share.extend(frames.depth[i, y, x] > 0)
    shares = {lag: np.mean(share) for lag, share in on_body.items()}
    assert len(on_body[2]) > 300
    assert shares[2] > max(shares[1], shares[3]) + 0.02, shares
    assert shares[2] > 0.8, shares


@pytest.mark.slow
def test_no_joint_of_the_324_real_recordings_lies_outside_its_crop(real_data):
    pairs = find_recordings(real_data / "utd_mhad")
    assert len(pairs) == 324
    total = outside = 0
    for pair in pairs:
        frames = read(pair, 5)
        joints, visible = frames.joints, frames.visible
        x, y, width, height = frames.recording.crop
        inside = (joints >= (x - 0.5, y - 0.5)) & (joints < (x + width - 0.5, y + height - 0.5))
        outside += (visible & ~inside.all(-1)).sum()
        total += visible.size
    assert total == 12 * 4349
    assert outside == 0
