"""Sheets and videos of a babyPose folder, read back and looked at."""

import json
import shutil

import cv2
import numpy as np
import pytest

from data_pipeline import check
from data_pipeline.simulate import simulate
from data_pipeline.simulated import picture


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    out = tmp_path_factory.mktemp("picture") / "sim"
    simulate(out, infants=5, frames=3, seed=3, size=(160, 120), processes=1)
    return out


def drawn(path, folder, capsys, *options):
    """The summary that the command ends with."""
    assert picture.main([str(folder), f"--out={path}", *options]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_near_is_bright_and_no_return_is_violet():
    depth = np.array([[500, 650, 799, 0]], np.uint16)
    shaded = picture.shaded(depth).astype(int)
    assert shaded[0, 0, 0] > shaded[0, 1, 0] > shaded[0, 2, 0]
    assert tuple(shaded[0, 3]) == picture.NO_RETURN


def test_a_sheet_of_five_infants_is_four_and_one_and_has_limbs_in_colour(
    recordings, tmp_path, capsys
):
    assert drawn(tmp_path / "a.png", recordings, capsys)["frames"] == 1
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image.shape == (2 * 240, 4 * 320, 3)
    assert not image[240:, 320:].any() and image[240:, :320].any()
    grey = (image == image[..., :1]).all(-1) | (image[..., 1] == 0)
    assert (~grey).sum() > 5 * 100


def test_a_video_has_every_frame_of_the_infant_asked_for(recordings, tmp_path, capsys):
    out = tmp_path / "b.avi"
    assert drawn(out, recordings, capsys, "--infant=2")["frames"] == 3
    video = cv2.VideoCapture(str(out))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert [f.shape for f in frames] == 3 * [(120, 160, 3)]
    expected = picture.drawn(picture.read_infants(recordings)[1], 2).astype(int)
    assert np.abs(frames[2] - expected).mean() < 12  # of 255, by the codec


def test_an_infant_that_is_not_there_is_named_beside_those_that_are(recordings, tmp_path, capsys):
    argv = [str(recordings), f"--out={tmp_path / 'c.avi'}", "--infant=9"]
    assert picture.main(argv) == 2
    assert "no infant '9'; one of: 1, 2, 3, 4, 5" in capsys.readouterr().err
    assert not (tmp_path / "c.avi").exists()


@pytest.mark.parametrize("command", [picture.main, check.main])
def test_a_recording_that_was_not_finished_is_named_with_how_to_finish_it(
    recordings, tmp_path, capsys, command
):
    shutil.copytree(recordings, tmp_path / "sim")
    (tmp_path / "sim" / "result_pz4.csv").unlink()
    half = (tmp_path / "sim" / "pz4").rename(tmp_path / "sim" / "pz4.partial")
    out = [f"--out={tmp_path / 'd.png'}"] if command is picture.main else []
    assert command([str(tmp_path / "sim"), *out]) == (2 if out else 1)
    captured = capsys.readouterr().err
    assert f"{half}: not finished; repeat the simulate command that began it" in captured
    assert "without a sheet" not in captured
