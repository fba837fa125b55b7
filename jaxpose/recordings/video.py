"""A lossless 16-bit grey video, such as FFV1 in Matroska -> a source.

Damage to a video is an error nowhere but in FFmpeg's log: images are decoded all the same, with
wrong depth. So the log is read packet by packet. The packets are read twice: their times first, so
that all that is wrong with these is known before any image is decoded.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpose.errors import DataError
from jaxpose.recordings.source import MILLIMETRES, Reading, Source, Units, reading_in_mm
from jaxpose.recordings.source import reading as reading_of

_LOG = threading.Lock()
"""FFmpeg has one log per process."""


class _Entry(NamedTuple):
    """A reading to come: an image, or a place in the file where images are lost."""

    time_s: float | None  # None: unknown
    problem: str = ""  # why there is no depth, as far as the packets tell
    image: bool = True


def open_video(path: Path, *, units: Units = MILLIMETRES) -> Source:
    """Opens a video; times are those of the file.

    Images that are damaged, that depend on a damaged one, or that have no time after the one before
    are readings without depth, and so are places where the file lacks some.

    Raises:
      DataError: PyAV is missing, the file is no such video, or half of the images have no time.
    """
    try:
        import av
    except ModuleNotFoundError:
        raise DataError(f"{path}: reading video needs PyAV; pip install 'jaxpose[video]'") from None
    with _container(av, path) as container:
        _check_kind(path, container.streams.video[0].codec_context.pix_fmt)
        entries = _timed(path, _entries(av, container))

    def read() -> Iterator[Reading]:
        with _container(av, path) as container:
            yield from _readings(av, container, entries, units)

    return Source(
        name=path.stem,
        path=str(path),
        count=len(entries),
        read=read,
        times="the time stamps of the video",
    )


def _container(av: Any, path: Path) -> Any:
    """Opens a file that has a video; raises `DataError` for any other."""
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a video ({error})") from error
    if not container.streams.video:
        container.close()
        raise DataError(f"{path}: cannot be read as a video (it has none)")
    return container


def _check_kind(path: Path, kind: str | None) -> None:
    if kind not in ("gray16le", "gray16be"):
        raise DataError(
            f"{path}: pixels are {kind}; expected gray16le, such as `ffmpeg -c:v ffv1 -pix_fmt "
            "gray16le` writes: other formats lose depth"
        )


@contextlib.contextmanager
def _errors(av: Any) -> Iterator[list[tuple[int, str, str]]]:
    """Yields a list of the errors that FFmpeg logs in this thread; afterwards the log is as before.

    By default, PyAV passes none on, and a message that is repeated only once.
    """
    log = av.logging
    with _LOG:
        level, skip = log.get_level(), log.get_skip_repeated()
        log.set_level(log.ERROR)
        log.set_skip_repeated(False)
        try:
            with log.Capture(local=True) as messages:
                yield messages
        finally:
            log.set_skip_repeated(skip)
            log.set_level(level)


def _text(messages: list[tuple[int, str, str]]) -> str:
    return " ".join(text.strip().rstrip("!") for _, _, text in messages)


def _packets(av: Any, container: Any) -> Iterator[tuple[Any, str]]:
    """Yields each packet, and what is wrong with the file before it; at the end, None."""
    packets = container.demux(container.streams.video[0])
    while True:
        with _errors(av) as messages:
            try:
                packet, error = next(packets, None), ""
            except av.error.FFmpegError as raised:
                packet, error = None, str(raised)
        damage = _text(messages) or error
        if packet is None or not packet.size:  # the last one, without data, is PyAV's
            yield None, damage
            return
        yield packet, damage


def _entries(av: Any, container: Any) -> list[_Entry]:
    """Reads all packets, decoding none."""
    entries, last_s, end_s, damage = [], -np.inf, 0.0, ""
    for packet, damage in _packets(av, container):
        if packet is None:
            break
        if damage:
            problem = f"images may be lost here, where the file is damaged: {damage}"
            entries.append(_Entry(None, problem, image=False))
        time = packet.dts if packet.pts is None else packet.pts
        if time is None:
            entries.append(_Entry(None, "the image has no time in the file"))
            continue
        time_s = float(time * packet.time_base)
        end_s = max(end_s, time_s + float((packet.duration or 0) * packet.time_base))
        if time_s > last_s:
            entries.append(_Entry(time_s))
            last_s = time_s
        else:
            problem = f"its time, {time_s:.3f} s, is not after {last_s:.3f} s, that of one before"
            entries.append(_Entry(None, problem))
    return entries + _end(container, entries, end_s, damage)


def _end(container: Any, entries: list[_Entry], end_s: float, damage: str) -> list[_Entry]:
    """Returns an entry that says that images are missing after `end_s`, if they are.

    `damage` is what is wrong with the file's end.
    """
    times = [entry.time_s for entry in entries if entry.time_s is not None]
    if len(times) > 1:
        step_s = float(np.median(np.diff(times)))
    else:  # one image lasts until the end
        step_s = max(end_s - times[0], 0.0) if times else 0.0
    if times:  # images without a time follow on the last that has one
        after = next(k for k, entry in enumerate(reversed(entries)) if entry.time_s is not None)
        end_s = max(end_s, times[-1] + (after + 1) * step_s)
    declared_s = _declared_s(container)
    if not (damage if declared_s is None else declared_s > end_s + step_s / 2):
        return []
    known = "" if declared_s is None else f", its header says {declared_s:.3f} s"
    why = f" ({damage})" if damage else ""
    problem = f"the file ends at {end_s:.3f} s{known}: it was cut short{why}; copy it again"
    return [_Entry(None, problem, image=False)]


def _declared_s(container: Any) -> float | None:
    """Returns when the images end by the file's own header; None where it does not say so.

    The duration of the whole file may be that of another stream.
    """
    try:
        hours, minutes, seconds = container.streams.video[0].metadata["DURATION"].split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except (KeyError, ValueError):
        alone = len(container.streams) == 1 and container.duration
        return container.duration / 1e6 if alone else None


def _timed(path: Path, entries: list[_Entry]) -> list[_Entry]:
    """Returns the entries with times for those that have none, spread between the others.

    Raises:
      DataError: there is no image, or half of them have no time.
    """
    images = sum(entry.image for entry in entries)
    known = [k for k, entry in enumerate(entries) if entry.time_s is not None]
    if not images:
        raise DataError(f"{path}: no images")
    if 2 * len(known) <= images:
        number = next(k for k, entry in enumerate(entries) if entry.image and entry.problem)
        raise DataError(
            f"{path}: frame {number}: {entries[number].problem}; {images - len(known)} of {images} "
            "images are like that; write the video with the true times, or a .npz with time_s"
        )
    times = np.array([entries[k].time_s for k in known])
    step_s = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    every = np.interp(np.arange(len(entries)), known, times)
    every[: known[0]] -= step_s * np.arange(known[0], 0, -1)
    every[known[-1] + 1 :] += step_s * np.arange(1, len(entries) - known[-1])
    return [e._replace(time_s=float(t)) for e, t in zip(entries, every, strict=True)]


def _readings(av: Any, container: Any, entries: list[_Entry], units: Units) -> Iterator[Reading]:
    """Yields the readings of entries; after a damaged one, none has depth up to a key frame."""
    stream = container.streams.video[0]
    stream.thread_type = "NONE"  # a message is then of the packet that is decoded
    packets, damaged = _packets(av, container), None
    for number, entry in enumerate(entries):
        problem = entry.problem
        if not entry.image:
            damaged = number
            yield reading_of(number, entry.time_s, DataError(problem))
            continue
        packet, _ = next(packets, (None, ""))
        frame, error = _decoded(av, packet)
        if error:
            damaged = number if damaged is None else damaged
            problem = problem or f"frame {number}: damaged ({error}); copy the file again"
        elif frame.key_frame:
            damaged = None
        if damaged is not None and not problem:
            problem = f"frame {number}: comes after the damaged frame {damaged}, and depends on it"
        if problem:
            yield reading_of(number, entry.time_s, DataError(problem))
        else:
            image = frame.to_ndarray(format=frame.format.name)
            yield reading_in_mm(number, entry.time_s, image, units)


def _decoded(av: Any, packet: Any) -> tuple[Any, str]:
    """Returns the frame of a packet, None where there is none, and what is wrong with it."""
    if packet is None:
        return None, "the file has become shorter"
    with _errors(av) as messages:
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            return None, _text(messages) or str(error)
    if len(frames) != 1 or frames[0].pts not in (packet.pts, packet.dts):
        return None, _text(messages) or f"its packet has {len(frames)} images of its time"
    return frames[0], _text(messages)
