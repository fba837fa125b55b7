"""(model, frames, split) -> poses of the test frames, and every number about them."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from data_pipeline.examples.clips import CLIP, clip_frames, clip_starts
from data_pipeline.examples.feed import feed
from data_pipeline.examples.frames import Frames
from data_pipeline.examples.splits import Split
from experiments import infants
from jaxpose.body.masks import Target
from jaxpose.decoding import metrics
from jaxpose.decoding.combine import combine
from jaxpose.decoding.linking import Poses
from jaxpose.model import Maps, Model

PAPER_GRID = (96, 128)
"""(rows, columns): errors are in px of such an image, whatever the grid of the nets."""

DECODED = {
    "default": (None, None),
    "overlapping": (None, None),
    "regression": ("regression", "chain"),
    "combined": ("combined", "chain"),
    "bipartite": ("regression", "bipartite"),
    "detector": ("detection", "chain"),
    "detector_bipartite": ("detection", "bipartite"),
}
"""Name -> which maps are decoded, and by which linker; None: as the model's specification says.
`overlapping` takes each frame from the clip in whose middle it stands, the others from clips that
do not overlap. All are of the same frames. `bipartite` is the paper's."""

BATCH = 16
"""Clips computed at a time."""


@dataclasses.dataclass(frozen=True)
class Tested:
    """A model's answers for the test frames.

    Attributes:
      index: the frames tested, positions in `Frames`.
      poses: as in `DECODED`, px of the grid.
      map_counts: int [3 20], true positive, false positive and false negative pixels of the
        detection maps at probability 1/2.
      predict_ms: both nets, per clip, median over batches.
      decode_ms: one decoding, per clip, mean.
    """

    index: Int[np.ndarray, " n"]
    poses: dict[str, Poses]
    map_counts: Int[np.ndarray, "3 maps"]
    predict_ms: float
    decode_ms: float


def test_model(model: Model, frames: Frames, split: Split) -> Tested:
    """Predicts the test frames. Every third frame starts a clip, so that each frame is predicted
    once; frames that fill no clip are excluded, as in the paper (Sec. III-A)."""
    starts = clip_starts(frames, split.used["test"], shift=CLIP)
    index = clip_frames(starts).ravel()
    specification = model.specification
    target = Target(specification.decoding.radius_px)
    batches = feed(frames, specification.depth_scale_mm, target)(starts, BATCH)
    poses: dict[str, list[Poses]] = {name: [] for name in DECODED}
    counts = np.zeros((3, 20), np.int64)
    predict_s, decode_s = [], 0.0
    with tqdm(total=len(index) + len(starts), desc="test", unit="clip") as bar:
        for batch in batches:
            began = time.perf_counter()
            maps = model.maps(batch["depth"], BATCH)
            predict_s.append((time.perf_counter() - began) / BATCH)
            maps = Maps(*(m.reshape(-1, *m.shape[2:]) for m in maps))
            truth = batch["masks"].reshape(maps.detection.shape) > 0.5
            counts += metrics.map_counts(maps.detection > 0.5, truth)
            began = time.perf_counter()
            for name in DECODED.keys() - {"overlapping"}:
                poses[name].append(decode(model, maps, name))
            decode_s += time.perf_counter() - began
            bar.update(len(batch["depth"]))
        for maps in overlapping_maps(model, frames, split, index):
            poses["overlapping"].append(decode(model, maps, "overlapping"))
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
        decode_ms=1e3 * decode_s / (len(DECODED) - 1) / len(starts),
    )


def decode(model: Model, maps: Maps, name: str) -> Poses:
    """Decodes maps [n h w 20] in one of the ways of `DECODED`."""
    source, linking = DECODED[name]
    if source is None:
        return model.decode(model.decoded_maps(maps), linking)
    if source == "combined":
        return model.decode(combine(maps.detection, maps.regression), linking)
    return model.decode(getattr(maps, source), linking)


def overlapping_maps(
    model: Model, frames: Frames, split: Split, index: Int[np.ndarray, " n"]
) -> Iterator[Maps]:
    """Maps of each frame of `index` from the clip in whose middle it stands, in batches [b h w 20];
    the first and the last frame of a run take theirs from its first and last clip."""
    possible = clip_starts(frames, split.used["test"], shift=1)
    # The clip in whose middle a frame stands begins one frame earlier; at an end, 0 or 2 earlier.
    choices = index[:, None] - np.array([1, 0, 2])
    exists = np.isin(choices, possible)
    start = choices[np.arange(len(index)), exists.argmax(axis=1)]
    for first in range(0, len(index), BATCH):
        mine = slice(first, first + BATCH)
        maps = model.maps(model.clips(frames.depth_mm[clip_frames(start[mine])]), BATCH)
        position = index[mine] - start[mine]
        yield Maps(*(m[np.arange(len(position)), position] for m in maps))


def baselines(
    model: Model, frames: Frames, split: Split, index: Int[np.ndarray, " n"]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Answers that need no net, for the frames of `index`: name -> (xy [n 12 2], known [n 12]).

    mean_pose: of the frames that the model was trained on; infant_mean: of the same infant's
    training frames, where the split is within infants; previous_frame: the last true position
    before the frame in the same recording, an oracle.
    """
    train = split.used["train"]
    everywhere = np.ones((len(index), 12), bool)
    mean = np.array(model.specification.mean_pose, np.float32)
    answers = {"mean_pose": (np.broadcast_to(mean, (len(index), 12, 2)), everywhere)}
    if split.kind == "within_infant":
        means = metrics.subject_mean_poses(
            frames.xy[train], frames.visible[train], frames.subject[train]
        )
        own = np.stack([means[subject] for subject in frames.subject[index]])
        answers["infant_mean"] = (own, everywhere)
    xy, known = metrics.previous_pose(frames.xy, frames.visible, ~frames.follows())
    answers["previous_frame"] = (xy[index], known[index])
    return answers


def limb_errors(
    model: Model, frames: Frames, split: Split, tested: Tested
) -> dict[str, Float[np.ndarray, "n 4"]]:
    """RMSD per limb, px of 128x96: of every decoding over found joints (`<name>_found`) and with
    the fallback (`<name>_fallback`), and of the baselines."""
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
    """Factors (x, y) from px of the grid to px of 128x96."""
    return np.array(PAPER_GRID[::-1], np.float32) / np.array(frames.grid[::-1], np.float32)


def report(frames: Frames, tested: Tested, errors: dict[str, np.ndarray]) -> dict:
    """The accuracy part of `result.json`. Keys without a prefix are of the default decoding."""
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
    """One row of `infants.rows` per test infant, under the default decoding."""
    index = tested.index
    return infants.rows(
        frames.subject[index],
        fallback=errors["default_fallback"],
        result=errors["default_found"],
        is_found=tested.poses["default"].found,
        visible=frames.visible[index],
    )


def save_predictions(
    path: Path, frames: Frames, tested: Tested, errors: dict[str, np.ndarray]
) -> None:
    """Writes what tables and figures are drawn from, beside the run's result."""
    ours = tested.poses["default"]
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
            result=ours.found,
            true_xy=frames.xy[index],
            visible=frames.visible[index],
            **{f"error_{name}": rmsd for name, rmsd in errors.items()},
        )
    beside.rename(path)
