"""A trained model as one file: `Model.load(path).poses(frames_mm)`.

The file is in the safetensors format. Its header holds the specification as JSON, its tensors the
weights of both nets with their batch norms, so that training can go on from it; batch norms are
folded when the model computes. Loading executes nothing from the file. See docs/model-format.md.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt16

from jaxpose import model_file
from jaxpose.body import geometry
from jaxpose.decoding.combine import combine
from jaxpose.decoding.linking import LINKERS, Poses, poses
from jaxpose.errors import ModelError
from jaxpose.lowering import Lowering, fastest, lowering_named, missing_instructions
from jaxpose.model_file import NetWeights
from jaxpose.nets.compute import Computation, check_batch_size, fill_up, fold_net
from jaxpose.nets.predictor import predictor
from jaxpose.recordings.clips import clip_plan
from jaxpose.specification import Specification

BATCH = 8
"""Number of clips that are computed at a time by default."""
PRECISIONS = ("float32", "bfloat16")
"""Types of activations."""


class Maps(NamedTuple):
    """The output of both nets, float32 [... h w 20]: 12 joint maps, then 8 connection maps."""

    detection: Float[np.ndarray, "*n h w maps"]
    """Probabilities of the detection net."""
    regression: Float[np.ndarray, "*n h w maps"]
    """Confidence maps of the regression net; a perfect peak is about 1."""


class Model:
    """Both nets and all that surrounds them: estimates poses from depth in mm.

    Attributes:
      specification: all that lies between raw depth and a pose, except the weights.
      weights: name of a net ("detection", "regression") -> its weights by layer.
      lowering: how convolutions are computed.
      precision: type of activations, "float32" or "bfloat16".
      runtime: what computes the nets: "jax", or another one in `jaxpose.runtime.RuntimeModel`.
    """

    runtime = "jax"

    def __init__(
        self,
        specification: Specification,
        weights: Mapping[str, NetWeights],
        *,
        lowering: Lowering | str | None = None,
        precision: str = "float32",
    ):
        """Creates a model from its parts.

        `lowering` is an object or its name, by default the fastest that is available. By default a
        CPU without bfloat16 is refused; a lowering that is named may emulate it, slowly.

        Raises:
          ModelError: the specification is invalid, the weights do not fit it, or the lowering or
            the precision cannot be used here.
        """
        specification.check()
        if precision not in PRECISIONS:
            raise ModelError(f"precision={precision!r}: expected one of: {', '.join(PRECISIONS)}")
        lowering = lowering_named(lowering) if isinstance(lowering, str) else lowering
        if lowering is None and (reason := missing_instructions(precision)):
            raise ModelError(reason)
        if lowering is not None and (reason := lowering.unavailable(precision)):
            raise ModelError(f"lowering {lowering.name}, {precision}: {reason}")
        self.specification, self.weights = specification, weights
        self.lowering, self.precision = lowering or fastest(precision), precision
        model_file.check_weights(specification, weights)

    # ---- from depth to poses ----

    def poses(
        self,
        frames_mm: UInt16[np.ndarray, "n rows columns"],
        *,
        stride: int = 1,
        crop: tuple[int, int, int, int] | None = None,
        batch_size: int = BATCH,
    ) -> Poses:
        """Estimates the pose in every frame of a recording.

        Args:
          frames_mm: depth in mm, 0 where there is no return, in time order. Neighbours are
            `specification.frame_interval_s` apart.
          stride: frames from one clip to the next: 1 or `specification.clip_frames`, 3. With 1,
            clips overlap, and a frame's pose is that of the clip in whose middle it is; the first
            and the last frame take theirs from the first and the last clip. With 3, clips do not
            overlap; the last clip is moved back if the number of frames is not divisible by 3.
          crop: part of the image that the nets see, (x, y, width, height) px; by default all.
          batch_size: number of clips that are computed at a time.

        Returns:
          Joints (x, y) in px of the camera's image, float32 [n 12 2]; (0, 0) is the centre of the
          top-left pixel. A joint that was not found is at its map's maximum, with `found` False.

        Raises:
          ValueError: `frames_mm` has another type or shape, there are fewer frames than a clip has,
            or another argument is out of range.
        """
        geometry.check_frames(frames_mm)
        check_batch_size(batch_size)
        clip = self.specification.clip_frames
        if len(frames_mm) < clip:
            raise ValueError(f"{len(frames_mm)} frames: expected at least {clip}, one clip")
        if stride not in (1, clip):
            raise ValueError(f"stride={stride}: expected 1 or {clip}")
        if crop is None:
            crop = (0, 0, frames_mm.shape[2], frames_mm.shape[1])
        geometry.check_crop(crop)
        depth = self.to_grid(frames_mm, crop)
        starts, clip_of, position = clip_plan(len(depth), clip, stride)
        parts = []
        for first in range(0, len(starts), batch_size):
            index = starts[first : first + batch_size, None] + np.arange(clip)
            maps = self.decoded_maps(self.maps(self.clips(depth[index]), batch_size))
            frames = np.flatnonzero((clip_of >= first) & (clip_of < first + batch_size))
            parts.append(self.decode(maps[clip_of[frames] - first, position[frames]]))
        poses = Poses(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        xy = geometry.joints_from_grid(poses.xy, np.array(crop), self.specification.grid)
        return poses._replace(xy=xy)

    def to_grid(
        self, frames_mm: UInt16[np.ndarray, "n rows columns"], crop: tuple[int, int, int, int]
    ) -> Float[np.ndarray, "n h w"]:
        """Reduces the crop (x, y, width, height) px of camera images to the nets' grid, in mm."""
        specification = self.specification
        return geometry.depth_to_grid(
            frames_mm, crop, specification.grid, specification.background_mm
        )

    def clips(self, grid_mm: Float[np.ndarray, "b t h w"]) -> Float[np.ndarray, "b t h w 1"]:
        """Computes the nets' input: each image minus its mean, in units of `depth_scale_mm`."""
        images = grid_mm.reshape(-1, *grid_mm.shape[2:])
        images = geometry.standardise(images, self.specification.depth_scale_mm)
        return images.reshape(*grid_mm.shape, 1)

    def maps(self, clips: Float[np.ndarray, "b t h w 1"], batch_size: int = BATCH) -> Maps:
        """Computes both nets' maps of one or more clips, `batch_size` at a time.

        Raises:
          ValueError: there is no clip, or clips have another shape; or `batch_size` is below 1.
        """
        check_batch_size(batch_size)
        self.check_clips(clips)
        parts = []
        for first in range(0, len(clips), batch_size):
            batch = clips[first : first + batch_size]
            size = len(batch)
            detection, regression = self._predict(fill_up(batch, batch_size))
            parts.append((detection[:size], regression[:size]))
        return Maps(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def check_clips(self, clips: Float[np.ndarray, "b t h w 1"]) -> None:
        """Raises `ValueError` if there is no clip, or clips have another shape than the nets'."""
        expected = (self.specification.clip_frames, *self.specification.grid, 1)
        if not len(clips) or clips.shape[1:] != expected:
            raise ValueError(
                f"clips are {[*clips.shape]}; expected 1 or more of {[*expected]}, as from `clips`"
            )

    def decoded_maps(self, maps: Maps) -> Float[np.ndarray, "*n h w maps"]:
        """Returns the maps that are decoded: the regression net's, or both nets' combined."""
        if self.specification.maps == "combined":
            return combine(maps.detection, maps.regression)
        return maps.regression

    def decode(self, maps: Float[np.ndarray, "n h w maps"], linking: str | None = None) -> Poses:
        """Decodes the maps of n >= 1 frames; positions are (x, y) in px of the grid.

        `linking` is a key of `LINKERS`, by default the specification's.
        """
        linking = self.specification.linking if linking is None else linking
        if linking not in LINKERS:
            raise ValueError(f"unknown linking {linking!r}; one of: {', '.join(LINKERS)}")
        return poses(maps, self.specification.decoding, LINKERS[linking])

    @functools.cached_property
    def _predict(self):
        specification = self.specification
        folded = {
            net: fold_net(weights, specification.bn_epsilon)
            for net, weights in self.weights.items()
        }
        computation = Computation(self.lowering, self.precision)
        predict = predictor(specification.nets(), folded, computation)

        def scaled(clips):
            detection, regression = predict(clips)
            return detection, regression / specification.target_scale

        return scaled

    # ---- from and to a file ----

    def save(self, path: Path) -> None:
        """Writes the model beside `path`, then renames the file, so that it is never half written.

        Raises:
          OSError: `path` cannot be written.
        """
        model_file.write(path, self.specification, self.weights)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        lowering: Lowering | str | None = None,
        precision: str = "float32",
    ) -> "Model":
        """Reads a file that `save` wrote; `lowering` and `precision` as in `Model`.

        Raises:
          ModelError: the file is missing, damaged, foreign, or of a newer version.
        """
        specification, weights = model_file.read(path)
        try:
            return cls(specification, weights, lowering=lowering, precision=precision)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None

    def with_provenance(self, **facts) -> "Model":
        """Returns a model whose specification has `facts` in its provenance, too."""
        provenance = {**self.specification.provenance, **facts}
        specification = dataclasses.replace(self.specification, provenance=provenance)
        return Model(specification, self.weights, lowering=self.lowering, precision=self.precision)

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the specification and the weights: SHA-256, 64 hexadecimal digits."""
        return model_file.digest(self.specification, self.weights)
