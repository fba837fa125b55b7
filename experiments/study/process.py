"""A command in a process of its own, which is stopped while a file exists."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

POLL_S = 0.5
"""Seconds between two looks at the process and at the pause file."""
PATIENCE_S = 60.0
"""Seconds that a process has to end after SIGTERM."""


class Failed(Exception):
    """A command ended with an error. The message is its last line, and names its log."""


def run(command: Sequence[str], log: Path, pause: Path, **environment: str) -> float:
    """Runs a command to its end, with its output appended to `log`; returns its seconds.

    `environment` are further variables. While the file `pause` exists, the command and its own
    processes stand still, and the seconds do not count. If this process is interrupted, so is the
    command.

    Raises:
      Failed: the command's exit code is not 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    wait_while(pause)
    seconds, stopped = 0.0, False
    with open(log, "a") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        try:
            while process.poll() is None:
                if pause.exists() != stopped:
                    stopped = not stopped
                    _signal(process, signal.SIGSTOP if stopped else signal.SIGCONT)
                began = time.perf_counter()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
                seconds += 0.0 if stopped else time.perf_counter() - began
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        raise Failed(f"exit code {process.returncode}: {_last_line(log)} (see {log})")
    return seconds


def _end(process: subprocess.Popen) -> None:
    """Asks the process to end, and kills it if it does not."""
    _signal(process, signal.SIGCONT)
    _signal(process, signal.SIGTERM)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def wait_while(pause: Path) -> None:
    """Waits while the file `pause` exists."""
    while pause.exists():
        time.sleep(POLL_S)


def _signal(process: subprocess.Popen, number: int) -> None:
    """Sends a signal to the process and to those that it started; it may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
