"""An Excel workbook -> the rows of its one table, as text, with nothing dropped silently.

A workbook can hold more than a reader sees: further worksheets, formulas whose values were never
stored, merged cells, rows and columns that are hidden, text that is struck through, comments. Each
is read, refused with what to do, or remarked upon.
"""

import dataclasses
import itertools
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from data_pipeline.babypose.crossed import crosses, is_crossed
from data_pipeline.babypose.worksheet import Layout, read_layout, read_struck_strings
from data_pipeline.errors import DataError

MOST_BYTES = 2**25
"""Largest size of a workbook's tables once unpacked. 1,000 annotated frames have about 1 MB."""
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
"""First bytes of workbooks with a password, and of Excel's format before .xlsx."""
_NO_WORKBOOK = (
    "not an Excel workbook, or not one that can be read; save the table alone as .xlsx, or as .csv "
    "with columns separated by ';'"
)

Row = tuple[int, list[str]]
"""(row as a spreadsheet program numbers it, its cells up to the table's last column)."""


@dataclasses.dataclass(frozen=True)
class Worksheet:
    """One worksheet with content.

    Attributes:
      title: its name in the spreadsheet program.
      shown: False if it is hidden.
      rows: the rows that have any text.
      crossed: cells, such as B5, whose text is struck through or not shown by their format.
      rules: references of cells that a conditional format may strike through or not show.
      layout: how it shows its cells.
    """

    title: str
    shown: bool
    rows: list[Row]
    crossed: list[str]
    rules: list[str]
    layout: Layout

    def is_table(self, is_header: Callable[[list[str]], bool]) -> bool:
        """Tells whether it has a header, or a row like an image's annotation."""
        return any(is_header(cells) or _annotates(cells) for _, cells in self.rows)


def read_table(
    path: Path,
    is_header: Callable[[list[str]], bool],
    ignored: Collection[str],
    remark: Callable[[str], None],
) -> list[Row]:
    """Reads the rows that have any text.

    If several worksheets have content, the table is on the one that has a header, as `is_header`
    tells from a row's cells. A formula is its stored value, or its own text, which begins with "=",
    where none is stored. Columns `ignored` by name may be hidden. `remark` is called for what is
    not read: other worksheets with content, and comments.

    Raises:
      DataError: a file that is no workbook, several tables, merged cells, hidden ones, or text that
        is struck through or not shown.
    """
    _check_file(path)
    try:
        worksheets = list(_worksheets(path))
    except Exception as error:  # openpyxl lets zip, zlib, XML and key errors of any kind through
        raise DataError(_NO_WORKBOOK) from error
    tables = [worksheet for worksheet in worksheets if worksheet.is_table(is_header)]
    if len(tables) > 1:
        titles = ", ".join(repr(table.title) for table in tables)
        raise DataError(f"the worksheets {titles} are all tables of annotations; keep one of them")
    table = next(iter(tables or worksheets), None)
    if table is None:
        return []
    for other in worksheets:
        if other is not table:
            remark(f"the worksheet {other.title!r} has content that is not read; look at it")
    _check_layout(table, ignored, remark)
    width = max(len(cells) for _, cells in table.rows)
    return [(row, cells + [""] * (width - len(cells))) for row, cells in table.rows]


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
            tables = [part for part in parts.infolist() if part.filename.endswith(".xml")]
            size = sum(part.file_size for part in tables)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from error
    except zipfile.BadZipFile as error:
        raise DataError(_NO_WORKBOOK) from error
    if size > MOST_BYTES:
        raise DataError(
            f"{size / 2**20:.0f} MiB once unpacked, expected at most {MOST_BYTES / 2**20:.0f}: "
            "many empty cells have a format; copy the table alone into a new workbook, or save it "
            "as .csv"
        )


def _worksheets(path: Path) -> Iterator[Worksheet]:
    """Yields each worksheet with content; its rows are cut after their last cell with text."""
    import openpyxl  # only here, so that .csv needs no spreadsheet library

    stored, written = (
        openpyxl.load_workbook(path, read_only=True, data_only=values) for values in (True, False)
    )
    try:
        struck_strings = read_struck_strings(path)
        styles = written._differential_styles.styles
        crossing = {number for number, style in enumerate(styles) if crosses(style)}
        for sheet in stored.worksheets:
            pair = sheet, written[sheet.title]
            for worksheet in pair:
                # Some programs write a wrong extent into the file, which openpyxl would believe.
                worksheet.reset_dimensions()
            layout = read_layout(path, sheet._worksheet_path, struck_strings)
            rows, crossed = [], []
            both = zip(pair[0].iter_rows(values_only=True), pair[1].iter_rows(), strict=True)
            for number, (values, cells) in enumerate(both, start=1):
                texts = _texts(values, tuple(cell.value for cell in cells))
                if texts:
                    rows.append((number, texts))
                    pairs = zip(cells, values, strict=True)
                    crossed += [
                        cell.coordinate
                        for column, (cell, value) in enumerate(pairs, start=1)
                        if is_crossed(cell, value) or (number, column) in layout.struck
                    ]
            if rows:
                shown = sheet.sheet_state == "visible"
                rules = [cells for cells, style in layout.conditional if style in crossing]
                yield Worksheet(sheet.title, shown, rows, crossed, rules, layout)
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


def _check_layout(
    table: Worksheet, ignored: Collection[str], remark: Callable[[str], None]
) -> None:
    """Raises `DataError` for merged and hidden cells of the table; reports comments."""
    if not table.shown:
        raise DataError(f"the worksheet {table.title!r} with the annotations is hidden; show it")
    from openpyxl.utils import get_column_letter

    layout = table.layout
    width = max(len(cells) for _, cells in table.rows)
    merged = [reference for reference in layout.merged if _meets(reference, table, width)]
    if merged:
        raise DataError(
            f"the cells {', '.join(merged[:5])} are merged, so all but the first are empty; split "
            "them and write every cell"
        )
    hidden = [number for number, _ in table.rows if number in layout.hidden_rows]
    if hidden:
        raise DataError(
            f"hidden rows with annotations: {len(hidden)}, the first is row {hidden[0]}; show "
            "them (clear the filter), or delete them"
        )
    if table.crossed:
        raise DataError(
            f"the cells {', '.join(table.crossed[:5])} are struck through or not shown, "
            f"{len(table.crossed)} in all; delete what does not count, and clear the format of "
            "what does"
        )
    rules = [reference for reference in table.rules if _meets(reference, table, width)]
    if rules:
        raise DataError(
            f"a conditional format of the cells {', '.join(rules[:5])} strikes text through or "
            "does not show it; delete what does not count, then the conditional format"
        )
    header = table.rows[0][1]
    for first, last in layout.hidden_columns:
        for column in range(first, min(last, width) + 1):
            name = header[column - 1].lower() if column <= len(header) else ""
            if name not in ignored:
                raise DataError(
                    f"column {get_column_letter(column)} is hidden, or the first of several that "
                    "are; show it, or delete it"
                )
    if layout.comments:
        remark(f"comments at {', '.join(layout.comments[:5])} are not read; look at them")


def _meets(reference: str, table: Worksheet, width: int) -> bool:
    """Tells whether cells such as B2:C3, or columns such as B:C, have any in the table."""
    from openpyxl.utils import range_boundaries

    left, top, _, bottom = range_boundaries(reference)
    first, last = table.rows[0][0], table.rows[-1][0]
    return (left or 1) <= width and (top or 1) <= last and (bottom or last) >= first
