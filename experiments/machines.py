"""The code and the machine of a result: commit, numerics, CPU, cores, instruction set."""

import os
import platform
import subprocess
from pathlib import Path

from experiments.numerics import NUMERICS
from jaxpose.lowering import instruction_set

ROOT = Path(__file__).resolve().parents[1]
"""Root folder of the project."""


def described() -> dict:
    """Returns what every result records about its code and its machine."""
    return {
        "commit": commit(),
        "numerics": NUMERICS,
        "cpu": cpu(),
        "cores": len(cores()),
        "instruction_set": instruction_set(),
    }


def commit() -> str | None:
    """Returns the short hash of the code's commit; None outside git.

    `-dirty` is appended if tracked files differ from the commit.
    """
    try:
        short = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{short}-dirty" if changed else short


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def cores() -> list[int]:
    """Returns the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu() -> str:
    """Returns the model name of the CPU, with the numbers of its family and model if known."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    fields = dict(
        (part.strip() for part in line.split(":", 1))
        for line in path.read_text().split("\n\n")[0].splitlines()
        if ":" in line
    )
    name = fields.get("model name", platform.machine())
    family, model = fields.get("cpu family"), fields.get("model")
    return f"{name}, family {family}, model {model}" if family and model else name
