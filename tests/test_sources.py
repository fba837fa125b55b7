"""Recordings of every kind, read frame by frame, and what is wrong with those that cannot be."""

import io
import re

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from test_utd_mhad import body_at

from jaxpose.errors import DataError
from jaxpose.recordings import images
from jaxpose.recordings.opening import Format, checked_intrinsics, open_source, read_intrinsics
from jaxpose.recordings.stacks import open_stream


def depth(count, size=(6, 8)):
    """Images whose pixel (0, 0) is 100 + the index."""
    images = np.full((count, *size), 900, np.uint16)
    images[:, 0, 0] = 100 + np.arange(count)
    return images


def write(folder, names, images):
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, images, strict=True):
        assert cv2.imwrite(str(folder / name), image)
    return folder


def readings(source):
    items = list(source.read())
    assert source.count in (None, len(items))
    return items


def marks(source):
    """Number, time and pixel (0, 0) of every reading."""
    return [(r.frame.number, r.frame.time_s, int(r.frame.depth_mm[0, 0])) for r in readings(source)]


def test_a_folder_in_the_order_of_the_last_number_in_its_names(tmp_path):
    names = ["cam2_depth_0010.png", "cam2_depth_9.png", "cam2_depth_0012.png"]
    folder = write(tmp_path / "a", names, depth(3)[[1, 0, 2]])
    (folder / "notes.txt").write_text("no image")
    source = open_source(str(folder), Format())
    assert source.name == "a"
    assert marks(source) == [(9, 9 / 30, 100), (10, 10 / 30, 101), (12, 12 / 30, 102)]
    assert [t for _, t, _ in marks(open_source(str(folder), Format(rate_hz=10.0)))] == [0.9, 1, 1.2]


def test_of_a_babypose_folder_only_the_16_bit_images_are_read(tmp_path):
    folder = write(tmp_path / "pz1", ["1_16bit.png", "6_16bit.png"], depth(2))
    write(folder, ["1_8bit.png"], depth(1).astype(np.uint8))
    (folder / "camera.json").write_text('{"fx": 500, "fy": 501, "cx": 3.5, "cy": 2.5}')
    source = open_source(str(folder), Format())
    assert [n for n, _, _ in marks(source)] == [1, 6]
    assert read_intrinsics(source.intrinsics_file)[0].fy == 501


def test_tiff_and_time_stamps(tmp_path):
    folder = write(tmp_path / "a", ["1.tiff", "2.TIF", "3.tiff"], depth(3))
    (folder / "timestamps.csv").write_text("frame,time_s\n1,5.0\n2,5.1\n3,5.3\n")
    assert marks(open_source(str(folder), Format())) == [
        (1, 5.0, 100),
        (2, 5.1, 101),
        (3, 5.3, 102),
    ]
    (folder / "timestamps.csv").write_text("frame,time_s\n1,5.0\n2,5.1\n")
    with pytest.raises(DataError, match="timestamps.csv: no time of frame 3"):
        open_source(str(folder), Format())
    (folder / "timestamps.csv").write_text("frame,time_s\n1,5.0\n2,5.1\n3,5.1\n")
    with pytest.raises(DataError, match="the time of frame 3 is not after that of 2"):
        open_source(str(folder), Format())


def test_stacks(tmp_path):
    np.save(tmp_path / "a.npy", depth(3))
    assert marks(open_source(str(tmp_path / "a.npy"), Format()))[2] == (2, 2 / 30, 102)
    np.savez(tmp_path / "b.npz", depth=depth(3), time_s=np.array([0.0, 0.5, 0.6]))
    assert marks(open_source(str(tmp_path / "b.npz"), Format()))[2] == (2, 0.6, 102)
    np.savez(tmp_path / "c.npz", depth=depth(3))
    assert marks(open_source(str(tmp_path / "c.npz"), Format(4.0)))[2] == (2, 0.5, 102)


@pytest.mark.parametrize("rate_hz", [15.0, 30.0])
def test_a_rate_is_refused_where_a_recording_has_times_of_its_own(tmp_path, rate_hz):
    np.savez(tmp_path / "b.npz", depth=depth(3), time_s=np.array([0.0, 0.5, 0.6]))
    folder = write(tmp_path / "a", ["1.png", "2.png"], depth(2))
    (folder / "timestamps.csv").write_text("frame,time_s\n1,0.5\n2,0.7\n")
    for place, times in ((tmp_path / "b.npz", "the array time_s"), (folder, "timestamps.csv")):
        said = f"{place}: has times of its own, {times}; leave out --rate={rate_hz:g}, or correct"
        with pytest.raises(DataError, match=re.escape(said)):
            open_source(str(place), Format(rate_hz))


@pytest.mark.parametrize("order", ["<", ">"])
def test_any_byte_order(tmp_path, order):
    np.save(tmp_path / "a.npy", depth(3).astype(f"{order}u2"))
    (_, _, last) = readings(open_source(str(tmp_path / "a.npy"), Format()))
    np.testing.assert_array_equal(last.frame.depth_mm, depth(3)[2])
    assert last.frame.depth_mm.dtype.isnative
    metres = (depth(3) / 1000).astype(f"{order}f4")
    np.save(tmp_path / "b.npy", metres)
    (_, _, last) = readings(open_source(str(tmp_path / "b.npy"), Format(mm_per_unit=1000.0)))
    np.testing.assert_array_equal(last.frame.depth_mm, depth(3)[2])


@pytest.mark.parametrize(
    "times, words",
    [
        ([0.0, 0.5, np.inf], "time_s of frame 2 is inf; expected a finite number"),
        ([np.nan, 0.5, 0.6], "time_s of frame 0 is nan"),
        (["0.0", "0.5", "0.6"], r"time_s is <U3 \[3\]; expected \[n\] numbers, seconds"),
        ([[0.0], [0.5], [0.6]], r"time_s is float64 \[3, 1\]"),
        (np.array([5, 4, 3], np.uint64), "time_s must have 3 increasing times"),
        ([0.0, 0.5], "time_s must have 3 increasing times"),
    ],
)
def test_times_of_a_stack_that_cannot_be_used(tmp_path, times, words):
    np.savez(tmp_path / "a.npz", depth=depth(3), time_s=times)
    with pytest.raises(DataError, match=f"a.npz: {words}"):
        open_source(str(tmp_path / "a.npz"), Format())


@pytest.mark.parametrize("scale", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_number_above_0_is_refused_by_name(tmp_path, scale):
    np.save(tmp_path / "a.npy", depth(3))
    with pytest.raises(DataError, match=f"--mm_per_unit={scale:g}: expected the millimetres"):
        open_source(str(tmp_path / "a.npy"), Format(mm_per_unit=scale))


def test_metres_need_a_scale(tmp_path):
    metres = depth(3).astype(np.float32) / 1000
    metres[1, 2, 2] = np.nan
    np.save(tmp_path / "a.npy", metres)
    with pytest.raises(DataError, match="float32; expected uint16 .*--mm_per_unit=1000 for metres"):
        open_source(str(tmp_path / "a.npy"), Format())
    items = readings(open_source(str(tmp_path / "a.npy"), Format(mm_per_unit=1000.0)))
    expected = depth(3)
    expected[1, 2, 2] = 0
    np.testing.assert_array_equal(np.stack([r.frame.depth_mm for r in items]), expected)


def test_8_bit_images_need_a_scale(tmp_path):
    folder = write(tmp_path / "a", ["1.png", "2.png"], (depth(2) // 10).astype(np.uint8))
    with pytest.raises(DataError, match="1.png: uint8; expected uint16 depth in mm; say what"):
        open_source(str(folder), Format())
    assert marks(open_source(str(folder), Format(mm_per_unit=10.0)))[1][2] == 100


def test_far_depth_makes_an_image_unusable_or_counts_as_none_where_that_is_asked_for(tmp_path):
    stored = depth(3)
    stored[1, 2, 2], stored[2, 0] = 65535, 3000
    folder = write(tmp_path / "a", ["1.png", "2.png", "3.png"], stored)
    tiff = write(tmp_path / "t", ["1.tiff", "2.tiff", "3.tiff"], stored)
    np.save(tmp_path / "a.npy", stored)
    for place in (folder, tiff, tmp_path / "a.npy"):
        items = readings(open_source(str(place), Format()))
        assert [r.frame.depth_mm is None for r in items] == [False, True, False]
        assert "let depth beyond MM count as none: --farthest=MM" in items[1].problem
        items = readings(open_source(str(place), Format(farthest_mm=2999.5)))
        expected = np.where(stored > 2999, 0, stored)
        np.testing.assert_array_equal(np.stack([r.frame.depth_mm for r in items]), expected)
    for farthest in (0.0, -1.0, 6554.0, float("nan"), float("inf")):
        with pytest.raises(DataError, match="--farthest=.*: expected mm"):
            open_source(str(folder), Format(farthest_mm=farthest))


def test_farthest_is_in_mm_whatever_the_unit(tmp_path):
    np.save(tmp_path / "a.npy", depth(3).astype(np.float32) / 1000)
    items = readings(open_source(str(tmp_path / "a.npy"), Format(30.0, 1000.0, 101.0)))
    assert [r.frame.depth_mm is None for r in items] == [False, False, True]


@pytest.mark.parametrize("how", [{"rate_hz": 30.0}, {"mm_per_unit": 10.0}, {"farthest_mm": 900.0}])
def test_options_without_an_effect_on_utd_mhad_are_refused(tmp_path, how):
    path = tmp_path / "a1_s1_t1_depth.mat"
    savemat(path, {"d_depth": body_at([100] * 4, 4)})
    with pytest.raises(DataError, match="UTD-MHAD's frames are 30 per second in mm; leave out"):
        open_source(str(path), Format(**how))


def test_utd_mhad_is_seen_around_the_body(tmp_path):
    path = tmp_path / "a1_s1_t1_depth.mat"
    savemat(path, {"d_depth": body_at([100] * 4, 4)})
    source = open_source(str(path), Format())
    assert len(readings(source)) == 4 and source.crop[2] * 3 == source.crop[3] * 4


def test_raw_frames_of_a_stream_and_its_end_inside_a_frame():
    data = depth(3).astype("<u2").tobytes()
    assert [m[2] for m in marks(open_stream(io.BytesIO(data), (8, 6)))] == [100, 101, 102]
    items = readings(open_stream(io.BytesIO(data[:-5]), (8, 6)))
    assert [r.frame.depth_mm is None for r in items] == [False, False, True]
    assert items[2].problem == "the stream ends inside frame 2: 91 of 96 bytes"
    with pytest.raises(DataError, match="--size=640x480"):
        open_source("-", Format())


def test_damaged_and_empty_images_are_readings_with_a_reason(tmp_path):
    folder = write(tmp_path / "a", [f"{n}.png" for n in range(1, 6)], depth(5))
    for name in ("1.png", "3.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    cv2.imwrite(str(folder / "5.png"), np.zeros((6, 8), np.uint16))
    items = readings(open_source(str(folder), Format()))
    assert [r.frame.depth_mm is None for r in items] == [True, False, True, False, True]
    assert "3.png: not a complete PNG" in items[2].problem and not items[1].problem
    assert "every pixel is 0" in items[4].problem


@pytest.mark.parametrize(
    "names, sizes, words",
    [
        (["a1.png", "b01.png"], [(6, 8)] * 2, "b01.png: a1.png has the same number"),
        (["left.png"], [(6, 8)], "left.png: no number in the name"),
        (["13.50.png", "13.53.png"], [(6, 8)] * 2, "13.50 is no number of a frame"),
        (["13.500.png", "13.533.png", "13.567.png"], [(6, 8)] * 3, "13.500 is no number of"),
        (["0.5.png", "0.6.png", "0.7.png"], [(6, 8)] * 3, "0.5 is no number of a frame"),
        (["0.998.png", "0.999.png", "1.000.png"], [(6, 8)] * 3, "0.998 is no number of a frame"),
        (["0.1000.png", "0.101.png", "0.102.png"], [(6, 8)] * 3, "0.1000 is no number of a"),
        (["a1.001.png", "a1.002.png", "3.png"], [(6, 8)] * 3, "1.001 is no number of a frame"),
        (["1.png", "3.png", "400000000.png"], [(6, 8)] * 3, "a: 199999997 frames are absent"),
        ([f"{2**53 - k}.png" for k in (1, 2, 3, 4)], [(6, 8)] * 4, "have one time at --rate=30"),
        (["1.png", "2.png"], [(6, 8), (8, 6)], "2.png: 6x8 pixels; 1.png has 8x6"),
        (["1341846313.553992.png"], [(6, 8)], "1341846313.553992 is no number of a frame"),
        (["depth_13.5.tif"], [(6, 8)], "13.5 is no number of a frame; name the images 1, 2, 3"),
        (["13.5_16bit.png"], [(6, 8)], "write the times into timestamps.csv (frame,time_s)"),
        ([], [], "no depth images; expected 16-bit PNG or TIFF"),
    ],
)
def test_folders_that_are_no_recording(tmp_path, names, sizes, words):
    folder = write(tmp_path / "a", names, [np.full(size, 900, np.uint16) for size in sizes])
    with pytest.raises(DataError, match=re.escape(words)):
        open_source(str(folder), Format())


def test_a_point_before_the_number_is_no_decimal_number(tmp_path):
    folder = write(tmp_path / "a", ["v1.2_ward.10.png", "v1.2_ward.9.png"], depth(2)[::-1])
    assert [m[::2] for m in marks(open_source(str(folder), Format()))] == [(9, 100), (10, 101)]


def test_the_digits_after_a_point_count_in_a_sequence(tmp_path):
    names = ["cam1.0009.png", "cam1.0010.png", "cam1.0012.png", "cam1.0011.png"]
    folder = write(tmp_path / "a", names, depth(4)[[0, 1, 3, 2]])
    source = open_source(str(folder), Format())
    assert [m[::2] for m in marks(source)] == [(9, 100), (10, 101), (11, 102), (12, 103)]
    assert source.image_name(10) == "cam1.0010.png"
    every_fifth = [f"cam1.{k:04d}_16bit.png" for k in (1, 6, 11)]
    folder = write(tmp_path / "b", every_fifth, depth(3))
    assert [m[0] for m in marks(open_source(str(folder), Format()))] == [1, 6, 11]


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    folder = write(tmp_path / "a", ["1.tif"], depth(1))
    assert cv2.imwritemulti(str(folder / "2.tif"), [*depth(10)])
    with pytest.raises(DataError, match=r"2.tif: 10 pages; expected one .* export single images"):
        open_source(str(folder), Format())


def test_files_that_are_not_read_change_neither_a_folder_nor_its_state(tmp_path):
    folder = write(tmp_path / "a", ["1.png", "2.png"], depth(2))
    before = open_source(str(folder), Format()).state
    for name in ("Thumbs.db", ".DS_Store", "._1.png"):
        (folder / name).write_bytes(b"of the system")
    source = open_source(str(folder), Format())
    assert source.state == before and len(readings(source)) == 2
    states = {before}
    for name, text in (
        ("timestamps.csv", "frame,time_s\n1,5.0\n2,5.1\n3,5.2\n"),
        ("camera.json", "{}"),
    ):
        (folder / name).write_text(text)
        states.add(open_source(str(folder), Format()).state)
    write(folder, ["3.png"], depth(1))
    states.add(open_source(str(folder), Format()).state)
    assert len(states) == 4


def test_the_size_of_a_tiff_is_read_without_its_pixels_and_none_of_a_damaged_one(tmp_path):
    folder = write(tmp_path / "a", ["1.tiff"], depth(1, size=(31, 77)))
    path = folder / "1.tiff"
    assert images._size(path) == (77, 31)
    data = path.read_bytes()
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        assert images._size(path) in (None, (77, 31))
    path.write_bytes(b"II*\0" + bytes(60))
    assert images._size(path) is None and images._size(tmp_path / "none.tif") is None


@pytest.mark.parametrize("suffix", ["tiff", "png"])
def test_damaged_images_are_said_once_without_what_opencv_says(tmp_path, capfd, suffix):
    noise = np.random.default_rng(0).integers(500, 900, (12, 30, 40)).astype(np.uint16)
    folder = write(tmp_path / "a", [f"{k}.{suffix}" for k in range(12)], noise)
    for k, end in ((2, 3), (5, 300), (8, 1500)):
        path = folder / f"{k}.{suffix}"
        path.write_bytes(path.read_bytes()[:end])
    path = folder / f"10.{suffix}"
    data = bytearray(path.read_bytes())
    data[100:400] = bytes(300)
    path.write_bytes(data)
    level = cv2.utils.logging.getLogLevel()
    items = readings(open_source(str(folder), Format()))
    assert {k for k, one in enumerate(items) if one.problem} >= {2, 5, 8}
    assert "remove its row" not in "".join(one.problem for one in items)
    assert capfd.readouterr().err == "" and cv2.utils.logging.getLogLevel() == level


def test_an_image_of_another_size_whose_header_says_nothing_is_a_reading_without_depth(
    tmp_path, monkeypatch
):
    folder = write(tmp_path / "a", ["1.tiff", "3.tiff"], depth(2))
    write(folder, ["2.tiff"], depth(1, size=(6, 9)))
    with pytest.raises(DataError, match="2.tiff: 9x6 pixels; 1.tiff has 8x6; use one size"):
        open_source(str(folder), Format())
    monkeypatch.setattr(images, "_size", lambda path: None)
    items = readings(open_source(str(folder), Format()))
    assert [r.frame.depth_mm is None for r in items] == [False, True, False]
    assert items[1].problem.startswith("frame 2: 9x6 pixels; expected 8x6 as in the first frame")


def test_colour_images_are_refused(tmp_path):
    folder = write(tmp_path / "a", ["1.png"], [np.full((6, 8, 3), 90, np.uint8)])
    with pytest.raises(DataError, match="3 channels; expected one"):
        open_source(str(folder), Format())


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.npy", b"", "a.npy: cannot be read"),
        ("a.npz", b"PK", "a.npz: cannot be read"),
        ("a.mat", b"x", "a.mat: cannot be read"),
        ("a.mp4", b"", "a.mp4: unknown kind of recording"),
    ],
)
def test_files_that_are_no_recording(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        open_source(str(tmp_path / name), Format())


def test_what_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match="none: no such file or folder; expected a folder"):
        open_source(str(tmp_path / "none"), Format())
    np.savez(tmp_path / "a.npz", other=depth(3))
    with pytest.raises(DataError, match="no array named depth"):
        open_source(str(tmp_path / "a.npz"), Format())
    np.save(tmp_path / "b.npy", depth(3)[0])
    with pytest.raises(DataError, match=r"b.npy: uint16 \[6, 8\]; expected depth \[frames"):
        open_source(str(tmp_path / "b.npy"), Format())


@pytest.mark.parametrize("text", ["", "[]", '{"fx": 1}', '{"fx": "a", "fy": 1, "cx": 1, "cy": 1}'])
def test_a_camera_file_that_cannot_be_used_is_named(tmp_path, text):
    (tmp_path / "camera.json").write_text(text)
    with pytest.raises(DataError, match="camera.json: cannot be read"):
        read_intrinsics(tmp_path / "camera.json")
    with pytest.raises(DataError, match="--intrinsics: .*expected fx, fy above 0"):
        checked_intrinsics([0.0, 1.0, 2.0, 3.0], "--intrinsics")
