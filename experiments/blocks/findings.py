"""Verdicts of the study, and pairs of runs -> the sentences of docs/findings.md.

Every sentence names the file that its numbers are from, and has their interval.
"""

from collections.abc import Sequence

import numpy as np

from experiments.blocks.source import Source, read, wrapped
from experiments.config import ConfigError
from experiments.study.claims import CLAIMS
from experiments.study.evidence import committed
from experiments.study.statistics import estimate

GROUPS = {
    "holds": "Holds",
    "holds in part": "Holds in part",
    "does not hold in part": "Does not hold in part",
    "does not hold": "Does not hold",
    "not decided": "Not decided yet",
    "cannot be tested here": "Cannot be tested here",
}
"""Verdict -> title of its list."""
SAME = ("dataset", "split", "preset", "grid", "width", "subjects", "detector", "numerics")
SAME += ("cpu", "instruction_set", "lowering", "micro_batches")
"""Keys that two runs share if their errors are compared infant by infant."""


def findings(sources: Sequence[Source]) -> str:
    """Returns the verdicts on the paper's claims, in lists by verdict, each with its files."""
    if sources:
        raise ConfigError("the block `findings` takes no files: it reads experiments/results")
    claims = [decide(committed()) for decide in CLAIMS]
    parts = []
    for verdict, title in GROUPS.items():
        lines = [
            f"- {claim.topic}: {claim.brief} ({claim.source})."
            for claim in claims
            if claim.verdict == verdict
        ]
        if lines:
            parts.append("\n".join([f"**{title}**", "", *lines, ""]))
    return "\n".join(parts)


def paired(sources: Sequence[Source]) -> str:
    """Compares two runs that tested the same infants: the first one's errors minus the second's.

    Raises:
      ConfigError: there are not two files, or the runs are no pair.
    """
    paths = [path for source in sources for path in source.paths]
    if len(paths) != 2:
        raise ConfigError(f"the block `paired` names {len(paths)} files; expected two results")
    ours, theirs = (read(path) for path in paths)
    if wrong := [key for key in SAME if ours.get(key) != theirs.get(key)]:
        raise ConfigError(
            f"{paths[0].name} and {paths[1].name} are no pair: they differ in {wrong[0]}; name "
            "two runs of the same data, split, machine and detection net"
        )
    values = [
        {row["id"]: row["rmsd_fallback_px"]["all"]["mean"] for row in result["infants"]}
        for result in (ours, theirs)
    ]
    known = [one for one in values[0] if None not in (values[0][one], values[1].get(one))]
    one = estimate([np.array([values[0][name] - values[1][name] for name in known])])
    names = [result["variant"] for result in (ours, theirs)]
    where = ", ".join(path.name for path in paths)
    sign = "the interval contains 0" if one.low <= 0 <= one.high else "the interval excludes 0"
    return wrapped(
        f"One training of each net, {one.infants} infants of the data set {ours['dataset']}: "
        f"{names[0]} - {names[1]} = {one.mean:+.2f} px of 128x96 [{one.low:+.2f} to "
        f"{one.high:+.2f}] in the mean per infant ({where}). {sign[0].upper()}{sign[1:]}, but it "
        "is about other infants under these two trainings, not about other trainings: it decides "
        "nothing about the nets."
    )
