"""babyPose annotation sheets (`result_pz<ID>.csv` or `.xlsx`) -> joints per frame.

Readers call their argument `report` once per problem. `raise_first` stops at the first one; the
`append` of a list collects all of them, and the reader continues with what can still be used.
"""

import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipeline.babypose.text_table import read_lines
from data_pipeline.babypose.workbook import Row, read_table
from data_pipeline.errors import DataError
from jaxpose.body.skeleton import JOINTS

COLUMNS = tuple(j.replace("wrist", "hand").replace("ankle", "foot") for j in JOINTS)
"""Columns of a sheet in the order of `JOINTS`: its hands are wrists, its feet are ankles."""

IGNORED = ("head", "neck")
FEWEST_FRAMES = 3  # a clip
SHEET_NAME = re.compile(r"result_pz([0-9]+)\.(csv|xlsx)", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"([0-9]+)_(?:8|16)bit\.png")
_MOST_NUMBER = 2**31 - 1  # the schema's int32
_NUMBER = r"\s*(-?[0-9]+(?:\.[0-9]*)?)\s*"
_CELL = re.compile(f"{_NUMBER},{_NUMBER}")


class Problem(NamedTuple):
    """A problem or a remark, with its place.

    Attributes:
      file: path of the sheet or the folder, as the user wrote its beginning.
      row: row as a spreadsheet program numbers it, the header being row 1; None: the whole file.
      what: what is wrong and what to do.
    """

    file: str
    row: int | None
    what: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{where}: {self.what}"


Report = Callable[[Problem], None]


def raise_first(problem: Problem) -> NoReturn:
    """Raises the problem as a `DataError`; the `report` of a reader that stops at the first one."""
    raise DataError(str(problem))


class Sheet(NamedTuple):
    """The annotated frames of one infant.

    Attributes:
      path: the file.
      subject: the infant's id, without the "pz".
      rows: row of each frame in the file, as in `Problem`.
      numbers: number of each frame in the recording, as written in its image's name.
      joints: (x, y) px of the image in the order of `JOINTS`, (-1, -1) where missing. They may lie
        outside the image, whose size is not in a sheet.
    """

    path: Path
    subject: str
    rows: Int[np.ndarray, " n"]
    numbers: tuple[str, ...]
    joints: Float[np.ndarray, "n 12 2"]

    @property
    def frames(self) -> Int[np.ndarray, " n"]:
        """Number of each frame as an integer."""
        return np.array([int(n) for n in self.numbers], np.int32)

    @property
    def visible(self) -> Bool[np.ndarray, "n 12"]:
        """Which joints have a position."""
        return (self.joints != -1).any(-1)

    def take(self, order: Int[np.ndarray, " k"]) -> "Sheet":
        """Returns the sheet with the frames of these indices."""
        return self._replace(
            rows=self.rows[order],
            numbers=tuple(self.numbers[k] for k in order),
            joints=self.joints[order],
        )

    def in_time_order(self) -> "Sheet":
        """Returns the sheet sorted by frame number, as the rows of published sheets are not."""
        return self.take(np.argsort(self.frames))


def ignore(remark: Problem) -> None:
    """Drops a remark; the `remark` of a reader that only needs what is usable."""


def read_sheet(path: Path, report: Report, remark: Report = ignore) -> Sheet | None:
    """Reads one sheet in the order of its rows; returns None if nothing in it can be used.

    In a workbook, this is the worksheet with the table. Rows with a problem are left out. `remark`
    is called for what is not read, and for empty cells.
    """

    def problem(what: str, row: int | None = None) -> None:
        report(Problem(str(path), row, what))

    named = SHEET_NAME.fullmatch(path.name)
    if not named:
        problem("not a sheet's name; name it result_pz<ID>.csv or result_pz<ID>.xlsx")
        return None
    try:
        read = _workbook_rows if named[2].lower() == "xlsx" else read_lines
        filled = read(path, lambda what: remark(Problem(str(path), None, what)))
    except DataError as error:
        problem(str(error))
        return None
    if not filled:
        problem("the sheet is empty; export it again with its header and its frames")
        return None
    header_row, header = filled[0]
    names = [row for row, cells in filled[1:] if "image" in map(str.lower, cells)]
    if names and "image" not in map(str.lower, header):
        problem(
            f"the names of the columns are in row {names[0]}; delete the rows above", header_row
        )
        return None
    columns = _columns(header, lambda what: problem(what, header_row))
    if columns is None:
        return None

    rows, numbers, joints, empty = [], [], [], []
    row_of: dict[int, int] = {}
    for row, cells in filled[1:]:
        try:
            number, xy = _read_row(cells, columns, header)
        except DataError as error:
            problem(str(error), row)
            continue
        first = row_of.setdefault(int(number), row)
        if first != row:
            problem(f"frame {int(number)} is already in row {first}; remove one of the two", row)
            continue
        empty += [row] * sum(not cells[columns[column]] for column in COLUMNS)
        rows.append(row)
        numbers.append(number)
        joints.append(xy)

    if empty:
        what = f"empty cells count as missing joints: {len(empty)}; write -1,-1 there"
        remark(Problem(str(path), empty[0], what))
    # Rows that were reported above count here, so that no row of a short sheet is reported twice.
    if len(filled) - 1 < FEWEST_FRAMES:
        problem(
            f"{len(filled) - 1} annotated frames; expected at least {FEWEST_FRAMES} (one clip); "
            "add frames or remove the sheet"
        )
    if not rows:
        return None
    sheet = Sheet(path, named[1], np.array(rows), tuple(numbers), np.array(joints, np.float32))
    if not sheet.visible.any():
        problem("every joint of every frame is missing (-1,-1); annotate it or remove the sheet")
    return sheet


def _columns(header: list[str], problem: Callable[[str], None]) -> dict[str, int] | None:
    """Returns the index of `image` and the 12 joints by column name; None if one is ambiguous."""
    names = [name.lower() for name in header]
    if len(names) == 1:
        problem(f"one column only, {header[0][:40]!r}; separate the columns by ';'")
        return None
    expected = ("image", *COLUMNS)
    sound = True
    for name in expected:
        if names.count(name) != 1:
            result = "missing" if name not in names else f"there {names.count(name)} times"
            problem(f"column {name!r} is {result}; expected once each: {', '.join(expected)}")
            sound = False
    for name in names:
        if name and name not in (*expected, *IGNORED):
            problem(f"unknown column {name!r}; rename or remove it")
            sound = False
    return {name: names.index(name) for name in expected} if sound else None


def _read_row(
    cells: list[str], columns: dict[str, int], header: list[str]
) -> tuple[str, Float[np.ndarray, "12 2"]]:
    """Returns the frame number, as written, and the joints of a row.

    Raises:
      DataError: the row cannot be used.
    """
    if len(cells) < len(header):
        raise DataError(f"{len(cells)} cells, the header has {len(header)}; restore the whole row")
    for cell, name in zip_longest(cells, header, fillvalue=""):
        if cell and not name:
            raise DataError(f"cell {cell!r} is in a column without a name; remove it")
    name = cells[columns["image"]]
    image = _IMAGE_NAME.fullmatch(name)
    if not image:
        raise DataError(
            f"{name!r} is not an image name; expected <number>_8bit.png or <number>_16bit.png, "
            "without a folder"
        )
    digits = image[1].lstrip("0")
    if len(digits) > 10 or int(digits or 0) > _MOST_NUMBER:
        raise DataError(
            f"{name!r}: expected a frame number of at most {_MOST_NUMBER}; number the frames "
            "1, 2, 3 ... in the order of recording, not by time stamps"
        )
    joints = np.full((len(COLUMNS), 2), -1, np.float32)
    for joint, column in enumerate(COLUMNS):
        if cell := cells[columns[column]]:
            xy = _CELL.fullmatch(cell)
            if cell.startswith("="):
                raise DataError(
                    f"{column} is the formula {cell!r} without a stored value; open the workbook "
                    "in a spreadsheet program, which calculates it, and save it"
                )
            if not xy:
                raise DataError(
                    f"{column} is {cell!r}; expected x,y in pixels such as 280,346, "
                    "or -1,-1 where missing"
                )
            joints[joint] = float(xy[1]), float(xy[2])
    return image[1], joints


def is_header(cells: list[str]) -> bool:
    """Tells whether a row names the columns of a sheet: the image, and a joint."""
    names = {cell.lower() for cell in cells}
    return "image" in names and not names.isdisjoint(COLUMNS)


def _workbook_rows(path: Path, remark: Callable[[str], None]) -> list[Row]:
    return read_table(path, is_header, IGNORED, remark)
