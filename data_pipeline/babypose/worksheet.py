"""The part of a workbook that contains one worksheet -> what its cells do not say: its layout."""

import dataclasses
import posixpath
import zipfile
from collections.abc import Iterator
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
    """

    hidden_rows: set[int] = dataclasses.field(default_factory=set)
    hidden_columns: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    merged: list[str] = dataclasses.field(default_factory=list)
    comments: list[str] = dataclasses.field(default_factory=list)


def read_layout(path: Path, part: str) -> Layout:
    """Reads the layout of the worksheet `part` of a workbook, element by element.

    Raises what `zipfile` and `ElementTree` raise for a damaged file.
    """
    layout, row, all_hidden = Layout(), 0, False
    with zipfile.ZipFile(path) as parts:
        for element in _elements(parts, part):
            match _name(element.tag):
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
                case "mergeCell":
                    layout.merged.append(element.get("ref"))
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
