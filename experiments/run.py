"""Data set -> trained nets -> poses -> tables, pictures, one line of JSON.

    python -m experiments.run --variant=asy                       # simulated infants, minutes
    python -m experiments.run --variant=asy --dataset=utd_mhad --data_dir=DIR \\
        --train_ids=1,2,3,4 --val_ids=5 --test_ids=6              # real Kinect depth
    python -m experiments.run --preset=paper --dataset=babypose --data_dir=DIR

Killed and started again with the same command, it goes on from the last epoch and ends with the
same weights and numbers. Two runs that share what determines the detection net share the net.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import jax
import numpy as np
from flax import nnx

import jaxpose
from data_pipeline.datasets import DATASETS
from data_pipeline.errors import DataError
from data_pipeline.examples import clips
from data_pipeline.examples.feed import Feed
from data_pipeline.examples.feed import feed as numpy_feed
from data_pipeline.examples.frames import Frames, load
from data_pipeline.examples.splits import PARTS, Split, split_frames
from data_pipeline.locks import locked
from experiments import choices, evaluation, figures, rundir, tables
from experiments.config import Config, ConfigError, parse
from jaxpose.body.masks import Target
from jaxpose.cost import memory
from jaxpose.cost.accounting import net_cost
from jaxpose.decoding.peaks import Decoding
from jaxpose.nets import detection, regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.training import stages
from jaxpose.training.checkpoints import Checkpoints
from jaxpose.training.loop import (
    DivergedError,
    Optimisation,
    Stage,
    Weights,
    fit,
    split_net,
)

DEFAULT_SIMULATION = {"infants": 240, "frames": 16, "seed": 0, "size": (320, 240)}


def run(config: Config) -> dict:
    """Everything; returns what `result.json` holds. One process at a time works in a run."""
    there = config.run_dir.exists()
    rundir.claim(config.run_dir, 0)
    with locked(config.run_dir):
        try:
            return work(config)
        except BaseException:
            if not there:
                rundir.remove_if_empty(config.run_dir)
            raise


def work(config: Config) -> dict:
    """Everything, in order."""
    seconds = dict.fromkeys(("data", "detection", "regression", "evaluation"), 0.0)
    grid = config.rows_cols
    folder = config.run_dir

    # ---- the folder, before any work ----
    nets = choices.stage_layers(config)
    parameters = sum(net_cost(net, (clips.CLIP, *grid)).parameters for net in nets.values())
    weights_bytes = 4 * parameters
    # weights and two moments, in the newest, the best and the one being written
    rundir.claim(folder, 9 * weights_bytes + 50_000_000)
    rundir.claim(Path(config.cache_dir), 100_000_000)
    config = choices.resolve(config, rundir.read_json(folder / "config.json") or {})
    rundir.compare(folder, "config.json", rundir.config_json(config), "configuration")

    # ---- data, split ----
    began = time.perf_counter()
    frames = read_frames(config)
    split = split_frames(frames, config.split, config.ids())
    rundir.compare(folder, "split.json", split.as_json(frames), "split or data set")
    check_parts(frames, split)
    rundir.settle(folder, "config.json", rundir.config_json(config), "configuration")
    rundir.settle(folder, "split.json", split.as_json(frames), "split or data set")
    seconds["data"] = time.perf_counter() - began

    shown = frames.with_mirror_images() if config.mirror else frames

    # ---- stage 1: the detection net, shared by all runs that would train the same ----
    numerics = choices.numerics(config)
    scale_mm = DATASETS[config.dataset].scale_mm
    binary = Target(config.radius)
    detector, weights = split_net(
        detection.DetectionNet(
            width=config.width,
            output_bias=config.detection.output_bias,
            numerics=numerics,
            rngs=nnx.Rngs(config.seed),
        )
    )
    facts = detector_facts(config, frames, split)
    shared = Path(config.runs_dir) / "detectors" / rundir.short_hash(facts)
    rundir.claim(shared, 9 * weights_bytes)
    with locked(shared):
        rundir.settle(shared, "config.json", facts, "configuration")
        detection_weights, rows, seconds["detection"] = train(
            stages.detection_stage(detector, binary),
            *(weights, None, config.detection, shared / "checkpoints"),
            *(config, frames, split, make_feed(config, shown, scale_mm, binary)),
            on_epoch=lambda history: rundir.write_history(folder, history),
        )

    # ---- stage 2: the regression net on top of it ----
    detector, detection_weights = stages.for_prediction(detector, detection_weights)
    gaussian = Target(config.radius, config.radius * config.regression.std_over_radius)
    scale = config.regression.target_scale
    graph, weights = split_net(
        regression.RegressionNet(
            VARIANTS[config.variant],
            width=config.width,
            zero_output=config.regression.zero_output,
            numerics=numerics,
            rngs=nnx.Rngs(config.seed + 1),
        )
    )
    regression_weights, _, seconds["regression"] = train(
        stages.regression_stage(graph, detector, gaussian, scale),
        *(weights, detection_weights, config.regression, folder / "checkpoints"),
        *(config, frames, split, make_feed(config, shown, scale_mm, gaussian)),
        on_epoch=lambda history: rundir.write_history(folder, rows + history),
    )

    # ---- test ----
    began = time.perf_counter()
    tested = evaluation.test_nets(
        frames,
        split,
        stages.make_predict(detector, detection_weights, graph, regression_weights, scale),
        scale_mm=scale_mm,
        target=binary,
        decoding=Decoding(config.radius, config.min_score),
        batch_size=config.detection.batch_size,
    )
    accuracy, errors = evaluation.report(frames, split, tested)
    evaluation.save_predictions(folder / "predictions.npz", frames, tested, errors)
    seconds["evaluation"] = time.perf_counter() - began

    # ---- what is left behind ----
    cost = net_cost(nets["regression"], (clips.CLIP, *grid))
    result = {
        "variant": config.variant,
        "dataset": frames.dataset,
        "split": config.split,
        "preset": config.preset,
        "seed": config.seed,
        "device": jax.devices()[0].device_kind,
        "versions": {"jaxpose": jaxpose.__version__, "jax": jax.__version__},
        "date": date.today().isoformat(),
        "width": config.width,
        "grid": [*grid],
        "subjects": split.subjects,
        **accuracy,
        "kernel_weights": cost.kernel_weights,
        "parameters": cost.parameters,
        "macs_nominal": cost.macs_nominal,
        "macs_useful": cost.macs_useful,
        "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "lowering": config.lowering,
        "detector": str(shared),
        "run_dir": str(folder),
    }
    rundir.write_json(folder / "result.json", result)
    rundir.write_text(folder / "table2.md", tables.table2([result]))
    figures.draw_run(folder, frames, tested, errors)
    return result


def read_frames(config: Config) -> Frames:
    """The data set on the net's grid, from its own files or from a prepared one."""
    if config.data_dir and config.data_dir.endswith(".npz"):
        frames = load(Path(config.data_dir))
        if frames.grid != config.rows_cols or frames.dataset != config.dataset:
            raise DataError(
                f"{config.data_dir}: holds {frames.dataset} on {frames.grid[1]}x{frames.grid[0]}, "
                f"wanted --dataset={config.dataset} --grid={config.grid}; change the options or "
                "prepare the data again"
            )
        return frames
    data_dir = Path(config.data_dir or "data/simulated")
    if config.dataset == "simulated" and (config.data_dir is None or not data_dir.exists()):
        from data_pipeline.simulate import simulate

        simulate(data_dir, **DEFAULT_SIMULATION)
    from data_pipeline.load import load_frames  # TensorFlow, only where it is needed

    return load_frames(
        config.dataset, data_dir, config.rows_cols, Path(config.cache_dir), config.builder
    )


def check_parts(frames: Frames, split: Split) -> None:
    """Every part can be worked with: it has a clip, and a joint in it."""
    for part in PARTS:
        for subject in split.subjects[part]:
            mine = split.used[part] & (frames.subject == subject)
            if not len(clips.clip_starts(frames, mine, 1)):
                raise DataError(
                    f"--{part}_ids: no clip of {clips.CLIP} consecutive frames in {subject}; "
                    "choose others"
                )
        who = f"--{part}_ids: {', '.join(split.subjects[part])}"
        if not frames.visible[split.used[part]].any():
            raise DataError(
                f"{who}: no visible joint in any frame of {part}; choose others, or look at the "
                "annotations with `python -m data_pipeline.check`"
            )


def make_feed(config: Config, frames: Frames, scale_mm: float, target: Target) -> Feed:
    drawn = target if config.masks == "pipeline" else None
    if config.feed == "numpy":
        return numpy_feed(frames, scale_mm, drawn)
    from data_pipeline.examples.batches import feed  # TensorFlow, only where it is needed

    return feed(frames, scale_mm, drawn)


def detector_facts(config: Config, frames: Frames, split: Split) -> dict:
    """All that determines the detection net, and nothing else."""
    values = rundir.config_json(config)
    settled = ("batch_size", "train_ids", "val_ids", "split")  # by the stages and the split below
    later = ("variant", "preset", "regression", "min_score", "test_ids", "builder")
    for name in (*settled, *later):
        values.pop(name)
    known = split.as_json(frames)
    used = {part: known["parts"][part] for part in ("train", "val")}
    return {
        **values,
        "data": known["data"],
        "scale_mm": DATASETS[config.dataset].scale_mm,
        "split": used,
        "version": jaxpose.__version__,
    }


def train(
    stage: Stage,
    weights: Weights,
    frozen: Weights | None,
    optimisation: Optimisation,
    checkpoints: Path,
    config: Config,
    frames: Frames,
    split: Split,
    feed: Feed,
    on_epoch: Callable[[list[dict]], None],
) -> tuple[Weights, list[dict], float]:
    """One stage on the split's clips: every frame starts a training clip, every third a
    validation clip."""
    batch = optimisation.batch_size
    starts = clips.clip_starts(frames, split.used["train"], shift=1)
    if config.mirror:  # the mirror image of frame i is frame i + n
        starts = np.concatenate([starts, starts + len(frames)])
    checked = clips.clip_starts(frames, split.used["val"], shift=clips.CLIP)
    steps = optimisation.steps_per_epoch or max(1, len(starts) // batch)
    number = ("detection", "regression").index(stage.name)

    def train_batches(epoch: int):
        # the epoch's clips follow from the seed alone, so a resumed epoch sees the same
        order = clips.order(starts, (config.seed, number, epoch), steps * batch)
        return feed(order, batch)

    return fit(
        stage,
        *(weights, frozen, optimisation, steps),
        train_batches,
        lambda: feed(checked, batch),
        Checkpoints(checkpoints, highest=stage.highest),
        on_epoch,
    )


def main(arguments: list[str] | None = None) -> int:
    memory.keep_freed()
    try:
        result = run(parse(arguments))
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}; the same command goes on from the last epoch", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"error: {error}; to read data sets: pip install -e '.[data]'; without TensorFlow, "
            "--data_dir takes a file written by `python -m data_pipeline.prepare`",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last epoch", file=sys.stderr)
        return 130
    print(tables.summary(result), file=sys.stderr)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
