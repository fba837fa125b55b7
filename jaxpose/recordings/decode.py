"""The bytes of an image file -> its pixels, by OpenCV, without what OpenCV logs about damage."""

import contextlib
import threading
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Shaped

_LOCK = threading.Lock()
_quiet, _level = 0, 0
"""Number of threads that decode, and OpenCV's level of logging before the first of them."""


def decoded(data: bytes) -> Shaped[np.ndarray, "h w *channels"] | None:
    """Returns an image as it is stored; None where it is damaged, or no image.

    The caller says so in one message; OpenCV would write several lines before it.
    """
    with _without_log():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:  # such as a header that asks for more pixels than OpenCV takes
            return None


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Silences OpenCV's log, which the whole process shares, until the last thread is done."""
    global _quiet, _level
    log = cv2.utils.logging
    with _LOCK:
        if not _quiet:
            _level = log.getLogLevel()
            log.setLogLevel(log.LOG_LEVEL_SILENT)
        _quiet += 1
    try:
        yield
    finally:
        with _LOCK:
            _quiet -= 1
            if not _quiet:
                log.setLogLevel(_level)
