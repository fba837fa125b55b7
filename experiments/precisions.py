"""A model in every precision -> its errors on the same infants, and what a precision changes.

    python -m experiments.precisions --data_dir=data/tested --calibration_dir=data/others

Both runtimes that compute in bfloat16, and int8 by ONNX Runtime and OpenVINO, are compared with
float32 infant by infant. int8 takes the ranges of its activations from other infants. What cannot
run here is left out with its reason.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from jaxtyping import Float

import jaxpose
from data_pipeline.examples.clips import CLIP, clip_starts
from data_pipeline.examples.feed import feed
from data_pipeline.examples.frames import Frames
from data_pipeline.outputs import written_too
from experiments import machines, paired
from jaxpose.body.masks import Target
from jaxpose.commands import run_command
from jaxpose.errors import UserError
from jaxpose.estimator import shipped_model
from jaxpose.model import Model
from jaxpose.options import parse_options
from jaxpose.runtime import load_model, to_int8

CALIBRATING = 128
"""Largest number of clips from which int8 takes its ranges."""
SETTINGS = (
    ("jax", "float32"),
    ("jax", "bfloat16"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("onnxruntime", "int8"),
    ("openvino", "int8"),
)
"""Runtimes and precisions. The first one is what the others are compared with."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Tests a model in every precision. The last line of stdout is the result as JSON."""

    data_dir: Path
    """Folder of simulated infants to test, which the model has not seen."""
    calibration_dir: Path | None = None
    """Folder of other simulated infants, for the ranges of int8. None: int8 is left out."""
    model: Path | None = None
    """Model file. None: the one that jaxpose ships."""
    cache_dir: Path = Path("data/cache")
    """Folder for frames on the grid."""
    out: Path | None = None
    """File to which the result is also written, FILE.json."""


def measure(options: Options) -> dict:
    """Tests all settings that can run here, one after the other.

    Raises:
      UserError: the model or the data cannot be used.
    """
    path = options.model or shipped_model()
    model = load_model(path)
    tested = paired.frames_in(options.data_dir, model, options.cache_dir)
    rows, left_out, reference = [], {}, None
    with tempfile.TemporaryDirectory() as folder:
        for runtime, precision in SETTINGS:
            name = f"{runtime} {precision}"
            try:
                loaded = _load(model, path, runtime, precision, Path(folder), options)
            except UserError as error:
                print(f"{name}: left out: {error}", file=sys.stderr)
                left_out[name] = str(error)
                continue
            row, infants = paired.errors(loaded, tested)
            reference = infants if reference is None else reference
            rows.append(
                {
                    "runtime": runtime,
                    "precision": precision,
                    **row,
                    "change_px": paired.change(infants, reference),
                }
            )
    return {
        "model": model.digest,
        "dataset": tested.dataset,
        "data": tested.digest(),
        "infants": len(np.unique(tested.subject)),
        "rows": rows,
        "left_out": left_out,
        "versions": {"jaxpose": jaxpose.__version__},
        "date": date.today().isoformat(),
        **machines.described(),
    }


def _load(
    model: Model, path: Path, runtime: str, precision: str, folder: Path, options: Options
) -> Model:
    """Loads a model file into a runtime; int8 is calibrated and written into `folder` first."""
    if precision != "int8":
        return load_model(path, runtime=runtime, precision=precision)
    exported = folder / "int8.onnx"
    if not exported.exists():
        if options.calibration_dir is None:
            raise UserError("int8 needs --calibration_dir, a folder of other infants")
        frames = paired.frames_in(options.calibration_dir, model, options.cache_dir)
        exported.write_bytes(to_int8(model, np.concatenate([*calibration(model, frames)])))
    return load_model(exported, runtime=runtime)


def calibration(model: Model, frames: Frames) -> Iterator[Float[np.ndarray, "b t h w 1"]]:
    """Yields the nets' inputs of up to `CALIBRATING` clips, evenly spread over all infants."""
    starts = clip_starts(frames, np.ones(len(frames.subject), bool), shift=CLIP)
    chosen = starts[np.linspace(0, len(starts) - 1, min(CALIBRATING, len(starts))).astype(int)]
    specification = model.specification
    target = Target(specification.decoding.radius_px)
    for batch in feed(frames, specification.depth_scale_mm, target)(chosen, 8):
        yield batch["depth"]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.precisions")
    return run_command(lambda: written_too(lambda: measure(options), options.out))


if __name__ == "__main__":
    sys.exit(main())
