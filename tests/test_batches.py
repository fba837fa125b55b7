"""Batches of clips: numpy's and tf.data's are the same ones, and so is the depth on the grid."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from test_frames import make_frames

from data_pipeline import throughput
from data_pipeline.examples import feed as numpy_feed
from data_pipeline.examples.clips import clip_frames
from data_pipeline.examples.frames import save
from jaxpose.body import geometry
from jaxpose.body.masks import Target
from jaxpose.body.skeleton import MAPS

GRID = (24, 32)
TARGETS = {"binary": Target(3.0), "Gaussian": Target(3.0, 1.0), "none": None}
STARTS = np.array([5, 0, 9, 3, 12, 1, 7])


@pytest.fixture(scope="module")
def tf_batches():
    return pytest.importorskip("data_pipeline.examples.batches")


@pytest.fixture(scope="module")
def frames():
    return make_frames(1 + 5 * np.arange(15), grid=GRID)


IMPORTED = """
import os
import jax  # sets one of them
names = "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"
before = [os.environ.get(name) for name in names]
import data_pipeline, experiments.run
assert [os.environ.get(name) for name in names] == before
from data_pipeline.examples.batches import tf
assert [os.environ.get(name) for name in names] == before
print(tf.constant(1).numpy())
"""


def test_importing_leaves_tensorflow_s_settings_alone_and_tensorflow_prints_nothing(tf_batches):
    environment = {k: v for k, v in os.environ.items() if k not in tf_batches.SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


# ---------------------------------------------------------------- the feed in numpy


def test_the_mean_of_every_image_is_removed_and_a_scale_of_200_mm_becomes_1():
    frames = make_frames([1, 6, 11], grid=GRID)
    frames.depth_mm[:] = 1000
    frames.depth_mm[1, :, :16] = 1100  # half of the image 100 mm behind: +-50 around its mean
    frames.depth_mm[2] = 3000  # another level alone changes nothing
    (batch,) = numpy_feed.feed(frames, 200.0, None)(np.array([0]), 4)
    assert batch["depth"].shape == (1, 3, *GRID, 1)
    assert (batch["depth"][0, [0, 2]] == 0).all()
    np.testing.assert_allclose(batch["depth"][0, 1, :, :16], 0.25, atol=1e-6)
    np.testing.assert_allclose(batch["depth"][0, 1, :, 16:], -0.25, atol=1e-6)


def test_a_batch_holds_its_clips_in_the_order_asked_for(frames):
    sizes, at = [], 0
    for batch in numpy_feed.feed(frames, 200.0, TARGETS["binary"])(STARTS, 3):
        index = clip_frames(STARTS[at : at + 3])
        np.testing.assert_array_equal(batch["xy"], frames.xy[index])
        np.testing.assert_array_equal(batch["visible"], frames.visible[index])
        for row, clip in enumerate(index):
            for t, k in enumerate(clip):
                alone = geometry.standardise(frames.depth_mm[k : k + 1], 200.0)
                np.testing.assert_allclose(batch["depth"][row, t, ..., 0], alone[0], atol=1e-6)
                masks = TARGETS["binary"].draw(np, frames.xy[k], frames.visible[k], GRID)
                np.testing.assert_array_equal(batch["masks"][row, t], masks)
        sizes.append(len(index))
        at += 3
    assert sizes == [3, 3, 1]


def test_a_clip_asked_for_twice_comes_twice(frames):
    (batch,) = numpy_feed.feed(frames, 200.0, None)(np.array([4, 4]), 2)
    np.testing.assert_array_equal(batch["depth"][0], batch["depth"][1])


# ---------------------------------------------------------------- tf.data


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
def test_tf_data_makes_the_batches_of_numpy_in_the_same_order(tf_batches, frames, kind, batch_size):
    feeds = [module.feed(frames, 200.0, TARGETS[kind]) for module in (numpy_feed, tf_batches)]
    ours, theirs = (list(feed(STARTS, batch_size)) for feed in feeds)
    sizes = [len(batch["xy"]) for batch in theirs]
    full, rest = divmod(7, batch_size)
    assert sizes == [batch_size] * full + ([rest] if rest else [])
    for a, b in zip(ours, theirs, strict=True):
        keys = {"depth", "xy", "visible"} | (set() if kind == "none" else {"masks"})
        assert set(a) == set(b) == keys
        for name in a:
            assert (b[name].shape, b[name].dtype) == (a[name].shape, a[name].dtype), name
        np.testing.assert_allclose(b["depth"], a["depth"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(b["xy"], a["xy"])
        np.testing.assert_array_equal(b["visible"], a["visible"])


def test_binary_masks_of_both_are_equal_and_gaussian_ones_to_the_last_bits(tf_batches, frames):
    for kind, tolerance in (("binary", 0), ("Gaussian", 1e-6)):
        feeds = [module.feed(frames, 200.0, TARGETS[kind]) for module in (numpy_feed, tf_batches)]
        (ours,), (theirs,) = (list(feed(STARTS, 7)) for feed in feeds)
        assert ours["masks"].shape == (7, 3, *GRID, MAPS)
        assert ours["masks"].dtype == np.float32
        assert ours["masks"].any(axis=(1, 2, 3)).all()  # no map is empty in every clip
        np.testing.assert_allclose(theirs["masks"], ours["masks"], rtol=0, atol=tolerance)


def test_the_order_stays_when_maps_run_in_parallel(tf_batches):
    frames = make_frames(1 + 5 * np.arange(300), grid=(2, 2))
    starts = np.random.default_rng(0).permutation(298)
    feed = tf_batches.feed(frames, 200.0, None)
    xy = np.concatenate([batch["xy"] for batch in feed(starts, 16)])
    np.testing.assert_array_equal(xy, frames.xy[clip_frames(starts)])


def test_tensorflow_sees_no_gpu(tf_batches):
    import tensorflow as tf

    assert tf.config.get_visible_devices("GPU") == []


# ---------------------------------------------------------------- depth on the grid, by definition


def both(depth, crop, grid, background_mm):
    """The grid by `geometry`, and by its definition in float64, [rows cols] each."""
    x, y, width, height = crop
    rows = geometry.cell_weights(y, height, grid[0], depth.shape[0]).astype(np.float64)
    cols = geometry.cell_weights(x, width, grid[1], depth.shape[1]).astype(np.float64)
    weight = rows @ (depth > 0) @ cols.T
    empty = weight < 1e-6
    mean = rows @ depth.astype(np.float64) @ cols.T / np.where(empty, 1, weight)
    ordered = np.sort(mean[~empty])
    median = ordered[(len(ordered) - 1) // 2] if len(ordered) else 0.0
    theirs = np.where(empty, median + background_mm, mean)
    return geometry.depth_to_grid(depth[None], crop, grid, background_mm)[0], theirs


@pytest.mark.parametrize("holes", [0, 0.05, 0.5, 0.95, 0.999])
def test_depth_on_the_grid_is_its_definition_in_any_crop(holes):
    random = np.random.default_rng(int(1000 * holes))
    for _ in range(12):
        height, width = random.integers(12, 130, 2)
        grid = tuple(random.integers(2, 13, 2).tolist())
        x, y = (int(random.integers(-3, n // 2)) for n in (width, height))  # may begin outside
        crop = (x, y, int(random.integers(3, width - x + 3)), int(random.integers(3, height - y)))
        depth = random.integers(400, 6000, (height, width)).astype(np.uint16)
        depth[random.random((height, width)) < holes] = 0
        ours, theirs = both(depth, crop, grid, 600.0)
        assert ours.shape == grid and ours.dtype == np.float32
        # 1e-6: float32 sums of up to 15,000 pixels of 6 m in another order
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=geometry.UNIT_MM / 2 + 1e-3)


def test_an_image_without_any_depth_is_the_background_in_both():
    for ours in both(np.zeros((20, 30), np.uint16), (0, 0, 30, 20), (4, 6), 600.0):
        assert (ours == 600).all()


def test_an_empty_cell_gets_the_lower_median_in_both():
    # 2x2 cells of 2x2 px with 1000, 2000, 3000 and none: of three cells the middle one, 2000;
    # of 1000 and 2000 the lower one, 1000
    depth = np.kron([[1000, 2000], [3000, 0]], np.ones((2, 2))).astype(np.uint16)
    for ours in both(depth, (0, 0, 4, 4), (2, 2), 5.0):
        assert ours.tolist() == [[1000, 2000], [3000, 2005]]
    depth[2:, :2] = 0
    for ours in both(depth, (0, 0, 4, 4), (2, 2), 0.0):
        assert ours.tolist() == [[1000, 2000], [1000, 1000]]


def test_a_hole_does_not_lower_the_mean_of_its_cell_in_both():
    depth = np.array([[1000, 0, 900, 1100], [1200, 1400, 0, 0]], np.uint16)
    for ours in both(depth, (0, 0, 4, 2), (1, 2), 0.0):
        np.testing.assert_allclose(ours, [[1200, 1000]], atol=1e-3)


# ---------------------------------------------------------------- how fast


def test_the_command_measures_both_feeds_with_both_masks(tf_batches, frames, tmp_path, capsys):
    save(frames, tmp_path / "a.npz")
    assert throughput.main([str(tmp_path / "a.npz"), "--batch_size=4", "--seconds=0"]) == 0
    captured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(captured) == {"rows", "load"} and captured["load"] >= 0
    assert [(row["feed"], row["masks"]) for row in captured["rows"]] == [
        ("tf.data", "binary"), ("tf.data", "gaussian"), ("numpy", "binary"), ("numpy", "gaussian"),
    ]  # fmt: skip
    for row in captured["rows"]:
        assert (row["batch"], row["n"]) == (4, 1)
        assert row["p5"] == row["clips_per_s_median"] == row["p95"] > 0  # one block


def test_a_rate_is_the_clips_of_a_block_over_its_own_time_without_the_first_batches(monkeypatch):
    clock = iter(np.arange(1000) * 0.25)  # a reading costs 0.25 s, a batch nothing
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(throughput, "BLOCK_S", 0.6)

    def feed(starts, batch_size):
        for k in range(1000):
            yield {"xy": np.zeros((1 if k < throughput.WARM_UP else batch_size, 3, 12, 2))}

    # began at t, then asked at t + 0.25 and t + 0.5 (a batch of 4 each) and t + 0.75: 8 clips
    rates = throughput.clips_per_s(feed, np.arange(5), 4, 3.0)
    np.testing.assert_allclose(rates, 8 / 0.75)
    assert len(rates) == 3  # 1.25 s each: begun at 0.25, 1.5 and 2.75 s


def test_a_file_without_a_clip_or_a_batch_of_none_ends_with_2(tmp_path, capsys):
    pytest.importorskip("tensorflow")
    save(make_frames([1, 6, 100, 105]), tmp_path / "a.npz")
    assert throughput.main([str(tmp_path / "a.npz")]) == 2
    assert throughput.main([str(tmp_path / "none.npz")]) == 2
    assert throughput.main([str(tmp_path / "a.npz"), "--batch_size=0"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for line, words in zip(
        captured.err.splitlines(),
        ("three consecutive", "no such file", "expected 1 or more"),
        strict=True,
    ):
        assert line.startswith("error: ") and words in line
