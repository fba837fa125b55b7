"""What a result was measured on: hardware, versions, and what else ran there meanwhile."""

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

LOADED = 0.25
"""Cores in use by others above which a result is marked."""
PACKAGES = ("jaxpose", "jax", "jaxlib", "flax", "numpy", "onednn-cpu-gomp", "torch", "onnxruntime")
PACKAGES += ("openvino",)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load(seconds: float = 2.0) -> dict[str, float]:
    """Cores in use, and stolen by the host, while this process sleeps; the minute's load."""
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
    """user nice system idle iowait irq softirq steal, of all cores."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    return [int(n) for n in stat.read_text().split("\n", 1)[0].split()[1:9]]


SETTINGS = ("XLA_", "JAX_", "OMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "TORCH", "OPENBLAS_")
SETTINGS += ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""How the names of environment variables begin that change how fast something is."""


def settings() -> dict[str, str]:
    """Of the environment that this process sees; where caches lie changes nothing."""
    chosen = (n for n in sorted(os.environ) if n.startswith(SETTINGS) and not n.endswith("_DIR"))
    return {n: os.environ[n] for n in chosen}


def environment() -> dict:
    """Versions and hardware."""
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: v for name in PACKAGES if (v := version(name))},
        "commit": _commit(),
    }


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
