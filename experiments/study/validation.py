"""Made-up studies with known answers -> how often the study's intervals and verdicts are right.

    python -m experiments.study.validation [--repetitions=20000] [--out=FILE.json]

A made-up study has the design of the real one: 5 folds of 48 infants and 3 seeds, or 6 subjects
left out one at a time. Two nets are compared. An infant's difference is a constant, plus what the
two trainings differ by, plus what belongs to the infant, plus noise. Errors of infants are skewed.
Half of the variance between trainings is the fold's, shared by its seeds.

One more study has overlapping training sets: the fold's half is a sum of what each of the other
folds' infants contribute, so that two folds share most of it.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_pipeline.outputs import written_too
from experiments.study import statistics
from jaxpose.commands import run_command
from jaxpose.options import parse_options

TRAINING_SD = {"none": 0.0, "moderate": 0.15, "large": 0.5}
"""Standard deviation, over trainings, of the difference of two nets, px of 128x96."""
INFANT_SD, NOISE_SD = 0.9, 0.5
"""The same over infants, and over repetitions of one infant's test."""
ERROR_PX = 3.4
"""Mean error of the reference, px."""
MARGIN = 0.1
"""Margin of non-inferiority, as a share of the reference's error."""
RESAMPLES = 400
"""Number of resamples of the bootstraps that the intervals are compared with."""
RESAMPLING = (
    "fold_bootstrap_covers",
    "training_bootstrap_covers",
    "sign_flip_rejects_no_difference",
)
"""Measures that take many resamples of a study; they are of fewer studies, `n_resampling`."""


@dataclasses.dataclass(frozen=True)
class Design:
    """Numbers of folds, seeds and infants per fold."""

    folds: int
    seeds: int
    infants: int


DESIGNS = {"3 seeds x 5 folds": Design(5, 3, 48), "leave one of 6 out": Design(6, 1, 1)}
"""Name of a design of the study -> its numbers."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures coverage and error rates of the study's statistics on made-up data."""

    repetitions: int = 20_000
    """Number of made-up studies per design and size of the variance between trainings."""
    seed: int = 0
    """Seed of the made-up data."""
    out: Path | None = None
    """File to which the result is written, too: a name in .json."""


def make_up(
    rng: np.random.Generator,
    design: Design,
    training_sd: float,
    difference: float,
    *,
    shared: bool = False,
) -> tuple[Float[np.ndarray, "seeds folds infants"], Float[np.ndarray, "folds infants"]]:
    """Draws a study: paired differences whose true mean is `difference`, and reference errors.

    The reference's error is gamma-distributed with mean `ERROR_PX`, and so is what a difference
    owes to the infant, moved to mean 0. With `shared`, training sets overlap.
    """
    shape = (design.seeds, design.folds, design.infants)
    fold = rng.normal(size=(1, design.folds, 1))
    if shared:  # the training set of a fold is all other folds
        fold = (fold.sum(axis=1, keepdims=True) - fold) / (design.folds - 1) ** 0.5
    seed = rng.normal(size=(design.seeds, design.folds, 1))
    training = training_sd * (fold + seed) / 2**0.5
    hard = rng.gamma(4.0, size=shape[1:]) / 4.0  # mean 1, standard deviation 1/2
    infant = INFANT_SD * (2 * (hard - 1) + rng.normal(size=shape[1:])) / 2**0.5
    noise = NOISE_SD * rng.normal(size=shape)
    return difference + training + infant + noise, ERROR_PX * hard


def bootstrap_covers(
    rng: np.random.Generator, means: Float[np.ndarray, " units"], truth: float
) -> bool:
    """Tells whether the percentile interval of a bootstrap of the units covers the truth."""
    drawn = rng.integers(0, len(means), (RESAMPLES, len(means)))
    low, high = np.quantile(means[drawn].mean(axis=1), (0.025, 0.975))
    return bool(low <= truth <= high)


def measure(design: Design, training_sd: float, repetitions: int, seed: int) -> dict:
    """Measures one design at one variance: shares of made-up studies, of which there are n."""
    rng = np.random.default_rng((seed, design.folds, int(1000 * training_sd)))
    names = ("covers", "rejects_no_difference", "non_inferior_at_margin", *RESAMPLING)
    counts = dict.fromkeys(names, 0)
    widths = []
    bootstraps = max(1, repetitions // 10)  # they take most of the time
    for number in range(repetitions):
        differences, reference = make_up(rng, design, training_sd, difference=0.0)
        clusters = [*differences.mean(axis=0)]
        actual = statistics.estimate(clusters)
        widths.append(actual.high - actual.low)
        counts["covers"] += actual.low <= 0 <= actual.high
        counts["rejects_no_difference"] += actual.p < 0.05
        # The true excess is 0 where the true difference equals the margin.
        excess = [*(differences.mean(axis=0) + MARGIN * (ERROR_PX - reference))]
        verdict = statistics.is_non_inferior([statistics.estimate(excess)])
        counts["non_inferior_at_margin"] += bool(verdict)
        if number < bootstraps:
            by_fold = np.array([values.mean() for values in clusters])
            by_training = differences.mean(axis=2).ravel()
            counts["fold_bootstrap_covers"] += bootstrap_covers(rng, by_fold, 0.0)
            counts["training_bootstrap_covers"] += bootstrap_covers(rng, by_training, 0.0)
            counts["sign_flip_rejects_no_difference"] += statistics.sign_flip(clusters) < 0.05
    shares = {
        name: count / (bootstraps if name in RESAMPLING else repetitions)
        for name, count in counts.items()
    }
    return {
        **shares,
        "median_width_px": round(float(np.median(widths)), 4),
        "n": repetitions,
        "n_resampling": bootstraps,
    }


def measure_overlap(design: Design, training_sd: float, repetitions: int, seed: int) -> dict:
    """Measures how often intervals cover where training sets overlap: as planned, and corrected."""
    rng = np.random.default_rng((seed, design.folds, int(1000 * training_sd), 1))
    counts = {"covers": 0, "corrected_covers": 0}
    for _ in range(repetitions):
        differences, _ = make_up(rng, design, training_sd, difference=0.0, shared=True)
        clusters = [*differences.mean(axis=0)]
        for name in counts:
            one = statistics.estimate(clusters, shared=name == "corrected_covers")
            counts[name] += one.low <= 0 <= one.high
    return {name: count / repetitions for name, count in counts.items()} | {"n": repetitions}


def validate(repetitions: int, seed: int = 0) -> dict:
    """Measures every design at every size of the variance between trainings."""
    cells = {
        f"{name}, variance between trainings: {size}": measure(design, sd, repetitions, seed)
        for name, design in DESIGNS.items()
        for size, sd in TRAINING_SD.items()
    }
    name, size = next(iter(DESIGNS)), "moderate"
    overlap = measure_overlap(DESIGNS[name], TRAINING_SD[size], repetitions, seed)
    return {
        "training_sd_px": TRAINING_SD,
        "infant_sd_px": INFANT_SD,
        "noise_sd_px": NOISE_SD,
        "reference_error_px": ERROR_PX,
        "margin": MARGIN,
        "cells": cells,
        "overlapping training sets": {f"{name}, variance between trainings: {size}": overlap},
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.study.validation")

    def measure() -> dict:
        return validate(options.repetitions, options.seed)

    return run_command(lambda: written_too(measure, options.out))


if __name__ == "__main__":
    sys.exit(main())
