"""A model and frames -> decoded joints beside their truth, and the evidence about each."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from data_pipeline.examples.clips import CLIP, clip_frames, clip_starts
from data_pipeline.examples.frames import Frames
from experiments import prediction
from experiments.evaluation import to_paper_px
from experiments.prediction import BATCH
from jaxpose.decoding.evidence import evidence
from jaxpose.decoding.linking import Poses
from jaxpose.model import Maps, Model

NEAR_PX = 6.0
"""Largest error, in px of 128x96, of a position that counts as right."""


class Judged(NamedTuple):
    """The joints of n frames.

    Attributes:
      index: positions of the frames in `Frames`.
      poses: decoded joints, px of the grid.
      evidence: name of a feature -> its values.
      visible: which joints have a truth.
      right: which are visible and within `NEAR_PX` of the truth.
      subject: str [n], the infant.
    """

    index: np.ndarray
    poses: Poses
    evidence: dict[str, Float[np.ndarray, "n 12"]]
    visible: Bool[np.ndarray, "n 12"]
    right: Bool[np.ndarray, "n 12"]
    subject: np.ndarray


def collect(model: Model, frames: Frames, used: Bool[np.ndarray, " n_frames"]) -> Judged:
    """Decodes the frames that are used, three to a clip, as the evaluation's default does."""
    starts = clip_starts(frames, used, shift=CLIP)
    index = clip_frames(starts).ravel()
    predict = prediction.predictor(model, frames)
    poses, parts = [], []
    with tqdm(total=len(starts), desc="joints", unit="clip") as bar:
        for first in range(0, len(starts), BATCH):
            chosen = starts[first : first + BATCH]
            clips = model.clips(frames.depth_mm[clip_frames(chosen)])
            maps = Maps(*(m.reshape(-1, *m.shape[2:]) for m in predict(clips, chosen)))
            poses.append(model.decode(model.decoded_maps(maps)))
            depth = clips.reshape(-1, *clips.shape[2:4])
            radius_px = model.specification.decoding.radius_px
            parts.append(evidence(*maps, depth, poses[-1], radius_px))
            bar.update(len(chosen))
    joined = Poses(*(np.concatenate(part) for part in zip(*poses, strict=True)))
    distance = np.linalg.norm((joined.xy - frames.xy[index]) * to_paper_px(frames), axis=-1)
    visible = frames.visible[index]
    return Judged(
        index=index,
        poses=joined,
        evidence={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        visible=visible,
        right=visible & (distance <= NEAR_PX),
        subject=frames.subject[index],
    )


def join(first: Judged, second: Judged) -> Judged:
    """Returns the joints of both, infants of the second under other names; `index` is of no use."""
    return Judged(
        index=np.concatenate([first.index, second.index]),
        poses=Poses(*(np.concatenate(p) for p in zip(first.poses, second.poses, strict=True))),
        evidence={
            name: np.concatenate([values, second.evidence[name]])
            for name, values in first.evidence.items()
        },
        visible=np.concatenate([first.visible, second.visible]),
        right=np.concatenate([first.right, second.right]),
        subject=np.concatenate([first.subject, np.char.add(second.subject, " of more_dir")]),
    )
