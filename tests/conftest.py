"""What every test runs under: the shapes and types written in `jaxpose` are checked."""

import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("jaxpose", "beartype.beartype")

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def same_device():
    """No test leaves another default device behind, as commands with `--device` do."""
    jax = sys.modules.get("jax")
    before = jax and jax.config.jax_default_device
    yield
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_default_device", before)


@pytest.fixture
def real_data():
    """Folder of third-party recordings that are not part of the project; the test skips without."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real data beside the project")
    return REAL_DATA
