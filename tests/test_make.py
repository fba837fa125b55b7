"""What `make` installs and when, with a Python that only writes down what it is asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = """#!/bin/sh
echo "$@" >> {log}
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""


@pytest.fixture
def make(tmp_path):
    """`make`'s arguments -> what it had pip install, in a folder without a .venv yet."""
    if shutil.which("make") is None:
        pytest.skip("no make here")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(PYTHON.format(log=log))
    python.chmod(0o755)

    def installed(*arguments):
        log.write_text("")
        subprocess.run(
            ["make", f"PYTHON={python}", *arguments],
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "EXTRAS"))},
            check=True,
        )
        lines = log.read_text().splitlines()
        return [line.split(" -e ")[1] for line in lines if line.startswith("-m pip install")]

    return installed


def test_extras_that_are_asked_for_later_are_installed_beside_the_first_ones(make):
    assert make("run") == [".[data,onednn,test]"]
    assert make("run") == make("test") == []
    assert make("gpu", "EXTRAS=cuda12") == [".[cuda12]"]
    assert make("gpu", "EXTRAS=cuda12") == make("run") == []


def test_a_change_of_what_is_needed_installs_every_choice_of_extras_anew(make, tmp_path):
    make("run"), make("gpu", "EXTRAS=cuda12")
    later = (tmp_path / "pyproject.toml").stat().st_mtime + 60
    os.utime(tmp_path / "constraints.txt", (later, later))
    assert make("run") == [".[data,onednn,test]"]
    assert make("gpu", "EXTRAS=cuda12") == [".[cuda12]"]
