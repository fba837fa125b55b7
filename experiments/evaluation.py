"""Trained nets and test frames -> poses by both linkers, and every number said about them."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from data_pipeline.examples.clips import CLIP, clip_frames, clip_starts
from data_pipeline.examples.feed import Batch, feed
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import Split
from jaxpose.body.masks import Target
from jaxpose.decoding import metrics
from jaxpose.decoding.linking import Poses, bipartite, chain, poses
from jaxpose.decoding.peaks import Decoding
from jaxpose.training.loop import fill_up
from jaxpose.training.stages import Predict

PAPER_GRID = (96, 128)
"""(rows, columns): errors are given in px of such an image, whatever grid the nets saw."""

DECODED = {
    "regression": chain,
    "regression_bipartite": bipartite,
    "detection": chain,
    "detection_bipartite": bipartite,
}
"""Whose maps, linked how; all from the same frames."""


@dataclasses.dataclass(frozen=True)
class Tested:
    """What the nets say about the test frames."""

    index: np.ndarray
    """Frames tested, positions in `Frames`."""
    poses: dict[str, Poses]
    """As in `DECODED`."""
    map_counts: np.ndarray
    """int [3 20], true positive, false positive and false negative pixels of detection maps."""
    predict_ms: float
    """Both nets, per clip, median over batches."""
    decode_ms: float
    """One linker on one net's maps, per clip, mean."""


def test_nets(
    frames: Frames,
    split: Split,
    predict: Predict,
    *,
    scale_mm: float,
    target: Target,
    decoding: Decoding,
    batch_size: int,
) -> Tested:
    """Every third frame starts a clip, so that each frame is predicted once; frames that fill no
    clip are left out, as in the paper."""
    starts = clip_starts(frames, split.used["test"], shift=CLIP)
    found = {name: [] for name in DECODED}
    counts = np.zeros((3, 20), np.int64)
    predicting, decoding_s = [], 0.0
    batches: Iterator[Batch] = feed(frames, scale_mm, target)(starts, batch_size)
    bar = tqdm(total=len(starts), desc="test", unit="clip")
    for batch in batches:
        clips = len(batch["depth"])
        depth = fill_up({"depth": batch["depth"]}, batch_size)["depth"]
        began = time.perf_counter()
        detected, confidence = jax.block_until_ready(predict(depth))
        predicting.append((time.perf_counter() - began) / batch_size)
        maps = {
            "detection": _by_frame(detected, clips),
            "regression": _by_frame(confidence, clips),
        }
        counts += metrics.map_counts(
            maps["detection"] > 0.5, batch["masks"].reshape(maps["detection"].shape) > 0.5
        )
        began = time.perf_counter()
        for name, linker in DECODED.items():
            found[name].append(poses(maps[name.removesuffix("_bipartite")], decoding, linker))
        decoding_s += time.perf_counter() - began
        bar.update(clips)
    bar.close()
    return Tested(
        index=clip_frames(starts).ravel(),
        poses={
            name: Poses(*(np.concatenate(part) for part in zip(*parts, strict=True)))
            for name, parts in found.items()
        },
        map_counts=counts,
        # the first batch compiles
        predict_ms=1e3 * float(np.median(predicting[1:] or predicting)),
        decode_ms=1e3 * decoding_s / len(DECODED) / len(starts),
    )


def _by_frame(maps, clips: int) -> np.ndarray:
    """[b 3 h w 20] of the real clips -> float32 [b*3 h w 20]."""
    maps = np.asarray(maps[:clips], np.float32)
    return maps.reshape(-1, *maps.shape[2:])


def baselines(frames: Frames, split: Split, index: np.ndarray) -> dict[str, tuple]:
    """Answers that need no net, for the frames of `index`: name -> (xy [n 12 2], known [n 12]).

    mean_pose: of all training frames; infant_mean: of the same infant's, where the split is
    within infants; previous_frame: the last true position seen before in the recording, an oracle.
    """
    train = split.used["train"]
    everywhere = np.ones((len(index), 12), bool)
    mean = metrics.mean_pose(frames.xy[train], frames.visible[train])
    found = {"mean_pose": (np.broadcast_to(mean, (len(index), 12, 2)), everywhere)}
    if split.kind == "within_infant":
        means = metrics.subject_mean_poses(
            frames.xy[train], frames.visible[train], frames.subject[train]
        )
        own = np.stack([means[subject] for subject in frames.subject[index]])
        found["infant_mean"] = (own, everywhere)
    xy, known = metrics.previous_pose(frames.xy, frames.visible, ~frames.follows())
    found["previous_frame"] = (xy[index], known[index])
    return found


def report(frames: Frames, split: Split, tested: Tested) -> tuple[dict, dict[str, np.ndarray]]:
    """The accuracy part of `result.json`, and limb errors [n 4] px of 128x96 by method."""
    index = tested.index
    scale = np.array(PAPER_GRID[::-1], np.float32) / np.array(frames.grid[::-1], np.float32)
    truth, visible = frames.xy[index] * scale, frames.visible[index]

    errors = {}
    for name, found in tested.poses.items():
        errors[f"{name}_found"] = metrics.limb_rmsd(found.xy * scale, truth, visible & found.found)
        errors[f"{name}_fallback"] = metrics.limb_rmsd(found.xy * scale, truth, visible)
    for name, (xy, known) in baselines(frames, split, index).items():
        errors[name] = metrics.limb_rmsd(
            np.where(known[..., None], xy * scale, 0), truth, visible & known
        )
    tables = {name: metrics.error_table(rmsd) for name, rmsd in errors.items()}
    ours, detector = tested.poses["regression"], tested.poses["detection"]
    torso = metrics.torso_length(truth, visible, frames.subject[index])
    return {
        "rmsd_px": tables["regression_found"],
        "rmsd_fallback_px": tables["regression_fallback"],
        "detector_rmsd_px": tables["detection_found"],
        "detector_fallback_px": tables["detection_fallback"],
        "bipartite_rmsd_px": tables["regression_bipartite_found"],
        "bipartite_fallback_px": tables["regression_bipartite_fallback"],
        "detector_bipartite_rmsd_px": tables["detection_bipartite_found"],
        "detector_bipartite_fallback_px": tables["detection_bipartite_fallback"],
        "baselines": {
            name: tables[name]
            for name in ("mean_pose", "infant_mean", "previous_frame")
            if name in tables
        },
        "missed_rate": metrics.missed_rate(ours.found, visible),
        "bipartite_missed_rate": metrics.missed_rate(
            tested.poses["regression_bipartite"].found, visible
        ),
        "detector_missed_rate": metrics.missed_rate(detector.found, visible),
        "detector_bipartite_missed_rate": metrics.missed_rate(
            tested.poses["detection_bipartite"].found, visible
        ),
        "hidden_found_rate": metrics.hidden_found_rate(ours.found, visible),
        "pck": metrics.pck(ours.xy * scale, truth, visible, torso),
        **metrics.dice_recall(tested.map_counts),
        "predict_ms": tested.predict_ms,
        "decode_ms": tested.decode_ms,
        "n_clips": len(index) // CLIP,
        "n_frames": len(index),
    }, errors


def save_predictions(
    path: Path, frames: Frames, tested: Tested, errors: dict[str, np.ndarray]
) -> None:
    """What tables and figures are drawn from, beside the run's result."""
    ours = tested.poses["regression"]
    index = tested.index
    beside = path.with_name(f".{path.name}.part")
    with open(beside, "wb") as file:
        np.savez_compressed(
            file,
            index=index,
            subject=frames.subject[index],
            sequence=frames.sequence[index],
            frame=frames.frame[index],
            xy=ours.xy,
            score=ours.score,
            found=ours.found,
            true_xy=frames.xy[index],
            visible=frames.visible[index],
            **{f"error_{name}": rmsd for name, rmsd in errors.items()},
        )
    beside.rename(path)
