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
def strict_jax(request):
    """JAX adds no axes and promotes no types without being asked, and every test begins on its own
    default device: commands with `--device` choose another.

    In a test marked `promotes_types` a library relies on promotion: optax's counters, flax's batch
    norm in bfloat16. So do fixtures of modules, which train: for them JAX promotes as ever.
    """
    jax = sys.modules.get("jax")
    if jax is None:
        yield
        return
    promotes = request.node.get_closest_marker("promotes_types")
    jax.config.update("jax_default_device", None)
    jax.config.update("jax_numpy_rank_promotion", "raise")
    with jax.numpy_dtype_promotion("standard" if promotes else "strict"):
        yield


@pytest.fixture
def real_data():
    """Folder of third-party recordings that are not part of the project; the test skips without."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real data beside the project")
    return REAL_DATA
