"""The options of `jaxpose predict`, and what they lead to."""

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from jaxpose.errors import UserError
from jaxpose.options import numbers
from jaxpose.recordings.recording import RATE_HZ


@dataclasses.dataclass(frozen=True)
class Predict:
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
    rate: float = RATE_HZ
    """Frames per second, where a recording has no times of its own."""
    rotate: int = 0
    """Degrees clockwise by which the nets see images turned: 0, 90, 180, 270. The head must point
    to the same side as in the model's training."""
    crop: str | None = None
    """Part of the image that the nets see, px: X,Y,WIDTH,HEIGHT. None: all of it."""
    intrinsics: str | None = None
    """FX,FY,CX,CY in px. None: those of camera.json beside the frames; without, there are no mm."""
    mm_per_unit: float | None = None
    """Millimetres of one unit of depth, such as 1000 for metres. None: uint16 in mm."""
    farthest: float | None = None
    """Depth beyond this many mm counts as no depth: a floor, or 65535 for "no return". None: such
    an image is unusable above 6553 mm."""
    size: str | None = None
    """Size of raw frames on stdin: WIDTHxHEIGHT."""
    overlap: bool = True
    """Each frame in the middle of its clip; --no-overlap takes a third of the time."""
    runtime: Literal["jax", "onnxruntime", "openvino"] = "jax"
    """What computes the nets; the last two are extras of jaxpose, and read exported .onnx files."""
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
    from jaxpose.prediction.stream import View
    from jaxpose.prediction.task import Request, folders
    from jaxpose.recordings.opening import Format, check_size, checked_intrinsics
    from jaxpose.runtime import load_model

    if not options.recordings:
        raise UserError("no recording; name at least one, see `jaxpose predict --help`")
    if not 0 < options.rate < float("inf"):
        raise UserError(f"--rate={options.rate}: expected frames per second, above 0")
    size = None if options.size is None else numbers("--size", options.size, "x", 2)
    crop = None if options.crop is None else numbers("--crop", options.crop, ",", 4)
    intrinsics = None
    if options.intrinsics is not None:
        values = numbers("--intrinsics", options.intrinsics, ",", 4, kind=float)
        intrinsics = checked_intrinsics([*values], "--intrinsics")
    places = [str(place) for place in options.recordings]
    check_size(places, size)
    known = Format(
        rate_hz=options.rate,
        mm_per_unit=options.mm_per_unit,
        farthest_mm=options.farthest,
        size=size,
    )
    view = View(crop, options.rotate)
    requests = [
        Request(place, out, view, known, intrinsics, options.video)
        for place, out in zip(places, folders(places, options.out), strict=True)
    ]
    start = nwb.parse_start(options.session_start)
    if options.nwb:
        nwb.check_nwb()
    model = load_model(options.model or shipped_model(), runtime=options.runtime)
    estimator = Estimator(model, overlap=options.overlap)
    result = predict.predict_all(estimator, requests, progress=not options.quiet)
    if options.nwb:
        for row in result["recordings"]:
            nwb.write_nwb(Path(row["out"]), start)
    return result
