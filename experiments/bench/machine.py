"""Conditions of a measurement: hardware, versions, commit, and the load by other programs."""

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
import time
from datetime import date
from pathlib import Path

from experiments import machines
from jaxpose.lowering import instruction_set

LOADED = 0.25
"""Number of cores in use by other programs above which a result is marked."""
PACKAGES = ("jaxpose", "jax", "jaxlib", "flax", "numpy", "onednn-cpu-gomp", "torch", "onnxruntime")
PACKAGES += ("openvino",)
"""Packages whose versions a result records."""
SETTINGS = ("XLA_", "JAX_", "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "TORCH")
SETTINGS += ("OPENBLAS_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Beginnings of the names of environment variables that change how fast something is."""
FLAGS = {
    "amx_tile": "AVX-512 AMX",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}
"""Flag of /proc/cpuinfo -> instruction set, newest first."""


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(machines.cores())


def load(seconds: float = 2.0) -> dict[str, float]:
    """Sleeps for some seconds and observes what other programs use meanwhile.

    Returns the number of busy cores, of cores that the host took away, and the load of the last
    minute.
    """
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    minute = round(os.getloadavg()[0], 2)
    if before is None or after is None:
        return {"busy_cores": minute, "stolen_cores": 0.0, "load_1min": minute}
    spent = [b - a for a, b in zip(before, after, strict=True)]
    idle, stolen = spent[3] + spent[4], spent[7]
    scale = (os.cpu_count() or 1) / max(1, sum(spent))
    busy = (sum(spent) - idle - stolen) * scale
    return {
        "busy_cores": round(busy, 2),
        "stolen_cores": round(stolen * scale, 2),
        "load_1min": minute,
    }


def _ticks() -> list[int] | None:
    """Reads /proc/stat: user nice system idle iowait irq softirq steal, summed over all cores."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    return [int(n) for n in stat.read_text().split("\n", 1)[0].split()[1:9]]


def settings() -> dict[str, str]:
    """Returns the environment variables of this process that change how fast something is."""
    names = (n for n in sorted(os.environ) if n.startswith(SETTINGS) and not n.endswith("_DIR"))
    return {n: os.environ[n] for n in names}


def environment() -> dict:
    """Describes the hardware, the system and the versions of packages."""
    return {
        "date": date.today().isoformat(),
        "cpu": machines.cpu(),
        "isa": instruction_set() or _newest_flag(),
        "cores": cores(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: v for name in PACKAGES if (v := version(name))},
    }


def _newest_flag() -> str | None:
    """Returns the CPU's newest instruction set by the system's description; None if unknown."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return next((name for flag, name in FLAGS.items() if flag in flags), None)


def version(package: str) -> str | None:
    """Returns the version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# ---- the code ----


@dataclasses.dataclass(frozen=True)
class Code:
    """State of the code that is measured.

    Attributes:
      commit: short hash of its commit; None outside git.
      changed: files that differ from the commit, and Python files that are not in it. Results
        that were written before do not count.
    """

    commit: str | None
    changed: tuple[str, ...] = ()

    @property
    def dirty(self) -> bool:
        """Whether the code differs from the commit."""
        return bool(self.changed)


def code(root: Path = machines.ROOT) -> Code:
    """Reads the state of the git repository at `root`."""
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel").strip()) != root.resolve():
            return Code(commit=None)  # installed inside another repository
        commit = _git(root, "rev-parse", "--short=12", "HEAD").strip()
        status = _git(root, "status", "--porcelain", "--untracked-files=all", "--no-renames")
    except (OSError, subprocess.CalledProcessError):
        return Code(commit=None)
    lines = [(line[:2], line[3:]) for line in status.splitlines()]
    changed = [
        name
        for state, name in lines
        if not name.startswith("experiments/results/") and (state != "??" or name.endswith(".py"))
    ]
    return Code(commit, tuple(changed))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
