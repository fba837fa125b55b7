"""The one file of frames: what comes back, what a broken one says, what the digest sees."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest

from data_pipeline.errors import DataError
from data_pipeline.examples.frames import Frames, load, save


def make_frames(
    frame, subject="1", sequence="", step=5, grid=(6, 8), dataset="babypose", seed=0
) -> Frames:
    """Random depth of 0.5 m to 2 m and joints on the grid, a tenth of them hidden."""
    frame = np.array(frame)
    n = len(frame)
    random = np.random.default_rng(seed)
    visible = random.random((n, 12)) > 0.1
    xy = random.uniform(-0.5, np.array(grid[::-1]) - 0.5, (n, 12, 2)).astype(np.float32)
    return Frames(
        dataset=dataset,
        depth_mm=random.uniform(500, 2000, (n, *grid)).astype(np.float32),
        xy=np.where(visible[..., None], xy, np.float32(-1)),
        visible=visible,
        subject=np.broadcast_to(np.array(subject), n).copy(),
        sequence=np.broadcast_to(np.array(sequence), n).copy(),
        frame=frame,
        crop=np.tile(np.array([0, 0, 640, 480], np.int32), (n, 1)),
        step=step,
    )


def rewrite(path, **changes):
    """Changes arrays of a stored file; None takes one away."""
    with np.load(path) as stored:
        arrays = {**stored, **changes}
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})


# ---------------------------------------------------------------- there and back


def test_depth_returns_within_half_of_a_tenth_of_a_millimetre_and_all_else_exactly(tmp_path):
    frames = make_frames([1, 6, 11, 16], ["7", "7", "31", "31"], ["a1_t1", "é", "", "x"])
    frames.depth_mm[0, 0] = [0, 0.04, 0.06, 1234.5678, 6553.4, 6553.5, 6553.54, 1]
    save(frames, tmp_path / "new" / "folder" / "a.npz")
    again = load(tmp_path / "new" / "folder" / "a.npz")
    # float32 itself is 0.0005 mm coarse at 6.5 m
    np.testing.assert_allclose(again.depth_mm, frames.depth_mm, rtol=0, atol=0.05 + 0.0005)
    np.testing.assert_allclose(again.depth_mm[0, 0, :4], [0, 0, 0.1, 1234.6], rtol=1e-6)
    assert again.depth_mm.dtype == np.float32
    for name in ("xy", "visible", "subject", "sequence", "frame", "crop"):
        stored, inputs = getattr(again, name), getattr(frames, name)
        assert stored.dtype == inputs.dtype
        np.testing.assert_array_equal(stored, inputs, err_msg=name)
    assert (again.dataset, again.step) == ("babypose", 5)
    assert (len(again), again.grid) == (4, (6, 8))


@pytest.mark.parametrize("before", [False, True])
def test_a_save_that_fails_leaves_no_half_file_and_keeps_the_old_one(tmp_path, monkeypatch, before):
    path = tmp_path / "a.npz"
    old = make_frames([1, 6, 11])
    if before:
        save(old, path)

    def half(file, **arrays):
        file.write(b"PK\x03\x04")
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(np, "savez_compressed", half)
        with pytest.raises(OSError, match="no space left"):
            save(make_frames([1, 6], seed=1), path)
    assert path.exists() == before
    if before:
        np.testing.assert_array_equal(load(path).frame, old.frame)


def test_the_file_has_its_name_only_once_it_is_whole(tmp_path, monkeypatch):
    path, existing = tmp_path / "a.npz", []
    write = np.savez_compressed

    def watched(*args, **kwargs):
        existing.append(path.exists())
        write(*args, **kwargs)
        existing.append(path.exists())

    monkeypatch.setattr(np, "savez_compressed", watched)
    save(make_frames([1]), path)
    assert existing == [False, False]
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.slow
def test_2000_frames_of_128x96_with_2_mm_of_noise_take_less_than_40_mb(tmp_path):
    # 49.2 MB raw; 2 mm of noise are 20 units, whose entropy alone, log2(20 sqrt(2 pi e)) = 6.4 bit
    # a pixel, is 19.6 MB
    n = 2000
    random = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    sway = 10 * np.sin(np.arange(n) / 9)[:, None, None]
    body = 80 * np.exp(-((x - 64 - sway) ** 2 + (y - 48) ** 2) / 800)
    depth = 1000 - body + 0.5 * y + random.normal(0, 2, (n, 96, 128))
    frames = make_frames(5 * np.arange(n) + 1)
    save(dataclasses.replace(frames, depth_mm=depth.astype(np.float32)), tmp_path / "a.npz")
    assert 19.6e6 < (tmp_path / "a.npz").stat().st_size < 40e6


def test_a_save_that_fails_leaves_nothing_beside(tmp_path, monkeypatch):
    def half(file, **arrays):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(OSError, match="no space left"):
        save(make_frames([1, 6]), tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [-5, np.nan])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_depth_below_zero_or_not_a_number_is_refused(tmp_path, value):
    frames = make_frames([1, 6])
    frames.depth_mm[0, 0, 0] = value
    with pytest.raises(DataError):
        save(frames, tmp_path / "a.npz")


def test_an_infant_whose_depth_never_exceeds_255_is_named_as_grey_whenever_it_is_read(tmp_path):
    frames = make_frames([1, 6, 1, 6, 1, 6], ["2", "2", "7", "7", "9", "9"])
    frames.depth_mm[:2] = 255
    frames.depth_mm[2:4] = 255
    frames.depth_mm[3, 2, 3] = 256  # as no 8-bit image has it
    save(frames, tmp_path / "a.npz")
    for _ in range(2):
        with pytest.warns(UserWarning, match="^babypose: no depth above 255 in 2: grey levels"):
            load(tmp_path / "a.npz")


# ---------------------------------------------------------------- what a broken file says


def test_depth_beyond_sixteen_bits_of_tenths_is_refused_before_a_file_is_begun(tmp_path):
    frames = make_frames([1, 6, 11], "4", "a2_t1", dataset="utd_mhad")
    frames.depth_mm[1, 2, 3] = 7000
    expected = (
        r"^utd_mhad, recording 4 a2_t1, frame 6: depth runs from \d+ to 7000 mm; expected 0 to "
        "6553 mm; is the depth in mm"
    )
    with pytest.raises(DataError, match=expected):
        save(frames, tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named_with_the_command_that_writes_it(tmp_path):
    expected = r"a\.npz: no such file; expected a file written by `python -m data_pipeline.prepare`"
    with pytest.raises(DataError, match=expected):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.9, 0.999])
def test_a_file_cut_anywhere_is_named(tmp_path, share):
    path = tmp_path / "a.npz"
    save(make_frames(range(1, 50, 5)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=r"a\.npz: cannot be read .*; write it again"):
        load(path)


@pytest.mark.parametrize("content", [b"image;head\n1_8bit.png;3,4\n", b"\x89PNG\r\n", b"\x80\x04K"])
def test_a_file_of_another_kind_is_named_and_never_unpickled(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: cannot be read .*; expected a file written by"):
        load(tmp_path / "a.npz")


def test_a_file_of_another_format_says_so(tmp_path):
    path = tmp_path / "a.npz"
    save(make_frames([1, 6]), path)
    header = {"format": "jaxpose frames 2", "dataset": "babypose", "step": 5}
    rewrite(path, header=json.dumps(header))
    with pytest.raises(DataError, match=r"a\.npz: of another format; expected .* of this version"):
        load(path)


@pytest.mark.parametrize("name", ["header", "depth", "xy", "subject", "crop"])
def test_a_file_without_one_of_its_arrays_is_named(tmp_path, name):
    path = tmp_path / "a.npz"
    save(make_frames([1, 6]), path)
    rewrite(path, **{name: None})
    with pytest.raises(DataError, match=rf"a\.npz: cannot be read .*'{name}'"):
        load(path)


def test_a_file_damaged_inside_is_named(tmp_path):
    path = tmp_path / "a.npz"
    save(make_frames(range(1, 50, 5)), path)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("depth.npy").header_offset + 60
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 200] = b"\xff" * 200
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        load(path)


# ---------------------------------------------------------------- neighbours and the digest


def test_a_gap_a_new_recording_and_a_new_subject_end_a_run():
    frames = make_frames(
        [1, 6, 16, 21, 26, 31, 36, 41],  # 11 is missing
        ["1", "1", "1", "1", "1", "1", "2", "2"],
        ["a", "a", "a", "a", "b", "b", "b", "b"],
    )
    assert np.flatnonzero(frames.follows()).tolist() == [1, 3, 5, 7]


def test_step_0_makes_every_next_row_of_a_recording_a_neighbour():
    frames = make_frames([11, 16, 1, 21, 6, 1], ["1"] * 4 + ["2"] * 2, step=0)
    assert frames.follows().tolist() == [False, True, True, True, False, True]
    assert np.flatnonzero(dataclasses.replace(frames, step=5).follows()).tolist() == [1]


CHANGES = {
    "dataset": lambda value: "simulated",
    "step": lambda value: 1,
    "depth_mm": lambda value: value + np.eye(6, 8, dtype=np.float32) * np.float32(0.1),
    "xy": lambda value: np.nextafter(value, np.float32(99)),
    "visible": lambda value: ~value,
    "subject": lambda value: np.array(["1", "1", "2"]),
    "sequence": lambda value: np.array(["", "", "t2"]),
    "frame": lambda value: value + 5,
    "crop": lambda value: value + np.array([0, 1, 0, 0], np.int32),
}


def test_the_list_of_changes_names_every_field():
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Frames)}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_changes_with_every_field(name):
    frames = make_frames([1, 6, 11])
    other = dataclasses.replace(frames, **{name: CHANGES[name](getattr(frames, name))})
    assert other.digest() != frames.digest()
    assert len(frames.digest()) == 16 and int(frames.digest(), 16) >= 0


def test_the_digest_outlives_writing_and_reading(tmp_path):
    save(make_frames([1, 6, 11]), tmp_path / "a.npz")
    stored = load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz").digest() == stored.digest()
    save(stored, tmp_path / "b.npz")
    assert load(tmp_path / "b.npz").digest() == stored.digest()
    flipped = dataclasses.replace(stored, depth_mm=np.asfortranarray(stored.depth_mm))
    assert flipped.digest() == stored.digest()  # how memory is laid out is not the contents


def test_mirror_images_come_after_all_frames_with_sides_exchanged():
    xy = np.full((2, 12, 2), -1, np.float32)
    visible = np.zeros((2, 12), bool)
    xy[0, 2], visible[0, 2] = (1.25, 3), True  # a right wrist
    xy[1, 9], visible[1, 9] = (6, 0), True  # a left hip
    depth = np.arange(2 * 4 * 8, dtype=np.float32).reshape(2, 4, 8)
    frames = Frames(
        *("simulated", depth, xy, visible, np.array(["7", "7"]), np.array(["", ""])),
        *(np.array([1, 6]), np.zeros((2, 4), int), 5),
    )
    both = frames.with_mirror_images()
    assert len(both) == 4 and both.subject.tolist() == ["7"] * 4
    for name in ("depth_mm", "xy", "visible", "frame"):
        np.testing.assert_array_equal(getattr(both, name)[:2], getattr(frames, name))
    np.testing.assert_array_equal(both.depth_mm[2, 0], depth[0, 0, ::-1])
    # a grid of 8 columns: 1.25 px from the left border's pixel is 5.75 px from the right one's
    assert np.argwhere(both.visible[2:]).tolist() == [[0, 5], [1, 6]]  # left wrist, right hip
    np.testing.assert_array_equal(both.xy[2, 5], [5.75, 3])
    np.testing.assert_array_equal(both.xy[3, 6], [1, 0])
    assert (both.xy[2:][~both.visible[2:]] == -1).all()
    # no clip runs from a frame into a mirror image
    assert both.follows().tolist() == [False, True, False, True]
