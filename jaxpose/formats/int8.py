"""An ONNX file in float32 and calibration clips -> one whose convolutions compute in int8.

Static quantisation by ONNX Runtime: weights are int8 per channel, activations uint8 in ranges that
the calibration clips show. OpenVINO reads the result, too. The layers that see depth and those that
give the maps stay in float32: they have few MACs, and their errors are not averaged out any more.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxpose.formats.engines import needed


def quantised(
    content: bytes, clips: Float[np.ndarray, "b t h w 1"], metadata: Mapping[str, str]
) -> bytes:
    """Returns the content of the quantised file, with other metadata.

    Raises:
      MissingExtra: ONNX or ONNX Runtime is not installed.
    """
    onnx = needed("onnx", "onnxruntime")
    needed("onnxruntime", "onnxruntime")
    from onnxruntime import quantization

    model = onnx.load_model_from_string(content)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        quantization.quantize_static(
            model,
            path,
            _reader(clips),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_ends(model.graph),
            per_channel=True,
            reduce_range=True,  # without it, sums of CPUs that lack VNNI overflow
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        result = onnx.load_model(path)
    del result.metadata_props[:]
    onnx.helper.set_model_props(result, dict(metadata))
    return result.SerializeToString(deterministic=True)


def _reader(clips: Float[np.ndarray, "b t h w 1"]):
    """Returns what ONNX Runtime reads calibration data from, clip by clip."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            self._clips = iter(clips)

        def get_next(self) -> dict | None:
            clip = next(self._clips, None)
            return None if clip is None else {"clips": clip[None]}

    return Reader()


def _ends(graph) -> list[str]:
    """Returns the names of the convolutions that see depth, and of those that give the maps."""
    producer = {name: node for node in graph.node for name in node.output}
    consumers = [(name, node) for node in graph.node for name in node.input]
    ends = set()

    def walk(node, following) -> None:
        """Adds the next convolutions in one direction."""
        if node.op_type == "Conv":
            ends.add(node.name)
            return
        for other in following(node):
            walk(other, following)

    def after(node):
        return [other for name, other in consumers if name in node.output]

    def before(node):
        return [producer[name] for name in node.input if name in producer]

    for value in graph.input:
        for name, node in consumers:
            if name == value.name:
                walk(node, after)
    for value in graph.output:
        walk(producer[value.name], before)
    return sorted(ends)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences advice that is not for users; errors are raised all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
