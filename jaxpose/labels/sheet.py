"""Corrected joints and depth images -> an infant in babyPose's layout.

result_pz<ID>.csv         written last
pz<ID>/<n>_16bit.png      copies of the exported depth, bit for bit
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxpose.body.skeleton import JOINTS
from jaxpose.errors import DataError
from jaxpose.files import write_text

COLUMNS = tuple(name.replace("wrist", "hand").replace("ankle", "foot") for name in JOINTS)
"""Names of the joints in a sheet: its hands are wrists, its feet are ankles."""
MISSING = "-1,-1"


def cell(xy: Float[np.ndarray, "2"], size: tuple[int, int]) -> str:
    """Returns the cell of a joint, px; NaN is a missing one.

    The first pixel's centre is (0, 0), which a sheet may not hold, as some programs write it where
    a joint is missing: it becomes 0.01,0.01.
    """
    if not np.isfinite(xy).all():
        return MISSING
    low, high = -0.5, np.array(size) - 0.51
    values = [f"{v:.2f}".rstrip("0").rstrip(".") for v in np.clip(xy, low, high)]
    values = ["0" if v == "-0" else v for v in values]
    return "0.01,0.01" if values == ["0", "0"] else ",".join(values)


def check_free(out: Path, infant: str) -> None:
    """Checks that a folder holds no such infant yet.

    Raises:
      DataError: it does, or the id is no number.
    """
    if not re.fullmatch("[0-9]{1,9}", infant):
        raise DataError(f"--id={infant}: expected a number, as in pz<ID>")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; expected a folder; choose another --out")
    name = re.compile(rf"(result_)?pz0*{int(infant)}(\.csv|\.xlsx)?", re.IGNORECASE)
    for path in sorted(out.iterdir()) if out.exists() else ():
        if name.fullmatch(path.name):
            raise DataError(
                f"{path}: infant {int(infant)} is there already; choose another --id, or remove it "
                "and its sheet"
            )


def write_infant(
    out: Path,
    infant: str,
    joints: Mapping[int, Float[np.ndarray, "12 2"]],
    depth: Mapping[int, Path],
    size: tuple[int, int],
) -> Path:
    """Writes an infant's frames and sheet, by frame number; returns the sheet's path.

    Raises:
      DataError: the folder holds such an infant already.
      OSError: a file cannot be written.
    """
    check_free(out, infant)
    folder, partial = out / f"pz{infant}", out / f"pz{infant}.partial"
    sheet = out / f"result_pz{infant}.csv"
    rows = [";".join(("image", *COLUMNS))]
    for number in sorted(joints):
        cells = [cell(xy, size) for xy in joints[number]]
        rows.append(";".join((f"{number}_16bit.png", *cells)))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for number in joints:
            shutil.copyfile(depth[number], partial / f"{number}_16bit.png")
        partial.rename(folder)
        write_text(sheet, "\n".join(rows) + "\n")
    except BaseException:  # such as a full disk: nothing of the infant is left
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return sheet
