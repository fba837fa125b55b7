"""Which code ran on which machine: commit, numerics, CPU, instruction set."""

import platform
import subprocess
from pathlib import Path

from experiments.numerics import NUMERICS
from jaxpose.lowering import instruction_set

ROOT = Path(__file__).resolve().parents[1]


def facts() -> dict:
    """What every result records about its machine and its code."""
    return {
        "commit": commit(),
        "numerics": NUMERICS,
        "cpu": cpu(),
        "instruction_set": instruction_set(),
    }


def commit() -> str | None:
    """Short hash of the code's commit, `-dirty` appended where tracked files differ from it; None
    outside git."""
    try:
        short = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{short}-dirty" if changed else short


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def cpu() -> str:
    """Model name of the CPU, with family and model where the name says little."""
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
