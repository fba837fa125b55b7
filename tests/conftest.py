"""What every test runs under: the shapes and types written in `jaxpose` are checked."""

import os
import signal
import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# A shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Nets of a few weights: compiling them would take most of the time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
install_import_hook("jaxpose", "beartype.beartype")

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def default_device():
    """Every test begins on JAX's own default device: commands with `--device` choose another.
    JAX adds no axes without being asked."""
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_default_device", None)
        jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def strict_types():
    """JAX promotes no types. Not for every test: optax's counters and flax's batch norm in
    bfloat16 rely on promotion."""
    import jax

    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def real_data():
    """Folder of third-party recordings that are not part of the project; the test skips without."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real data beside the project")
    return REAL_DATA
