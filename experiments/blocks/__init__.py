"""Committed result files -> blocks of the README, by one function per kind of block.

Each function receives the sources that a marker names (see `experiments.readme`) and returns
Markdown.
"""

from experiments.blocks.accuracy import accuracy
from experiments.blocks.costs import costs, weights
from experiments.blocks.overview import gain, summary
from experiments.blocks.study import (
    study_answer,
    study_claims,
    study_comparisons,
    study_errors,
    study_predictions,
    study_progress,
)
from experiments.blocks.ward import fidelity, penetration

BLOCKS = {
    block.__name__: block
    for block in (
        accuracy,
        summary,
        gain,
        costs,
        weights,
        fidelity,
        penetration,
        study_answer,
        study_claims,
        study_comparisons,
        study_errors,
        study_predictions,
        study_progress,
    )
}
"""Name in a marker -> function."""
