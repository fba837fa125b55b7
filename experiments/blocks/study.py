"""The plan and the results of the study -> the blocks of docs/study.md. They name no files."""

from collections.abc import Sequence

from experiments.blocks.source import Source
from experiments.config import ConfigError
from experiments.study import claims, overlap, splits, texts
from experiments.study.evidence import committed


def _no_files(name: str, sources: Sequence[Source]) -> None:
    if sources:
        raise ConfigError(
            f"the block `{name}` takes no files: it reads experiments/results; omit them"
        )


def study_answer(sources: Sequence[Source], *, brief: str = "no") -> str:
    """Returns the answer to the central question; with `brief=yes` one line."""
    _no_files("study_answer", sources)
    return claims.central(committed(), brief=brief == "yes")


def study_claims(sources: Sequence[Source], *, brief: str = "no") -> str:
    """Returns the claims of the paper with their verdicts; with `brief=yes` a clause for each."""
    _no_files("study_claims", sources)
    return (claims.brief_table if brief == "yes" else claims.claims_table)(committed())


def study_comparisons(sources: Sequence[Source]) -> str:
    """Returns all comparisons of the plan."""
    _no_files("study_comparisons", sources)
    return texts.compared(committed())


def study_errors(sources: Sequence[Source]) -> str:
    """Returns the errors of every arm."""
    _no_files("study_errors", sources)
    return texts.errors(committed())


def study_overlap(sources: Sequence[Source]) -> str:
    """Returns which conclusions stand if training infants that folds share are allowed for."""
    _no_files("study_overlap", sources)
    return overlap.sentence(committed())


def study_predictions(sources: Sequence[Source]) -> str:
    """Returns predictions beside measurements."""
    _no_files("study_predictions", sources)
    return texts.predictions(committed())


def study_progress(sources: Sequence[Source]) -> str:
    """Returns finished and missing trainings."""
    _no_files("study_progress", sources)
    return texts.progress(committed())


def study_splits(sources: Sequence[Source]) -> str:
    """Returns what the paper's split and the order of rows do to one net's errors."""
    _no_files("study_splits", sources)
    return splits.text(committed())
