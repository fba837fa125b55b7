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
STOLEN = 0.1
"""Number of cores taken away by the host of a virtual machine above which a result is marked."""
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


class Watch:
    """Observes what other programs use from its creation on."""

    def __init__(self):
        self.machine, self.own = _ticks(), _own_ticks()

    def load(self) -> dict[str, float]:
        """Returns means since the creation, and the load of the last minute.

        `busy_cores` is the number of cores in use by others than this process and its descendants,
        `stolen_cores` that of cores which the host took away.
        """
        now, own = _ticks(), _own_ticks()
        minute = round(os.getloadavg()[0], 2)
        if self.machine is None or now is None:
            return {"busy_cores": minute, "stolen_cores": 0.0, "load_1min": minute}
        spent = [after - before for before, after in zip(self.machine, now, strict=True)]
        idle, stolen = spent[3] + spent[4], spent[7]
        scale = (os.cpu_count() or 1) / max(1, sum(spent))
        busy = sum(spent) - idle - stolen - (own - self.own)
        return {
            "busy_cores": round(max(0.0, busy * scale), 2),
            "stolen_cores": round(stolen * scale, 2),
            "load_1min": minute,
        }


def load(seconds: float = 2.0) -> dict[str, float]:
    """Sleeps for some seconds and observes what other programs use meanwhile: see `Watch.load`."""
    watch = Watch()
    time.sleep(seconds)
    return watch.load()


def loaded(load: dict[str, float]) -> bool:
    """Tells whether times are not to be relied on under a load."""
    return load["busy_cores"] > LOADED or load["stolen_cores"] > STOLEN


def _ticks() -> list[int] | None:
    """Reads /proc/stat: user nice system idle iowait irq softirq steal, summed over all cores."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    return [int(n) for n in stat.read_text().split("\n", 1)[0].split()[1:9]]


def _own_ticks() -> int:
    """Returns the ticks that this process, its descendants and those of them that ended have used.

    0 where the system does not tell.
    """
    parents, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of the program, in brackets, may have spaces: state and parent follow.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(map(int, fields[11:15]))  # user and system, its own and of ended children
    return sum(used[pid] for pid in used if _descends(pid, parents))


def _descends(pid: int, parents: dict[int, int]) -> bool:
    """Tells whether a process is this one or descends from it."""
    while pid in parents and pid != os.getpid():
        pid = parents[pid]
    return pid == os.getpid()


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
