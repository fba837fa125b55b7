"""The paper's claims about parameters, products and time, decided by counts and benchmarks.

Times are measured on other machines than the paper's, which the evidence says.
"""

from collections.abc import Mapping

from experiments.account import account
from experiments.study import speeds
from experiments.study.claim import Claim, Verdict
from experiments.study.evidence import Evidence
from experiments.study.speeds import Saving

SECONDS = {"Asy-regression": 0.03, "Moccia et al. 2020": 0.05}
"""Time per triplet in the paper's Table II, s; rounded to 0.01 s."""
CLAIMED = 0.66
"""The claimed reduction of training and prediction time."""


def _less(new: float, old: float) -> str:
    """Formats a relative change, such as "-56.3 %"."""
    return f"{100 * (new / old - 1):+.1f} %"


def _counted(key: str) -> tuple[Mapping, Mapping]:
    """Returns counts at the paper's size: of the regression net, and with the detection net."""
    counts = account((3, 96, 128), 1.0)
    alone, both = counts["variants"], counts["pipeline"]
    return tuple({v: part[v][key] for v in ("full", "asy")} for part in (alone, both))


def parameters(evidence: Evidence) -> Claim:
    """The number of weights."""
    (alone, _), (_, both) = _counted("kernel_weights"), _counted("parameters")
    change, pipeline = _less(alone["asy"], alone["full"]), _less(both["asy"], both["full"])
    return Claim(
        "naturally relies on a high number of parameters",
        "asymmetric kernels need fewer parameters",
        f"kernel weights of the regression net {alone['full']:,} to {alone['asy']:,} ({change}); "
        f"parameters of both nets {both['full']:,} to {both['asy']:,} ({pipeline})",
        "holds in part",
        "experiments.account",
        topic="fewer parameters",
        brief=f"kernel weights of the regression net {change}, parameters of both nets {pipeline}",
    )


def products(evidence: Evidence) -> Claim:
    """The number of products."""
    (nominal, pipeline), (useful, _) = _counted("macs_nominal"), _counted("macs_useful")
    return Claim(
        "to temporally optimize both the training and predictions phase",
        "fewer products per clip",
        f"MACs of the regression net {_less(nominal['asy'], nominal['full'])} (nominal), "
        f"{_less(useful['asy'], useful['full'])} without products with padding; both nets "
        f"{_less(pipeline['asy'], pipeline['full'])}",
        "holds",
        "experiments.account",
        topic="fewer products",
        brief=f"regression net {_less(nominal['asy'], nominal['full'])} (nominal), "
        f"{_less(useful['asy'], useful['full'])} (useful); both nets "
        f"{_less(pipeline['asy'], pipeline['full'])} (nominal)",
    )


def against_claim(found: list[Saving]) -> Verdict:
    """Compares measured savings with the claimed 66 %, where they have intervals.

    An interval reaches the claim if all of it does, misses it if none of it does, and is open
    otherwise. The claim holds if all reach it, in part if some do, and not at all if all miss it;
    with open intervals and none that reaches it, it is not decided.
    """
    intervals = [one.interval for one in found if one.interval is not None]
    reached = [low >= CLAIMED for low, _ in intervals]
    if any(reached):
        return "holds" if all(reached) else "holds in part"
    missed = [high < CLAIMED for _, high in intervals]
    return "does not hold" if missed and all(missed) else "not decided"


def lowered(found: list[Saving]) -> Verdict:
    """Tells whether times are lower at all, where they have intervals."""
    intervals = [one.interval for one in found if one.interval is not None]
    lower = [low > 0 for low, _ in intervals]
    if any(lower):
        return "holds" if all(lower) else "holds in part"
    not_lower = [high <= 0 for _, high in intervals]
    return "does not hold" if not_lower and all(not_lower) else "not decided"


def _files(found: list[Saving]) -> str:
    names = sorted({one.file for one in found})
    return ", ".join(names) or "experiments.bench"


def training_time(evidence: Evidence) -> Claim:
    """The time of training steps of the regression net."""
    found = speeds.savings(evidence.benchmarks, "train_step")
    counted, _ = _counted("train_macs_nominal")
    return Claim(
        "a reduction of the training time of 66%",
        "a training step of the regression net takes at most 0.34 of the time",
        f"training step {speeds.everywhere(found, speeds.sentence)}; products "
        f"{_less(counted['asy'], counted['full'])}; the paper's GPU was not measured",
        against_claim(found),
        _files(found),
        topic="training time -66 %",
        brief=f"training step of the regression net {speeds.everywhere(found, speeds.span)}; "
        f"products {_less(counted['asy'], counted['full'])}; the paper's GPU was not measured",
    )


def prediction_time(evidence: Evidence) -> Claim:
    """The time of forward passes of the regression net."""
    found = speeds.savings(evidence.benchmarks, "forward")
    return Claim(
        "reduction in training and prediction time of 66%",
        "a forward pass of the regression net takes at most 0.34 of the time",
        f"forward pass {speeds.everywhere(found, speeds.sentence)}; the paper's GPU was not "
        "measured",
        against_claim(found),
        _files(found),
        topic="prediction time -66 %",
        brief=f"forward pass of the regression net {speeds.everywhere(found, speeds.span)}; the "
        "paper's GPU was not measured",
    )


def seconds_per_clip(evidence: Evidence) -> Claim:
    """The paper's own seconds, which do not give its own percentage."""
    new, old = SECONDS.values()
    least, most = 1 - (new + 0.005) / (old - 0.005), 1 - (new - 0.005) / (old + 0.005)
    return Claim(
        "0.03 s for the Asy-regression while for the regression in [4] was 0.05s",
        "a reduction by 66 %",
        f"1 - {new:g}/{old:g} = {100 * (1 - new / old):.0f} %, with rounding "
        f"{100 * least:.0f} to {100 * most:.0f} %; {old:g}/{new:g} - 1 = "
        f"{100 * (old / new - 1):.0f} % is the gain in clips per second",
        "does not hold",
        "the paper's Table II",
        topic=f"{old:g} to {new:g} s is -66 %",
        brief=f"it is {_less(new, old)}; {100 * (old / new - 1):.0f} % is the gain in clips per "
        "second",
    )


def pipeline_time(evidence: Evidence) -> Claim:
    """The time of both nets, and of all from a clip to poses.

    The claim has two halves, training and prediction; training both nets is no case of the
    benchmark, so that the claim holds in part at most.
    """
    found = [
        *speeds.savings(evidence.benchmarks, "forward", net="pipeline"),
        *speeds.savings(evidence.benchmarks, "clip_to_pose", net="pipeline"),
    ]
    lower, claimed = lowered(found), against_claim(found)
    halves = f'of prediction time "lower" {lower} and "by 66 %" {claimed}'
    training = "training time of both nets was not measured"
    return Claim(
        "such variation [...] was able at lowering both the training and the prediction time of "
        "the 66%",
        "both nets together, and all from a clip to poses, take less time, in training and in "
        "prediction; by 66 %, if that is said of them, too",
        f"{halves}: both nets, and clip to pose, {speeds.everywhere(found, speeds.sentence)}; "
        f"{training}",
        "holds in part" if lower == "holds" else lower,
        _files(found),
        topic="the whole framework is faster",
        brief=f"{halves}: both nets, and clip to pose, {speeds.everywhere(found, speeds.span)}; "
        f"{training}",
    )
