"""Evidence -> the paper's Table I and Table II with the study's nets, in Markdown."""

from collections.abc import Iterable, Mapping

import numpy as np

from data_pipeline.examples.clips import CLIP
from experiments.study.evidence import Evidence
from experiments.study.fronts import OF_KERNELS
from experiments.study.titles import place
from experiments.table1 import layer_table, table
from experiments.table2 import BASELINES, COLUMNS, PAPER_TABLE2
from jaxpose.body.skeleton import LIMBS
from jaxpose.nets import regression
from jaxpose.nets.factorise import VARIANTS

NETS = ("asy", "full", "thin")
"""Regression nets of Table I."""
SIZE = (CLIP, 96, 128)
"""The paper's clip: frames, rows, columns."""


def table1() -> str:
    """Returns the layers of the nets at the paper's sizes, with weights and products."""
    parts = []
    for name in NETS:
        layers = regression.net(VARIANTS[name], 1.0).layers
        parts.append(f"**{name}**\n\n{layer_table(layers, SIZE, paper=name == 'asy')}")
    return "\n".join(parts)


def table2(evidence: Evidence) -> str:
    """Returns medians and IQRs over frames per limb, per data set and setting, and the paper's.

    A cell is the mean over an arm's trainings. Only arms are shown that differ in the kernels of
    the regression net.
    """
    parts = []
    for key, group in evidence.groups.items():
        rows = []
        for arm, trainings in group.arms.items():
            results = [*trainings.values()]
            if set(results[0]["own_options"]) <= OF_KERNELS:
                errors = [(one.get("errors") or {}).get("rmsd_fallback_px") for one in results]
                rows += _row(arm, errors, f"{len(results)} of {len(group.expected[arm])}")
        if not rows:
            continue
        (arm, trainings), *_ = group.arms.items()
        for name, title in BASELINES.items():
            errors = [(one.get("baselines") or {}).get(name) for one in trainings.values()]
            rows += _row(f"{title} (as for {arm})", errors, "")
        header = ["median (IQR) over frames, px of 128x96", *COLUMNS[1:], "trainings"]
        parts.append(f"**{place(*key)}**\n\n{table(header, rows)}")
    if not parts:
        return ""
    rows = [[name, *(f"{median:.2f} ({iqr:.2f})" for median, iqr in limbs)]
            for name, limbs in PAPER_TABLE2.items()]  # fmt: skip
    parts.append(f"**the paper**\n\n{table(['median (IQR)', *COLUMNS[1:-1]], rows)}")
    return "\n".join(parts) + (
        "\nOurs: means over trainings, with missing joints at their map's maximum. The paper's "
        "infants are others, its camera too, and its unit is doubtful: not comparable row by row.\n"
    )


def _row(name: str, errors: Iterable[Mapping | None], trainings: str) -> list[list[str]]:
    """Returns a row of means over trainings; none if a training lacks the errors."""
    tables = [*errors]
    if None in tables:
        return []
    cells = []
    for limb in (*LIMBS, "all"):
        values = [(one[limb]["median"], one[limb]["iqr"]) for one in tables]
        if any(None in pair for pair in values):
            cells.append("-")
        else:
            median, iqr = np.mean(values, axis=0)
            cells.append(f"{median:.2f} ({iqr:.2f})")
    return [[name, *cells, trainings]]
