"""Recordings without annotations: folders of PNGs and UTD-MHAD's depth files, frame by frame."""

import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from test_utd_mhad import body_at

from jaxpose.errors import DataError
from jaxpose.recordings.ahead import Behind, map_ahead
from jaxpose.recordings.folder import open_folder
from jaxpose.recordings.png import image_size, read_depth
from jaxpose.recordings.recording import DEEPEST_MM
from jaxpose.recordings.utd_mhad import body_crop, open_depth, read_array


def write_images(folder, numbers, size=(12, 16), suffix="16bit"):
    """Images of which pixel (0, 0) is the frame's number; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image = np.full(size, 1000, np.uint16)
        image[0, 0] = number % 6000
        assert cv2.imwrite(str(folder / f"{number}_{suffix}.png"), image)
    return folder


# ---------------------------------------------------------------- a folder of PNGs


def test_a_folder_is_a_recording_in_the_order_of_its_numbers(tmp_path):
    recording = open_folder(write_images(tmp_path / "pz7", [100, 6, 11, 1]))
    assert (recording.subject, recording.sequence) == ("pz7", "")
    assert (recording.size, recording.crop, len(recording)) == ((16, 12), (0, 0, 16, 12), 4)
    frames = list(recording.frames())
    assert [frame.number for frame in frames] == [1, 6, 11, 100]
    assert [frame.depth_mm[0, 0] for frame in frames] == [1, 6, 11, 100]
    # raw frames are 1/30 s apart
    np.testing.assert_allclose([f.time_s for f in frames], [1 / 30, 0.2, 11 / 30, 100 / 30])
    assert {frame.depth_mm.dtype for frame in frames} == {np.dtype(np.uint16)}


def test_other_files_of_the_folder_are_left_alone(tmp_path):
    folder = write_images(tmp_path / "a", [1, 2])
    write_images(folder, [3], suffix="8bit")
    (folder / "camera.json").write_text("{}")
    (folder / "x_16bit.png").write_text("")
    assert open_folder(folder).numbers == (1, 2)


def test_threads_change_neither_frames_nor_their_order(tmp_path):
    recording = open_folder(write_images(tmp_path / "a", range(1, 40)))
    one, four = (list(recording.frames(threads)) for threads in (1, 4))
    assert [frame.number for frame in four] == list(range(1, 40))
    for a, b in zip(one, four, strict=True):
        np.testing.assert_array_equal(a.depth_mm, b.depth_mm)


def test_frames_before_a_damaged_one_are_still_read(tmp_path):
    folder = write_images(tmp_path / "a", [1, 2, 3])
    (folder / "3_16bit.png").write_bytes((folder / "3_16bit.png").read_bytes()[:-9])
    frames = open_folder(folder).frames()
    assert [next(frames).number, next(frames).number] == [1, 2]
    with pytest.raises(DataError, match="3_16bit.png: not a complete PNG"):
        next(frames)


def test_an_image_of_another_size_is_named_with_both_sizes(tmp_path):
    folder = write_images(tmp_path / "a", [1, 2])
    write_images(folder, [3], size=(12, 17))
    with pytest.raises(DataError, match="frame 3: 17x12 pixels; expected 16x12"):
        list(open_folder(folder).frames())


@pytest.mark.parametrize(
    "names, message",
    [
        ([], "no depth images; expected <n>_16bit.png"),
        (["1_8bit.png"], "no depth images; expected <n>_16bit.png"),
        (["1_16bit.png", "001_16bit.png"], "1_16bit.png: .*1_16bit.png has the same number"),
        (["1_16bit.png"], "1_16bit.png: not a complete PNG"),
    ],
)
def test_a_folder_that_is_no_recording_says_what_is_expected(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=message):
        open_folder(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="none: no such folder"):
        open_folder(tmp_path / "none")


def test_time_stamps_in_microseconds_are_numbers_too(tmp_path):
    first = 1_700_000_000_000_000
    recording = open_folder(write_images(tmp_path / "a", [first + 33_333, first]))
    assert [f.number for f in recording.frames()] == [first, first + 33_333]


@pytest.mark.parametrize("deepest, sound", [(DEEPEST_MM, True), (DEEPEST_MM + 1, False)])
def test_the_deepest_pixel_that_is_accepted_is_6553_mm(tmp_path, deepest, sound):
    image = np.full((4, 6), 900, np.uint16)
    image[3, 5] = deepest
    cv2.imwrite(str(tmp_path / "1_16bit.png"), image)
    if sound:
        assert read_depth(tmp_path / "1_16bit.png").max() == 6553
    else:
        with pytest.raises(DataError, match="depth of up to 6554 mm; expected at most 6553 mm"):
            read_depth(tmp_path / "1_16bit.png")


def test_the_size_of_an_image_comes_from_its_header_alone(tmp_path):
    path = write_images(tmp_path, [1], size=(120, 161)) / "1_16bit.png"
    path.write_bytes(path.read_bytes()[:33])  # signature, and the header with its checksum
    assert image_size(path) == (161, 120)
    path.write_bytes(path.read_bytes()[:32])
    assert image_size(path) is None
    assert image_size(tmp_path / "none.png") is None


# ---------------------------------------------------------------- UTD-MHAD


def write_mat(folder, depth):
    savemat(folder / "a1_s1_t1_depth.mat", {"d_depth": depth})
    return folder / "a1_s1_t1_depth.mat"


def test_a_depth_file_is_a_recording_whose_crop_holds_the_body_of_the_frames_chosen(tmp_path):
    depth = body_at([100] * 5 + [250], 6)
    path = write_mat(tmp_path, depth)
    whole = open_depth(path, subject="1", sequence="a1_t1")
    assert whole.numbers == (0, 1, 2, 3, 4, 5)
    assert list(whole.crop) == body_crop(np.moveaxis(depth, 2, 0)).tolist()
    chosen = open_depth(
        path, subject="1", sequence="a1_t1", choose=lambda n: np.arange(1, n - 1, 2)
    )
    frames = list(chosen.frames())
    assert [frame.number for frame in frames] == [1, 3]
    np.testing.assert_array_equal(frames[1].depth_mm, depth[:, :, 3])
    assert frames[1].time_s == pytest.approx(0.1)
    assert list(chosen.crop) == body_crop(np.moveaxis(depth[:, :, :2], 2, 0)).tolist()
    assert chosen.crop != whole.crop


def test_65535_in_a_depth_file_is_refused_by_the_rule_of_images(tmp_path):
    depth = body_at(160, 4)
    depth[0, 0, 2] = 65535
    with pytest.raises(DataError, match="depth.mat: depth of up to 65535 mm; expected at most"):
        open_depth(write_mat(tmp_path, depth), subject="1", sequence="")


def test_a_file_of_matlab_7_3_is_to_be_saved_again_as_version_7(tmp_path):
    # the text that MATLAB writes, the version 0x0200 and the mark of the byte order
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "d.mat").write_bytes(header + bytes(384) + b"\x89HDF\r\n\x1a\n" + bytes(100))
    message = r"d.mat: is a MATLAB 7.3 file; .* save\('d.mat', 'd_depth', '-v7'\)"
    with pytest.raises(DataError, match=message):
        read_array(tmp_path / "d.mat", "d_depth", (240, 320), np.uint16)


# ---------------------------------------------------------------- threads


def test_results_come_in_order_and_few_exist_at_a_time():
    lock, existing, most = threading.Lock(), 0, 0

    def work(k):
        nonlocal existing, most
        with lock:
            existing += 1
            most = max(most, existing)
        return k

    results = []
    for k in map_ahead(work, range(200), 3):
        results.append(k)
        with lock:
            existing -= 1
    assert results == list(range(200))
    assert most <= 2 * 3


def test_an_error_is_raised_in_the_place_of_its_result():
    results = []
    with pytest.raises(ZeroDivisionError):
        for value in map_ahead(lambda k: 6 // (3 - k), range(9), 4):
            results.append(value)
    assert results == [2, 3, 6]


def test_a_consumer_that_stops_early_leaves_no_thread():
    before = threading.active_count()
    results = map_ahead(abs, range(1000), 4)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_calls_behind_are_made_in_order_and_at_most_as_many_wait():
    done, gate = [], threading.Event()

    def call(k: int) -> None:
        gate.wait()
        done.append(k)

    behind = Behind(call, most=3)
    for k in range(3):
        behind(k)  # none of these waits for the closed gate
    threading.Timer(0.05, gate.set).start()
    behind(3)
    assert done[:1] == [0]
    behind.finish()
    behind.close()
    assert done == [0, 1, 2, 3]


def test_an_error_of_a_call_behind_is_raised_and_ends_the_rest():
    calls = []

    def call(k: int) -> None:
        calls.append(k)
        if k == 1:
            raise OSError("no space")

    behind = Behind(call, most=2)
    with pytest.raises(OSError, match="no space"):
        for k in range(100):
            behind(k)
    behind.close()
    assert calls[:2] == [0, 1] and len(calls) <= 5
    other = Behind(call)
    other(1)
    with pytest.raises(OSError, match="no space"):
        other.finish()
    other.close()


def test_recordings_are_read_without_jax_tensorflow_and_for_pngs_without_scipy(tmp_path):
    write_images(tmp_path / "a", [1, 2, 3])
    code = """
import sys
for name in ("jax", "tensorflow", "scipy", "data_pipeline"):
    sys.modules[name] = None
from pathlib import Path
from jaxpose.recordings.folder import open_folder
print(sum(1 for _ in open_folder(Path(sys.argv[1])).frames(threads=2)))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
