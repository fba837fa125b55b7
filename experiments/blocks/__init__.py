"""Committed result files -> blocks of the README, by one function per kind of block.

Each function receives the sources that a marker names (see `experiments.readme`) and returns
Markdown.
"""

from experiments.blocks.accuracy import accuracy
from experiments.blocks.confidence import confidence
from experiments.blocks.costs import costs, weights
from experiments.blocks.findings import findings, paired
from experiments.blocks.finetuning import finetuning
from experiments.blocks.growth import cost_files, cost_growth, cost_layers
from experiments.blocks.light import light
from experiments.blocks.nets import nets
from experiments.blocks.overview import gain, summary
from experiments.blocks.precisions import precisions
from experiments.blocks.runtimes import runtimes
from experiments.blocks.study import (
    study_answer,
    study_claims,
    study_comparisons,
    study_errors,
    study_overlap,
    study_predictions,
    study_progress,
    study_splits,
)
from experiments.blocks.times import cost_quality, cost_times
from experiments.blocks.ward import fidelity, penetration

BLOCKS = {
    block.__name__: block
    for block in (
        accuracy,
        confidence,
        summary,
        gain,
        costs,
        nets,
        weights,
        cost_growth,
        cost_layers,
        cost_files,
        cost_times,
        cost_quality,
        fidelity,
        penetration,
        findings,
        finetuning,
        light,
        paired,
        precisions,
        runtimes,
        study_answer,
        study_claims,
        study_comparisons,
        study_errors,
        study_overlap,
        study_predictions,
        study_progress,
        study_splits,
    )
}
"""Name in a marker -> function."""
