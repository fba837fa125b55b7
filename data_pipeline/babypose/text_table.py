"""A text file with columns separated by ";" -> the rows of its table."""

import csv
from collections.abc import Callable
from pathlib import Path

from data_pipeline.babypose.workbook import Row
from data_pipeline.errors import DataError


def read_lines(path: Path, remark: Callable[[str], None]) -> list[Row]:
    """Reads the rows that have any text, a line of the file each: a quote ends with its line.

    Raises:
      DataError: the file cannot be read, is not UTF-8, or a quote is open at the end of a line.
    """
    rows = []
    try:
        # utf-8-sig: spreadsheet programs put a byte-order mark before the first header
        text = path.read_text(encoding="utf-8-sig")
        for row, line in enumerate(text.splitlines(), start=1):
            cells = next(csv.reader([line], delimiter=";", strict=True), [])
            if any(cell.strip() for cell in cells):
                rows.append((row, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise DataError(f"line {row}: {error}; close the quote, or remove it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"not a text table ({error}); save it as CSV, UTF-8, with ';'") from error
    if text and not text.endswith(("\n", "\r")):
        remark("the last line has no end; look whether the file is complete")
    return rows
