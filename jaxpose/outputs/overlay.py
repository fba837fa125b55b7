"""Depth and poses -> overlay.mp4, which browsers play, and a few pictures for the report.

With PyAV (the extra `video`) it is H.264 at the recording's size; without, VP9 by OpenCV at half of
it, which browsers play, too, and which takes less time.
"""

import contextlib
import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

from jaxpose.body.skeleton import CONNECTIONS, JOINTS, LIMBS
from jaxpose.decoding.confidence import MISSING, STATES
from jaxpose.outputs.captions import write_key, write_text
from jaxpose.outputs.colours import COLOURS

MOST_PICTURES = 8
BUFFERED = 31
"""Frames whose median distance in time is the video's; they wait in memory."""
KEY_S = 1.0
"""Time at the beginning of the video in which its colours are named; the words cover a corner."""
LONGEST_HELD_S = 10.0
"""Longest time for which the image before a gap is held; longer gaps are cut to it."""


def grey(depth_mm: UInt16[np.ndarray, "h w"], near: float, far: float) -> UInt8[np.ndarray, "h w"]:
    """Returns depth as grey levels: near is bright, holes are black."""
    level = 255 - 215 * np.clip((depth_mm.astype(np.float32) - near) / max(far - near, 1), 0, 1)
    return np.where(depth_mm > 0, level, 0).astype(np.uint8)


def draw(image: UInt8[np.ndarray, "h w 3"], record: np.void, scale: float) -> None:
    """Draws the limbs of a record into an image; the opacity is the confidence.

    `scale` is the size of the image as a share of the recording's.
    """
    present = record["state"] != STATES.index(MISSING)
    xy = ((record["xy"] + 0.5) * scale - 0.5) * 16  # cv2 takes points in sixteenths of a pixel
    thick = max(1, round(image.shape[1] / 200))
    limb_of = {joint: limb for limb, joints in LIMBS.items() for joint in joints}
    for a, b in [*CONNECTIONS, *((joint, joint) for joint in range(len(JOINTS)))]:
        if not (present[a] and present[b]):
            continue
        ends = np.round(xy[[a, b]]).astype(int)
        opacity = float(min(record["confidence"][a], record["confidence"][b]))
        margin = 3 * thick + 2
        low = np.maximum(ends.min(0) // 16 - margin, 0)
        high = np.maximum(ends.max(0) // 16 + margin, 0)
        part = image[low[1] : high[1], low[0] : high[0]]
        if not part.size:
            continue
        drawn = part.copy()
        points = [tuple(int(v) for v in end - 16 * low) for end in ends]
        if a == b:
            cv2.circle(drawn, points[0], 32 * thick, COLOURS[limb_of[a]], -1, cv2.LINE_AA, 4)
        else:
            cv2.line(drawn, *points, COLOURS[limb_of[a]], thick, cv2.LINE_AA, 4)
        part[:] = cv2.addWeighted(drawn, opacity, part, 1 - opacity, 0)


class Overlay:
    """A video that grows frame by frame; `close` gives it its name."""

    def __init__(self, path: Path):
        """Prepares a video; nothing is written before the first frames told the rate."""
        self.path, self._beside = path, path.with_name(f".part.{path.name}")
        self.pictures: list[tuple[int, np.ndarray]] = []
        self._first_s: float | None = None
        self._range: tuple[float, float] | None = None
        self._waiting: list[tuple[float, np.ndarray]] = []
        self._writer, self._last, self._count, self._every = None, None, 0, 1
        self._rate, self._start_s, self._written = 0.0, 0.0, 0
        self._held: np.ndarray | None = None  # the image that was written last

    def add(self, depth_mm: UInt16[np.ndarray, "h w"] | None, record: np.void) -> None:
        """Adds a frame; one without depth repeats the image before it, without limbs.

        Raises:
          OSError: the video cannot be written.
        """
        if depth_mm is not None:
            if self._range is None:
                low, high = np.percentile(depth_mm[depth_mm > 0], [1, 99])
                self._range = (float(low), float(high))
            self._last = grey(depth_mm, *self._range)
        if self._last is None:
            return
        scale = 1.0 if _av() else 0.5
        height, width = (max(2, 2 * round(side * scale / 2)) for side in self._last.shape)
        image = cv2.resize(self._last, (width, height), interpolation=cv2.INTER_AREA)
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if depth_mm is not None:
            draw(image, record, scale)
        time_s = float(record["time_s"])
        if self._first_s is None:
            self._first_s = time_s
        if time_s - self._first_s < KEY_S:
            write_key(image)
        write_text(image, f"frame {int(record['number'])}  {time_s:.2f} s")
        self._picture(int(record["number"]), image)
        self._write(time_s, image)

    def _picture(self, number: int, image: np.ndarray) -> None:
        """Remembers evenly spaced pictures, at most `MOST_PICTURES`, of a video of any length."""
        if self._count % self._every == 0:
            self.pictures.append((number, image))
            if len(self.pictures) > MOST_PICTURES:
                self.pictures, self._every = self.pictures[::2], 2 * self._every
        self._count += 1

    def _write(self, time_s: float, image: np.ndarray) -> None:
        """Writes a frame at its time, once the rate is known."""
        self._waiting.append((time_s, image))
        if self._writer is None:
            if len(self._waiting) < BUFFERED:
                return
            self._begin()
        self._write_waiting()

    def _begin(self) -> None:
        times, image = [time_s for time_s, _ in self._waiting], self._waiting[0][1]
        step_s = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        self._rate = float(np.clip(1 / step_s, 1, 120))
        self._start_s = times[0]
        self._writer = (_H264 if _av() else _VP9)(self._beside, image.shape[1::-1], self._rate)

    def _write_waiting(self) -> None:
        """Writes what waits: an image is held until the next one is due, or left out if that is."""
        for time_s, image in self._waiting:
            late = round((time_s - self._start_s) * self._rate) - self._written
            most = round(LONGEST_HELD_S * self._rate)
            if late > most:
                self._start_s += (late - most) / self._rate
            for _ in range(min(late, most)):
                self._writer.write(self._held)
            if late >= 0:
                self._writer.write(image)
                self._held, self._written = image, self._written + min(late, most) + 1
        self._waiting.clear()

    def close(self) -> None:
        """Completes the video; a single image is shown for a second.

        Raises:
          OSError: it could not be written.
        """
        if self._writer is None and self._waiting:
            self._begin()
        if self._writer is not None:
            self._write_waiting()
            self._writer.close()
            self._beside.replace(self.path)

    def discard(self) -> None:
        """Removes what was written before `close`."""
        self._beside.unlink(missing_ok=True)


def _complete(path: Path) -> bool:
    """Tells whether a video has an index, which OpenCV writes last."""
    video = cv2.VideoCapture(str(path))
    try:
        return video.isOpened() and video.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    finally:
        video.release()


def _av():
    """Returns PyAV, or None where it is not installed."""
    try:
        import av
    except ModuleNotFoundError:
        return None
    return av


class _H264:
    """A video by PyAV, whose errors become those of the system."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float):
        self._av, self._path = _av(), path
        self._file = self._av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        exact = Fraction(rate).limit_denominator(1001)
        self._stream = self._file.add_stream("libx264", rate=exact)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "26"}

    def write(self, image: np.ndarray) -> None:
        frame = self._av.VideoFrame.from_ndarray(image, format="bgr24")
        with self._errors():
            self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        with self._errors():
            self._file.mux(self._stream.encode())
            self._file.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error


class _VP9:
    """A video by OpenCV, which reports no full disk."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float):
        self._path = path
        code = cv2.VideoWriter_fourcc(*"vp09")
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, size)
        if not self._writer.isOpened():
            raise OSError(
                errno.EIO,
                "the video cannot be written: no space, or an OpenCV without VP9 (--no-video)",
                str(path),
            )

    def write(self, image: np.ndarray) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()
        if not _complete(self._path):
            raise OSError(errno.EIO, "the video could not be written", str(self._path))
