"""Lossless videos, and what becomes of those that are damaged, cut short, or without good times."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from test_sources import readings

from jaxpose.errors import DataError
from jaxpose.recordings.opening import Format, open_source

av = pytest.importorskip("av")
COUNT, KEY = 40, 12
"""Images of a video, and how many there are between key frames by default."""


def scene(count=COUNT, size=(48, 64)):
    """Images that no other equals, with noise, so that damage hits some."""
    rng = np.random.default_rng(4)
    return rng.integers(500, 900, (count, *size)).astype(np.uint16)


def write(path, images, times_ms=None, options=None):
    """Writes FFV1 of level 3, 10 images per second or at these times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], "gray16le"
        stream.options = {"level": "3", "slicecrc": "1", **(options or {})}
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="gray16le")
            frame.pts, frame.time_base = k, Fraction(1, 10)
            for packet in stream.encode(frame):
                container.mux(timed(packet, stream, None if times_ms is None else times_ms[k]))
        for packet in stream.encode():
            container.mux(packet)
    return path


def timed(packet, stream, time_ms):
    if time_ms is not None:
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = time_ms
    return packet


def positions(path):
    """Where each packet is in the file, and its size, in bytes."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size]


def damage(path, at, length):
    data = bytearray(path.read_bytes())
    for k in range(at, at + length):
        data[k] ^= 0x5A
    path.write_bytes(data)


def read(path):
    """All readings; the log of FFmpeg is afterwards as it was before."""
    log = av.logging
    state = log.get_level(), log.get_skip_repeated()
    items = readings(open_source(str(path), Format()))
    assert (log.get_level(), log.get_skip_repeated()) == state
    assert [item.frame.number for item in items] == list(range(len(items)))
    assert (np.diff([item.frame.time_s for item in items]) > 0).all()
    return items


def lost(items):
    return [item.frame.number for item in items if item.frame.depth_mm is None]


def assert_true(items, images):
    """Asserts that what has depth has that of the image of its time."""
    for item in items:
        if item.frame.depth_mm is not None:
            image = images[round(item.frame.time_s * 10)]
            np.testing.assert_array_equal(item.frame.depth_mm, image)


def test_lossless_video(tmp_path):
    images = scene(4)
    items = read(write(tmp_path / "a.mkv", images))
    np.testing.assert_array_equal(np.stack([r.frame.depth_mm for r in items]), images)
    assert [r.frame.time_s for r in items] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert open_source(str(tmp_path / "a.mkv"), Format()).count == 4


def test_damaged_bytes_cost_the_images_up_to_the_next_key_frame(tmp_path):
    images, path = scene(), tmp_path / "a.mkv"
    at, size = positions(write(path, images))[20]
    damage(path, at + size // 2, 30)
    items = read(path)
    assert lost(items) == [20, 21, 22, 23]  # 24 is the next key frame
    assert "frame 20: damaged (slice CRC mismatch" in items[20].problem
    assert "frame 23: comes after the damaged frame 20, and depends on it" in items[23].problem
    assert_true(items, images)


def test_damaged_bytes_cost_one_image_where_each_is_a_key_frame(tmp_path):
    images, path = scene(), tmp_path / "a.mkv"
    for k in (7, 20, 21):
        at, size = positions(write(path, images, options={"g": "1"}) if k == 7 else path)[k]
        damage(path, at + size // 2, 30)
    items = read(path)
    assert lost(items) == [7, 20, 21]
    assert_true(items, images)


def test_a_packet_that_does_not_decode_is_a_lost_image(tmp_path):
    images, path = scene(), tmp_path / "a.mkv"
    at, size = positions(write(path, images, options={"g": "1"}))[9]
    damage(path, at + size - 60, 60)
    items = read(path)
    assert lost(items) == [9] and "frame 9: damaged (" in items[9].problem
    assert_true(items, images)


def test_damage_between_packets_is_said_and_the_times_of_the_rest_are_right(tmp_path):
    images, path = scene(), tmp_path / "a.mkv"
    at, _ = positions(write(path, images))[15]
    damage(path, at, 8)
    items = read(path)
    assert len(items) < COUNT and lost(items)
    assert "images may be lost here, where the file is damaged" in items[lost(items)[0]].problem
    assert_true(items, images)


@pytest.mark.parametrize("rate", [6, 7, 30])
def test_a_video_of_one_image_is_whole(tmp_path, rate):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)  # 1/6 s is 0.166 s in one place
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        image = av.VideoFrame.from_ndarray(scene(1)[0], format="gray16le")
        image.pts = 0
        container.mux(stream.encode(image))
        container.mux(stream.encode())
    assert_true(read(tmp_path / "a.mkv"), scene(1))
    assert len(read(tmp_path / "a.mkv")) == 1 and not lost(read(tmp_path / "a.mkv"))


@pytest.mark.parametrize("inside", [True, False])
def test_a_file_that_was_cut_short_says_so(tmp_path, inside):
    images, path = scene(), tmp_path / "a.mkv"
    at, size = positions(write(path, images))[20]
    path.write_bytes(path.read_bytes()[: at + (size // 2 if inside else 0)])
    items = read(path)
    assert lost(items) == [20] and len(items) == 21
    assert "the file ends at 2.000 s, its header says 4.000 s: it was cut" in items[20].problem
    assert items[20].frame.time_s == pytest.approx(2.0, abs=1e-3)
    assert_true(items, images)


def test_a_file_that_is_no_video_is_named_also_if_it_was_one_when_it_was_opened(tmp_path):
    path = write(tmp_path / "a.mkv", scene(4))
    source, whole = open_source(str(path), Format()), path.read_bytes()
    path.write_bytes(b"x")
    with pytest.raises(DataError, match="a.mkv: cannot be read as a video"):
        list(source.read())
    with pytest.raises(DataError, match="a.mkv: cannot be read as a video"):
        open_source(str(path), Format())
    path.write_bytes(whole[: len(whole) // 2])
    assert "the file has become shorter" in list(source.read())[-1].problem
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
    with pytest.raises(DataError, match="a.mkv: cannot be read as a video .it has none"):
        open_source(str(path), Format())


def test_a_sound_track_that_is_longer_is_no_sign_of_a_cut(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        sound = container.add_stream("pcm_s16le", rate=8000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for image in scene(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray16le")))
        container.mux(stream.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    assert len(read(tmp_path / "a.mkv")) == 5 and not lost(read(tmp_path / "a.mkv"))


def test_a_rate_is_refused_for_a_video_whose_times_are_its_own(tmp_path):
    path = write(tmp_path / "a.mkv", scene(3))
    said = "a.mkv: has times of its own, the time stamps of the video; leave out --rate=10, or"
    with pytest.raises(DataError, match=said):
        open_source(str(path), Format(rate_hz=10.0))


def test_an_image_without_a_later_time_is_lost_and_its_time_is_between_its_neighbours(tmp_path):
    images = scene(8)
    times = [0, 100, 100, 300, 300, 500, 600, 700]
    items = read(write(tmp_path / "a.mkv", images, times, {"g": "1"}))
    assert lost(items) == [2, 4]
    assert "its time, 0.100 s, is not after 0.100 s" in items[2].problem
    assert [r.frame.time_s for r in items] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    np.testing.assert_array_equal(items[5].frame.depth_mm, images[5])


def test_a_video_of_which_half_has_no_later_time_is_refused_by_name(tmp_path):
    path = write(tmp_path / "a.mkv", scene(8), [0, 0, 1, 1, 2, 2, 3, 3])
    with pytest.raises(DataError, match=r"a.mkv: frame 1: its time, 0.000 s, .*4 of 8 images"):
        open_source(str(path), Format())


def test_images_that_have_no_time_at_all_are_lost(tmp_path, monkeypatch):
    from jaxpose.recordings import video

    class Untimed:
        pts = dts = None

        def __init__(self, packet):
            self._packet = packet

        def __getattr__(self, name):
            return getattr(self._packet, name)

    packets = video._packets

    def some(library, container):
        for k, (packet, why) in enumerate(packets(library, container)):
            yield (Untimed(packet) if packet is not None and k in (0, 3, 7) else packet), why

    monkeypatch.setattr(video, "_packets", some)
    items = read(write(tmp_path / "a.mkv", scene(8), options={"g": "1"}))
    assert lost(items) == [0, 3, 7] and items[3].problem == "the image has no time in the file"
    assert [r.frame.time_s for r in items] == pytest.approx(np.arange(8) / 10, abs=1e-3)


def test_damage_is_noticed_where_ffmpeg_itself_prints_its_log(tmp_path):
    """The log that a program had chosen is restored, and nothing of ours is printed."""
    path = write(tmp_path / "a.mkv", scene())
    at, size = positions(path)[20]
    damage(path, at + size // 2, 30)
    code = """
import sys, av
from jaxpose.recordings.opening import Format, open_source
av.logging.set_level(av.logging.WARNING)
print([r.frame.number for r in open_source(sys.argv[1], Format()).read() if r.problem])
assert av.logging.get_level() == av.logging.WARNING
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[20, 21, 22, 23]\n", "")
