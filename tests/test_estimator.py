"""`jaxpose.load()` and estimators: in memory, in a stream, in threads."""

import dataclasses
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from lowerings import FOLDED
from models import SPECIFICATION, make_model

import jaxpose
from experiments.prediction import maps_of
from jaxpose import estimator as module
from jaxpose.estimator import Estimator
from jaxpose.model import Model
from jaxpose.prediction.stream import Stream
from jaxpose.prediction.view import View
from jaxpose.recordings.recording import Frame


@pytest.fixture(scope="module")
def model():
    return make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=20.0))


def frames(count: int, seed: int = 0, size=(64, 96)) -> np.ndarray:
    """Smooth reliefs that move, with holes: maps of random nets have peaks."""
    rng = np.random.default_rng(seed)
    relief = cv2.GaussianBlur(rng.random((size[0], size[1] + count)), (0, 0), 4)
    depth = [800 + 400 * relief[:, k : k + size[1]] for k in range(count)]
    depth = np.stack(depth).astype(np.uint16)
    depth[rng.random(depth.shape) < 0.02] = 0
    return depth


def same(one, other, atol=1e-3):
    np.testing.assert_array_equal(one.state, other.state)
    np.testing.assert_allclose(one.xy, other.xy, atol=atol)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-5)


@pytest.mark.parametrize("overlap, stride", [(True, 1), (False, 3)])
@pytest.mark.parametrize("count", [3, 8, 20])
def test_at_the_rate_of_the_training_poses_are_those_of_the_model(model, overlap, stride, count):
    depth = frames(count)
    pose = Estimator(model, overlap=overlap, batch_size=3)(depth, rate_hz=6.0)
    poses = model.poses(depth, stride=stride)
    assert 0.05 < poses.found.mean() < 1  # both kinds of joints are compared
    np.testing.assert_array_equal(pose.state == "found", poses.found)
    np.testing.assert_array_equal(np.isnan(pose.xy).any(-1), ~poses.found)
    np.testing.assert_allclose(pose.xy[poses.found], poses.xy[poses.found], atol=1e-3)
    confidence = np.where(poses.found, np.clip(poses.score, 0, 1), 0)
    np.testing.assert_allclose(pose.confidence, confidence, atol=1e-5)
    np.testing.assert_array_equal(pose.number, np.arange(count))
    np.testing.assert_allclose(pose.time_s, np.arange(count) / 6)


def test_at_30_frames_per_second_every_fifth_frame_is_a_recording_of_its_own(model):
    depth = frames(33)
    pose = Estimator(model)(depth)
    for phase in range(5):
        own = Estimator(model)(depth[phase::5], rate_hz=6.0)
        np.testing.assert_allclose(pose.xy[phase::5], own.xy, atol=1e-3)


def test_time_stamps_replace_the_rate(model):
    depth = frames(12)
    estimate = Estimator(model)
    same(estimate(depth, time_s=7 + np.arange(12) / 6), estimate(depth, rate_hz=6.0))
    with pytest.raises(ValueError, match="11 times; expected 12"):
        estimate(depth, time_s=np.arange(11.0))
    with pytest.raises(ValueError, match="frame 1: time 0.0 s is not after 0.0 s"):
        estimate(depth, time_s=np.zeros(12))


def test_times_that_are_no_finite_numbers_are_refused_before_anything_is_computed(model):
    depth, estimate = frames(12), Estimator(model)
    estimate.stream = None  # would raise TypeError
    times = np.arange(12) / 6
    times[11] = np.inf
    with pytest.raises(ValueError, match="time_s of frame 11 is inf; expected a finite number"):
        estimate(depth, time_s=times)
    items = [Frame(k, np.inf if k == 2 else k / 6, image) for k, image in enumerate(depth)]
    with pytest.raises(ValueError, match="frame 2: time inf s; expected a finite number"):
        list(Estimator(model).stream(items))


def test_depth_that_no_recording_may_have_is_refused(model):
    depth = frames(6)
    depth[3, 5, 5] = 6553
    Estimator(model)(depth)
    depth[3, 5, 5] = 65535
    words = (
        r"frame 3: depth of up to 65535 mm; expected at most 6553 mm; .*\[frames_mm > 6553\] = 0"
    )
    estimate = Estimator(model)
    for use in (estimate, lambda d: [*estimate.stream(d)], lambda d: [*estimate.with_frames(d)]):
        with pytest.raises(ValueError, match=words):
            use(depth)


def test_a_stream_yields_the_same_poses_one_by_one_and_reads_only_as_far_as_it_must(model):
    depth, read = frames(60), []

    def camera():
        for k, image in enumerate(depth):
            read.append(k)
            yield image

    whole = Estimator(model)(depth)
    for k, pose in enumerate(Estimator(model, batch_size=1).stream(camera())):
        assert pose.number == k and pose.xy.shape == (12, 2)
        np.testing.assert_allclose(pose.xy, whole.xy[k], atol=1e-3)
        # the first 5 frames wait for t + 10, those in the middle of their clip for t + 5
        assert read[-1] == min(59, max(k + 5, min(k, 4) + 10))
    assert k == 59


def test_nets_that_see_one_frame_give_the_poses_of_clips_at_once_and_at_any_rate():
    """A model of such nets computes a frame once, and its stream waits for no other frame."""
    planar = dataclasses.replace(
        SPECIFICATION, depth_scale_mm=20.0, variant="planar", detection_factorise="planar"
    )
    of_clips = make_model(planar)
    single = Model(dataclasses.replace(planar, clip_frames=1), of_clips.weights, lowering=FOLDED)
    depth = frames(7)
    expected = of_clips.poses(depth)
    assert 0.05 < expected.found.mean() < 1
    for rate_hz in (6.0, 11.0, 30.0):
        pose = Estimator(single)(depth, rate_hz=rate_hz)
        np.testing.assert_array_equal(pose.state == "found", expected.found)
        at = expected.found
        np.testing.assert_allclose(pose.xy[at], expected.xy[at], atol=1e-3)
    read = []

    def counted():
        for k, image in enumerate(depth):
            read.append(k)
            yield image

    stream = Estimator(single, batch_size=1).stream(counted())
    for k in range(len(depth)):
        assert next(stream).number == k and len(read) == k + 1
    grid = of_clips.to_grid(depth[:6], (0, 0, 96, 64))
    clips = of_clips.clips(grid.reshape(2, 3, *planar.grid))
    for actual, wanted in zip(maps_of(single, clips), of_clips.maps(clips), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


def test_a_frame_that_cannot_be_read_is_missing_and_the_rest_goes_on(model):
    depth = frames(20)
    items = [Frame(10 + k, k / 6, None if k == 7 else image) for k, image in enumerate(depth)]
    poses = list(Estimator(model).stream(items))
    assert [int(p.number) for p in poses] == list(range(10, 30))
    assert np.isnan(poses[7].xy).all() and not poses[7].confidence.any()
    assert set(poses[7].state) == {"missing"}
    holes = depth.copy()
    holes[7] = 0  # an image without a valid pixel is no image either
    same(Estimator(model)(holes, rate_hz=6.0), module.stack(poses))
    before = Estimator(model)(depth[:7], rate_hz=6.0)
    np.testing.assert_allclose(before.xy, np.stack([p.xy for p in poses[:7]]), atol=1e-3)


def test_a_stream_holds_few_frames_however_long_it_is(model):
    stream, lock = Stream(model, view=View(), overlap=False, batch_size=4), threading.Lock()
    count = 0
    for k, image in enumerate(frames(150)):
        stream.add(Frame(k, k / 30, image))
        count += sum(1 for _ in stream.poses(lock))
        # at most 2 x 10 frames that clips reach over, and those of a batch of 4 clips
        assert len(stream._frames) <= 32 and len(stream._grids) <= 48
    stream.finish()
    assert count + sum(1 for _ in stream.poses(lock)) == 150 and not stream._frames


def test_skipped_frames_are_not_computed_but_seen_by_others(model):
    depth = frames(20)
    whole = Estimator(model)(depth, rate_hz=6.0)
    pairs = list(Estimator(model).with_frames(depth, rate_hz=6.0, skip=9))
    assert [pose is None for _, pose in pairs] == [True] * 9 + [False] * 11
    assert [frame.number for frame, _ in pairs] == list(range(20))
    rest = module.stack([pose for _, pose in pairs[9:]])
    np.testing.assert_allclose(rest.xy, whole.xy[9:], atol=1e-3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_recording_has_the_same_poses_in_the_pixels_of_its_own_images(model, degrees):
    depth = frames(6, size=(72, 96))
    turned = np.stack([np.rot90(image, degrees // 90) for image in depth])
    upright = Estimator(model)(depth, rate_hz=6.0)
    pose = Estimator(model)(turned, rate_hz=6.0, view=View(turn=degrees))
    x, y = upright.xy[..., 0], upright.xy[..., 1]
    expected = {90: (y, 95 - x), 180: (95 - x, 71 - y), 270: (71 - y, x)}[degrees]
    np.testing.assert_allclose(pose.xy, np.stack(expected, -1), atol=1e-3)


def test_images_of_other_proportions_get_margins_and_a_crop_is_taken_as_it_is(model):
    depth = frames(4, size=(64, 96))  # 3:2, as the grid of 48x32
    wide = np.zeros((4, 64, 130), np.uint16)
    wide[:, :, 20:116] = depth
    inside = Estimator(model)(wide, rate_hz=6.0, view=View(crop=(20, 0, 96, 64)))
    same(
        dataclasses.replace(inside, xy=inside.xy - np.float32([20, 0])),
        Estimator(model)(depth, rate_hz=6.0),
    )
    tall = np.zeros((4, 90, 96), np.uint16)
    tall[:, 13:77] = depth
    padded = np.zeros((4, 90, 135), np.uint16)
    padded[:, :, 19:115] = tall
    reference = Estimator(model)(padded, rate_hz=6.0)
    shifted, pose = reference.xy - np.float32([19, 0]), Estimator(model)(tall, rate_hz=6.0)
    shown = (shifted[..., 0] >= 0) & (shifted[..., 0] <= 95)  # the next test is about the others
    assert shown.sum() >= 5
    np.testing.assert_allclose(pose.xy[shown], shifted[shown], atol=0.05)  # depth is in 0.1 mm


def test_a_joint_in_a_margin_is_at_the_border_if_it_is_within_a_cell_of_it_else_missing(model):
    depth = frames(40, size=(64, 60))
    padded = np.pad(depth, ((0, 0), (0, 0), (18, 18)))  # 96x64, the grid's proportions
    there = Estimator(model)(padded, rate_hz=6.0)
    pose = Estimator(model)(depth, rate_hz=6.0)
    x, y = there.xy[..., 0] - 18, there.xy[..., 1]
    known = np.isfinite(x)
    near = known & (x >= -2.5) & (x <= 61.5)  # a cell is 2 px, pixels reach from -0.5 to 59.5
    assert (near & (x < -0.5)).any() and (near & (x > 59.5)).any() and (known & ~near).any()
    np.testing.assert_array_equal(pose.state, np.where(near, there.state, "missing"))
    np.testing.assert_array_equal(pose.confidence > 0, near)
    expected = np.stack([np.clip(x, 0, 59), y], axis=-1)
    np.testing.assert_allclose(pose.xy, np.where(near[..., None], expected, np.nan), atol=1e-3)


@pytest.mark.parametrize(
    "crop, degrees",
    [((20, 0, 40, 64), 0), ((0, 10, 96, 30), 0), ((0, 10, 96, 30), 90)],
)
def test_a_crop_of_other_proportions_is_an_image_cut_by_hand_and_not_stretched(
    model, crop, degrees
):
    depth = frames(4, size=(64, 96))
    x, y, width, height = crop
    alone = depth[:, y : y + height, x : x + width].copy()
    expected = Estimator(model)(alone, rate_hz=6.0, view=View(turn=degrees))
    pose = Estimator(model)(depth, rate_hz=6.0, view=View(crop=crop, turn=degrees))
    same(dataclasses.replace(pose, xy=pose.xy - np.float32([x, y])), expected, atol=1e-3)


def test_threads_share_an_estimator(model):
    estimate = Estimator(Model(model.specification, model.weights, lowering=FOLDED))
    recordings = [frames(8, seed) for seed in range(6)]
    start = threading.Barrier(6)

    def work(depth):
        start.wait()
        return estimate(depth, rate_hz=6.0)

    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(work, recordings))
    for depth, pose in zip(recordings, together, strict=True):
        same(estimate(depth, rate_hz=6.0), pose, atol=0)


def test_a_pose_is_read_only_and_converts_to_mm(model):
    depth = np.maximum(frames(6), 1)
    pose = Estimator(model)(depth, rate_hz=6.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pose.xy = None
    with pytest.raises(ValueError, match="read-only"):
        pose.xy[0] = 0
    mm = pose.to_mm(depth, jaxpose.Intrinsics(100.0, 100.0, 47.5, 31.5))
    found = pose.state == "found"
    np.testing.assert_array_equal(np.isnan(mm).any(-1), ~found)
    np.testing.assert_allclose(
        mm[found][:, 0] / mm[found][:, 2], (pose.xy[found][:, 0] - 47.5) / 100, atol=1e-5
    )


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: d[:1], r"depth_mm is \[1, 64, 96\], the points are \[6, 12, 2\]; expected depth "
         r"\[6, rows, columns\]: one image for each frame"),
        (lambda d: d[:5], r"depth_mm is \[5, 64, 96\]"),
        (lambda d: d[0], r"depth_mm is \[64, 96\]"),
        (lambda d: d[None], r"depth_mm is \[1, 6, 64, 96\]"),
        (lambda d: d[0, 0], r"depth_mm is \[96\]"),
        (lambda d: d[:, ::2, ::2], "images of 48x32 px, the poses are of images of 96x64 px; pass"),
        (lambda d: d[:, :60], "images of 96x60 px, the poses are of images of 96x64 px"),
        (lambda d: np.rot90(d, axes=(1, 2)), "images of 64x96 px, the poses are of images of 96x6"),
        (lambda d: d / 1000, "depth_mm is float64; expected the uint16 array, in mm"),
        (list, "depth_mm is list; expected the uint16 array"),
    ],
)  # fmt: skip
def test_depth_of_other_frames_is_never_taken_for_that_of_the_poses(model, change, words):
    depth = frames(6)
    pose = Estimator(model)(depth, rate_hz=6.0)
    with pytest.raises(ValueError, match=words):
        pose.to_mm(change(depth), jaxpose.Intrinsics(100.0, 100.0, 47.5, 31.5))


def test_poses_of_a_stream_know_the_size_of_their_image(model):
    depth = frames(9)
    camera = jaxpose.Intrinsics(100.0, 100.0, 47.5, 31.5)
    items = [Frame(k, k / 6, None if k == 4 else image) for k, image in enumerate(depth)]
    poses = list(Estimator(model).stream(items))
    assert np.isnan(poses[4].to_mm(depth[4], camera)).all()
    for k in (0, 3, 8):
        assert poses[k].to_mm(depth[k], camera).shape == (12, 3)
        assert poses[k].image_px.tolist() == [96, 64]
        with pytest.raises(ValueError, match="images of 48x32 px, the poses are of images of 96x6"):
            poses[k].to_mm(depth[k, ::2, ::2], camera)
        with pytest.raises(
            ValueError, match=r"the points are \[12, 2\]; expected depth \[rows, col"
        ):
            poses[k].to_mm(depth, camera)
    together = module.stack(poses)  # one of them has no size
    assert together.to_mm(depth, camera).shape == (9, 12, 3)
    with pytest.raises(ValueError, match="the poses are of images of 96x64 px"):
        together.to_mm(depth[:, 1:], camera)


@pytest.mark.parametrize(
    "depth, words",
    [
        (frames(2), "2 frames; expected at least 3, one clip"),
        (frames(4).astype(np.float32), "frames_mm is float32 .*expected a NumPy array, uint16"),
        (frames(4)[0], r"frames_mm is uint16 \[64, 96\]"),
        ([1, 2, 3], "frames_mm is a list"),
    ],
)
def test_frames_that_cannot_be_used_are_refused(model, depth, words):
    with pytest.raises(ValueError, match=words):
        Estimator(model)(depth)


def test_mixed_sizes_and_types_in_a_stream_name_the_frame(model):
    images = [*frames(5), frames(1, size=(64, 97))[0]]
    with pytest.raises(ValueError, match="frame 5: 97x64 pixels; expected 96x64"):
        list(Estimator(model).stream(images))
    with pytest.raises(ValueError, match=r"frame 1 is uint8 \[64, 96\]; expected uint16"):
        list(Estimator(model).stream([frames(1)[0], np.ones((64, 96), np.uint8)]))
    with pytest.raises(ValueError, match="turn by 45 degrees"):
        View(turn=45)


def test_a_model_without_time_order_is_refused():
    specification = dataclasses.replace(SPECIFICATION, frame_interval_s=None)
    with pytest.raises(jaxpose.ModelError, match="not in time order"):
        Estimator(make_model(specification))


def test_load_takes_a_path_or_the_model_that_is_shipped(model, tmp_path, monkeypatch):
    model.save(tmp_path / "a.safetensors")
    assert jaxpose.load(tmp_path / "a.safetensors").model.digest == model.digest
    monkeypatch.setattr(module.importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(jaxpose.ModelError, match="ships no model; pass the path"):
        jaxpose.load()
    (tmp_path / "models").mkdir()
    (tmp_path / "a.safetensors").rename(tmp_path / "models" / "infant.safetensors")
    assert jaxpose.load().model.digest == model.digest


def test_the_python_of_the_guide_runs(model, tmp_path, monkeypatch):
    text = (Path(__file__).resolve().parents[1] / "docs" / "predict.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    model.save(tmp_path / "model.safetensors")
    monkeypatch.setattr(module, "shipped_model", lambda: tmp_path / "model.safetensors")
    names = {"frames_mm": frames(12)}
    exec(code, names)
    assert names["pose"].xy.shape == (12, 12, 2)
