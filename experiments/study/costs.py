"""Jobs -> their estimated seconds on an idle machine of a named type.

A step is taken to cost so much per product and so much per byte. Both numbers were fitted to
measured training steps of asy and full at the default size; the detection net's step is then 149 ms
instead of the measured 207.
"""

import dataclasses
import functools
from collections.abc import Iterable

from data_pipeline.examples.clips import CLIP
from data_pipeline.examples.splits import TRAIN_SHARE, VAL_SHARE
from experiments import choices
from experiments.recipe import STAGES, Recipe, short_hash
from experiments.study.jobs import Job
from experiments.trainings import LATER
from jaxpose.cost.accounting import Cost, net_cost

MACHINE = "Intel Xeon, AVX-512 and AMX, 2 cores, float32"
"""The type of machine that the estimates are about."""
MS_PER_GMAC, MS_PER_MB = 5.0, 0.056
"""Of a training step: useful MACs of the three convolutions; their bytes and six passes of batch
norm and ReLU over the activations."""
TESTED_MS = 60.0
"""Decoding of one test clip in every way that is reported."""
OVERHEAD_S = 45.0
"""Start, compilation, reading of data, figures and files of a job."""
SIMULATED_FRAME_S = 0.022
"""Time to simulate one frame, once per data set."""


def step_seconds(cost: Cost, clips: int) -> float:
    """Estimates a training step of `clips` clips; `cost` is the net's for one clip."""
    megabytes = (cost.train_bytes + 6 * cost.activation_bytes) / 1e6
    return clips * (MS_PER_GMAC * cost.train_macs_useful / 1e9 + MS_PER_MB * megabytes) / 1e3


def forward_seconds(cost: Cost) -> float:
    """Estimates a forward pass of one clip: a third of its training step."""
    return step_seconds(cost, 1) / 3


@functools.cache
def net_costs(recipe: Recipe) -> dict[str, Cost]:
    """Counts both nets for one clip."""
    clip = (CLIP, *recipe.rows_cols)
    return {name: net_cost(net.layers, clip) for name, net in choices.nets(recipe).items()}


def detector_key(job: Job) -> str:
    """Returns a key that is the same for jobs which share a detection net."""
    facts = {name: value for name, value in job.recipe.as_json().items() if name not in LATER}
    return short_hash({**facts, "data": job.data.name, "builder": job.recipe.builder})


def estimate(job: Job, *, with_detector: bool) -> float:
    """Estimates the seconds of a job; `with_detector` if it trains its detection net, too."""
    recipe = job.recipe
    clips = job.data.infants * job.data.frames / CLIP
    if recipe.split == "within_infant":
        validated, tested = TRAIN_SHARE * VAL_SHARE * clips, (1 - TRAIN_SHARE) * clips
    else:
        folds = recipe.folds or 5
        validated = tested = clips / folds
    seconds = OVERHEAD_S
    costs = net_costs(dataclasses.replace(recipe, seed=0, folds=None, fold=None))
    forward = sum(forward_seconds(cost) for cost in costs.values())
    for stage in STAGES:
        settings = recipe.stage(stage)
        if stage == "detection" and not with_detector:
            continue
        steps = settings.epochs * (settings.steps_per_epoch or 1)
        batch = settings.batch_size
        seconds += steps * step_seconds(costs[stage], batch)
        if stage == "regression":  # the frozen detection net is part of every step
            seconds += steps * batch * forward_seconds(costs["detection"])
            seconds += settings.epochs * validated * forward
        else:
            seconds += settings.epochs * validated * forward_seconds(costs[stage])
    return seconds + tested * (TESTED_MS / 1e3 + 4 * forward)


def estimates(jobs: Iterable[Job]) -> dict[str, float]:
    """Estimates every job; the first job with a detection net trains it."""
    trained: set[str] = set()
    seconds = {}
    for job in jobs:
        key = detector_key(job)
        seconds[job.name] = estimate(job, with_detector=key not in trained)
        trained.add(key)
    return seconds
