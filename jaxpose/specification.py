"""All that lies between raw depth in mm and a pose, except the weights: a model file's header."""

import dataclasses
import math
from typing import Any, Literal, get_args

from jaxpose.body.skeleton import CONNECTION_NAMES, JOINTS
from jaxpose.decoding.linking import LINKERS
from jaxpose.decoding.peaks import Decoding
from jaxpose.errors import ModelError
from jaxpose.nets import detection, regression
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS
from jaxpose.nets.layers import Net

FORMAT = 1
"""Version of the model format. Raise it when an older jaxpose cannot read what this one writes."""

Maps = Literal["regression", "combined"]
"""Names of the maps that can be decoded: the regression net's, or both nets' geometric mean."""

LARGEST = 4096
"""Largest number of rows or columns of a grid: a damaged file cannot ask for more memory."""


@dataclasses.dataclass(frozen=True)
class Specification:
    """Describes how raw depth becomes a pose.

    Attributes:
      grid: rows and columns of the nets' input.
      depth_scale_mm: unit of the nets' input; each image's mean is removed before.
      background_mm: what a cell without a valid pixel has, in mm above the image's median cell.
      clip_frames: number of frames of a clip.
      frame_interval_s: seconds between neighbouring frames of a clip.
      variant: the regression net, a key of `VARIANTS`.
      detection_factorise: what replaces the 3x3x3 convolutions of the detection net, a key of
        `FACTORISATIONS`.
      detection_width: width multiplier of the detection net.
      regression_width: width multiplier of the regression net.
      bn_epsilon: number that batch norm adds to the variance.
      target_scale: the regression net's maps are this factor larger than its targets.
      decoding: how maps become candidates; its `radius_px` is also the radius of the masks.
      maps: which maps are decoded.
      linking: how candidates become a pose, a key of `LINKERS`.
      mean_pose: joints (x, y) of the mean training pose, px of the grid; a baseline.
      provenance: what the model was trained on: data set, split, seed, commit, metrics.
      joints: names of the first maps, in order.
      connections: names of the maps after them.
    """

    grid: tuple[int, int]
    depth_scale_mm: float
    background_mm: float
    variant: str
    detection_width: float
    regression_width: float
    bn_epsilon: float
    target_scale: float
    decoding: Decoding
    detection_factorise: str = "full"
    clip_frames: int = 3
    frame_interval_s: float = 1 / 6
    maps: Maps = "regression"
    linking: str = "chain"
    mean_pose: tuple[tuple[float, float], ...] | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    joints: tuple[str, ...] = JOINTS
    connections: tuple[str, ...] = CONNECTION_NAMES

    def nets(self) -> dict[str, Net]:
        """Describes both nets: "detection" and "regression"."""
        factorise = FACTORISATIONS[self.detection_factorise]
        return {
            "detection": detection.net(self.detection_width, factorise),
            "regression": regression.net(VARIANTS[self.variant], self.regression_width),
        }

    def check(self) -> None:
        """Checks the values.

        Raises:
          ModelError: a value that no model can have.
        """
        rows, columns = self.grid
        for name, value in (("rows", rows), ("columns", columns)):
            if not 0 < value <= LARGEST or value % detection.SHRINK:
                raise ModelError(
                    f"grid: {value} {name}, expected a multiple of {detection.SHRINK} up to "
                    f"{LARGEST}"
                )
        for name in ("depth_scale_mm", "detection_width", "regression_width", "bn_epsilon"):
            _check_positive(name, getattr(self, name))
        for name in ("target_scale", "frame_interval_s"):
            _check_positive(name, getattr(self, name))
        _check_positive("decoding.radius_px", self.decoding.radius_px)
        for name, known in (
            ("variant", VARIANTS),
            ("detection_factorise", FACTORISATIONS),
            ("linking", LINKERS),
            ("maps", get_args(Maps)),
        ):
            if getattr(self, name) not in known:
                raise ModelError(
                    f"unknown {name} {getattr(self, name)!r}, expected one of: {', '.join(known)}"
                )
        if self.joints != JOINTS or self.connections != CONNECTION_NAMES:
            raise ModelError("another skeleton; expected the joints and connections of jaxpose")

    def as_json(self) -> dict[str, Any]:
        """Returns the specification as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Specification":
        """Reads what `as_json` returned.

        Raises:
          ModelError: `values` is something else.
        """
        if not isinstance(values, dict):
            raise ModelError("the specification is no JSON object")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values.keys() ^ fields.keys():
            raise ModelError(f"{'unknown' if name in values else 'missing'} field {name!r}")
        try:
            specification = cls(
                **{
                    **values,
                    "grid": tuple(int(n) for n in values["grid"]),
                    "decoding": Decoding(**values["decoding"]),
                    "mean_pose": _points(values["mean_pose"]),
                    "joints": tuple(values["joints"]),
                    "connections": tuple(values["connections"]),
                }
            )
            specification.check()
        except (TypeError, ValueError) as error:
            raise ModelError(f"the specification is damaged: {error}") from None
        return specification


def _points(values) -> tuple[tuple[float, float], ...] | None:
    return None if values is None else tuple((float(x), float(y)) for x, y in values)


def _check_positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ModelError(f"{name} is {value!r}, expected a number above 0")
