"""The claims of the paper, each with what it would mean, our evidence and a verdict.

Every number is computed: from the paper's own tables, from the nets' layers, from committed results
of the benchmark and of the study.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

from experiments.study import claims_of_cost as cost
from experiments.study import claims_of_error as error
from experiments.study import comparisons, speeds
from experiments.study.claim import Claim
from experiments.study.compared import CONFIRMATORY, Compared
from experiments.study.comparisons import primary
from experiments.study.evidence import Evidence
from experiments.table1 import table

CLAIMS: tuple[Callable[[Evidence], Claim], ...] = (
    cost.parameters,
    cost.products,
    cost.training_time,
    cost.prediction_time,
    cost.seconds_per_clip,
    cost.pipeline_time,
    error.almost_unchanged,
    error.generalisation,
    error.same_reach,
    error.deeper_detection,
    error.spatio_temporal,
    error.pixels,
)
"""The claims, in the order in which the table has them."""


def claims_table(evidence: Evidence) -> str:
    """Returns the claims as a table."""
    rows = []
    for claim in (decide(evidence) for decide in CLAIMS):
        verdict = f"**{claim.verdict}**"
        rows.append([f'"{claim.quote}"', claim.meaning, claim.evidence, verdict, claim.source])
    header = ["the paper", "what it would mean", "evidence", "verdict", "from"]
    return table(header, rows).replace("---:", "---")


def brief_table(evidence: Evidence) -> str:
    """Returns the claims as a table with a clause each."""
    rows = [
        [claim.topic, f"**{claim.verdict}**", claim.brief]
        for claim in (decide(evidence) for decide in CLAIMS)
    ]
    return table(["the paper's claim", "verdict", "what is known here"], rows).replace(
        "---:", "---"
    )


def central(evidence: Evidence, *, brief: bool = False) -> str:
    """Answers the question of the study, asy against thin, by the rule of the plan.

    Asy buys something only if its error is lower than thin's, or if it is non-inferior and faster.
    With `brief`, the answer is one line with the errors.
    """
    one = evidence.comparison("asy", "thin", error.DATA)
    faster = {
        what: speeds.savings(evidence.benchmarks, what, ours="asy", theirs="thin")
        for what in ("forward", "train_step")
    }
    answer = _answer(evidence, one, [s for savings in faster.values() for s in savings])
    if brief:
        return f"**{answer}** ({error.described(one)}{_trained(evidence)})\n"
    tally = partial(speeds.tally, name="asy")
    lines = [
        f"- Error, primary endpoint: {error.described(one)}{_trained(evidence)}.",
        f"- Time of asy against thin, forward pass: {speeds.everywhere(faster['forward'], tally)}.",
        f"- Training step: {speeds.everywhere(faster['train_step'], tally)}.",
        f"- **{answer}**",
    ]
    return "\n".join(lines) + "\n"


def _trained(evidence: Evidence) -> str:
    """Says with how many steps and which learning rates asy and thin were trained."""
    group = evidence.groups.get((error.DATA, ""))
    arms = {} if group is None else group.arms
    if not all(arms.get(name) for name in ("asy", "thin")):
        return ""
    asy, thin = (
        next(iter(arms[name].values()))["recipe"]["regression"] for name in ("asy", "thin")
    )
    return (
        f"; {asy['epochs'] * asy['steps_per_epoch']:,} steps, learning rates "
        f"{asy['learning_rate']:g} (asy) and {thin['learning_rate']:g} (thin)"
    )


def _lower(evidence: Evidence, one: Compared) -> str:
    """Says by how much asy's error is lower than thin's, beside the margin of the plan."""
    difference = one.differences["all"]
    mean, least, most = (
        -100 * value / one.theirs_px for value in (difference.mean, difference.high, difference.low)
    )
    return (
        "lower than that of a thinner net of its weights, by "
        f"{mean:.1f} % [{least:.1f} to {most:.1f}].{_within(evidence, one)}"
    )


def _within(evidence: Evidence, one: Compared) -> str:
    """Says whether thin's higher error is within the margin all the same, by the plan's rule."""
    margins, margin = evidence.plan.margins, primary(evidence.plan.margins)
    turned = dataclasses.replace(
        one.comparison, ours=one.comparison.theirs, theirs=one.comparison.ours
    )
    thin = comparisons.compare(margins, turned, CONFIRMATORY, evidence.groups[CONFIRMATORY])
    if thin.non_inferior(margin):
        return f" Thin's is within the margin of {margin} all the same."
    beyond = thin.beyond(margin)
    if beyond and "all" not in beyond:
        where = error.limbs(beyond)
        return (
            f" In the mean thin's is within the margin of {margin} all the same; {where} that is "
            "not shown."
        )
    return ""


def _answer(evidence: Evidence, one, measured: list[speeds.Saving]) -> str:
    """Applies the decision rule."""
    if one is None or not one.decidable:
        return "Not decided: not all trainings of both nets are there."
    difference = one.differences["all"]
    if difference.high < 0:
        return f"Asy buys something: its error is {_lower(evidence, one)}"
    if not one.non_inferior(primary(evidence.plan.margins)):
        higher = "higher" if difference.low > 0 else "not shown to be as low"
        return (
            f"Asy buys nothing that was shown: its error is {higher}, and not shown to be within "
            "the margin."
        )
    known = [one for one in measured if one.interval is not None]
    if not known:
        return "Not decided: the error is within the margin, but the times were not measured."
    fast = sum(one.interval[0] > 0 for one in known)
    return (
        f"The error is within the margin; asy is faster in {fast} of {len(known)} measured "
        "runtimes, types and sizes, and buys something in those alone."
    )
