"""An ONNX file -> the function that computes both nets, by ONNX Runtime or OpenVINO on the CPU."""

import functools
import importlib
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Literal

import numpy as np
from jaxtyping import Float

from jaxpose.errors import UserError

Predict = Callable[[Float[np.ndarray, "b t h w 1"]], tuple[np.ndarray, np.ndarray]]
"""clips -> the detection net's and the regression net's maps, float32 [b t h w 20]."""
OUTPUTS = ("detection", "regression")


class MissingExtra(UserError):
    """A package is not installed; the message names the extra that installs it."""


def by_onnxruntime(content: bytes) -> Predict:
    """Loads an ONNX file into ONNX Runtime.

    Raises:
      MissingExtra: ONNX Runtime is not installed.
    """
    onnxruntime = needed("onnxruntime", "onnxruntime")
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    # Threads that wait would take the cores of those that read and decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda clips: tuple(session.run(OUTPUTS, {"clips": np.ascontiguousarray(clips)}))


def by_openvino(content: bytes, hint: Literal["f32", "bf16"] = "f32") -> Predict:
    """Loads an ONNX file into OpenVINO; without a `hint` it might choose bfloat16 by itself.

    Raises:
      MissingExtra: OpenVINO is not installed.
      UserError: OpenVINO does not follow the hint on this CPU.
    """
    # Importing OpenVINO would report its use to its makers, in a process that it forks.
    sys.modules.setdefault("openvino_telemetry", None)
    openvino = needed("openvino", "openvino")
    core = openvino.Core()
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    compiled = core.compile_model(core.read_model(content), "CPU", options)
    if compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() != hint:
        raise UserError(
            "OpenVINO does not compute in bfloat16 on this CPU, which needs AVX-512 BF16 or AMX; "
            "use float32"
        )
    request, lock = compiled.create_infer_request(), threading.Lock()

    def predict(clips):
        with lock:
            maps = request.infer({"clips": np.ascontiguousarray(clips)})
            return tuple(np.array(maps[compiled.output(name)]) for name in OUTPUTS)

    return predict


ENGINES: dict[str, Callable[[bytes], Predict]] = {
    "onnxruntime": by_onnxruntime,
    "openvino": by_openvino,
}
"""Name of a runtime -> the function that loads an ONNX file into it."""
IN_BFLOAT16: dict[str, Callable[[bytes], Predict]] = {
    "openvino": functools.partial(by_openvino, hint="bf16"),
}
"""The same of those that can compute in bfloat16."""


def needed(module: str, extra: str) -> ModuleType:
    """Imports a package that an extra installs.

    Raises:
      MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the package {error.name} is not installed; pip install 'jaxpose[{extra}]'"
        ) from None
