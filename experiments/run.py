"""Data set -> trained nets -> a model -> poses -> tables, pictures, one line of JSON.

    python -m experiments.run --variant=asy                       # simulated infants, minutes
    python -m experiments.run --variant=asy --dataset=utd_mhad --data_dir=DIR --folds=6 --fold=0
    python -m experiments.run --preset=paper --dataset=babypose --data_dir=DIR
    python -m experiments.run --init=model.safetensors --dataset=babypose --data_dir=WARD

If a run was stopped, the same command continues it from the last epoch, and ends with the same
weights and numbers. Runs with the same settings of the detection net share that net.
"""

import sys
import time
from datetime import date

import jax

import jaxpose
from data_pipeline.errors import UserError
from data_pipeline.examples import clips
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import Split, check_parts, split_frames
from data_pipeline.locks import locked
from experiments import choices, evaluation, figures, initial, machines, rundir, table2
from experiments.config import Config
from experiments.data import read_frames
from experiments.models import assemble, with_calibration_of
from experiments.options import parse
from experiments.recipe import STAGES
from experiments.trainings import train_detection, train_regression
from jaxpose.commands import print_table, run_command
from jaxpose.cost import memory
from jaxpose.cost.accounting import net_cost
from jaxpose.files import write_json, write_text
from jaxpose.model import Model
from jaxpose.training.checkpoints import CheckpointError
from jaxpose.training.loop import DivergedError

RESUME = "the same command goes on from the last epoch"


def run(config: Config) -> dict:
    """Trains, tests and writes one run; returns the contents of `result.json`.

    One process at a time works in the run's folder.
    """
    existed = config.run_dir.exists()
    rundir.claim(config.run_dir, 0)
    with locked(config.run_dir):
        try:
            return work(config)
        except BaseException:
            if not existed:
                rundir.remove_if_empty(config.run_dir)
            raise


def work(config: Config) -> dict:
    """Trains, tests and writes a run whose folder is locked; returns its result."""
    seconds = dict.fromkeys(("data", *STAGES, "evaluation"), 0.0)
    config = prepare(config)

    # ---- data, split ----
    began = time.perf_counter()
    frames = read_frames(config)
    initial.check_frames(config, frames)
    split = make_split(config, frames)
    seconds["data"] = time.perf_counter() - began

    # ---- both stages ----
    history = rundir.History(config.run_dir)
    try:
        detector = train_detection(config, frames, split, history)
        seconds["detection"] = detector.seconds
        regressor = train_regression(config, frames, split, history, detector)
        seconds["regression"] = regressor.seconds
    finally:
        history.close()
    weights = {"detection": detector.weights, "regression": regressor.weights}
    model = assemble(config, frames, split, weights)

    # ---- test, results ----
    began = time.perf_counter()
    tested = evaluation.test_model(model, frames, split)
    errors = evaluation.limb_errors(model, frames, split, tested)
    report = evaluation.report(frames, tested, errors)
    path = config.run_dir / "model.safetensors"
    model = with_calibration_of(path, with_metrics(model, report))
    model.save(path)
    evaluation.save_predictions(config.run_dir / "predictions.npz", frames, tested, errors)
    seconds["evaluation"] = time.perf_counter() - began
    result = {
        **settings(config, frames, split),
        **report,
        **costs(config),
        "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "detector": str(detector.folder),
        "model": model.digest,
        "run_dir": str(config.run_dir),
        "infants": evaluation.infant_rows(frames, tested, errors),
    }
    write_json(config.run_dir / "result.json", result)
    write_text(config.run_dir / "table2.md", table2.table2([result]))
    figures.draw_run(config.run_dir, frames, tested, errors)
    return result


def prepare(config: Config) -> Config:
    """Checks the folder, the disk and the machine; returns the configuration without `auto`."""
    choices.use_device(config.machine)
    clip = (clips.CLIP, *config.recipe.rows_cols)
    nets = choices.nets(config.recipe).values()
    weights_bytes = 4 * sum(net_cost(net.layers, clip).parameters for net in nets)
    # weights and two moments, in the two newest, the best and the one being written
    rundir.claim_run(config.run_dir, 12 * weights_bytes + 50_000_000)
    config = choices.resolve(config, rundir.stored_machine(config.run_dir))
    rundir.compare(config.run_dir, "config.json", rundir.config_json(config), "configuration")
    return config


def make_split(config: Config, frames: Frames) -> Split:
    """Divides the frames, and writes configuration and split to the run's folder."""
    recipe, folder = config.recipe, config.run_dir
    fold = None if recipe.folds is None else (recipe.fold, recipe.folds)
    split = split_frames(frames, recipe.split, recipe.ids, fold)
    rundir.compare(folder, "split.json", split.as_json(frames), "split or data set")
    check_parts(frames, split)
    rundir.settle(folder, "config.json", rundir.config_json(config), "configuration")
    rundir.settle(folder, "split.json", split.as_json(frames), "split or data set")
    return split


def with_metrics(model: Model, report: dict) -> Model:
    """Returns the model with its errors on the test infants in its provenance."""
    names = ("rmsd_fallback_px", "missed_rate", "n_frames")
    return model.with_provenance(metrics={name: report[name] for name in names})


def settings(config: Config, frames: Frames, split: Split) -> dict:
    """Describes the run: settings, data, machine, versions."""
    recipe = config.recipe
    return {
        "variant": recipe.variant,
        "dataset": frames.dataset,
        "split": recipe.split,
        "preset": recipe.preset,
        "seed": recipe.seed,
        "folds": recipe.folds,
        "fold": recipe.fold,
        "recipe_hash": recipe.hash,
        "recipe": recipe.as_json(),
        "data_hash": frames.digest(),
        "width": recipe.regression.width,
        "grid": [*recipe.rows_cols],
        "subjects": split.subjects,
        **({"init": recipe.init_digest} if recipe.init_digest else {}),
        "device": jax.devices()[0].device_kind,
        "lowering": config.machine.lowering,
        "micro_batches": {stage: config.machine.micro_batches(stage) for stage in STAGES},
        "versions": {"jaxpose": jaxpose.__version__, "jax": jax.__version__},
        "date": date.today().isoformat(),
        **machines.described(),
    }


def costs(config: Config) -> dict:
    """Counts parameters and MACs of the regression net."""
    net = choices.nets(config.recipe)["regression"]
    cost = net_cost(net.layers, (clips.CLIP, *config.recipe.rows_cols))
    names = ("kernel_weights", "parameters", "macs_nominal", "macs_useful")
    return {name: getattr(cost, name) for name in names}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    memory.keep_freed()

    def body() -> dict | int:
        try:
            result = run(parse(arguments))
        except CheckpointError as error:
            raise UserError(error) from None
        except DivergedError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print_table(table2.summary(result))
        return result

    return run_command(body, resume=RESUME)


if __name__ == "__main__":
    sys.exit(main())
