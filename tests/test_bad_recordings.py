"""What recordings, models and disks can be like, each through the command `jaxpose predict`."""

import json
import shutil

import cv2
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from test_estimator import frames
from test_predict import place, run, wide, write  # noqa: F401 (place is a fixture)

from jaxpose.outputs import overlay
from jaxpose.prediction.journal import RECORD

DEPTH = frames(12)


def refused(place, tmp_path, capsys, recording, *options) -> str:  # noqa: F811
    """What the command says before it ends with 2; it leaves no result."""
    out = tmp_path / "out"
    assert run(place, out, *options, recording=recording) == 2
    assert not out.exists() or not list(out.iterdir())
    return capsys.readouterr().err


def test_two_images_of_one_number_are_both_named(place, tmp_path, capsys):  # noqa: F811
    folder = write(tmp_path / "in", DEPTH)
    shutil.copy(folder / "6_16bit.png", folder / "0006_16bit.png")
    error = refused(place, tmp_path, capsys, folder)
    assert "6_16bit.png: 0006_16bit.png has the same number; remove one" in error
    shutil.rmtree(folder)
    folder.mkdir()
    for name in ("depth_7.png", "b7.png", "depth_8.png"):
        cv2.imwrite(str(folder / name), DEPTH[0])
    error = refused(place, tmp_path, capsys, folder)
    assert "depth_7.png: b7.png has the same number; remove one" in error


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_images_of_two_sizes_are_refused_by_name(place, tmp_path, capsys, suffix):  # noqa: F811
    folder = tmp_path / "in"
    folder.mkdir()
    for k, image in enumerate(DEPTH):
        cv2.imwrite(str(folder / f"d{k:03d}.{suffix}"), image[:, :-1] if k == 9 else image)
    error = refused(place, tmp_path, capsys, folder)
    assert "95x64 pixels" in error and "96x64" in error and "use one size" in error
    assert f"d009.{suffix}" in error


def test_a_damaged_image_of_8_bits_does_not_hide_that_the_others_need_a_scale(
    place,  # noqa: F811
    tmp_path,
    capsys,
):
    folder = write(tmp_path / "in", (DEPTH // 8).astype(np.uint8))
    error = refused(place, tmp_path, capsys, folder)
    assert "uint8; expected uint16 depth in mm" in error and "--mm_per_unit" in error
    assert run(place, tmp_path / "ok", "--mm_per_unit=8", recording=folder) == 0


def test_numbers_that_are_missing_are_a_gap_in_time_and_rows_without_joints(
    place,  # noqa: F811
    tmp_path,
):
    folder = write(tmp_path / "in", DEPTH)
    for number in (21, 26, 31):
        (folder / f"{number}_16bit.png").unlink()
    assert run(place, tmp_path / "out", recording=folder) == 0
    number, xy, likelihood = wide(tmp_path / "out" / "pose.csv")
    np.testing.assert_array_equal(number, 1 + 5 * np.arange(12))
    assert np.isnan(xy[4:7]).all() and not likelihood[4:7].any()
    quality = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert (quality["frames"], quality["frames_absent"]) == (9, 3)
    # 1 to 16 and 36 to 56 have clips of their own
    assert quality["clips"] == {"middle": 5, "end": 4, "incomplete": 0, "missing": 0}
    assert quality["duration_s"] == pytest.approx(55 / 30, abs=1e-3)


def test_a_model_of_a_newer_version_asks_for_an_update(place, tmp_path, capsys):  # noqa: F811
    with safe_open(place / "model.safetensors", framework="numpy") as file:
        header = json.loads(file.metadata()["jaxpose"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header["format"] += 1
    save_file(tensors, tmp_path / "new.safetensors", {"jaxpose": json.dumps(header)})
    model = f"--model={tmp_path / 'new.safetensors'}"
    error = refused(place, tmp_path, capsys, place / "ward1", model)
    assert "new.safetensors: format 2 is newer than this jaxpose reads (1); update" in error


def test_a_folder_that_cannot_be_created_is_named(place, capsys):  # noqa: F811
    assert run(place, "/dev/null/out") == 2
    assert "/dev/null/out: cannot be written (Not a directory)" in capsys.readouterr().err


@pytest.mark.parametrize("by", ["PyAV", "OpenCV"])
def test_a_recording_of_which_one_image_is_readable_has_a_video_and_is_complete(
    by,
    place,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    if by == "OpenCV":
        monkeypatch.setattr(overlay, "_av", lambda: None)
    elif overlay._av() is None:
        pytest.skip("PyAV is not installed")
    stored = DEPTH.copy()
    stored[:-1] = 0
    np.save(tmp_path / "a.npy", stored)
    for words in ("", "is complete, nothing was computed"):
        assert run(place, tmp_path / "out", recording=tmp_path / "a.npy") == 0
        captured = capsys.readouterr().err
        assert words in captured and "lacks" not in captured
    video = cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4"))
    assert video.read()[0] and not video.read()[0]
    assert video.get(cv2.CAP_PROP_FPS) == 1


@pytest.mark.parametrize("by", ["PyAV", "OpenCV"])
def test_a_full_disk_stops_at_the_video_and_the_command_goes_on(
    by,
    place,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    """/dev/full takes no byte, as a disk without space."""
    if by == "OpenCV":
        monkeypatch.setattr(overlay, "_av", lambda: None)
    elif overlay._av() is None:
        pytest.skip("PyAV is not installed")
    out, writer = tmp_path / "out", overlay._VP9 if by == "OpenCV" else overlay._H264
    begin = writer.__init__

    def full(self, path, *arguments):
        path.symlink_to("/dev/full")
        begin(self, path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "__init__", full)
        assert run(place, out) == 1
    captured = capsys.readouterr()
    assert "overlay.mp4" in captured.err and "goes on from here" in captured.err
    assert not (out / "overlay.mp4").exists() and not (out / "quality.json").exists()
    assert run(place, out) == 0
    assert (out / "overlay.mp4").stat().st_size and (out / "quality.json").exists()


def test_a_video_that_was_cut_short_is_no_success(tmp_path, monkeypatch):
    """A disk that fills up leaves some bytes, but no index."""
    monkeypatch.setattr(overlay, "_av", lambda: None)  # PyAV's errors are raised
    path = tmp_path / "overlay.mp4"
    video = overlay.Overlay(path)
    one = np.zeros((), RECORD)
    for k, image in enumerate(DEPTH):
        one["number"], one["time_s"] = k, k / 6
        video.add(image, one[()])
    complete = overlay._complete

    def cut(beside):
        data = beside.read_bytes()
        beside.write_bytes(data[: len(data) // 2])
        return complete(beside)

    monkeypatch.setattr(overlay, "_complete", cut)
    with pytest.raises(OSError, match="the video could not be written"):
        video.close()
    assert not path.exists()
