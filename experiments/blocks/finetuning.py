"""A result of `experiments.finetuning` -> what corrected frames of a new ward bring."""

from collections.abc import Sequence

from experiments.blocks.source import Source, read, wrapped
from experiments.config import ConfigError
from experiments.table1 import table


def finetuning(sources: Sequence[Source]) -> str:
    """Returns a table of errors before and after, and a sentence.

    Raises:
      ConfigError: there is not one file, or it is damaged.
    """
    paths = [path for source in sources for path in source.paths]
    if len(paths) != 1:
        raise ConfigError("the table `finetuning` is of one file, of experiments.finetuning")
    try:
        return _of(read(paths[0]))
    except (KeyError, TypeError):
        raise ConfigError(f"{paths[0]}: is no result of experiments.finetuning") from None


def _of(result: dict) -> str:
    rows = []
    for name in ("before", "after"):
        error, missed = result[name]["rmsd_fallback_px"], result[name]["missed_rate"]
        rows.append([name, f"{error['median']:.2f} / {error['mean']:.2f}", f"{100 * missed:.1f} %"])
    header = ["the model", "RMSD median / mean, px of 128x96", "missing joints"]
    return table(header, rows) + wrapped(
        f"{result['tested_infants']} simulated infants (not real), n = "
        f"{result['before']['n_frames']}; {result['corrected_frames']} corrected frames; the "
        f"median falls by {100 * result['median_reduction']:.0f} %. One training, seed "
        f"{result['seed']}, commit {result['commit']}."
    )
