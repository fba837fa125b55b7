"""The part of a workbook that contains one worksheet -> what its cells do not say: its layout."""

import dataclasses
import itertools
import posixpath
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from xml.etree import ElementTree


@dataclasses.dataclass
class Layout:
    """How a worksheet shows its cells. Rows and columns count from 1.

    Attributes:
      hidden_rows: rows that are hidden, or have no height.
      hidden_columns: (first, last) of columns that are hidden, or have no width.
      merged: references of merged cells, such as "B2:C3".
      comments: references of cells with comments.
      struck: (row, column) of cells with text that is struck through inside of the cell.
      conditional: (reference of cells, number of their style) of conditional formats.
    """

    hidden_rows: set[int] = dataclasses.field(default_factory=set)
    hidden_columns: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    merged: list[str] = dataclasses.field(default_factory=list)
    comments: list[str] = dataclasses.field(default_factory=list)
    struck: set[tuple[int, int]] = dataclasses.field(default_factory=set)
    conditional: list[tuple[str, int]] = dataclasses.field(default_factory=list)


class _Runs:
    """Finds text that is struck through in a part of a cell, from the elements in their order."""

    def __init__(self):
        self._run = self._text = False

    def see(self, name: str, element: ElementTree.Element) -> None:
        """Looks at an element of that name. A run `r` has its format before its text."""
        if name == "strike":
            self._run = element.get("val") not in ("0", "false")
        elif name == "t":
            self._text |= self._run and bool((element.text or "").strip())
        elif name == "r":
            self._run = False

    def take(self) -> bool:
        """Tells whether there was any since the last call."""
        text, self._run, self._text = self._text, False, False
        return text


def read_struck_strings(path: Path) -> set[int]:
    """Reads the numbers of a workbook's shared strings that have text that is struck through.

    Raises what `zipfile` and `ElementTree` raise for a damaged file.
    """
    struck, number, runs = set(), 0, _Runs()
    with zipfile.ZipFile(path) as parts:
        for part in _shared_strings(parts):
            for element in _elements(parts, part):
                name = _name(element.tag)
                runs.see(name, element)
                if name == "si":
                    if runs.take():
                        struck.add(number)
                    number += 1
    return struck


def read_layout(path: Path, part: str, struck_strings: Collection[int]) -> Layout:
    """Reads the layout of the worksheet `part` of a workbook, element by element.

    `struck_strings` are the shared strings that are struck through.

    Raises what `zipfile` and `ElementTree` raise for a damaged file.
    """
    from openpyxl.utils.cell import column_index_from_string

    layout, row, all_hidden = Layout(), 0, False
    runs, string, column, struck, styles = _Runs(), None, 0, [], []
    with zipfile.ZipFile(path) as parts:
        for element in _elements(parts, part):
            match name := _name(element.tag):
                case "strike" | "t" | "r":
                    runs.see(name, element)
                case "v":
                    string = element.text
                case "c":
                    letters = element.get("r", "").rstrip("0123456789")
                    column = column_index_from_string(letters) if letters else column + 1
                    shared = struck_strings and string and element.get("t") == "s"
                    if runs.take() or (shared and int(string) in struck_strings):
                        struck.append(column)
                    string = None
                case "sheetFormatPr":
                    all_hidden = _is_true(element.get("zeroHeight"))
                case "col":
                    if _is_true(element.get("hidden")) or _is_zero(element.get("width")):
                        layout.hidden_columns.append(
                            (int(element.get("min")), int(element.get("max")))
                        )
                case "row":
                    row = int(element.get("r", row + 1))
                    height = element.get("ht")
                    if (
                        _is_true(element.get("hidden"))
                        or _is_zero(height)
                        or (all_hidden and height is None)
                    ):
                        layout.hidden_rows.add(row)
                    layout.struck.update((row, column) for column in struck)
                    column, struck = 0, []
                case "mergeCell":
                    layout.merged.append(element.get("ref"))
                case "cfRule" if element.get("dxfId"):
                    styles.append(int(element.get("dxfId")))
                case "conditionalFormatting":
                    cells = element.get("sqref", "").split()
                    layout.conditional += itertools.product(cells, styles)
                    styles = []
        for comments in _related(parts, part, "comments"):
            found = (e for e in _elements(parts, comments) if _name(e.tag) == "comment")
            layout.comments += [element.get("ref") for element in found]
    return layout


def _elements(parts: zipfile.ZipFile, part: str) -> Iterator[ElementTree.Element]:
    """Yields every element when it is complete, and then forgets what is in it."""
    with parts.open(part) as file:
        path = []
        for event, element in ElementTree.iterparse(file, events=("start", "end")):
            if event == "start":
                path.append(element)
            else:
                yield element
                path.pop()
                if path:
                    path[-1].remove(element)


def _shared_strings(parts: zipfile.ZipFile) -> list[str]:
    """Returns the part with the strings that cells share, as openpyxl finds it, or no part."""
    found = [
        element.get("PartName", "").lstrip("/")
        for element in _elements(parts, "[Content_Types].xml")
        if element.get("ContentType", "").endswith(".sharedStrings+xml")
    ]
    return found[:1]


def _related(parts: zipfile.ZipFile, part: str, kind: str) -> list[str]:
    """Returns the parts of a kind, such as comments, that belong to a part."""
    folder, name = posixpath.split(part)
    relations = f"{folder}/_rels/{name}.rels"
    if relations not in parts.namelist():
        return []
    return [
        posixpath.normpath(posixpath.join("/", folder, element.get("Target"))).lstrip("/")
        for element in _elements(parts, relations)
        if element.get("Type", "").endswith(f"/{kind}")
    ]


def _name(tag: str) -> str:
    """Returns the name of a tag without its namespace."""
    return tag.rpartition("}")[2]


def _is_true(value: str | None) -> bool:
    return value in ("1", "true")


def _is_zero(value: str | None) -> bool:
    return value is not None and float(value) == 0
