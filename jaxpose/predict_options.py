"""The options of `jaxpose predict`, and what they lead to."""

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from jaxpose.errors import UserError
from jaxpose.options import numbers
from jaxpose.reading_options import ReadingOptions


@dataclasses.dataclass(frozen=True)
class Predict(ReadingOptions):
    """Estimates the poses of recordings; the last line of stdout is one line of JSON.

    The same command goes on where a killed one stopped. Research use: no medical device.
    """

    recordings: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of 16-bit PNG or TIFF images, .npy, .npz, UTD-MHAD's .mat, 16-bit .mkv, or - for raw
    frames on stdin."""
    out: Path
    """Folder for the results; of several recordings, each gets a folder in it."""
    model: Path | None = None
    """Model file. None: the one that jaxpose ships."""
    intrinsics: str | None = None
    """FX,FY,CX,CY in px. None: those of camera.json beside the frames; without, there are no mm."""
    size: str | None = None
    """Size of raw frames on stdin: WIDTHxHEIGHT."""
    overlap: bool = True
    """Each frame in the middle of its clip; --no-overlap takes a third of the time."""
    runtime: Literal["jax", "onnxruntime", "openvino"] = "jax"
    """What computes the nets; the last two are extras of jaxpose, and read exported .onnx files."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of activations. bfloat16 is faster on CPUs that have it; not with onnxruntime."""
    video: bool = True
    """Write overlay.mp4 and pictures into the report."""
    nwb: bool = False
    """Write pose.nwb, too; needs the extra `nwb`."""
    session_start: str | None = None
    """When the recording began, for pose.nwb, with time zone: 2026-01-31T10:00:00+01:00."""
    quiet: bool = False
    """No progress bar."""


def run_predict(options: Predict) -> dict:
    """Predicts all recordings of a command line; returns what is printed as its last line.

    Recordings that could not be used are in it under `failed`.

    Raises:
      UserError: an option, the model or a recording cannot be used.
      OSError: an output cannot be written.
    """
    from jaxpose import predict
    from jaxpose.estimator import Estimator, shipped_model
    from jaxpose.outputs import nwb
    from jaxpose.prediction.task import Request, folders
    from jaxpose.recordings.opening import check_size, checked_intrinsics
    from jaxpose.runtime import load_model

    if not options.recordings:
        raise UserError("no recording; name at least one, see `jaxpose predict --help`")
    size = None if options.size is None else numbers("--size", options.size, "WIDTHxHEIGHT")
    intrinsics = None
    if options.intrinsics is not None:
        values = numbers("--intrinsics", options.intrinsics, "FX,FY,CX,CY", kind=float)
        intrinsics = checked_intrinsics([*values], "--intrinsics")
    places = [str(place) for place in options.recordings]
    check_size(places, size)
    known, view = options.file_format(size), options.view()
    requests = [
        Request(place, out, view, known, intrinsics, options.video)
        for place, out in zip(places, folders(places, options.out), strict=True)
    ]
    start = nwb.parse_start(options.session_start)
    if options.nwb:
        nwb.check_nwb()
    model = load_model(
        options.model or shipped_model(), runtime=options.runtime, precision=options.precision
    )
    estimator = Estimator(model, overlap=options.overlap)
    result = predict.predict_all(estimator, requests, progress=not options.quiet)
    if options.nwb:
        for row in result["recordings"]:
            nwb.write_nwb(Path(row["out"]), start)
    return result
