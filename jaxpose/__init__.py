"""Limb poses from depth video: the method and its cost. See README.md.

import jaxpose
poses = jaxpose.Model.load("model.safetensors").poses(frames_mm)
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
    """Imports JAX only when a model is asked for: rooms such as `jaxpose.body` do without."""
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module 'jaxpose' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
