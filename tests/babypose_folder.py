"""Makes small babyPose-like folders for tests."""

from pathlib import Path

import cv2
import numpy as np
import openpyxl

HEADER = (
    "image;head;right_hand;right_elbow;right_shoulder;neck;left_shoulder;left_elbow;left_hand;"
    "right_foot;right_knee;right_hip;left_hip;left_knee;left_foot"
)
"""As in the published sheets."""

# An infant with its head down, as shares of the image's width and height: right has larger x.
_POSE = {
    "head": (0.5, 0.9),
    "right_hand": (0.85, 0.55), "right_elbow": (0.8, 0.7), "right_shoulder": (0.62, 0.75),
    "neck": (0.5, 0.8),
    "left_shoulder": (0.38, 0.75), "left_elbow": (0.2, 0.7), "left_hand": (0.15, 0.55),
    "right_foot": (0.75, 0.1), "right_knee": (0.7, 0.25), "right_hip": (0.58, 0.4),
    "left_hip": (0.42, 0.4), "left_knee": (0.3, 0.25), "left_foot": (0.25, 0.1),
}  # fmt: skip


def numbers(frames: int) -> list[int]:
    """1, 6, 11, ...: every fifth raw frame is annotated."""
    return [1 + 5 * k for k in range(frames)]


def write_folder(
    root: Path,
    infants: dict[str, int] | None = None,
    size: tuple[int, int] = (48, 64),
    seed: int = 0,
    deepest_mm: int = 6553,
) -> Path:
    """Writes `root`/pz<ID>/<n>_16bit.png and `root`/result_pz<ID>.csv, and returns `root`.

    infants: id -> number of frames, by default {"1": 6}; size: (h, w). Depth is uint16 mm up to
    `deepest_mm` with 5 % of holes. Rows are sorted as strings, as in the published sheets. All
    joints are visible, inside the image, and move by up to one pixel from frame to frame.
    """
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    for subject, frames in ({"1": 6} if infants is None else infants).items():
        (root / f"pz{subject}").mkdir()
        rows = []
        for n in numbers(frames):
            write_depth(root / f"pz{subject}" / f"{n}_16bit.png", size, rng, deepest_mm)
            rows.append(f"{n}_8bit.png;" + ";".join(_pose_cells(size, rng)))
        write_csv(root / f"result_pz{subject}.csv", [HEADER, *sorted(rows)])
    return root


def write_depth(
    path: Path, size: tuple[int, int], rng: np.random.Generator, deepest_mm: int = 6553
) -> np.ndarray:
    """Writes a PNG of random depth, uint16 [h w], and returns what is in it."""
    depth = rng.integers(1, deepest_mm + 1, size, np.uint16)
    depth[rng.random(size) < 0.05] = 0
    assert cv2.imwrite(str(path), depth)
    return depth


def write_csv(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_csv(path: Path) -> list[list[str]]:
    """Rows of cells, header first; give them back to `write_cells`."""
    return [line.split(";") for line in path.read_text(encoding="utf-8").splitlines()]


def write_cells(path: Path, rows: list[list[str]]) -> None:
    write_csv(path, [";".join(row) for row in rows])


def to_xlsx(path: Path) -> Path:
    """Replaces a .csv by a workbook with the same cells as text, and returns the new path."""
    workbook = openpyxl.Workbook()
    for row in read_csv(path):
        workbook.active.append([cell or None for cell in row])
    path.unlink()
    workbook.save(path.with_suffix(".xlsx"))
    return path.with_suffix(".xlsx")


def _pose_cells(size: tuple[int, int], rng: np.random.Generator) -> list[str]:
    h, w = size
    cells = []
    for name in HEADER.split(";")[1:]:
        x, y = _POSE[name]
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        cells.append(f"{round(x * (w - 1) + dx)},{round(y * (h - 1) + dy)}")
    return cells
