"""The frames of a recording, on their way to the nets -> what does not suit them.

`jaxpose predict` and `jaxpose label export` read recordings through this module, so that both leave
out the same frames, and warn of the same.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt16
from tqdm import tqdm

from jaxpose.errors import DataError
from jaxpose.outputs.anatomy import anatomy, trained_direction
from jaxpose.outputs.doubts import about_distance
from jaxpose.prediction.pose import Pose
from jaxpose.prediction.upright import Upright
from jaxpose.prediction.view import View, check_inside, cropped
from jaxpose.recordings.recording import Frame
from jaxpose.recordings.source import Source

if TYPE_CHECKING:
    from jaxpose.estimator import Estimator

DISTANCES = 100
"""Number of frames whose median depth is looked at."""


def median_depth(depth_mm: UInt16[np.ndarray, "h w"]) -> float:
    """Returns the median depth, mm, of an image that has depth.

    Of large images, every fourth row and column is looked at, where they have depth.
    """
    coarse = depth_mm[::4, ::4]
    return float(np.median(coarse[coarse > 0] if coarse.any() else depth_mm[depth_mm > 0]))


class Inspection:
    """Looks at the frames of one recording while they are predicted.

    Attributes:
      problems: number of a frame that cannot be used -> why.
      size: (width, height) px of the images; None before the first one.
      upright: which turn of the images suits the model.
      distances_mm: median depth of each of the first frames, where the nets look.
      warnings: what the user should look at.
    """

    def __init__(self, estimator: "Estimator", source: Source, view: View):
        """`view` is what the nets see of the images of `source`."""
        self.problems: dict[int, str] = {}
        self.size: tuple[int, int] | None = None
        self.upright = Upright(estimator, view)
        self.distances_mm: list[float] = []
        self.warnings: list[str] = []
        self._estimator, self._source, self._view, self._count = estimator, source, view, 0

    def warn(self, text: str) -> None:
        """Prints a warning to stderr, and keeps it."""
        self.warnings.append(text)
        tqdm.write(f"warning: {self._source.path}: {text}", file=sys.stderr)

    def predicted(self, **options: Any) -> Iterator[tuple[Frame, Pose | None]]:
        """Yields each frame with its pose; `options` and errors are those of `with_frames`."""
        pairs = self._estimator.with_frames(self._frames(), view=self._view, **options)
        try:
            for pair in pairs:
                if self.upright.full and not self.upright.confidence:
                    self._compare_turns()
                yield pair
        except DataError as error:
            short = self._count < self._estimator.model.specification.clip_frames
            if short and self.problems:
                why = next(iter(self.problems.values()))
                raise DataError(f"{error}; the first that cannot be used: {why}") from error
            raise
        if len(self.problems) == self._count:
            why = next(iter(self.problems.values()))
            raise DataError(f"no frame can be read; the first: {why}")
        if not self.upright.confidence:
            self._compare_turns()

    @property
    def distance_mm(self) -> float | None:
        """Median of `distances_mm`; None where there is no depth to look at."""
        return float(np.median(self.distances_mm)) if self.distances_mm else None

    def check_distance(self) -> None:
        """Warns if the depth is not that of the model's training."""
        dataset = self._estimator.model.specification.provenance.get("dataset")
        for text in about_distance(self.distance_mm, dataset):
            self.warn(text)

    def check_orientation(self, records: np.ndarray) -> dict:
        """Returns which way the head points in all frames' records, and what each turn gave; warns.

        It also warns if right and left look exchanged.
        """
        specification, upright = self._estimator.model.specification, self.upright
        trained = trained_direction(
            np.array(specification.mean_pose), specification.grid[0], degrees=upright.turn
        )
        found, warnings = anatomy(records, trained, self.size[0])
        for text in warnings:
            self.warn(text)
        compared = {str(turn): round(value, 4) for turn, value in upright.confidence.items()}
        return {
            "turn": upright.turn,
            "mean_confidence_by_turn": compared,
            "clips_compared": upright.clips,
            **found,
        }

    def _compare_turns(self) -> None:
        self.upright.compare()
        if text := self.upright.warning():
            self.warn(text)

    def _frames(self) -> Iterator[Frame]:
        """Yields the frames of the recording; those that cannot be used have no depth."""
        for frame, problem in self._source.read():
            self._count += 1
            if frame.depth_mm is not None and not self._seen(frame.depth_mm).any():
                problem, frame = "no depth inside of the crop", frame._replace(depth_mm=None)
            if problem:
                self.problems[frame.number] = problem
            elif len(self.distances_mm) < DISTANCES:
                self.distances_mm.append(median_depth(self._seen(frame.depth_mm)))
            yield frame
            self.upright.add(frame)  # once it was found to fit those before

    def _seen(self, depth_mm: UInt16[np.ndarray, "h w"]) -> UInt16[np.ndarray, "_ _"]:
        """Returns the part of an image that the nets see, not turned."""
        if self.size is None:
            self.size = (depth_mm.shape[1], depth_mm.shape[0])
            if self._view.crop is not None:
                check_inside(self._view.crop, self.size)
        return cropped(depth_mm, self._view.crop)
