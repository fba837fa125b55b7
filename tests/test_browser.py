"""The pages that people read, in a headless Chromium."""

import pytest
from browser import DESK, PHONE, browser, check_page
from models import SPECIFICATION, make_model
from test_estimator import frames
from test_predict import write
from test_study_report import text  # noqa: F401 (a fixture)
from test_study_tables import study  # noqa: F401 (a fixture)

from jaxpose import cli


@pytest.fixture(scope="module")
def opened():
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def prediction(tmp_path_factory):
    """The folder of a prediction whose recording has a long name."""
    place = tmp_path_factory.mktemp("page")
    make_model(SPECIFICATION).save(place / "model.safetensors")
    write(place / ("ward" * 12), frames(24))
    assert cli.main([
        "predict", str(place / ("ward" * 12)), f"--out={place / 'out'}", "--quiet",
        f"--model={place / 'model.safetensors'}", "--intrinsics=100,100,47.5,31.5",
    ]) == 0  # fmt: skip
    return place / "out"


def test_the_report_of_a_prediction(opened, prediction, tmp_path):
    check_page(opened, prediction / "report.html", tmp_path)
    assert (tmp_path / "dark-360.png").stat().st_size


def test_the_video_of_a_report_plays(opened, prediction):
    opened.open(prediction / "report.html", DESK, "light")
    ready = "const v = document.querySelector('video'); return v.readyState >= 2 && v.videoWidth"
    assert opened.wait_for(ready) in (48, 96)  # VP9 at half the size, or H.264
    opened.run("document.querySelector('video').play()")
    assert opened.wait_for("return document.querySelector('video').currentTime > 1")
    assert opened.run("return document.querySelector('video').error") is None
    assert opened.messages() == []


def test_a_report_without_a_video_asks_for_none(opened, prediction, tmp_path):
    page = (prediction / "report.html").read_text()
    (tmp_path / "report.html").write_text(page)  # as when the page alone is sent
    opened.open(tmp_path / "report.html", PHONE, "light")
    assert opened.run("return document.querySelectorAll('img').length") >= 4
    broken = "return [...document.images].filter((i) => !i.naturalWidth).length"
    assert opened.wait_for(broken.replace(".length", ".length === 0"))


def test_the_page_of_the_study(opened, text, tmp_path):  # noqa: F811
    (tmp_path / "report.html").write_text(text)
    check_page(opened, tmp_path / "report.html", tmp_path)
    opened.open(tmp_path / "report.html", DESK, "light")
    opened.run("document.querySelector('th button').click()")
    assert opened.messages() == []
