"""Whether the device has the instructions that a type of activations needs.

A CPU without them emulates the type, which is slower than float32.
"""

from pathlib import Path

from jaxpose.lowering.lowering import platform
from jaxpose.lowering.onednn import library

CPUINFO = Path("/proc/cpuinfo")
"""The system's description of the CPU; Linux alone has it."""
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags in it of CPUs that multiply in bfloat16; the last one is ARM's."""


def missing_instructions(dtype: str) -> str | None:
    """Returns which instructions the device lacks for a type, and what to choose.

    The result is None if it lacks none: float32 needs none, and GPUs and TPUs have bfloat16.
    """
    if dtype != "bfloat16" or platform() != "cpu" or _cpu_has_bfloat16():
        return None
    isa = library.instruction_set()
    this = f"this CPU ({isa})" if isa else "this CPU"
    return f"{this} does not compute in bfloat16, which needs AVX-512 BF16 or AMX; use float32"


def _cpu_has_bfloat16() -> bool:
    """Asks oneDNN, or else the system; a CPU that neither knows counts as one that has it."""
    known = library.has_bfloat16()
    if known is not None:
        return known
    return bfloat16_in(CPUINFO.read_text()) if CPUINFO.exists() else True


def bfloat16_in(description: str) -> bool:
    """Returns whether a CPU has bfloat16, by the contents of its /proc/cpuinfo."""
    return not _FLAGS.isdisjoint(description.split())
