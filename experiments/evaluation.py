"""A model, frames and a split -> poses of the test frames, and all numbers about them."""

import dataclasses
import time
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from data_pipeline.examples.clips import CLIP, clip_frames, clip_starts
from data_pipeline.examples.feed import feed
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import Split
from experiments import infants, prediction
from experiments.prediction import BATCH
from jaxpose.body.masks import Target
from jaxpose.decoding import metrics
from jaxpose.decoding.combine import combine
from jaxpose.decoding.linking import Poses
from jaxpose.files import written_whole
from jaxpose.model import Maps, Model

PAPER_GRID = (96, 128)
"""(rows, columns): errors are in px of such an image, whatever the grid of the nets."""

DECODED = {
    "default": None,
    "overlapping": None,
    "regression": ("regression", "chain"),
    "combined": ("combined", "chain"),
    "bipartite": ("regression", "bipartite"),
    "detector": ("detection", "chain"),
    "detector_bipartite": ("detection", "bipartite"),
}
"""Name of a decoding -> which maps are decoded, and by which linker; None: those of the model's
specification. `overlapping` takes each frame from the clip in whose middle it is, the others
from clips that do not overlap. All decode the same frames. `bipartite` is the paper's."""


@dataclasses.dataclass(frozen=True)
class Tested:
    """A model's poses for the test frames.

    Attributes:
      index: positions of the test frames in `Frames`.
      poses: name of a decoding -> its poses, (x, y) in px of the grid.
      map_counts: true positive, false positive and false negative pixels of the detection maps at
        probability 1/2.
      predict_ms: time of both nets per clip, median over batches.
      decode_ms: time of one decoding per clip, mean.
    """

    index: Int[np.ndarray, " n"]
    poses: dict[str, Poses]
    map_counts: Int[np.ndarray, "3 maps"]
    predict_ms: float
    decode_ms: float


def test_model(model: Model, frames: Frames, split: Split) -> Tested:
    """Predicts the poses of the test frames.

    Every third frame starts a clip, so each frame is predicted once. Frames that fill no clip are
    excluded, as in the paper (Sec. III-A).
    """
    starts = clip_starts(frames, split.used["test"], shift=CLIP)
    index = clip_frames(starts).ravel()
    specification = model.specification
    target = Target(specification.decoding.radius_px)
    batches = feed(frames, specification.depth_scale_mm, target)(starts, BATCH)
    predict = prediction.predictor(model, frames)
    default = (specification.maps, specification.linking)
    ways = {way or default for way in DECODED.values()}
    poses: dict[str, list[Poses]] = {name: [] for name in DECODED}
    counts = np.zeros((3, 20), np.int64)
    predict_s, decode_s = [], 0.0
    with tqdm(total=len(index) + len(starts), desc="test", unit="clip") as bar:
        for number, batch in enumerate(batches):
            began = time.perf_counter()
            maps = predict(batch["depth"], starts[BATCH * number :][:BATCH])
            predict_s.append((time.perf_counter() - began) / BATCH)
            maps = Maps(*(m.reshape(-1, *m.shape[2:]) for m in maps))
            truth = batch["masks"].reshape(maps.detection.shape) > 0.5
            counts += metrics.map_counts(maps.detection > 0.5, truth)
            began = time.perf_counter()
            decoded = {way: decode(model, maps, *way) for way in ways}
            decode_s += (time.perf_counter() - began) / len(ways)
            for name in DECODED.keys() - {"overlapping"}:
                poses[name].append(decoded[DECODED[name] or default])
            bar.update(len(batch["depth"]))
        for maps in prediction.overlapping_maps(predict, model, frames, split.used["test"], index):
            poses["overlapping"].append(decode(model, maps, *default))
            bar.update(len(maps.detection))
    return Tested(
        index=index,
        poses={
            name: Poses(*(np.concatenate(part) for part in zip(*parts, strict=True)))
            for name, parts in poses.items()
        },
        map_counts=counts,
        # The first batch compiles.
        predict_ms=1e3 * float(np.median(predict_s[1:] or predict_s)),
        decode_ms=1e3 * decode_s / len(starts),
    )


def decode(model: Model, maps: Maps, source: str, linking: str) -> Poses:
    """Decodes one net's maps [n h w 20], or both nets' "combined", by a linker."""
    if source == "combined":
        return model.decode(combine(maps.detection, maps.regression), linking)
    return model.decode(getattr(maps, source), linking)


def baselines(
    model: Model, frames: Frames, split: Split, index: Int[np.ndarray, " n"]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns predictions that need no net: name -> (xy [n 12 2], known [n 12]), px of the grid.

    mean_pose is that of the model's training frames. infant_mean is that of the same infant's
    training frames, where the split is within infants. previous_frame is the last true position
    before the frame in the same recording, an oracle.
    """
    train = split.used["train"]
    everywhere = np.ones((len(index), 12), bool)
    mean = np.array(model.specification.mean_pose, np.float32)
    predictions = {"mean_pose": (np.broadcast_to(mean, (len(index), 12, 2)), everywhere)}
    if split.kind == "within_infant":
        means = metrics.subject_mean_poses(
            frames.xy[train], frames.visible[train], frames.subject[train]
        )
        own = np.stack([means[subject] for subject in frames.subject[index]])
        predictions["infant_mean"] = (own, everywhere)
    xy, known = metrics.previous_pose(frames.xy, frames.visible, ~frames.follows())
    predictions["previous_frame"] = (xy[index], known[index])
    return predictions


def limb_errors(
    model: Model, frames: Frames, split: Split, tested: Tested
) -> dict[str, Float[np.ndarray, "n 4"]]:
    """Returns the RMSD per limb of every decoding and baseline, in px of 128x96.

    A decoding has two: over found joints alone (`<name>_found`), and with missing joints at their
    fallback position (`<name>_fallback`).
    """
    index, scale = tested.index, to_paper_px(frames)
    truth, visible = frames.xy[index] * scale, frames.visible[index]
    errors = {}
    for name, poses in tested.poses.items():
        xy = poses.xy * scale
        errors[f"{name}_found"] = metrics.limb_rmsd(xy, truth, visible & poses.found)
        errors[f"{name}_fallback"] = metrics.limb_rmsd(xy, truth, visible)
    for name, (xy, known) in baselines(model, frames, split, index).items():
        xy = np.where(known[..., None], xy * scale, 0)
        errors[name] = metrics.limb_rmsd(xy, truth, visible & known)
    return errors


def to_paper_px(frames: Frames) -> Float[np.ndarray, "2"]:
    """Returns the factors (x, y) from px of the grid to px of 128x96."""
    return np.array(PAPER_GRID[::-1], np.float32) / np.array(frames.grid[::-1], np.float32)


def report(frames: Frames, tested: Tested, errors: dict[str, np.ndarray]) -> dict:
    """Returns the accuracy part of `result.json`; keys without a prefix: the default decoding."""
    index, scale = tested.index, to_paper_px(frames)
    truth, visible = frames.xy[index] * scale, frames.visible[index]
    values = {}
    for name, poses in tested.poses.items():
        prefix = "" if name == "default" else f"{name}_"
        values[f"{prefix}rmsd_px"] = metrics.error_table(errors[f"{name}_found"])
        values[f"{prefix}fallback_px"] = metrics.error_table(errors[f"{name}_fallback"])
        values[f"{prefix}missed_rate"] = metrics.missed_rate(poses.found, visible)
    values["rmsd_fallback_px"] = values.pop("fallback_px")
    ours = tested.poses["default"]
    torso = metrics.torso_length(truth, visible, frames.subject[index])
    return {
        **values,
        "baselines": {
            name: metrics.error_table(errors[name])
            for name in ("mean_pose", "infant_mean", "previous_frame")
            if name in errors
        },
        "hidden_found_rate": metrics.hidden_found_rate(ours.found, visible),
        "pck": metrics.pck(ours.xy * scale, truth, visible, torso),
        **metrics.dice_recall(tested.map_counts),
        "predict_ms": tested.predict_ms,
        "decode_ms": tested.decode_ms,
        "n_clips": len(index) // CLIP,
        "n_frames": len(index),
    }


def infant_rows(frames: Frames, tested: Tested, errors: dict[str, np.ndarray]) -> list[dict]:
    """Returns a row of `infants.rows` per test infant, under the default decoding."""
    index = tested.index
    return infants.rows(
        frames.subject[index],
        fallback_px=errors["default_fallback"],
        found_px=errors["default_found"],
        found=tested.poses["default"].found,
        visible=frames.visible[index],
    )


def save_predictions(
    path: Path, frames: Frames, tested: Tested, errors: dict[str, np.ndarray]
) -> None:
    """Writes the poses, the truth and the errors to an npz file, from which tables are made."""
    ours = tested.poses["default"]
    index = tested.index
    with written_whole(path) as beside, open(beside, "wb") as file:
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
