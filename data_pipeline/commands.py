"""How every command ends: an exit code, one message, nothing half-written.

0    done; the last line of stdout is one JSON object
1    failed on the way: the message says what is left and how to go on
2    an input or an option that cannot be used
130  Ctrl-C        143  SIGTERM
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

from data_pipeline.errors import UserError

FAILED, UNUSABLE, INTERRUPTED, TERMINATED = 1, 2, 130, 143


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
                print(json.dumps(result))
            sys.stdout.flush()
            return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(f"error: {error}", UNUSABLE)
    except BrokenPipeError:
        # Nobody reads the result any more; what the command wrote to files is complete.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, Terminated) as end:
        stopped = f"stopped; {resume}" if resume else "stopped"
        return _fail(stopped, INTERRUPTED if isinstance(end, KeyboardInterrupt) else TERMINATED)
    except ModuleNotFoundError as error:
        return _fail(f"error: {error}; to read data sets: pip install -e '.[data]'", FAILED)
    except OSError as error:
        return _fail("; ".join(filter(None, [f"error: {describe(error)}", resume])), FAILED)


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


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated`, where the command runs in the main thread."""

    def terminate(number, frame):
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
    """A path as the user typed it, `~` included."""
    return Path(path).expanduser()
