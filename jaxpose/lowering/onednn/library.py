"""oneDNN as a shared object: loaded at first use, never by an import.

The wheel `onednn-cpu-gomp` (extra `onednn`) contains no Python code.
"""

import contextlib
import ctypes
import functools
import importlib.metadata
import os
from collections.abc import Iterator

WHEEL = "onednn-cpu-gomp"
INSTALL = "pip install 'jaxpose[onednn]' on x86-64 Linux"
NOT_INSTALLED = f"oneDNN is not installed: {INSTALL}"

# `dnnl_cpu_isa_t` of oneDNN 3's dnnl_types.h.
_INSTRUCTION_SETS = {
    0x1: "SSE4.1",
    0x3: "AVX",
    0x7: "AVX2",
    0xF: "AVX2 VNNI",
    0x1F: "AVX2 VNNI 2",
    0x27: "AVX-512",
    0x67: "AVX-512 VNNI",
    0xE7: "AVX-512 BF16",
    0x1EF: "AVX-512 FP16",
    0xFEF: "AVX-512 AMX",
    0x1FEF: "AVX-512 AMX FP16",
}
_BFLOAT16 = 0x80
"""The bit of AVX-512 BF16, which all newer instruction sets have, too."""


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str | None]:
    """Returns the library and None, or None and the reason why it cannot be used."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None, NOT_INSTALLED
    path = next((f for f in files if f.name == "libdnnl.so.3"), None)
    if path is None:
        return None, f"the wheel {WHEEL} is installed without libdnnl.so.3: reinstall it"
    try:
        with _threads_that_sleep():
            return ctypes.CDLL(str(path.locate())), None
    except OSError as error:
        return None, f"oneDNN cannot be loaded ({error}): reinstall {WHEEL}"


WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "2000"}
"""How OpenMP's threads wait for the next operation: some 0.1 ms awake, then asleep. Awake for long,
they would take the cores away from XLA's threads; asleep at once, each operation of a small net
would wait as long for a thread as it computes (LOG.md)."""


@contextlib.contextmanager
def _threads_that_sleep() -> Iterator[None]:
    """Sets `WAITING` while the library is loaded, unless the user set any of it.

    OpenMP reads the variables only then. The environment is restored afterwards.
    """
    if any(name in os.environ for name in WAITING):
        yield
        return
    os.environ |= WAITING
    try:
        yield
    finally:
        for name in WAITING:
            del os.environ[name]


def installed() -> bool:
    """Returns whether the wheel is installed, even if it cannot be loaded."""
    return missing() != NOT_INSTALLED


def missing() -> str | None:
    """Returns why the library cannot be used and the remedy; None if it can be used."""
    return _load()[1]


def library() -> ctypes.CDLL:
    """Returns the library.

    Raises:
      ModuleNotFoundError: it cannot be loaded.
    """
    loaded, reason = _load()
    if loaded is None:
        raise ModuleNotFoundError(reason)
    return loaded


def instruction_set() -> str | None:
    """Returns the instructions that the library uses on this CPU: "AVX2", "AVX-512 AMX", ...

    The result is None if the library cannot be loaded. ONEDNN_MAX_CPU_ISA limits the instructions.
    """
    if missing():
        return None
    isa = library().dnnl_get_effective_cpu_isa()
    return _INSTRUCTION_SETS.get(isa, f"instruction set 0x{isa:x}")


def has_bfloat16() -> bool | None:
    """Returns whether these instructions multiply in bfloat16; None without the library.

    With AVX-512 but without them, the library emulates bfloat16.
    """
    return None if missing() else bool(library().dnnl_get_effective_cpu_isa() & _BFLOAT16)
