"""Clips of a recording for exports: as in prediction, evenly spread, in constant memory."""

import types
import weakref

import numpy as np
import pytest
from models import SPECIFICATION, make_model
from test_estimator import frames

from jaxpose.errors import DataError
from jaxpose.prediction.excerpt import excerpt
from jaxpose.prediction.stream import Stream
from jaxpose.prediction.view import View
from jaxpose.recordings.orientation import turn
from jaxpose.recordings.recording import Frame
from jaxpose.recordings.source import Reading, Source


def source(images, rate_hz: float = 6.0, crop=None) -> Source:
    def read():
        for k, image in enumerate(images):
            yield Reading(Frame(k, k / rate_hz, image))

    return Source(name="a", path="a", count=None, read=read, crop=crop)


def numbered():
    """A model whose clips are the numbers of their frames, and the images that are alive."""
    alive, most = set(), []

    def to_grid(image, box):
        one = np.full((1, 2, 2), image.max(), np.float32)
        alive.add(len(most))
        weakref.finalize(one, alive.discard, len(most))
        most.append(len(alive))
        return one

    model = types.SimpleNamespace(
        specification=SPECIFICATION, to_grid=to_grid, clips=lambda grids: grids[..., None]
    )
    return model, most


def images(count: int):
    for k in range(count):
        yield np.full((4, 6), k + 1, np.uint16)


@pytest.mark.parametrize("count", [3, 7, 12, 61, 100, 3000])
@pytest.mark.parametrize("wanted", [1, 4, 32])
def test_clips_do_not_overlap_and_are_evenly_spread(count, wanted):
    model, _ = numbered()
    clips = excerpt(model, source(images(count)), View(), wanted)[..., 0, 0, 0] - 1
    assert len(clips) == min(wanted, count // 3)
    np.testing.assert_array_equal(clips, clips[:, :1] + np.arange(3))
    first = clips[:, 0] / 3  # number of the clip among those that do not overlap
    assert (first == first.round()).all() and (np.diff(first) > 0).all() and first[0] == 0
    if 1 < len(clips) < count // 3:
        even = (count // 3 - 1) / (wanted - 1)
        assert np.abs(np.diff(first) - even).max() <= max(1.0, 0.6 * even)
        assert first[-1] >= 0.75 * (count // 3 - 1)


@pytest.mark.parametrize("view", [View(), View((4, 2, 60, 30)), View((3, 5, 20, 40), turn=270)])
def test_what_is_seen_is_what_prediction_sees(view):
    model, depth = make_model(), frames(3)
    stream = Stream(model, view=view)
    for k, image in enumerate(depth):
        stream.add(Frame(k, k / 6, image))
    expected = model.clips(np.stack([stream._grids[k] for k in range(3)])[None])
    np.testing.assert_array_equal(excerpt(model, source(depth), view, 4), expected)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_recording_gives_the_clips_of_the_upright_one(degrees):
    model, depth = make_model(), frames(6)
    turned = [turn(image, (360 - degrees) % 360) for image in depth]
    expected = excerpt(model, source(depth), View(), 4)
    np.testing.assert_allclose(
        excerpt(model, source(turned), View(turn=degrees), 4), expected, atol=1e-3
    )
    assert np.abs(excerpt(model, source(turned), View(), 4) - expected).max() > 0.01


def test_a_recording_s_own_crop_is_stretched_and_another_replaces_it():
    model, depth, crop = make_model(), frames(3), (10, 10, 30, 30)
    own = excerpt(model, source(depth, crop=crop), View(), 1)
    stretched = excerpt(model, source(depth), View(crop, stretch=True), 1)
    np.testing.assert_array_equal(own, stretched)
    other = View((0, 0, 40, 20))
    np.testing.assert_array_equal(
        excerpt(model, source(depth, crop=crop), other, 1), excerpt(model, source(depth), other, 1)
    )


def test_images_without_depth_in_the_crop_are_in_no_clip():
    model, depth = make_model(), frames(4)
    depth[1, :20, :20] = 0
    with pytest.raises(DataError, match="no clip of 3 readable frames"):
        excerpt(model, source(depth), View((0, 0, 20, 20)), 1)
    with pytest.raises(DataError, match="reaches beyond images"):
        excerpt(model, source(depth), View((900, 0, 20, 20)), 1)


def test_the_images_of_a_long_recording_are_not_all_in_memory():
    model, most = numbered()
    excerpt(model, source(images(3000), rate_hz=30), View(), 4)
    assert len(most) == 3000 and max(most) < 40
