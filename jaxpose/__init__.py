"""Limb poses from depth video, and what the nets that estimate them cost.

    import jaxpose
    poses = jaxpose.Model.load("model.safetensors").poses(frames_mm)

See README.md for installation and training.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxpose.errors import ModelError
    from jaxpose.model import Model
    from jaxpose.specification import Specification

__version__ = "0.2.0"
__all__ = ["Model", "ModelError", "Specification", "__version__"]

_MODULES = {
    "Model": "jaxpose.model",
    "ModelError": "jaxpose.errors",
    "Specification": "jaxpose.specification",
}


def __getattr__(name: str):
    """Imports the public names on first use: `jaxpose.body` and other rooms work without JAX."""
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module 'jaxpose' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
