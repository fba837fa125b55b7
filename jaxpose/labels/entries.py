"""A COCO file -> its entries, and what is wrong with them.

Problems are collected, so that one message names the file and all entries.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxpose.errors import DataError
from jaxpose.labels.package import Exported

SHOWN = 20
"""Number of problems, or of names, that a message lists."""
LARGEST = 200_000_000
"""Largest size of a file, bytes."""

# Label Studio writes the address of an image, and puts eight digits before the name of an upload.
_ADDRESS = re.compile(r"/data/(local-files/\?d=|upload/)")
_PREFIX = re.compile(r"[0-9a-f]{8}-")


class Entries:
    """The entries of a file.

    Attributes:
      path: the file.
      remarks: what a person should know, though it is no problem.
      refused: ids of images that are reported already.
      refused_categories: ids of categories that are reported already.
      other_categories: ids of categories without keypoints, such as boxes.
    """

    def __init__(self, path: Path):
        """Reads a file.

        Raises:
          DataError: it is missing, cut short, or no COCO file.
        """
        self.path, self.remarks = path, list[str]()
        self.refused, self.refused_categories, self.other_categories = set(), set(), set()
        self._problems: list[str] = []
        remedy = "export COCO keypoints from the labelling tool again"
        try:
            if path.stat().st_size > LARGEST:
                raise DataError(f"{path}: larger than {LARGEST // 10**6} MB; {remedy}")
            self._content = json.loads(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: not complete JSON ({error}); {remedy}") from None
        for key in ("images", "annotations", "categories"):
            content = self._content
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise DataError(f"{path}: has no list {key!r}; expected COCO keypoints; {remedy}")

    def of(self, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields (its place, an entry) of a list; entries without a usable id are reported."""
        for index, entry in enumerate(self._content[key]):
            if not isinstance(entry, dict):
                self.problem(f"{key}[{index}]", f"is {entry!r:.60}; expected an object")
                continue
            place = f"{key}[{index}] (id {entry.get('id')!r})"
            names = [n for n in ("id", "image_id", "category_id") if n in entry or n == "id"]
            if wrong := [n for n in names if not isinstance(entry.get(n), int | str)]:
                self.problem(place, f"{wrong[0]} is {entry.get(wrong[0])!r:.60}; expected a number")
                continue
            yield place, entry

    def problem(self, place: str, what: str) -> None:
        """Reports that something is wrong with an entry."""
        self._problems.append(f"{self.path}: {place}: {what}")

    def raise_problems(self) -> None:
        """Raises all problems, if there are any, as one `DataError`."""
        lines = self._problems[:SHOWN]
        if len(self._problems) > SHOWN:
            lines.append(f"... and {len(self._problems) - SHOWN} more")
        if len(lines) > 1:
            lines.insert(0, f"{len(self._problems)} problems")
        if lines:
            raise DataError("\n  ".join(lines))


def images_of(
    entries: Entries, exported: Mapping[str, Exported], size: tuple[int, int]
) -> dict[Any, Exported]:
    """Returns the exported frame of each image, by the image's id; reports other images.

    A tool may put folders, or eight hexadecimal digits and a dash, before a file's name.
    """
    images: dict[Any, Exported] = {}
    place_of: dict[int, str] = {}
    for place, image in entries.of("images"):
        file_name, key = image.get("file_name"), image["id"]
        if isinstance(file_name, str) and (address := _ADDRESS.match(file_name)):
            file_name = file_name[address.end() :]
        problem = _name_problem(file_name)
        name = "" if problem else re.split(r"[/\\]", file_name)[-1]
        if prefix := _PREFIX.match(name):
            name = name[prefix.end() :]
        if not problem and name not in exported:
            problem = "is no exported image; expected names such as " + next(iter(exported))
        if problem:
            entries.problem(place, f"file_name {file_name!r:.80} {problem}")
        elif key in images:
            entries.problem(place, f"{images[key].image} has the same id; number images anew")
        elif exported[name].number in place_of:
            before = place_of[exported[name].number]
            entries.problem(place, f"{name} is there already, in {before}; remove one of the two")
        elif differing := _size_of(image, size):
            entries.problem(
                place,
                f"{name} is {differing} px there, {size[0]}x{size[1]} as exported; label images of "
                "that size",
            )
        else:
            images[key] = exported[name]
            place_of[exported[name].number] = place
            continue
        entries.refused.add(key)
    entries.refused -= images.keys()
    return images


def described(names: list[str]) -> str:
    """Joins names, at most `SHOWN` of them."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _name_problem(name) -> str:
    """Returns why a file_name is refused; "" if it is a name, perhaps in folders."""
    if not isinstance(name, str) or not name:
        return "is no name"
    parts = re.split(r"[/\\]", name)
    if ".." in parts or parts[0] == "" or re.fullmatch("[A-Za-z]:", parts[0]):
        return "leaves the folder; expected the name of an exported image, without .. or a root"
    return ""


def _size_of(image: dict, size: tuple[int, int]) -> str:
    """Returns an image's size where the file gives another one than `size`; else ""."""
    actual = (image.get("width", size[0]), image.get("height", size[1]))
    return "" if actual == size else f"{actual[0]!r}x{actual[1]!r}"
