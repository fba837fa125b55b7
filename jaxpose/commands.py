"""The end of every command: an exit code, one message, no half-written files.

0    done; the last line of stdout is one JSON object
1    failed during the work; the message says what remains and how to continue
2    an input or an option cannot be used
130  interrupted by Ctrl-C
141  the reader of the output closed it (`2>&1 | head`) before the work was done
143  terminated by SIGTERM
"""

import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator

from jaxpose.errors import UserError

FAILED, UNUSABLE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 1, 2, 130, 141, 143


class Terminated(BaseException):
    """SIGTERM was received. As an exception it lets `finally` delete temporary files."""


def run_command(body: Callable[[], dict | int], *, resume: str = "", failed: int = FAILED) -> int:
    """Runs a command's body and returns the exit code.

    A dictionary that the body returns is printed as the last line of stdout; an integer is the exit
    code. `resume` is a clause that says how an interrupted command is continued. `failed` is the
    exit code of an error of the system, where 1 has another meaning.
    """
    _open_streams()
    try:
        with _terminable():
            result = body()
            if isinstance(result, dict):
                print_result(result)
            return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(f"error: {error}", UNUSABLE)
    except BrokenPipeError:
        drop_output()
        return BROKEN_PIPE
    except (KeyboardInterrupt, Terminated) as error:
        message = f"stopped; {resume}" if resume else "stopped"
        return _fail(message, INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED)
    except ModuleNotFoundError as error:
        return _fail(f"error: {error}; to read data sets: pip install -e '.[data]'", failed)
    except OSError as error:
        return _fail("; ".join(filter(None, [f"error: {describe(error)}", resume])), failed)


def print_result(result: dict) -> None:
    """Prints the last line of stdout, one JSON object, once the work is done.

    A reader that has closed the pipe by then is no failure, because the files that the command
    wrote are complete.

    Raises:
      OSError: stdout is a file that cannot be written.
    """
    try:
        print(json.dumps(result), flush=True)
    except BrokenPipeError:
        drop_output()
    except OSError as error:  # a full disk, where stdout is a file
        drop_output()
        raise OSError(error.errno, error.strerror, "stdout") from error


def print_table(text: str) -> None:
    """Prints text for people to stderr, once the work is done."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def describe(error: OSError) -> str:
    """Describes an error of the system in one line that names the file."""
    if error.strerror is None:
        return str(error)
    file = f"{error.filename}: " if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "; make room, or name another place for the output" if full else ""
    return f"{file}{error.strerror}{remedy}"


def _fail(message: str, code: int) -> int:
    """Prints a message to stderr; returns the exit code."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr)
    return code


def _open_streams() -> None:
    """Opens streams that are closed (`2>&-`) as /dev/null.

    Python would print stderr's text to stdout, and a data file could be opened as number 2, where
    libraries write their messages.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives it the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))


def drop_output() -> None:
    """Discards what is left of the output; otherwise Python reports an error when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM raise `Terminated` and Ctrl-C `KeyboardInterrupt`, until the body ends.

    Does nothing outside the main thread. For Ctrl-C before, see `jaxpose.starting`.
    """
    process = os.getpid()

    def terminate(number, frame):
        if os.getpid() != process:  # a process forked from the command, such as a worker, ends
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread
        yield
        return
    at_once = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    if at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if at_once:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
