"""How every command ends: an exit code, one message, nothing half-written.

0    done; the last line of stdout is one JSON object
1    failed on the way: the message says what is left and how to go on
2    an input or an option that cannot be used
130  Ctrl-C        143  SIGTERM
141  nobody reads the output any more (`2>&1 | head`), before the work was done
"""

import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import tyro

from data_pipeline.errors import DataError, UserError

FAILED, UNUSABLE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 1, 2, 130, 141, 143


class Terminated(BaseException):
    """SIGTERM, so that temporary files are deleted on the way out."""


Options = TypeVar("Options")


def parse_options(options: type[Options], arguments: list[str] | None, module: str) -> Options:
    """Command line -> a dataclass of options; unknown options end the program with code 2."""
    return tyro.cli(options, args=arguments, prog=f"python -m {module}", use_underscores=True)


def run_command(body: Callable[[], dict | int], *, resume: str = "") -> int:
    """Runs a command's body and returns the exit code.

    A dictionary that the body returns is printed as the last line of stdout; an integer is the exit
    code. `resume` says how an interrupted command goes on.
    """
    try:
        with _terminable():
            result = body()
            if isinstance(result, dict):
                print_result(result)
            return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(f"error: {error}", UNUSABLE)
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except (KeyboardInterrupt, Terminated) as end:
        stopped = f"stopped; {resume}" if resume else "stopped"
        return _fail(stopped, INTERRUPTED if isinstance(end, KeyboardInterrupt) else TERMINATED)
    except ModuleNotFoundError as error:
        return _fail(f"error: {error}; to read data sets: pip install -e '.[data]'", FAILED)
    except OSError as error:
        return _fail("; ".join(filter(None, [f"error: {describe(error)}", resume])), FAILED)


def print_result(result: dict) -> None:
    """Prints the last line of stdout, one JSON object, once the work is done.

    A reader that has closed the pipe by then is no failure: what the command wrote to files is
    complete.
    """
    try:
        print(json.dumps(result), flush=True)
    except BrokenPipeError:
        _drop_output()
    except OSError as error:  # a full disk, where stdout is a file
        _drop_output()
        raise OSError(error.errno, error.strerror, "stdout") from error


def print_table(text: str) -> None:
    """Prints text for people to stderr, once the work is done."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def describe(error: OSError) -> str:
    """An error of the system as one line that names the file."""
    if error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "; make room, or name another place for the output" if full else ""
    return f"{where}{error.strerror}{remedy}"


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr)
    return code


def _drop_output() -> None:
    """Sends what is left of the output nowhere, or Python complains when it flushes at the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated`, where the command runs in the main thread."""
    process = os.getpid()

    def terminate(number, frame):
        if os.getpid() != process:  # forked from the command, such as a worker: it just ends
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        signal.signal(number, signal.SIG_IGN)  # a second one does not stop the cleaning up
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def expand(path: str | Path) -> Path:
    """A path as the user typed it, `~` included; `DataError` for the home of an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{path}: {error}; write the whole path") from None
