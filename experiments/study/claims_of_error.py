"""The paper's claims about errors and what its nets see, decided by the study's trainings."""

from experiments.study import comparisons, deeper
from experiments.study.claim import Claim, Verdict
from experiments.study.comparisons import Compared
from experiments.study.evidence import Evidence
from experiments.study.groups import ERROR
from experiments.study.texts import baseline_px
from experiments.table2 import PAPER_TABLE2
from jaxpose.body.skeleton import LIMBS

DATA = "simulated"
"""Data set of the plan on which the claims about errors are decided."""
STUDY = "experiments/results/study"


def described(one: Compared | None) -> str:
    """Describes a comparison with its interval and n."""
    if one is None:
        return "no results yet"
    difference = one.differences["all"]
    return (
        f"{one.comparison.ours} - {one.comparison.theirs} = {difference.mean:+.2f} px "
        f"[{difference.low:+.2f} to {difference.high:+.2f}], ratio {one.ratio:.2f}, "
        f"{one.pairs} of {one.expected} trainings, {difference.infants} simulated infants, missed "
        f"joints {' / '.join(f'{100 * share:.1f} %' for share in one.missed)}"
    )


def known(one: Compared | None) -> str:
    """Describes a comparison in a clause, and says if trainings of the plan are missing."""
    if one is None:
        return "no results yet"
    difference = one.differences["all"]
    partly = "" if one.complete else f", {one.pairs} of {one.expected} trainings"
    return (
        f"{one.comparison.ours} - {one.comparison.theirs} = {difference.mean:+.2f} px "
        f"[{difference.low:+.2f} to {difference.high:+.2f}]{partly}"
    )


def almost_unchanged(evidence: Evidence) -> Claim:
    """The errors of asy and full."""
    ours, theirs = PAPER_TABLE2.values()
    limbs = [limb.replace("_", " ") for limb in LIMBS]
    own = [a - b for (a, _), (b, _) in zip(ours, theirs, strict=True)]
    shares = [100 * (a / b - 1) for (a, _), (b, _) in zip(ours, theirs, strict=True)]
    worst = max(range(len(shares)), key=lambda k: shares[k])
    one = evidence.comparison("asy", "full", DATA)
    verdict: Verdict = "not decided"
    if one is not None and one.complete:
        within = one.non_inferior[comparisons.primary(evidence.plan.margins)]
        verdict = "holds" if within else "not decided"
        if within is False and one.differences["all"].low > 0:
            verdict = "holds in part" if one.non_inferior["20 %"] else "does not hold"
    return Claim(
        "kept the results in terms of error almost unchanged (mean dRMSD = 0.63 pixels)",
        "asy is non-inferior to full by 10 % of full's error, on the mean and on every limb",
        f"the paper's own differences: {', '.join(f'{d:+.2f}' for d in own)}, mean "
        f"{sum(own) / len(own):.2f} px, {limbs[worst]} {shares[worst]:+.0f} %; ours: "
        f"{described(one)}",
        verdict,
        STUDY,
        topic='RMSD "almost unchanged"',
        brief=f"its own Table II has {shares[worst]:+.0f} % on the {limbs[worst]}; here: "
        f"{known(one)}",
    )


def by_sign(one: Compared | None, *, higher_holds: bool) -> Verdict:
    """Decides a claim about the sign of a difference by its interval."""
    if one is None or not one.complete:
        return "not decided"
    difference = one.differences["all"]
    if difference.low > 0:
        return "holds" if higher_holds else "does not hold"
    if difference.high < 0:
        return "does not hold" if higher_holds else "holds"
    return "not decided"


def generalisation(evidence: Evidence) -> Claim:
    """The spread of errors, and what generalisation means: the error on unseen infants."""
    one = evidence.comparison("asy", "full", DATA)
    return Claim(
        "Thus, the introduction of the asymmetric convolution has increased the network "
        "generalization ability",
        "asy's error on infants that it never saw is lower than full's",
        f"an IQR over test frames does not measure it; error on unseen infants: {described(one)}",
        by_sign(one, higher_holds=False),
        STUDY,
        topic="a lower IQR is better generalisation",
        brief=f"an IQR does not measure it; error on unseen infants: {known(one)}",
    )


def same_reach(evidence: Evidence) -> Claim:
    """The receptive field, measured by gradients."""
    fields = [evidence.reach.get(name) for name in ("full", "asy")]
    text, verdict = "not measured", "not decided"
    if None not in fields:
        full, asy = ("x".join(map(str, field)) for field in fields)
        text = f"non-zero gradients (frames x rows x columns): full {full}, asy {asy}"
        verdict = "holds" if full == asy else "does not hold"
    return Claim(
        "with the same size of receptive field as the traditional 3D convolution",
        "one output depends on the same frames, rows and columns",
        text,
        verdict,
        "experiments/results/receptive-field.json",
        topic="the same receptive field",
        brief=text,
    )


def deeper_detection(evidence: Evidence) -> Claim:
    """The detection net with asymmetric kernels."""
    one = evidence.comparison("detection_asy", "asy", DATA)
    depth = deeper.sentence(evidence.groups.get((DATA, "")), "detection_asy", "asy")
    return Claim(
        "implementing three cascaded convolutions in the detection CNN would make the networks "
        "even deeper, posing issues related to overfitting or vanishing gradient",
        "with asymmetric kernels in the detection net, too, the error on unseen infants is higher",
        "; ".join(filter(None, [described(one), depth])),
        by_sign(one, higher_holds=True),
        STUDY,
        topic="deeper detection nets overfit, or their gradients vanish",
        brief=known(one),
    )


def spatio_temporal(evidence: Evidence) -> Claim:
    """Single frames against three."""
    one = evidence.comparison("planar", "full", DATA)
    detector = evidence.comparison("detection_planar", "asy", DATA)
    return Claim(
        "limb-pose estimation from spatio-temporal features",
        "nets that see single frames have higher errors",
        f"{described(one)}; the detection net on single frames: {described(detector)}",
        by_sign(one, higher_holds=True),
        STUDY,
        topic="spatio-temporal beats spatial",
        brief=known(one),
    )


def pixels(evidence: Evidence) -> Claim:
    """The paper's errors against a constant answer."""
    within = evidence.groups.get(("long", ""))
    trainings = within.arms.get("within_infant", {}) if within else {}
    ours = ""
    if trainings:
        net, constant = (baseline_px(trainings, name) for name in (ERROR, "infant_mean_px"))
        infants = sum(len(result["infants"]["id"]) for result in trainings.values())
        ours = (
            f"; here, on {infants} simulated infants and the paper's split, asy has {net:.2f} px "
            f"and the mean pose of the same infant {constant:.2f} px"
        )
    medians = [median for limbs in PAPER_TABLE2.values() for median, _ in limbs]
    return Claim(
        "pixels for the 128x96 images",
        "errors in px of 128x96, smaller than those of an answer that ignores the image",
        f"{min(medians):.1f} to {max(medians):.1f} px in its Table II, where a limb segment has 9 "
        "to 11 px; the mean pose of the same infant scores 2.4 to 4.1 px on published "
        f"annotations{ours}",
        "cannot be tested here",
        "the paper's Table II",
        topic="errors in px of 128x96",
        brief=f"{min(medians):.1f} to {max(medians):.1f} px; the mean pose of the same infant "
        "has 2.4 to 4.1 px",
    )
