"""Rules for the depth of an infant: its unit, values for "no return", copies of other images."""

import dataclasses
import hashlib
from collections import Counter

import numpy as np
from jaxtyping import UInt8, UInt16

from data_pipeline.babypose.frames import Infant
from data_pipeline.babypose.joint_rules import usual_of
from data_pipeline.babypose.sheets import FEWEST_FRAMES, Problem, Report

SPIKE = 0.003
"""Least share of an image's pixels at one value that may be a constant for "no return"."""
AROUND = 0.1
"""A surface has depth within this share of a value, too; a constant stands alone."""
FINEST = 3
"""Least distance of values that counts as near."""
LEAST_OTHERS = 0.02
"""Least share of an image's pixels with other depth; without them, a constant is all there is."""
UNIT_TIMES, STRANGE_TIMES = 3.0, 1.8
"""Ratios of an infant's median depth to the usual one: another unit, and worth a look."""
JUMP_TIMES = 5.0
"""Ratio of an image's median depth to its infant's: another unit in some images."""
GREY = 255
"""Largest grey level."""
LEAST_VALID = 0.1
"""Least share of pixels with depth: beyond it, nearly all of the image is filled in."""
USUAL_MM = (150, 4000)
"""Median depth that a camera above an infant can measure."""


@dataclasses.dataclass
class Depths:
    """What the rules need of an infant's images, collected while they are read once.

    Attributes:
      digests: digest of each image -> index of its first frame.
      constants: value -> number of images in which it stands alone.
      medians: index of each image -> median depth above 0.
      largest: largest value of all images.
      copies: number of images that are copies of another of the same infant.
      empty: number of images almost without depth.
    """

    digests: dict[bytes, int] = dataclasses.field(default_factory=dict)
    constants: Counter[int] = dataclasses.field(default_factory=Counter)
    medians: dict[int, float] = dataclasses.field(default_factory=dict)
    largest: int = 0
    copies: int = 0
    empty: int = 0

    def add(self, index: int, depth: UInt16[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]) -> None:
        """Collects the properties of one image that has depth."""
        counts = np.bincount(depth.ravel())
        counts[0] = 0
        valid = int(counts.sum())
        if np.count_nonzero(counts) > 1:  # an image of one value is nobody's copy
            digest = hashlib.blake2b(depth.tobytes(), digest_size=16).digest()
            self.copies += self.digests.setdefault(digest, index) != index
        self.constants.update(_alone(counts, depth.size))
        self.medians[index] = float(np.searchsorted(np.cumsum(counts), valid / 2))
        self.largest = max(self.largest, len(counts) - 1)
        self.empty += valid < LEAST_VALID * depth.size

    @property
    def median(self) -> float:
        """Median depth of the infant; 0 without a usable image."""
        return float(np.median([*self.medians.values()])) if self.medians else 0.0


def _alone(counts: np.ndarray, pixels: int) -> list[int]:
    """Returns the values that many pixels have, and few have one near it.

    `counts` is the number of pixels by value, without those of 0.
    """
    up_to = np.concatenate([[0], np.cumsum(counts)])
    values = np.flatnonzero(counts >= SPIKE * pixels)
    reach = np.maximum(AROUND * values, FINEST).astype(int)
    low, high = np.maximum(values - reach, 0), np.minimum(values + reach, len(counts) - 1)
    near = up_to[high + 1] - up_to[low] - counts[values]
    others = up_to[-1] - counts[values]
    alone = (near < counts[values] / 3) & (others >= LEAST_OTHERS * pixels)
    return values[alone].tolist()


def check_depths(
    infants: list[Infant], depths: list[Depths], problem: Report, remark: Report
) -> None:
    """Reports what is wrong with the depth of infants; `depths` has an entry for each of them."""
    _check_bits(infants, problem, remark)
    _check_copies(infants, depths, problem, remark)
    in_mm = [(i, d) for i, d in zip(infants, depths, strict=True) if i.bits == 16 and d.median]
    for infant, found in in_mm:
        _check_images(infant, found, problem, remark)
    medians = [found.median for _, found in in_mm]
    for (infant, found), usual in zip(in_mm, usual_of(medians), strict=True):
        _check_unit(infant, found, usual, problem, remark)


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
    """Reports images that two infants share, and images that repeat."""
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


def _check_images(infant: Infant, found: Depths, problem: Report, remark: Report) -> None:
    """Reports constants for "no return", images in another unit, and images without depth."""
    path = str(infant.sheet.path)
    for value, count in found.constants.items():
        what = (
            f"many pixels are exactly {value} and few near it, images: {count}; expected 0 where "
            "nothing was measured or a background was cut away; replace that value by 0"
        )
        report = problem if count >= min(FEWEST_FRAMES, len(infant.images)) else remark
        report(Problem(path, None, what))
    other = [
        index
        for index, median in found.medians.items()
        if max(median, found.median) > JUMP_TIMES * min(median, found.median)
    ]
    if other:
        what = (
            f"median depth {found.medians[other[0]]:.0f}, of the infant's images "
            f"{found.median:.0f}, images like it: {len(other)}; expected millimetres in all"
        )
        problem(Problem(path, int(infant.sheet.rows[other[0]]), what))
    if found.empty:
        what = f"images with depth in less than {LEAST_VALID:.0%} of their pixels: {found.empty}"
        remark(Problem(path, None, what))


def _check_unit(
    infant: Infant, found: Depths, usual: float, problem: Report, remark: Report
) -> None:
    """Reports an infant whose depth is not in mm, or differs much from the usual one."""
    path, median = str(infant.sheet.path), found.median
    times = max(median, usual) / min(median, usual)
    if times > UNIT_TIMES:
        what = (
            f"median depth {median:.0f}, usual {usual:.0f}; expected millimetres in all "
            "images; convert them, or remove the infant"
        )
        problem(Problem(path, None, what))
    elif found.largest <= GREY:
        what = f"no value is above {GREY}: grey levels, or another unit; expected millimetres"
        problem(Problem(path, None, what))
    elif times > STRANGE_TIMES:
        what = f"median depth {median:.0f}, usual {usual:.0f}; look whether both are millimetres"
        remark(Problem(path, None, what))
    elif not USUAL_MM[0] <= median <= USUAL_MM[1]:
        what = (
            f"median depth {median:.0f}; expected millimetres, {USUAL_MM[0]} to {USUAL_MM[1]} for "
            "a camera above a bed"
        )
        remark(Problem(path, None, what))
