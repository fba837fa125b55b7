"""Confidences of joints, beside what is true of them -> how far they can be trusted."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.examples.frames import Frames
from experiments.evaluation import to_paper_px
from experiments.judged import Judged
from experiments.pictures import plt, save
from jaxpose.decoding import metrics
from jaxpose.decoding.confidence import FOUND, MISSING, Calibration, judge

BINS = 15
"""Number of equally wide bins of confidence."""


def reliability(
    confidence: Float[np.ndarray, "*n"], right: Bool[np.ndarray, "*n"]
) -> dict[str, list | float]:
    """Returns per bin the joints, their mean confidence and the share that is right.

    `expected_calibration_error` is the mean difference of the two over joints. Bins without joints
    are left out.
    """
    confidence, right = confidence.ravel().astype(np.float64), right.ravel()
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    used = [k for k in range(BINS) if (bins == k).any()]
    count = [int((bins == k).sum()) for k in used]
    mean = [float(confidence[bins == k].mean()) for k in used]
    share = [float(right[bins == k].mean()) for k in used]
    differences = np.abs(np.array(mean) - share)
    return {
        "joints": count,
        "confidence": mean,
        "right": share,
        "expected_calibration_error": float(differences @ count / max(len(confidence), 1)),
    }


def auroc(score: Float[np.ndarray, "*n"], positive: Bool[np.ndarray, "*n"]) -> float | None:
    """Returns the probability that a positive one's score is higher than a negative one's.

    Equal scores count half; None if there is no positive or no negative one.
    """
    score, positive = score.ravel(), positive.ravel()
    above, below = int(positive.sum()), int((~positive).sum())
    if not above or not below:
        return None
    values, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[positive].sum() - above * (above + 1) / 2) / (above * below))


def report(
    frames: Frames, joints: Judged, calibration: Calibration | None
) -> dict[str, dict | float | int | None]:
    """Returns what the confidence and the states of the joints are worth.

    Weak joints count as found in `missed` and `hidden_found`. PCK is over all visible joints, as in
    the evaluation. `score` has the AUROCs of the height of the map, without a calibration.
    """
    raw = raw_confidence(joints, calibration)
    _, state = judge(joints.poses, calibration, joints.evidence)
    there, visible, scale = state != MISSING, joints.visible, to_paper_px(frames)
    truth, xy = frames.xy[joints.index] * scale, joints.poses.xy * scale
    torso = metrics.torso_length(truth, visible, joints.subject)
    error = np.linalg.norm(xy - truth, axis=-1)[visible & there]
    found = state == FOUND
    return {
        "calibrated": calibration is not None,
        "infants": len(set(joints.subject.tolist())),
        "frames": len(joints.index),
        "right_share": float(joints.right.mean()),
        "auroc": {"right": auroc(raw, joints.right), "visible": auroc(raw, visible)},
        "score_auroc": {
            "right": auroc(joints.poses.score, joints.right),
            "visible": auroc(joints.poses.score, visible),
        },
        "missed": metrics.missed_rate(there, visible),
        "hidden_found": metrics.hidden_found_rate(there, visible),
        "weak_share": float((there & ~found).mean()),
        "right_of_found": float(joints.right[found].mean()) if found.any() else None,
        "error_px_p95": float(np.percentile(error, 95)) if error.size else None,
        "pck": metrics.pck(xy, truth, visible, torso),
        "reliability": reliability(raw, joints.right),
    }


def raw_confidence(joints: Judged, calibration: Calibration | None) -> Float[np.ndarray, "n 12"]:
    """Returns the confidence before the missing joints' is set to 0."""
    if calibration is None:
        return np.clip(joints.poses.score, 0, 1)
    return calibration.confidence(joints.evidence)


def draw(path: Path, curves: dict[str, dict]) -> None:
    """Draws reliability curves, by name, and how many joints each bin has."""
    figure, (axes, counts) = plt.subplots(
        2, 1, figsize=(5, 6), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    axes.plot([0, 1], [0, 1], ":", color="grey", lw=1)
    for name, curve in curves.items():
        error = curve["expected_calibration_error"]
        label = f"{name}: expected calibration error {100 * error:.1f} %"
        line = axes.plot(curve["confidence"], curve["right"], "o-", ms=4, label=label)[0]
        share = np.array(curve["joints"]) / sum(curve["joints"])
        counts.plot(curve["confidence"], share, "o-", ms=3, color=line.get_color())
    axes.set(ylabel="share visible and within 6 px of 128x96", ylim=(0, 1), xlim=(0, 1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.grid(alpha=0.3)
    counts.set(xlabel="confidence", ylabel="share of joints", ylim=(0, None))
    counts.grid(alpha=0.3)
    save(figure, path)
