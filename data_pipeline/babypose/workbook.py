"""An Excel workbook -> the rows of its one table, as text, with nothing dropped silently.

A workbook can hold more than a reader sees: further worksheets, formulas whose values were never
stored, merged cells, rows and columns that are hidden. Each is read, or refused with what to do.
"""

import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.errors import DataError

MOST_BYTES = 2**28
"""Largest size of a workbook once its parts are unpacked; annotation sheets have a few MB."""
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
"""First bytes of workbooks with a password, and of Excel's format before .xlsx."""
_NO_WORKBOOK = "not an Excel workbook; save it as .xlsx, or as .csv with columns separated by ';'"

Row = tuple[int, list[str]]
"""(row as a spreadsheet program numbers it, its cells up to the table's last column)."""


def read_table(path: Path, first_column: str) -> list[Row]:
    """Reads the rows that have any text.

    If several worksheets have content, the table is on the one that has a cell `first_column`. A
    formula is its stored value, or its own text, which begins with "=", where none is stored.

    Raises:
      DataError: a file that is no workbook, several tables, merged cells, or hidden ones.
    """
    _check_file(path)
    try:
        worksheets = dict(_worksheets(path))
    except DataError:
        raise
    except Exception as error:  # openpyxl lets zip, zlib, XML and key errors of any kind through
        raise DataError(_NO_WORKBOOK) from error
    tables = {
        title: rows
        for title, rows in worksheets.items()
        if any(first_column in map(str.lower, cells) or _annotates(cells) for _, cells in rows)
    }
    if len(tables) > 1:
        raise DataError(
            f"the worksheets {', '.join(map(repr, tables))} are all tables of annotations; keep "
            "one of them"
        )
    with_content = [title for title, rows in worksheets.items() if rows]
    title = next(iter(tables or with_content), None)
    if title is None:
        return []
    _check_layout(path, title, worksheets[title])
    width = max(len(cells) for _, cells in worksheets[title])
    return [(row, cells + [""] * (width - len(cells))) for row, cells in worksheets[title]]


def _annotates(cells: list[str]) -> bool:
    """Tells whether a row looks like an image's annotation, whatever its table is called."""
    return any(cell.lower().endswith("bit.png") for cell in cells) and len(cells) > 2


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if file.read(len(_OLE)) == _OLE:
                raise DataError(
                    "a workbook with a password, or of Excel's old format; save it as .xlsx "
                    "without a password"
                )
        with zipfile.ZipFile(path) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from error
    except zipfile.BadZipFile as error:
        raise DataError(_NO_WORKBOOK) from error
    if size > MOST_BYTES:
        raise DataError(
            f"{size / 2**20:.0f} MiB once unpacked, expected at most {MOST_BYTES / 2**20:.0f}; "
            "copy the table into a new workbook"
        )


def _worksheets(path: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yields each worksheet's title and the rows that have any text, cut after their last one."""
    import openpyxl  # only here, so that .csv needs no spreadsheet library

    stored, written = (
        openpyxl.load_workbook(path, read_only=True, data_only=values) for values in (True, False)
    )
    try:
        for sheet in stored.worksheets:
            pair = sheet, written[sheet.title]
            for worksheet in pair:
                # Some programs write a wrong extent into the file, which openpyxl would believe.
                worksheet.reset_dimensions()
            rows = []
            values, formulas = (w.iter_rows(values_only=True) for w in pair)
            for number, cells in enumerate(zip(values, formulas, strict=True), start=1):
                texts = _texts(*cells)
                if texts:
                    rows.append((number, texts))
            yield sheet.title, rows
    finally:
        stored.close()
        written.close()


def _texts(values: tuple, formulas: tuple) -> list[str]:
    """Returns a row's cells as text, up to the last one that has any."""
    texts = [
        "" if formula is None else str(_text_of(formula) if value is None else value).strip()
        for value, formula in itertools.zip_longest(values, formulas)
    ]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _text_of(formula):
    """Returns what a cell holds; of a formula for several cells, which is an object, its text."""
    if hasattr(formula, "ref"):
        return getattr(formula, "text", None) or f"=TABLE({formula.ref})"
    return formula


def _check_layout(path: Path, title: str, rows: list[Row]) -> None:
    """Raises `DataError` for merged and hidden cells of the table."""
    import openpyxl

    sheet = openpyxl.load_workbook(path)[title]
    if sheet.sheet_state != "visible":
        raise DataError(f"the worksheet {title!r} with the annotations is hidden; show it")
    first, last = rows[0][0], rows[-1][0]
    merged = [str(r) for r in sheet.merged_cells.ranges if r.max_row >= first and r.min_row <= last]
    if merged:
        raise DataError(
            f"the cells {', '.join(merged[:5])} are merged, so all but the first are empty; split "
            "them and write every cell"
        )
    hidden = [number for number, _ in rows if sheet.row_dimensions[number].hidden]
    if hidden:
        raise DataError(
            f"{len(hidden)} rows with annotations are hidden, the first is row {hidden[0]}; show "
            "them (clear the filter), or delete them"
        )
    width = max(len(cells) for _, cells in rows)
    columns = [c for c in sheet.column_dimensions.values() if c.hidden]
    if names := [c.index for c in columns if c.min <= width]:
        raise DataError(
            f"column {names[0]} is hidden, or the first of several that are; show it, or delete it"
        )
