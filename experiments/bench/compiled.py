"""A jitted function -> a compiled one, and what its compilation tells."""

import contextlib
import hashlib
import re
import time

import jax


def compile_ahead(jitted, dtype: str, *arguments):
    """Compiles ahead of time; returns the function, and facts about the compilation.

    On a GPU float32 products are IEEE's unless `dtype` is tf32.
    """
    precision = {"float32": "highest", "tf32": "tensorfloat32"}.get(dtype)
    with jax.default_matmul_precision(precision) if precision else contextlib.nullcontext():
        began = time.perf_counter()
        compiled = jitted.lower(*arguments).compile()
        seconds = time.perf_counter() - began
    return compiled, {"compile_s": seconds, **_facts(compiled)}


def _facts(compiled) -> dict:
    """Returns the temporary memory that XLA states, and counts of operations.

    The counts of operations that compute convolutions make a change of lowering visible.
    """
    text = compiled.as_text()
    memory = compiled.memory_analysis()
    kinds = {
        "convolution": r"= \S+ convolution\(",
        "ynn_fusion": "__ynn_fusion",
        "custom_call": r"custom-call\(",
    }
    return {
        "xla_temporary_mb": round(memory.temp_size_in_bytes / 1e6, 1) if memory else None,
        "hlo": hashlib.sha256(text.encode()).hexdigest()[:12],
        **{kind: len(re.findall(pattern, text)) for kind, pattern in kinds.items()},
    }
