"""Rules for the depth of an infant: its unit, values for "no return", copies of other images."""

import dataclasses
import hashlib
from collections import Counter

import numpy as np
from jaxtyping import UInt16

from data_pipeline.babypose.frames import Infant
from data_pipeline.babypose.joint_rules import usual_of
from data_pipeline.babypose.sheets import FEWEST_FRAMES, Problem, Report

SPIKE = (0.005, 0.5)
"""Share of an image's pixels at its largest value that may be a constant for "no return"."""
NEAR = 0.8
"""Depth of a surface reaches from this share of the largest value; a constant stands alone."""
MOST_TIMES = 4.0
"""Largest ratio of an infant's median depth to the usual one: beds are alike."""
USUAL_MM = (150, 4000)
"""Median depth that a camera above an infant can measure."""


@dataclasses.dataclass
class Depths:
    """What the rules need of an infant's images, collected while they are read once.

    Attributes:
      digests: digest of each image -> index of its first frame.
      constants: value -> number of images in which it stands alone above all others.
      medians: median depth above 0 of each image.
      copies: number of images that are copies of another of the same infant.
    """

    digests: dict[bytes, int] = dataclasses.field(default_factory=dict)
    constants: Counter[int] = dataclasses.field(default_factory=Counter)
    medians: list[float] = dataclasses.field(default_factory=list)
    copies: int = 0

    def add(self, index: int, depth: UInt16[np.ndarray, "h w"]) -> None:
        """Collects the properties of one image."""
        digest = hashlib.blake2b(depth.tobytes(), digest_size=16).digest()
        self.copies += self.digests.setdefault(digest, index) != index
        coarse = depth[::4, ::4]
        self.medians.append(float(np.median(coarse[coarse > 0])) if coarse.any() else 0.0)
        largest = int(depth.max())
        alone = np.count_nonzero(depth == largest)
        near = np.count_nonzero(depth >= NEAR * largest) - alone
        low, high = SPIKE
        if low * depth.size <= alone <= high * depth.size and near < alone / 10:
            self.constants[largest] += 1

    @property
    def median(self) -> float:
        """Median depth of the infant; 0 without a usable image."""
        return float(np.median(self.medians)) if self.medians else 0.0


def check_depths(
    infants: list[Infant], depths: list[Depths], problem: Report, remark: Report
) -> None:
    """Reports what is wrong with the depth of infants; `depths` has an entry for each of them."""
    _check_bits(infants, problem, remark)
    _check_copies(infants, depths, problem, remark)
    in_mm = [(i, d) for i, d in zip(infants, depths, strict=True) if i.bits == 16 and d.median]
    for infant, found in in_mm:
        _check_constants(infant, found, problem)
    medians = [found.median for _, found in in_mm]
    for (infant, found), usual in zip(in_mm, usual_of(medians), strict=True):
        _check_unit(infant, found.median, usual, problem, remark)


def _check_bits(infants: list[Infant], problem: Report, remark: Report) -> None:
    """Reports infants with grey levels; beside infants with depth they are a problem."""
    grey = [infant for infant in infants if infant.bits == 8]
    for infant in grey:
        path = str(infant.sheet.path)
        if len(grey) == len(infants):
            what = "8-bit images only: their values are grey levels, not millimetres"
            remark(Problem(path, None, what))
        else:
            what = (
                "8-bit images, which are grey levels, beside infants with depth in mm; add its "
                "16-bit images, or remove the infant"
            )
            problem(Problem(path, None, what))


def _check_copies(
    infants: list[Infant], depths: list[Depths], problem: Report, remark: Report
) -> None:
    owner: dict[bytes, Infant] = {}
    for infant, found in zip(infants, depths, strict=True):
        path = str(infant.sheet.path)
        owners = Counter(
            str(owner[digest].sheet.path)
            for digest in found.digests
            if owner.setdefault(digest, infant) is not infant
        )
        for other, count in owners.items():
            what = (
                f"images that are images of {other} too: {count}; an infant with two ids would be "
                "trained on and tested on: remove one of the two"
            )
            problem(Problem(path, None, what))
        if found.copies:
            what = (
                f"exact copies of earlier images of this infant: {found.copies}; look whether the "
                "recording stood still"
            )
            remark(Problem(path, None, what))


def _check_constants(infant: Infant, found: Depths, problem: Report) -> None:
    for value, count in found.constants.items():
        if count >= min(FEWEST_FRAMES, len(infant.images)):
            what = (
                f"many pixels are exactly {value} and hardly one is {NEAR * value:.0f} to "
                f"{value - 1}, images: {count}; expected 0 where nothing was measured or a "
                "background was cut away; replace that value by 0"
            )
            problem(Problem(str(infant.sheet.path), None, what))


def _check_unit(
    infant: Infant, median: float, usual: float, problem: Report, remark: Report
) -> None:
    path = str(infant.sheet.path)
    if max(median, usual) > MOST_TIMES * min(median, usual):
        what = (
            f"median depth {median:.0f}, usual {usual:.0f}; expected millimetres in all "
            "images; convert them, or remove the infant"
        )
        problem(Problem(path, None, what))
    elif not USUAL_MM[0] <= median <= USUAL_MM[1]:
        what = (
            f"median depth {median:.0f}; expected millimetres, {USUAL_MM[0]} to {USUAL_MM[1]} for "
            "a camera above a bed"
        )
        remark(Problem(path, None, what))
