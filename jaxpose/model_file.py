"""A model's specification and weights <-> one file in the safetensors format.

The file's metadata has one entry, `jaxpose`: a JSON object with the format's version, the
specification, and a hash of everything. Tensors are named net/layer/array. See
docs/model-format.md.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jaxpose.errors import ModelError
from jaxpose.files import written_whole
from jaxpose.nets.compute import LayerWeights
from jaxpose.nets.layers import Layer
from jaxpose.specification import FORMAT, Specification

NetWeights = Mapping[str, LayerWeights]
"""The weights of one net, by layer."""

METADATA_KEY = "jaxpose"

_NAMES = {
    "kernel": "kernel",
    "bias": "bias",
    "scale": "norm/scale",
    "shift": "norm/shift",
    "mean": "norm/mean",
    "variance": "norm/variance",
}
"""Field of `LayerWeights` -> name of its tensor within the layer."""


def write(
    path: Path | str, specification: Specification, weights: Mapping[str, NetWeights]
) -> None:
    """Writes a model beside `path`, then renames the file.

    Raises:
      OSError: `path` cannot be written.
    """
    path, tensors = Path(path), _tensors(weights)
    values = specification.as_json()
    header = {"format": FORMAT, "specification": values, "digest": _digest(values, tensors)}
    with written_whole(path) as beside:
        beside.write_bytes(save(tensors, metadata={METADATA_KEY: json.dumps(header)}))


def read(path: Path | str) -> tuple[Specification, dict[str, dict[str, LayerWeights]]]:
    """Reads the specification and the weights, by net and layer.

    Raises:
      ModelError: the file is missing, damaged, foreign, or of a newer version.
    """
    remedy = "expected a model.safetensors that jaxpose wrote"
    if Path(path).is_dir():
        raise ModelError(f"{path}: is a folder; {remedy}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {remedy}") from None
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); {remedy}") from None
    if METADATA_KEY not in metadata:
        raise ModelError(f"{path}: is not a jaxpose model; {remedy}")
    try:
        specification = _read_header(metadata[METADATA_KEY], tensors)
        return specification, _read_tensors(tensors, specification)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def check_weights(specification: Specification, weights: Mapping[str, NetWeights]) -> None:
    """Checks that every layer has all its arrays, with its shapes and finite values.

    Raises:
      ModelError: it has not. The message names the layer.
    """
    for net, description in specification.nets().items():
        for layer in description.layers:
            name = f"{net}/{layer.name}"
            if layer.name not in weights.get(net, {}):
                raise ModelError(f"{name}: there are no weights of this layer")
            _check_layer(name, layer, weights[net][layer.name])


def _check_layer(name: str, layer: Layer, weights: LayerWeights) -> None:
    for field, array in weights._asdict().items():
        expected = layer.kernel_shape if field == "kernel" else (layer.cout,)
        if not layer.norm and field not in ("kernel", "bias"):
            expected = None
        shape = None if array is None else tuple(array.shape)
        if shape != expected:
            raise ModelError(f"{name}: {field} has shape {shape}, expected {expected}")
        if array is not None and not np.isfinite(np.asarray(array)).all():
            raise ModelError(f"{name}: {field} holds values that are not finite")


def digest(specification: Specification, weights: Mapping[str, NetWeights]) -> str:
    """Returns the hash of a model: SHA-256, 64 hexadecimal digits."""
    return _digest(specification.as_json(), _tensors(weights))


def _tensors(weights: Mapping[str, NetWeights]) -> dict[str, np.ndarray]:
    return {
        f"{net}/{layer}/{_NAMES[field]}": np.asarray(array, np.float32)
        for net, layers in weights.items()
        for layer, arrays in layers.items()
        for field, array in arrays._asdict().items()
        if array is not None
    }


def _read_header(text: str, tensors: dict[str, np.ndarray]) -> Specification:
    damaged = "is damaged; copy it again from where it came"
    try:
        header = json.loads(text)
        version, values, digest = (header[k] for k in ("format", "specification", "digest"))
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"the header {damaged}") from None
    if version != FORMAT:
        if isinstance(version, int) and version > FORMAT:
            raise ModelError(
                f"format {version} is newer than this jaxpose reads ({FORMAT}); update jaxpose"
            )
        raise ModelError(f"unknown format {version!r}, expected {FORMAT}")
    if digest != _digest(values, tensors):
        raise ModelError(f"the file {damaged} (its contents do not match their hash)")
    return Specification.from_json(values)


def _read_tensors(
    tensors: dict[str, np.ndarray], specification: Specification
) -> dict[str, dict[str, LayerWeights]]:
    weights, unused = {}, set(tensors)
    for net, description in specification.nets().items():
        weights[net] = {}
        for layer in description.layers:
            fields = LayerWeights._fields if layer.norm else ("kernel", "bias")
            names = {field: f"{net}/{layer.name}/{_NAMES[field]}" for field in fields}
            if missing := sorted(set(names.values()) - tensors.keys()):
                raise ModelError(f"has no tensor {missing[0]!r}; the file is incomplete")
            weights[net][layer.name] = LayerWeights(**{f: tensors[n] for f, n in names.items()})
            unused -= set(names.values())
    if unused:
        raise ModelError(f"unknown tensor {min(unused)!r}; the file is not of this version")
    return weights


def _digest(specification: dict, tensors: Mapping[str, np.ndarray]) -> str:
    state = hashlib.sha256(json.dumps(specification, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()
