"""docs/design.md names what exists, and packages list their modules."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = (ROOT / "docs" / "design.md").read_text().split("## Where is ...?")[1].split("\n## ")[0]
ROWS = [line.split("|")[1:3] for line in TABLE.splitlines() if "`" in line]


@pytest.mark.parametrize(("question", "answer"), ROWS, ids=[row[0].strip() for row in ROWS])
def test_what_the_table_names_exists(question, answer):
    """A name after files is defined in one of them; a file without a folder is in the last one."""
    folder, files = ROOT, []
    for name in re.findall(r"`([^`]+)`", answer):
        if name.endswith(("/", ".py")):
            path = ROOT / name if (ROOT / name).exists() else folder / name
            assert path.exists(), f"{question}: {name}"
            folder = path if path.is_dir() else path.parent
            files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
        else:
            defined = re.compile(rf"^(    )?(def|class) {name}\b|^(    )?{name}\b.* = ", re.M)
            assert any(defined.search(f.read_text()) for f in files), f"{question}: {name}"


@pytest.mark.parametrize("package", ["recordings", "outputs", "kinematics"])
def test_a_package_lists_its_modules_and_no_others(package):
    folder = ROOT / "jaxpose" / package
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()), clean=False)
    listed = re.findall(r"^    ([a-z_]+)  +[^ ]", text, re.MULTILINE)
    assert sorted(listed) == sorted({p.stem for p in folder.glob("*.py")} - {"__init__"})
