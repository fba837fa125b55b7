"""A model whose nets are computed by ONNX Runtime or OpenVINO instead of JAX.

All that surrounds the nets stays the same: the depth's reduction, the decoding, the confidence. An
ONNX file of ours holds the specification, so that it is a model, too.
"""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxpose.errors import ModelError, UserError
from jaxpose.formats.engines import ENGINES, IN_BFLOAT16, OUTPUTS, Predict, needed
from jaxpose.lowering import Lowering
from jaxpose.model import Model
from jaxpose.model_file import METADATA_KEY
from jaxpose.nets.compute import Folded, fold_net
from jaxpose.nets.predictor import Weights, record
from jaxpose.specification import FORMAT, Specification

RUNTIMES = ("jax", *ENGINES)
"""What computes the nets."""
ONNX = ".onnx"
"""Suffix of ONNX files."""


class RuntimeModel(Model):
    """A model without weights of its own: its nets are a function of a runtime.

    Attributes:
      runtime: name of the runtime, one of `ENGINES`.
    """

    def __init__(
        self,
        specification: Specification,
        digest: str,
        predict: Predict,
        *,
        runtime: str,
        precision: str = "float32",
    ):
        """Creates a model. `digest` is that of the model that was exported."""
        specification.check()
        self.specification, self.weights, self.lowering = specification, {}, None
        self.runtime, self.precision, self.digest = runtime, precision, digest
        self._predict = predict

    def save(self, path: Path) -> None:
        """Raises `ModelError`: an exported model cannot be trained or saved again."""
        raise ModelError(f"{path}: an exported model holds no weights to save; copy its file")


def load_model(
    path: Path | str,
    *,
    runtime: str = "jax",
    lowering: Lowering | str | None = None,
    precision: str = "float32",
) -> Model:
    """Loads a model file, or an ONNX file of ours, into a runtime.

    `lowering` is for the runtime jax alone, see `Model`. `precision` is the type of activations,
    "float32" or "bfloat16"; a file that was exported in int8 computes in int8.

    Raises:
      ModelError: the file cannot be used.
      UserError: the runtime is unknown, its package is not installed, or it cannot compute in the
        precision here.
    """
    if runtime not in RUNTIMES:
        raise UserError(f"unknown runtime {runtime!r}; one of: {', '.join(RUNTIMES)}")
    if precision == "int8":
        raise UserError(
            "int8 is the precision of a file, which computes in it without being asked to: create "
            "one with `jaxpose export MODEL --format=onnx --precision=int8 --calibration RECORDING "
            f"...`, and load it with the runtime {' or '.join(ENGINES)}"
        )
    exported = Path(path).suffix == ONNX
    if runtime == "jax":
        if exported:
            raise ModelError(
                f"{path}: an ONNX file; choose the runtime {' or '.join(ENGINES)}, or pass the "
                "model.safetensors"
            )
        return Model.load(path, lowering=lowering, precision=precision)
    if lowering is not None:
        raise UserError(f"the runtime {runtime} takes no lowering")
    engines = {"float32": ENGINES, "bfloat16": IN_BFLOAT16}.get(precision, {})
    if runtime not in engines:
        raise UserError(
            f"the runtime {runtime} does not compute in {precision}; expected float32, or bfloat16 "
            f"with the runtime {' or '.join(['jax', *IN_BFLOAT16])}"
        )
    if exported:
        specification, digest, stored, content = read_onnx(path)
        if stored != "float32" != precision:
            raise UserError(f"{path}: computes in {stored}; expected precision float32 with it")
        precision = precision if stored == "float32" else stored
    else:
        needed("onnx", runtime)
        model = Model.load(path, lowering="folded")
        specification, digest, content = model.specification, model.digest, to_onnx(model)
    predict = engines[runtime](content)
    return RuntimeModel(specification, digest, predict, runtime=runtime, precision=precision)


def to_onnx(model: Model) -> bytes:
    """Returns a model as the content of an ONNX file, with its specification.

    Raises:
      UserError: the package onnx is not installed.
    """
    needed("onnx", "onnx")
    from jaxpose.formats.graph import Graph

    specification, graph = model.specification, Graph()
    shape = (1, specification.clip_frames, *specification.grid, 1)
    maps = record(specification.nets(), scaled_weights(model), graph, shape)
    for name, node in zip(OUTPUTS, maps, strict=True):
        graph.output(node, name)
    return graph.content({METADATA_KEY: header(model.specification, model.digest)})


def to_int8(model: Model, clips: Float[np.ndarray, "b t h w 1"]) -> bytes:
    """Returns a model as an ONNX file that computes in int8; `clips` calibrate its ranges.

    Raises:
      ValueError: there is no clip, or clips have another shape than those of `Model.maps`.
      UserError: ONNX or ONNX Runtime is not installed.
    """
    model.check_clips(clips)
    from jaxpose.formats.int8 import quantised

    entry = header(model.specification, model.digest, "int8")
    return quantised(to_onnx(model), clips, {METADATA_KEY: entry})


def header(specification: Specification, digest: str, precision: str = "float32") -> str:
    """Returns what an ONNX file says about its model, as JSON."""
    values = {
        "format": FORMAT,
        "specification": specification.as_json(),
        "digest": digest,
        "precision": precision,
    }
    return json.dumps(values)


def read_onnx(path: Path | str) -> tuple[Specification, str, str, bytes]:
    """Reads specification, digest, precision and content of an ONNX file of ours.

    Raises:
      ModelError: the file is missing, damaged, foreign, or of a newer version.
      UserError: the package onnx is not installed.
    """
    onnx = needed("onnx", "onnx")
    remedy = "expected an ONNX file that `jaxpose export` wrote"
    try:
        content = Path(path).read_bytes()
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        values = json.loads(entries[METADATA_KEY])
        version, digest, precision = (values[k] for k in ("format", "digest", "precision"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except Exception:  # protobuf and the checker have errors of their own
        raise ModelError(f"{path}: foreign or damaged; {remedy}") from None
    if version != FORMAT:
        raise ModelError(f"{path}: format {version!r}, expected {FORMAT}; update jaxpose")
    try:
        return Specification.from_json(values["specification"]), digest, precision, content
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def scaled_weights(model: Model) -> Weights:
    """Returns the folded weights of nets whose outputs are those of `Model.maps`.

    The regression net's last layer is linear, so its target scale is a factor of the weights.
    """
    specification = model.specification
    weights = {
        net: fold_net(layers, specification.bn_epsilon) for net, layers in model.weights.items()
    }
    last = specification.nets()["regression"].layers[-1].name
    kernel, bias = weights["regression"][last]
    scale = specification.target_scale
    return weights | {
        "regression": weights["regression"] | {last: Folded(kernel / scale, bias / scale)}
    }
