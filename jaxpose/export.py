"""A model -> a file for other programs, compared with the model before it is written.

The work of `jaxpose export`, see docs/export.md.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxpose.decoding.linking import Poses
from jaxpose.demo import sample
from jaxpose.errors import ModelError, UserError
from jaxpose.files import written_whole
from jaxpose.formats.engines import ENGINES, OUTPUTS, MissingExtra, Predict
from jaxpose.formats.stablehlo import read_stablehlo, to_stablehlo
from jaxpose.model import Maps, Model
from jaxpose.prediction.excerpt import excerpt
from jaxpose.prediction.view import View
from jaxpose.recordings.opening import Format, open_source
from jaxpose.runtime import ONNX, scaled_weights, to_int8, to_onnx

FORMATS = {"stablehlo": ".stablehlo", "onnx": ONNX}
"""Name of a format -> suffix of its files."""
CLIPS, CALIBRATING = 4, 32
"""Number of clips that are compared; the same with int8, and largest number per recording from
which its ranges are taken."""
LARGEST_SHIFT_PX = 1.0
"""Largest median shift of a joint by int8, px of 128x96."""
LARGEST_FOUND_OTHERWISE = 0.1
"""Largest share of the joints that only one of a model and its int8 file finds. It is generous: in
the sample it was 0 with the ranges of an infant's images, and 1 with those of one flat image."""
TOLERANCE = 1e-4
"""Largest difference of an exported file's maps from the model's; a perfect peak is about 1."""
BATCHES = {"stablehlo": (2,), "onnx": (1, 3)}
"""Name of a format -> numbers of clips that are compared at a time. XLA compiles for each."""


def export(
    model: Model,
    name: str,
    path: Path,
    recording: Path | None = None,
    known: Format | None = None,
    view: View | None = None,
) -> dict:
    """Writes a model in the format `name`, a key of `FORMATS`; returns what is printed.

    The file's maps of a recording's clips, by default of the one that jaxpose ships, are compared
    with the model's, by every runtime that is installed. `known` and `view` say how `recording` is
    read, and what the nets see of it.

    Raises:
      ModelError: the maps deviate by more than `TOLERANCE`. Nothing is written.
      UserError: a package is missing, or the recording cannot be used.
      OSError: `path` cannot be written.
    """
    specification = model.specification
    clips = clips_of(model, recording, known, view, CLIPS)
    if name == "onnx":
        content = to_onnx(model)
    else:
        clip = (specification.clip_frames, *specification.grid)
        content = to_stablehlo(specification.nets(), scaled_weights(model), clip)
    differences = {
        runtime: difference(model, predict, clips, BATCHES[name])
        for runtime, predict in readers(name, content).items()
    }
    for runtime, largest in differences.items():
        if not largest <= TOLERANCE:  # NaN fails, too
            raise ModelError(
                f"{path}: not written: maps by {runtime} deviate by {largest:.2g} from the "
                f"model's, expected at most {TOLERANCE:g}; please report this as an error"
            )
    with written_whole(path) as beside:
        beside.write_bytes(content)
    return {
        "out": str(path),
        "format": name,
        "bytes": len(content),
        "model": model.digest,
        "clips": len(clips),
        "largest_map": float(max(maps.max() for maps in model.maps(clips))),
        "largest_difference": differences,
    }


def export_int8(
    model: Model,
    path: Path,
    calibration: Sequence[Path],
    recording: Path | None = None,
    known: Format | None = None,
    view: View | None = None,
) -> dict:
    """Writes a model as an ONNX file that computes in int8; returns what is printed.

    Its ranges are those of the clips of `calibration`. Its poses are compared with the model's in
    clips of a recording, by default of the one that jaxpose ships. `known` and `view` are of all
    these recordings but the one that jaxpose ships.

    Raises:
      UserError: there is no calibration, a package is missing, a recording cannot be used, the
        model finds nothing in the clips that are compared, or int8 finds other joints or moves them
        too far, as in `check_shift`. Nothing is written.
      OSError: `path` cannot be written.
    """
    if not calibration:
        raise UserError(
            "--precision=int8 needs --calibration=RECORDING ..., recordings like those that will "
            "be predicted: the range of every activation is taken from them"
        )
    parts = [clips_of(model, one, known, view, CALIBRATING) for one in calibration]
    clips = clips_of(model, recording, known, view, CALIBRATING)
    expected = middle_poses(model, model.maps(clips))
    if not expected.found.any():
        raise UserError(
            f"{path}: not written: the model finds no joint in {len(clips)} clips of "
            f"{recording or 'the shipped sample'}, so int8 cannot be compared with it; expected a "
            "recording of an infant that the model knows; choose another one with --clips"
        )
    content = to_int8(model, np.concatenate(parts))
    shifts = {
        runtime: shift(model, expected, predict, clips)
        for runtime, predict in readers("onnx", content).items()
    }
    for runtime, values in shifts.items():
        check_shift(f"{path}: not written: in int8 by {runtime}", values)
    with written_whole(path) as beside:
        beside.write_bytes(content)
    return {
        "out": str(path),
        "format": "onnx",
        "precision": "int8",
        "bytes": len(content),
        "model": model.digest,
        "calibration_clips": sum(len(part) for part in parts),
        "clips": len(clips),
        "shift": shifts,
    }


def clips_of(
    model: Model, recording: Path | None, known: Format | None, view: View | None, count: int
) -> Float[np.ndarray, "b t h w 1"]:
    """Returns clips of a recording; of the one that jaxpose ships, which needs no options."""
    if recording is None:
        recording, known, view = sample(), None, None
    return excerpt(model, open_source(str(recording), known or Format()), view or View(), count)


def middle_poses(model: Model, maps: Maps) -> Poses:
    """Returns the poses of the middle frames of clips, in px of the grid, from both nets' maps."""
    middle = model.specification.clip_frames // 2
    return model.decode(model.decoded_maps(maps)[:, middle])


def shift(
    model: Model, expected: Poses, predict: Predict, clips: Float[np.ndarray, "b t h w 1"]
) -> dict:
    """Returns how far a function's poses are from those expected, and how often joints differ.

    Distances are those of joints that both find, in px of 128x96, and None where there are none.
    The share is of the joints that one of them finds.
    """
    maps = [predict(clip[None]) for clip in clips]
    joined = Maps(*(np.concatenate(part) for part in zip(*maps, strict=True)))
    actual = middle_poses(model, joined)
    both, either = expected.found & actual.found, expected.found | actual.found
    apart = np.linalg.norm(actual.xy - expected.xy, axis=-1)[both] * 128 / clips.shape[3]
    return {
        "median_px": round(float(np.median(apart)), 3) if both.any() else None,
        "p95_px": round(float(np.percentile(apart, 95)), 3) if both.any() else None,
        "found_otherwise_share": round(1 - float(both.sum() / max(either.sum(), 1)), 4),
    }


def check_shift(what: str, values: dict) -> None:
    """Checks what `shift` returned; `what` begins the message.

    Raises:
      UserError: no joint is found by both, joints move by more than `LARGEST_SHIFT_PX` (median), or
        more than `LARGEST_FOUND_OTHERWISE` of them are found by one alone.
    """
    median_px, otherwise = values["median_px"], values["found_otherwise_share"]
    remedy = "calibrate with other or more recordings, of infants, or stay with float32"
    if median_px is None:
        raise UserError(f"{what}, none of the joints that the model finds is found; {remedy}")
    if not median_px <= LARGEST_SHIFT_PX:
        raise UserError(
            f"{what}, joints move by {median_px} px of 128x96 (median), expected at most "
            f"{LARGEST_SHIFT_PX:g}; {remedy}"
        )
    if not otherwise <= LARGEST_FOUND_OTHERWISE:
        raise UserError(
            f"{what}, {100 * otherwise:.0f} % of the joints are found by int8 alone or by the "
            f"model alone, expected at most {100 * LARGEST_FOUND_OTHERWISE:.0f} %; {remedy}"
        )


def readers(name: str, content: bytes) -> dict[str, Predict]:
    """Returns the functions of an exported file, by runtime, of all runtimes that are installed.

    Where none reads ONNX, the reference implementation of the package onnx does, slowly.
    """
    if name == "stablehlo":
        return {"jax": read_stablehlo(content)}
    functions = {}
    for runtime, load in ENGINES.items():
        try:
            functions[runtime] = load(content)
        except MissingExtra:
            continue
    return functions or {"onnx": by_reference(content)}


def by_reference(content: bytes, outputs: Sequence[str] = OUTPUTS) -> Predict:
    """Loads an ONNX file into the reference implementation of the package onnx."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_model_from_string(content))
    return lambda clips: tuple(evaluator.run(list(outputs), {"clips": clips}))


def difference(
    model: Model,
    predict: Predict,
    clips: Float[np.ndarray, "b t h w 1"],
    batches: Sequence[int] = (1,),
) -> float:
    """Returns the largest difference of a function's maps from the model's.

    All clips are computed once for every number in `batches`, so many at a time.
    """
    expected, differences = model.maps(clips), []
    for size in batches:
        for first in range(0, len(clips), size):
            actual = predict(clips[first : first + size])
            for ours, theirs in zip(expected, actual, strict=True):
                differences.append(np.abs(ours[first : first + size] - theirs).max())
    return float(np.max(differences))  # NaN where one is NaN
