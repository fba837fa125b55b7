"""Uses trained models. This is the console command `jaxpose`.

jaxpose demo                             poses of a simulated recording that jaxpose ships
jaxpose predict RECORDING... --out=DIR   poses of depth recordings, see docs/predict.md
jaxpose export [MODEL] --format=FORMAT   the nets for other programs, see docs/export.md
jaxpose label export RECORDING --out=DIR frames and predictions for a labelling tool
jaxpose label import DIR FILE --out=WARD corrected joints as a sheet, see docs/label.md
jaxpose info [MODEL]                     the model's nets, its training and its errors
jaxpose version                          the version of jaxpose
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

import jaxpose
from jaxpose import demo, label
from jaxpose.commands import UNUSABLE, print_result, print_table, run_command
from jaxpose.errors import UserError
from jaxpose.label import Label
from jaxpose.options import parse
from jaxpose.predict_options import Predict, run_predict
from jaxpose.reading_options import ReadingOptions


@dataclasses.dataclass(frozen=True)
class Info:
    """Prints a model's specification: as text to stderr, then as one line of JSON to stdout."""

    model: tyro.conf.Positional[Path | None] = None
    """Model file. None: the one that jaxpose ships."""


@dataclasses.dataclass(frozen=True)
class Demo:
    """Predicts the simulated recording that jaxpose ships: 60 frames, 10 seconds."""

    out: Path = Path("jaxpose-demo")
    """Folder for the results."""
    model: Path | None = None
    """Model file. None: the one that jaxpose ships."""
    quiet: bool = False
    """No progress bar."""


@dataclasses.dataclass(frozen=True)
class Export(ReadingOptions):
    """Writes both nets as one file for other programs, once its maps equal the model's."""

    format: Literal["stablehlo", "onnx"]
    """stablehlo for JAX and XLA on CPUs and CUDA GPUs; onnx for ONNX Runtime, OpenVINO, ..."""
    model: tyro.conf.Positional[Path | None] = None
    """Model file. None: the one that jaxpose ships."""
    out: Path | None = None
    """File to write. None: beside the model, with the format as suffix; for the model that jaxpose
    ships, in this folder."""
    clips: Path | None = None
    """Recording whose frames are compared, as of predict. None: the one that jaxpose ships."""
    precision: Literal["float32", "int8"] = "float32"
    """int8, of format onnx, needs --calibration."""
    calibration: tuple[Path, ...] = ()
    """Recordings from which int8 takes the ranges of activations."""


@dataclasses.dataclass(frozen=True)
class Version:
    """Prints the version of jaxpose."""


Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Label, tyro.conf.subcommand("label")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Version, tyro.conf.subcommand("version")]
)


def run_demo(options: Demo) -> dict:
    """Predicts the recording that jaxpose ships; returns what is printed as the last line.

    Raises:
      UserError: the model or the folder cannot be used.
      OSError: an output cannot be written.
    """
    recording = demo.sample()
    predicting = Predict(
        recordings=(recording,), out=options.out, model=options.model, quiet=options.quiet
    )
    result = run_predict(predicting)
    report = options.out / "report.html"
    print(f"open {report} in a browser; {options.out / 'overlay.mp4'} plays", file=sys.stderr)
    errors = demo.errors(recording, options.out / "pose.csv")
    return {**result, **errors, "report": str(report)}


def run_export(options: Export) -> dict:
    """Exports a model; returns what is printed as the last line.

    Raises:
      UserError: the model cannot be used or exported.
      OSError: the file cannot be written.
    """
    from jaxpose.estimator import shipped_model
    from jaxpose.export import FORMATS, export, export_int8

    int8, suffix = options.precision == "int8", FORMATS[options.format]
    if int8 and options.format != "onnx":
        raise UserError(f"--format={options.format} --precision=int8: expected --format=onnx")
    if options.calibration and not int8:
        raise UserError("--calibration is for --precision=int8 alone")
    recordings = [*options.calibration, *([options.clips] if options.clips else [])]
    if options.given() and not recordings:
        raise UserError(
            f"{', '.join(options.given())}: for recordings of --clips or --calibration alone"
        )
    if "-" in map(str, recordings):
        raise UserError("-: expected a file or a folder")
    known, view = options.file_format(), options.view()
    path = options.model or shipped_model()
    model = jaxpose.Model.load(path)
    beside = path if options.model else Path(path.name)
    if int8:
        out = options.out or beside.with_name(f"{path.stem}-int8{suffix}")
        return export_int8(model, out, options.calibration, options.clips, known, view)
    out = options.out or beside.with_suffix(suffix)
    return export(model, options.format, out, options.clips, known, view)


def run(command: Command) -> dict | int:
    """Runs a subcommand; returns what is printed as the last line, or the exit code.

    Raises:
      UserError: an option or a file cannot be used.
      OSError: an output cannot be written.
    """
    if isinstance(command, Predict):
        result = run_predict(command)
        print_result(result)
        return UNUSABLE if "failed" in result else 0
    if isinstance(command, Demo):
        return run_demo(command)
    if isinstance(command, Export):
        return run_export(command)
    if isinstance(command, Label):
        return label.run(command.command)
    if isinstance(command, Version):
        print(jaxpose.__version__, flush=True)
        return 0
    from jaxpose.describe import as_text, info

    values = info(command.model)
    print_table(as_text(values))
    return values


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code, see `jaxpose.commands`."""
    command = parse(Command, arguments, "jaxpose", description=__doc__.splitlines()[0])
    return run_command(lambda: run(command), resume="the same command goes on from here")


if __name__ == "__main__":
    sys.exit(main())
