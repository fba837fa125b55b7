"""All that lies between raw depth in mm and a pose, except the weights: a model file's header."""

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from jaxpose.body.skeleton import CONNECTION_NAMES, JOINTS
from jaxpose.decoding.confidence import Calibration
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
Linking = Literal["chain", "bipartite"]
"""Names of the ways to link joints to limbs, keys of `LINKERS`."""

LARGEST = 4096
"""Largest number of rows or columns of a grid: a damaged file cannot ask for more memory."""
LONGEST, WIDEST = 64, 64.0
"""Largest number of frames of a clip, and largest width multiplier, for the same reason."""
MOST = 1e6
"""Largest absolute value of all other numbers."""


def both_nets(
    variant: str, *, detection_factorise: str, detection_width: float, regression_width: float
) -> dict[str, Net]:
    """Describes both nets, "detection" and "regression", by the names that the options have."""
    return {
        "detection": detection.net(detection_width, FACTORISATIONS[detection_factorise]),
        "regression": regression.net(VARIANTS[variant], regression_width),
    }


@dataclasses.dataclass(frozen=True)
class Specification:
    """Describes how raw depth becomes a pose.

    Attributes:
      grid: rows and columns of the nets' input.
      depth_scale_mm: unit of the nets' input; each image's mean is removed before.
      background_mm: what a cell without a valid pixel has, in mm above the image's median cell.
      clip_frames: number of frames of a clip.
      frame_interval_s: seconds between neighbouring frames of a clip; None if they are not in time
        order.
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
      calibration: how scores become confidences; None if that was not fitted. A file without this
        field has none.
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
    frame_interval_s: float | None
    mean_pose: tuple[tuple[float, float], ...]
    detection_factorise: str = "full"
    clip_frames: int = 3
    maps: Maps = "regression"
    linking: Linking = "chain"
    calibration: Calibration | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    joints: tuple[str, ...] = JOINTS
    connections: tuple[str, ...] = CONNECTION_NAMES

    def nets(self) -> dict[str, Net]:
        """Describes both nets: "detection" and "regression"."""
        return both_nets(
            self.variant,
            detection_factorise=self.detection_factorise,
            detection_width=self.detection_width,
            regression_width=self.regression_width,
        )

    def check(self) -> None:
        """Checks the type and the range of every value.

        Raises:
          ModelError: a value that no model can have. The message names it.
        """
        for name, value in zip(("rows", "columns"), self.grid, strict=True):
            if not _is_integer(value, 1, LARGEST) or value % detection.SHRINK:
                raise ModelError(
                    f"grid: {value!r} {name}, expected a multiple of {detection.SHRINK} up to "
                    f"{LARGEST}"
                )
        for name in ("detection_width", "regression_width"):
            _check_number(name, getattr(self, name), above=0.0, most=WIDEST)
        for name in ("depth_scale_mm", "bn_epsilon", "target_scale"):
            _check_number(name, getattr(self, name), above=0.0)
        _check_number("background_mm", self.background_mm)
        if self.frame_interval_s is not None:
            _check_number("frame_interval_s", self.frame_interval_s, above=0.0)
        _check_integer("clip_frames", self.clip_frames, LONGEST)
        for name, known in (
            ("variant", VARIANTS),
            ("detection_factorise", FACTORISATIONS),
            ("linking", LINKERS),
            ("maps", get_args(Maps)),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ModelError(f"unknown {name} {value!r}, expected one of: {', '.join(known)}")
        _check_decoding(self.decoding)
        if self.calibration is not None:
            self.calibration.check()
        if self.joints != JOINTS or self.connections != CONNECTION_NAMES:
            raise ModelError("another skeleton; expected the joints and connections of jaxpose")
        if len(self.mean_pose) != len(JOINTS):
            raise ModelError(f"mean_pose has {len(self.mean_pose)} joints, expected {len(JOINTS)}")
        for joint, position in zip(JOINTS, self.mean_pose, strict=True):
            for value in position:
                _check_number(f"mean_pose of {joint}", value)
        _check_provenance(self.provenance)

    def as_json(self) -> dict[str, Any]:
        """Returns the specification as a JSON object, without a calibration that is None."""
        values = dataclasses.asdict(self)
        if self.calibration is None:
            del values["calibration"]
        return values

    @classmethod
    def from_json(cls, values: Any) -> "Specification":
        """Reads what `as_json` returned.

        Raises:
          ModelError: `values` is something else.
        """
        if not isinstance(values, dict):
            raise ModelError("the specification is no JSON object")
        names = {field.name for field in dataclasses.fields(cls)}
        if different := sorted((values.keys() | {"calibration"}) ^ names):
            kind = "unknown" if different[0] in values else "missing"
            raise ModelError(f"{kind} field {different[0]!r}")
        convert = {
            "grid": _pair,
            "decoding": _decoding,
            "calibration": Calibration.from_json,
            "mean_pose": lambda points: tuple(_pair(point) for point in points),
            "joints": tuple,
            "connections": tuple,
        }
        converted = dict(values)
        for name, function in convert.items():
            if name not in values:  # the calibration; other fields were compared above
                continue
            try:
                converted[name] = function(values[name])
            except (KeyError, TypeError, ValueError):
                raise ModelError(f"{name} is {values[name]!r}, which no model has") from None
        specification = cls(**converted)
        specification.check()
        return specification


def _pair(values) -> tuple:
    first, second = values
    return first, second


def _decoding(values: dict) -> Decoding:
    """Raises `TypeError` where a field is unknown or missing."""
    if values.keys() != {field.name for field in dataclasses.fields(Decoding)}:
        raise TypeError
    return Decoding(**values)


def _check_provenance(provenance) -> None:
    """Raises `ModelError` unless it is an object, whose subjects are lists of ids by part."""
    if not isinstance(provenance, Mapping):
        raise ModelError(f"provenance is {provenance!r}, expected a JSON object")
    subjects = provenance.get("subjects", {})
    if not isinstance(subjects, Mapping) or not all(
        isinstance(ids, Sequence) and all(isinstance(subject, str) for subject in ids)
        for ids in subjects.values()
    ):
        raise ModelError(f"provenance.subjects is {subjects!r}, expected lists of ids by part")


def _check_decoding(decoding: Decoding) -> None:
    """Raises `ModelError` for a decoding that no model can have."""
    _check_number("decoding.radius_px", decoding.radius_px, above=0.0)
    _check_number("decoding.min_score", decoding.min_score, above=0.0, most=1.0)
    _check_integer("decoding.max_candidates", decoding.max_candidates, LARGEST)
    _check_integer("decoding.points", decoding.points, LARGEST)


def _check_number(name: str, value, above: float = -MOST, most: float = MOST) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not above < value <= most:
        raise ModelError(
            f"{name} is {value!r}, expected a number above {above:g}, at most {most:g}"
        )


def _check_integer(name: str, value, largest: int) -> None:
    if not _is_integer(value, 1, largest):
        raise ModelError(f"{name} is {value!r}, expected an integer from 1 to {largest}")


def _is_integer(value, least: int, largest: int) -> bool:
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return integer and least <= value <= largest
