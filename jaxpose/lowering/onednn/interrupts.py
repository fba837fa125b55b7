"""Ctrl-C, and the end of Python, while XLA runs a Python function: both wait for the function.

XLA may run a program in Python's main thread, where Python delivers signals. An exception cannot
pass through XLA: raised inside a function that XLA calls, it would become an error of the program,
or, raised before the function's first line, be dropped together with the function's result. So the
signals' handlers are wrapped: inside of such a function they do nothing but ask again later.
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
"""Time after which a program that calls no function of ours is taken for none, although threads are
busy: with OMP_WAIT_POLICY=active they always are."""
_calls = 0
_protected: set[CodeType] = set()


def protect(function) -> None:
    """Lets no signal handler of Python run while a call of `function` is on the stack."""
    _protected.add(inspect.unwrap(function).__code__)


def install() -> None:
    """Wraps the handlers of `SIGNALS` that are Python functions now. In threads other than the
    main one, where Python forbids it, nothing happens."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and not isinstance(handler, _Deferring):
            signal.signal(number, _Deferring(handler))


class _Deferring:
    """A signal handler that waits until no protected function is on the stack."""

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
    # a real signal, unlike _thread.interrupt_main: it ends a system call that waits
    signal.pthread_kill(threading.main_thread().ident, number)


# ---- the end of Python ----


def count_call() -> None:
    """To be called by every function that XLA calls, so that the end of Python sees it."""
    global _calls
    _calls += 1


@atexit.register
def _wait_for_programs() -> None:
    """Waits until XLA calls no function any more and no thread of this process computes.

    XLA may still run a program whose result nobody holds, such as a training step that Ctrl-C has
    left behind. A function that it calls after Python has gone would never return, and the process
    never end.
    """
    busy, end = _calls > 0, time.monotonic() + _LONGEST_SILENCE_S
    while busy and time.monotonic() < end:
        calls, computed_s = _calls, time.process_time()
        time.sleep(_IDLE_S)
        if _calls > calls:
            end = time.monotonic() + _LONGEST_SILENCE_S
        busy = _calls > calls or time.process_time() - computed_s > _IDLE_SHARE * _IDLE_S
