"""`jaxpose label`: frames to correct in a labelling tool, and what was corrected as a sheet.

jaxpose label export RECORDING --out=DIR               8-bit pictures and COCO keypoints
jaxpose label import DIR CORRECTED --out=WARD --id=7   a babyPose sheet beside the 16-bit frames

See docs/label.md.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

import jaxpose
from jaxpose.errors import UserError
from jaxpose.labels.choice import Choice
from jaxpose.reading_options import ReadingOptions


@dataclasses.dataclass(frozen=True)
class Export(ReadingOptions):
    """Chooses frames of a recording, and writes pictures and predictions to correct elsewhere."""

    recording: tyro.conf.Positional[Path]
    """Folder or file of a recording, as of `jaxpose predict`."""
    out: Path
    """Folder to write, new or empty."""
    frames: int = 21
    """Number of frames to correct, in clips of three; at least 3."""
    choose: Choice = "even"
    """Which clips: spread evenly over time, or the least confident one of each part of it."""
    model: Path | None = None
    """Model file. None: the one that jaxpose ships."""
    quiet: bool = False
    """No progress bar."""


@dataclasses.dataclass(frozen=True)
class Import:
    """Writes corrected joints as an infant in babyPose's layout, to train on."""

    folder: tyro.conf.Positional[Path]
    """Folder that `jaxpose label export` wrote."""
    corrected: tyro.conf.Positional[Path]
    """File of COCO keypoints from the labelling tool, JSON."""
    out: Path
    """Folder of the ward: pz<ID>/ and result_pz<ID>.csv are added to it."""
    id: str
    """Number of the infant, new in the ward."""
    partial: bool = False
    """Leave out images without an annotation."""
    keep_hidden: bool = False
    """Keep the position of joints that are marked as occluded. By default, they are missing."""


Command = (
    Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Import, tyro.conf.subcommand("import")]
)


@dataclasses.dataclass(frozen=True)
class Label:
    """Correct predictions in a labelling tool, then train on them."""

    command: tyro.conf.OmitSubcommandPrefixes[Command]
    """What to do."""


def run(options: Export | Import) -> dict:
    """Runs a command; returns what is printed as its last line.

    Raises:
      UserError: an option or a file cannot be used.
      OSError: an output cannot be written.
    """
    if isinstance(options, Export):
        return run_export(options)
    from jaxpose.labels.importing import read_back

    result, remarks = read_back(
        options.folder,
        options.corrected,
        options.out,
        options.id,
        partial=options.partial,
        keep_hidden=options.keep_hidden,
    )
    for remark in remarks:
        print(f"remark: {remark}", file=sys.stderr)
    return result


def run_export(options: Export) -> dict:
    """Writes the folder that `jaxpose.labels.package` describes. Errors as in `run`."""
    from jaxpose.estimator import Estimator, shipped_model
    from jaxpose.labels.exporting import claimed, export
    from jaxpose.labels.package import COCO, IMAGES
    from jaxpose.recordings.opening import open_source

    if options.frames < 3:
        raise UserError(f"--frames={options.frames}: expected 3 or more, one clip")
    if str(options.recording) == "-":
        raise UserError("-: frames are read twice; expected a file or a folder")
    known, view = options.file_format(), options.view()
    model = jaxpose.Model.load(options.model or shipped_model())
    source = open_source(str(options.recording), known)
    view = dataclasses.replace(view, crop=view.crop or source.crop)
    facts = {
        "recording": source.path,
        "model": model.digest,
        "jaxpose": jaxpose.__version__,
        "view": dataclasses.asdict(view),
        "choose": options.choose,
    }
    with claimed(options.out):
        package = export(
            Estimator(model),
            source,
            view,
            options.out,
            frames=options.frames,
            how=options.choose,
            facts=facts,
            progress=not options.quiet,
        )
    return {
        "frames": len(package.frames),
        "joints_missing": sum(point is None for frame in package.frames for point in frame.xy),
        "images": str(options.out / IMAGES),
        "annotations": str(options.out / COCO),
        "out": str(options.out),
    }
