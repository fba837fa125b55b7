"""One command -> several workers on one plan, each a process with cores of its own.

A net of these sizes gains little from a second thread, because its layers are small; two trainings
side by side, with a core each, do not wait for each other.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from experiments import machines
from experiments.config import ConfigError


def share_out(cores: Sequence[int], workers: int) -> list[list[int]]:
    """Divides the cores among the workers, as evenly as possible.

    Raises:
      ConfigError: there are fewer cores than workers, or no worker.
    """
    if not 1 <= workers <= len(cores):
        raise ConfigError(
            f"--workers={workers}: expected 1 to {len(cores)}, the number of cores of this process"
        )
    ends = [round(k * len(cores) / workers) for k in range(workers + 1)]
    return [list(cores[low:high]) for low, high in zip(ends, ends[1:], strict=False)]


def run(arguments: Sequence[str], workers: int) -> list[dict]:
    """Runs `experiments.study` with these arguments as several workers; returns their summaries.

    A worker that dies is reported, and its jobs are left to the others. If this process is
    interrupted, so are the workers.

    Raises:
      ConfigError: there are fewer cores than workers.
    """
    command = [sys.executable, "-m", "experiments.study", *arguments]
    shares = share_out(machines.cores(), workers)
    running: list[subprocess.Popen] = []
    try:
        for cores in shares:
            running.append(start(command, cores))
        outputs = [process.communicate()[0] for process in running]
    except BaseException:
        for process in running:
            process.terminate()
        for process in running:
            process.communicate()
        raise
    summaries = []
    for process, output in zip(running, outputs, strict=True):
        if process.returncode not in (0, 1):
            print(f"a worker ended with exit code {process.returncode}", file=sys.stderr)
        summaries += [json.loads(line) for line in output.splitlines()[-1:]]
    return summaries


def start(command: Sequence[str], cores: Sequence[int], **environment: str) -> subprocess.Popen:
    """Starts a process that computes on these cores alone, with a thread for each.

    On a GPU it takes memory as it needs it, because the workers share it. `environment` are further
    variables; its stdout is a pipe.
    """
    own = {"OMP_NUM_THREADS": str(len(cores)), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **own, **environment},
    )
    if hasattr(os, "sched_setaffinity"):  # before it has a second thread, which would inherit it
        os.sched_setaffinity(process.pid, cores)
    return process
