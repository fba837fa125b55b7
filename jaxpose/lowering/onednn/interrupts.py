"""Ctrl-C, and the end of Python, while XLA runs a Python function: both wait for the function.

XLA may run a program in Python's main thread, where Python delivers signals. An exception cannot
pass through XLA. Raised inside a function that XLA calls, it would become an error of the program;
raised before the function's first line, it would be lost together with the function's result. The
signal handlers are therefore wrapped: inside such a function they only send the signal again later.
"""

import _thread
import atexit
import inspect
import signal
import threading
import time
from types import CodeType, FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_AFTER_S = 0.002
_IDLE_S, _IDLE_SHARE = 0.1, 0.2
_LONGEST_SILENCE_S = 3.0
"""Time without a call after which no program is assumed to run, although threads are busy: with
OMP_WAIT_POLICY=active they always are."""
_calls = 0
_protected: set[CodeType] = set()


def protect(function) -> None:
    """Defers the signal handlers while a call of `function` is on the stack."""
    _protected.add(inspect.unwrap(function).__code__)


def install() -> None:
    """Wraps the current handlers of `SIGNALS` that are Python functions.

    It does nothing in threads other than the main one, where Python does not allow this.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and not isinstance(handler, _Deferring):
            signal.signal(number, _Deferring(handler))


class _Deferring:
    """A signal handler that is deferred until no protected function is on the stack."""

    def __init__(self, handler):
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None):
        if _inside_protected(frame):
            _thread.start_new_thread(_send_again, (number,))
        else:
            self.handler(number, frame)


def _inside_protected(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _protected:
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    time.sleep(_AGAIN_AFTER_S)
    # unlike _thread.interrupt_main, a real signal ends a system call that waits
    signal.pthread_kill(threading.main_thread().ident, number)


# ---- the end of Python ----


def count_call() -> None:
    """Counts a call; every function that XLA calls must call it, for `_wait_for_programs`."""
    global _calls
    _calls += 1


@atexit.register
def _wait_for_programs() -> None:
    """Waits until XLA calls no function any more and no thread of this process computes.

    XLA may still run a program whose result is not referenced, such as a training step after
    Ctrl-C. A Python function that it calls after the end of Python would never return, and the
    process would never end.
    """
    busy, end = _calls > 0, time.monotonic() + _LONGEST_SILENCE_S
    while busy and time.monotonic() < end:
        calls, computed_s = _calls, time.process_time()
        time.sleep(_IDLE_S)
        if _calls > calls:
            end = time.monotonic() + _LONGEST_SILENCE_S
        busy = _calls > calls or time.process_time() - computed_s > _IDLE_SHARE * _IDLE_S
