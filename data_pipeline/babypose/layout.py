"""A babyPose folder -> the places of its sheets and images. Symbolic links are followed.

Only two levels are read: the folder itself and the folders pz<ID>/ in it. A link to a folder above
is therefore harmless.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_pipeline.babypose.sheets import (
    SHEET_NAME,
    Problem,
    Report,
    Sheet,
    ignore,
    is_header,
)

SUFFIXES = (".csv", ".xlsx", ".png")
"""Suffixes of the files that frames are read from."""

_FOLDER = re.compile(r"pz([0-9]+)", re.IGNORECASE)
_IMAGE = re.compile(r".*bit\.(png|tiff?)", re.IGNORECASE)
_LIKE_SHEET = re.compile(r".*pz.*\.(csv|tsv|txt|ods|xlsx?|xlsm|xlsb|zip|gz)", re.IGNORECASE)
"""Names of tables about an infant, and of archives."""
DEEPEST = 3
"""Levels of folders in which infants are looked for to say that they are not read."""


def source_files(root: Path) -> list[Path]:
    """Lists every file that frames are read from, images in linked folders included."""
    entries = [entry for folder in (root, *_folders(root)) for entry in folder.iterdir()]
    return sorted(e for e in entries if e.suffix.lower() in SUFFIXES and e.is_file())


def find_sheets(root: Path, report: Report, remark: Report = ignore) -> list[Path]:
    """Returns the sheet of each infant, sorted by the infant's number.

    Reports folders without a sheet, infants with several, and a root without any sheet. Remarks
    upon what looks like a sheet or an infant and is not read.
    """
    folders = _folders(root)
    _report_lost(root, report)
    sheets = _sheets([root, *folders], report)
    for folder in folders:
        _report_folder(folder, {subject for subject, _ in sheets}, report, remark)
    _remark_unread(root, folders, remark)
    _report_same_infant(_infants(folders), "folder", report)
    if not sheets:
        what = (
            "no sheet result_pz<ID>.csv or .xlsx in it, nor in a folder pz<ID>/ below; "
            "pass the folder that contains the sheets and the folders pz<ID>/"
        )
        report(Problem(str(root), None, what))
    return _report_same_infant(sheets, "sheet", report)


def image_folder(sheet: Sheet) -> Path:
    """Returns the folder with the images of a sheet, which need not exist.

    Images beside the sheet are used only where they cannot belong to another infant.
    """
    beside = sheet.path.parent
    name = f"pz{sheet.subject}"
    same_name = [path for path in _folders(beside) if path.name.lower() == name]
    folder = min(same_name, key=lambda path: path.name != name, default=beside / name)
    alone = sum(bool(SHEET_NAME.fullmatch(path.name)) for path in beside.iterdir()) == 1
    other_infant = _FOLDER.fullmatch(beside.name) and beside.name.lower() != name
    return beside if not folder.is_dir() and alone and not other_infant else folder


def _folders(root: Path) -> list[Path]:
    """Lists the folders pz... in `root`."""
    return sorted(p for p in root.iterdir() if p.name.lower().startswith("pz") and p.is_dir())


def _sheets(folders: Iterable[Path], report: Report) -> list[tuple[str, Path]]:
    """Returns (id, path) of every sheet; a file with two paths counts once."""
    sheets, files = [], set()
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        match = SHEET_NAME.fullmatch(path.name)
        if match and path.is_symlink() and not path.exists():
            report(Problem(str(path), None, "is a link to a file that is missing; mend the link"))
        elif match and path.is_file() and path.resolve() not in files:
            files.add(path.resolve())
            sheets.append((match[1], path))
    return sheets


def _report_lost(root: Path, report: Report) -> None:
    """Reports links pz... to folders that are missing, such as those of an absent disk."""
    for path in sorted(root.iterdir()):
        if path.name.lower().startswith("pz") and path.is_symlink() and not path.exists():
            what = "is a link to a folder that is missing; mend the link, or remove it"
            report(Problem(str(path), None, what))


def _infants(folders: Iterable[Path]) -> list[tuple[str, Path]]:
    """Returns (id, path) of the folders whose names are pz and a number."""
    matches = ((_FOLDER.fullmatch(folder.name), folder) for folder in folders)
    return [(match[1], folder) for match, folder in matches if match]


def _remark_unread(root: Path, folders: list[Path], remark: Report) -> None:
    """Remarks upon tables of annotations under other names, and infants in other folders."""
    for path in (path for folder in (root, *folders) for path in sorted(folder.iterdir())):
        if not SHEET_NAME.fullmatch(path.name) and path.is_file() and _like_sheet(path):
            what = "not read; a sheet's name is result_pz<ID>.csv or result_pz<ID>.xlsx, no more"
            remark(Problem(str(path), None, what))
    for folder in _other_folders(root, folders):
        with contextlib.suppress(OSError):  # it is not the user's data
            names = [path.name for path in folder.iterdir()]
            if any(SHEET_NAME.fullmatch(name) or _FOLDER.fullmatch(name) for name in names):
                what = f"contains infants that are not read; move them into {root}"
                remark(Problem(str(folder), None, what))


def _like_sheet(path: Path) -> bool:
    """Tells whether a file is named like a table about an infant, or begins like a sheet."""
    if path.name.startswith(("~", ".")):  # other programs' own
        return False
    if _LIKE_SHEET.fullmatch(path.name):
        return True
    if path.suffix.lower() != ".csv":
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return is_header([cell.strip() for cell in file.readline(2000).split(";")])


def _other_folders(root: Path, folders: list[Path]) -> Iterator[Path]:
    """Yields the folders below `root`, to a depth of three, that are not read. Links are not."""
    below = [(root, 0)]
    while below:
        folder, depth = below.pop(0)
        with contextlib.suppress(OSError):
            inner = [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.is_symlink()]
            inner = [p for p in inner if not p.name.startswith(".")]
            below += [(path, depth + 1) for path in inner if depth < DEEPEST - 1]
            yield from (path for path in inner if path not in folders)


def _report_folder(folder: Path, subjects: set[str], report: Report, remark: Report) -> None:
    """Reports a folder that is not finished, or whose images no sheet describes."""
    if folder.name.endswith(".partial"):
        what = "not finished; repeat the simulate command that began it, or delete it"
        report(Problem(str(folder), None, what))
    elif folder.name[2:] in subjects:
        return
    elif any(_IMAGE.fullmatch(path.name) for path in folder.iterdir()):
        if _FOLDER.fullmatch(folder.name):
            name = folder.name.lower()
            what = f"images without a sheet; add result_{name}.csv beside or inside of it"
        else:
            what = (
                f"images of an infant whose id is {folder.name[2:]!r}; expected a number: name the "
                "folder and its sheet alike, such as pz4 and result_pz4.csv"
            )
        report(Problem(str(folder), None, what))
    else:
        what = "not read: it has neither a sheet nor images <number>_16bit.png in it"
        remark(Problem(str(folder), None, what))


def _report_same_infant(entries: list[tuple[str, Path]], kind: str, report: Report) -> list[Path]:
    """Returns one path per infant, sorted by number; reports others with the same number."""
    first: dict[int, Path] = {}
    for subject, path in entries:
        earlier = first.setdefault(int(subject), path)
        if earlier != path:
            what = (
                f"{earlier} is a {kind} of the same infant {int(subject)}; remove one of the two, "
                "or give it another number: leading zeros and capital letters make no difference"
            )
            report(Problem(str(path), None, what))
    return [first[number] for number in sorted(first)]
