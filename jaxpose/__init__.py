"""Limb poses from depth video, and what the nets that estimate them cost.

    import jaxpose
    estimator = jaxpose.load()
    pose = estimator(frames_mm)

See README.md for installation and training.
"""

from typing import TYPE_CHECKING

from jaxpose import starting

if TYPE_CHECKING:
    from jaxpose.body.space import Intrinsics
    from jaxpose.errors import DataError, ModelError
    from jaxpose.estimator import Estimator, load, shipped_model
    from jaxpose.model import Model
    from jaxpose.prediction.pose import Pose
    from jaxpose.prediction.view import View
    from jaxpose.recordings.recording import Frame
    from jaxpose.specification import Specification

starting.end_at_once("jaxpose")

__version__ = "0.2.0"
__all__ = [
    "DataError",
    "Estimator",
    "Frame",
    "Intrinsics",
    "Model",
    "ModelError",
    "Pose",
    "Specification",
    "View",
    "__version__",
    "load",
    "shipped_model",
]

_MODULES = {
    "DataError": "jaxpose.errors",
    "Estimator": "jaxpose.estimator",
    "Frame": "jaxpose.recordings.recording",
    "Intrinsics": "jaxpose.body.space",
    "Model": "jaxpose.model",
    "ModelError": "jaxpose.errors",
    "Pose": "jaxpose.prediction.pose",
    "Specification": "jaxpose.specification",
    "View": "jaxpose.prediction.stream",
    "load": "jaxpose.estimator",
    "shipped_model": "jaxpose.estimator",
}


def __getattr__(name: str):
    """Imports the public names on first use: `jaxpose.body` and other rooms work without JAX."""
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module 'jaxpose' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
