"""A case -> the same net, with the same weights, in ONNX Runtime or OpenVINO.

Both read an ONNX model of 3-D convolutions that is created from our layers, or the one of 2-D
convolutions that jaxpose writes. Batch norm is folded; all threads compute, in float32, or OpenVINO
in bfloat16, to which it converts the model itself.
"""

import importlib
import sys
import time
from collections.abc import Callable
from types import ModuleType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from experiments.bench.cases import SHIPPED_FORM, Case, Size
from experiments.bench.prepared import Prepared, Reference
from experiments.bench.shipped import shipped
from experiments.bench.weights import NEEDS, draw, inputs, net_of
from experiments.recipe import STAGES
from jaxpose.body.skeleton import MAPS
from jaxpose.cost.timing import POOL
from jaxpose.nets.compute import fold

Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]
"""Inputs by name -> outputs."""
OPSET, IR_VERSION = 17, 8
"""Versions of the ONNX format that every runtime of the last years reads."""


def model(net: str, variant: str, size: Size, batch: int) -> onnx.ModelProto:
    """Creates the ONNX model of a net.

    Its inputs are depth [b 1 t h w] and, for the regression net, maps [b 20 t h w]; its output is
    result [b 20 t h w].
    """
    description = net_of(net, variant, size.width)
    layers = {layer.name: layer for layer in description.layers}
    weights, epsilon = draw(description.layers), size.config.bn_epsilon
    nodes, initialisers = [], []

    def run(name: str, x: str) -> str:
        layer = layers[name]
        kernel, bias = fold(weights[name], epsilon)
        axes = (3, 4, 0, 1, 2) if layer.transposed else (4, 3, 0, 1, 2)
        for part, array in (("kernel", kernel.transpose(axes)), ("bias", bias)):
            array = np.ascontiguousarray(array)
            initialisers.append(numpy_helper.from_array(array, f"{name}/{part}"))
        padding = [k // 2 if s == 1 else 0 for k, s in zip(layer.kernel, layer.stride, strict=True)]
        nodes.append(
            helper.make_node(
                "ConvTranspose" if layer.transposed else "Conv",
                [x, f"{name}/kernel", f"{name}/bias"],
                [name],
                kernel_shape=layer.kernel,
                strides=layer.stride,
                pads=padding * 2,
                group=layer.groups,
            )
        )
        if not layer.relu:
            return name
        nodes.append(helper.make_node("Relu", [name], [f"{name}/relu"]))
        return f"{name}/relu"

    def join(parts: list[str]) -> str:
        joined = "+".join(parts)
        nodes.append(helper.make_node("Concat", parts, [joined], axis=1))
        return joined

    names = NEEDS[net, "forward"]
    out = description.walk(run, join, *names)
    nodes.append(helper.make_node("Identity", [out], ["result"]))
    graph = helper.make_graph(
        nodes,
        net,
        [_array(name, batch, 1 if name == "depth" else MAPS, size) for name in names],
        [_array("result", batch, MAPS, size)],
        initialisers,
    )
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    onnx_model.ir_version = IR_VERSION
    onnx.checker.check_model(onnx_model)
    return onnx_model


def _array(name: str, batch: int, channels: int, size: Size):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, channels, *size.clip])


def _pool(case: Case, size: Size) -> list[dict[str, np.ndarray]]:
    """Returns the inputs of a case by name; channels are last in the form that jaxpose writes, and
    second in the others."""
    if case.net == "pipeline":
        pool = inputs(("depth",), case.batch, size.clip, POOL)
        return [{"clips": arrays["depth"]} for arrays in pool]
    pool = inputs(NEEDS[case.net, case.what], case.batch, size.clip, POOL)
    if case.implementation in SHIPPED_FORM:
        return pool
    return [
        {name: np.ascontiguousarray(np.moveaxis(array, -1, 1)) for name, array in arrays.items()}
        for arrays in pool
    ]


class _Runtime:
    """A worker that loads ONNX models and calls them; the two runtimes differ in `load`."""

    def __init__(self, size: Size, threads: int, reference: Reference):
        self.size, self.threads, self.reference = size, threads, reference

    def load(self, content: bytes, dtype: str, outputs: tuple[str, ...]):
        """Loads a serialised model; returns the function from inputs by name to the outputs.

        `dtype` is the type in which it is computed."""
        raise NotImplementedError

    def run(self, case: Case, pool: list[dict[str, np.ndarray]]) -> tuple[Run, float]:
        """Returns the function of a case, and the seconds in which its model was loaded."""
        if case.implementation in SHIPPED_FORM:
            content, outputs = shipped(case, self.size)
        else:
            graph = model(case.net, case.variant, self.size, case.batch)
            content, outputs = graph.SerializeToString(), ("result",)
        began = time.perf_counter()
        return self.load(content, case.dtype, outputs), time.perf_counter() - began

    def prepare(self, case: Case) -> Prepared:
        """Loads a case's model and compares its first result with the reference.

        Raises:
          WrongResult: the result deviates from the reference.
        """
        pool = _pool(case, self.size)
        run, seconds = self.run(case, pool)
        facts = {"compile_s": seconds}
        if case.net in STAGES:  # both nets in a row have no reference
            [result] = run(pool[0])
            last = case.implementation in SHIPPED_FORM
            result = np.asarray(result) if last else np.moveaxis(np.asarray(result), 1, -1)
            facts["deviation"] = self.reference.check(case, result)
        return Prepared(lambda k: run(pool[k]), facts)


class OnnxRuntime(_Runtime):
    """The worker that runs ONNX Runtime."""

    def load(self, content: bytes, dtype: str, outputs: tuple[str, ...]) -> Run:
        """Loads a serialised model, which is computed in its own type."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        # Idle threads must not spin while others are timed.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return lambda arrays: session.run(outputs, arrays)


class OpenVino(_Runtime):
    """The worker that runs OpenVINO."""

    def load(self, content: bytes, dtype: str, outputs: tuple[str, ...]) -> Run:
        """Loads a serialised model."""
        options = {
            "INFERENCE_NUM_THREADS": self.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
        }
        core = openvino().Core()
        compiled = core.compile_model(core.read_model(content), "CPU", options)
        request = compiled.create_infer_request()
        return lambda arrays: [*request.infer(arrays, share_inputs=True).values()]


def openvino() -> ModuleType:
    """Imports OpenVINO, which would report its use to its makers otherwise."""
    sys.modules.setdefault("openvino_telemetry", None)
    return importlib.import_module("openvino")
