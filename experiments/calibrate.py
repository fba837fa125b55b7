"""A finished run -> the same run, whose model says how far each joint can be trusted.

    python -m experiments.calibrate runs/simulated-asy-seed0
    python -m experiments.calibrate runs/NAME --data_dir=DIR --more_dir=FURTHER_INFANTS

The calibration is fitted on the validation infants, tested on the test infants, and written into
the run's model.safetensors. Numbers go to calibration.json, the curve to figures/reliability.png.
"""

import dataclasses
import importlib.util
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import arg

from data_pipeline.examples.splits import check_parts
from data_pipeline.locks import locked
from experiments import calibration, evaluate, judged, reliability
from experiments.config import ConfigError
from experiments.judged import Judged
from experiments.rundir import claim
from jaxpose.commands import print_table, run_command
from jaxpose.files import write_json
from jaxpose.lowering import LOWERINGS
from jaxpose.model import Model
from jaxpose.options import parse_options

MODEL, NUMBERS, CURVE = "model.safetensors", "calibration.json", "figures/reliability.png"
"""Files of a run that are read and written."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Fits the confidence of a run's model on the run's validation infants, and tests it on its
    test infants. The last line of stdout is the result as JSON."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run, such as runs/simulated-asy-seed0."""
    data_dir: Annotated[
        Path | None,
        arg(help="Folder of the data set, the run's --data_dir. None: data/simulated."),
    ] = None
    more_dir: Path | None = None
    """Folder or prepared file of the same data set with further infants, of whom none trained or
    tests the model. They are added to the validation infants."""
    builder: str | None = None
    """The run's --builder."""
    cache_dir: Path = Path("data/cache")
    """Folder for frames on the grid, which are read from the data set's files only once."""
    lowering: Annotated[
        str, arg(help=f"How convolutions are computed: auto, {', '.join(LOWERINGS)}.")
    ] = "auto"
    seed: int = 0
    """Seed of the calibration's own nets."""


def calibrate(options: Options) -> dict:
    """Calibrates a run's model; returns the contents of calibration.json.

    Raises:
      ConfigError: the run or the options cannot be used.
      DataError: the data cannot be used.
      ModelError: the run's model cannot be used.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise ConfigError("scikit-learn is not installed; pip install -e '.[data]'")
    if not options.run.is_dir():
        raise ConfigError(f"{options.run}: no such folder; expected that of a finished run")
    claim(options.run, 20_000_000, option="run")
    began = time.perf_counter()
    tested = evaluate.Options(
        model=options.run / MODEL,
        data_dir=options.data_dir,
        builder=options.builder,
        cache_dir=options.cache_dir,
        lowering=options.lowering,
    )
    with locked(options.run / MODEL):
        model = without_calibration(evaluate.load(tested))
        frames = evaluate.frames_of(model, tested)
        if not evaluate.same_data(model.specification.provenance, frames):
            raise ConfigError(
                f"--data_dir={options.data_dir}: is not what this model was trained on, so its "
                "validation infants are not known; pass the run's own --data_dir and --builder"
            )
        split = evaluate.split_of(model, frames, tested)
        check_parts(frames, split, ("val", "test"))
        joints = judged.collect(model, frames, split.used["val"])
        if options.more_dir is not None:
            more = evaluate.frames_of(model, dataclasses.replace(tested, data_dir=options.more_dir))
            joints = judged.join(joints, judged.collect(model, more, np.ones(len(more), bool)))
        fitted, choice, outside = calibration.fit(joints, options.seed)
        facts = {"infants": len(set(joints.subject.tolist())), **dataclasses.asdict(choice)}
        specification = dataclasses.replace(
            model.specification,
            calibration=fitted,
            provenance={**model.specification.provenance, "calibration": facts},
        )
        calibrated = Model(specification, model.weights, lowering=model.lowering)
        test = judged.collect(model, frames, split.used["test"])
        result = {
            "run_dir": str(options.run),
            "thresholds": {"weak_from": fitted.weak_from, "found_from": fitted.found_from},
            "validation": validation(joints, outside) | facts,
            "test": reliability.report(frames, test, fitted),
            "uncalibrated": model.digest,
            "model": calibrated.digest,
        }
        (options.run / CURVE).parent.mkdir(exist_ok=True)
        curves = {part: result[part]["reliability"] for part in ("validation", "test")}
        reliability.draw(options.run / CURVE, curves)
        calibrated.save(options.run / MODEL)
        result["seconds"] = round(time.perf_counter() - began, 1)
        write_json(options.run / NUMBERS, result)
    return result


def without_calibration(model: Model) -> Model:
    """Returns the model as it was before it was calibrated."""
    specification = model.specification
    provenance = {k: v for k, v in specification.provenance.items() if k != "calibration"}
    specification = dataclasses.replace(specification, calibration=None, provenance=provenance)
    return Model(specification, model.weights, lowering=model.lowering)


def validation(joints: Judged, outside: np.ndarray) -> dict:
    """Returns numbers about confidences by nets that had not seen the infant."""
    return {
        "auroc": {
            "right": reliability.auroc(outside, joints.right),
            "visible": reliability.auroc(outside, joints.visible),
        },
        "frames": len(joints.index),
        "reliability": reliability.reliability(outside, joints.right),
    }


def summary(result: dict) -> str:
    """Returns lines for people about what was chosen, and what the test says of it."""
    chosen, test, limits = result["validation"], result["test"], result["thresholds"]
    bars = f"missed {calibration.MOST_MISSED:.0%}, hidden {calibration.MOST_HIDDEN_FOUND:.0%}"
    lines = [
        f"validation: {'both bars hold' if chosen['reached'] else 'no threshold keeps both bars'} "
        f"({bars}); missing below {limits['weak_from']:.3f}, found from "
        f"{limits['found_from']:.3f}: missed {chosen['missed']:.1%}, hidden yet found "
        f"{chosen['hidden_found']:.1%}"
    ]
    error = test["reliability"]["expected_calibration_error"]
    shares = {name: test[name] for name in ("missed", "hidden_found")} | {"error": error}
    shown = {k: "none" if v is None else f"{v:.1%}" for k, v in shares.items()}
    score = "none" if test["auroc"]["right"] is None else f"{test['auroc']['right']:.3f}"
    lines.append(
        f"test: AUROC of visible and near {score}, missed {shown['missed']}, hidden yet found "
        f"{shown['hidden_found']}, expected calibration error {shown['error']}"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.calibrate")

    def body() -> dict:
        result = calibrate(options)
        print_table(summary(result))
        return result

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
