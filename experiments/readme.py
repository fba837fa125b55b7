"""Committed result files -> the tables and sentences in README.md and docs/.

    python -m experiments.readme          # also: make readme

A marker in a document says where a block is:

    <!-- table: accuracy experiments/results/simulated-asy-*.json -->
    ... this part is replaced ...
    <!-- end -->

A marker has the name of the block (`experiments.blocks`), then its files, as patterns relative to
the root of the project, and its options. The files of `"LABEL=PATTERN"` share a row that has the
label; `NAME=VALUE` is an option:

    <!-- table: accuracy paper=yes
         "asy, three seeds=experiments/results/simulated-asy-seed*.json" -->
"""

import dataclasses
import inspect
import re
import shlex
import sys
import time
from pathlib import Path

from experiments.blocks import BLOCKS
from experiments.blocks.source import Source
from experiments.config import ConfigError
from experiments.machines import ROOT
from jaxpose.commands import run_command
from jaxpose.files import write_text
from jaxpose.options import parse_options

DOCUMENTS = ("README.md", "docs/*.md", "experiments/results/README.md")
"""Patterns of the documents that may have blocks."""
BEGIN, END = "<!-- table:", "<!-- end -->"
BLOCK = re.compile(rf"(?P<marker>{BEGIN}(?P<arguments>.*?)-->\n)(?P<content>.*?){END}", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Options:
    """Updates the tables and sentences of README.md and docs/*.md from the result files that their
    markers name."""


def update(root: Path = ROOT) -> list[Path]:
    """Updates the blocks of all documents; returns the documents that have any.

    Raises:
      ConfigError: a marker cannot be used, or a result file is damaged.
    """
    paths = [path for pattern in DOCUMENTS for path in sorted(root.glob(pattern))]
    marked = [path for path in paths if BEGIN in path.read_text()]
    for path, text in {path: generated(path, root) for path in marked}.items():
        if text != path.read_text():
            write_text(path, text)
    return marked


def generated(path: Path, root: Path = ROOT) -> str:
    """Returns the text of a document with its blocks updated. Errors as in `update`."""
    text = path.read_text()
    for match in BLOCK.finditer(text):
        if BEGIN in match["content"]:
            raise ConfigError(f"{_place(path, text, match)}: has no {END} before the next marker")
    if text.count(BEGIN) != len(BLOCK.findall(text)):
        raise ConfigError(f"{path}: a marker {BEGIN} ... --> has no {END} after it")

    def block(match: re.Match) -> str:
        """Returns a marker with its new content."""
        try:
            return match["marker"] + content(match["arguments"], root) + END
        except ConfigError as error:
            raise ConfigError(f"{_place(path, text, match)}: {error}") from None

    return BLOCK.sub(block, text)


def _place(path: Path, text: str, match: re.Match) -> str:
    """Returns file and line of a marker."""
    return f"{path}:{text.count(chr(10), 0, match.start()) + 1}"


def content(arguments: str, root: Path = ROOT) -> str:
    """Returns the Markdown of a marker's arguments: the name of a block, files and options.

    Raises:
      ConfigError: the block, a file or an option does not exist.
    """
    try:
        name, *words = shlex.split(arguments)
    except ValueError as error:
        raise ConfigError(f"expected the name of a block, files and options ({error})") from None
    if name not in BLOCKS:
        raise ConfigError(f"unknown block {name!r}; one of: {', '.join(BLOCKS)}")
    sources, options = [], {}
    for word in words:
        label, _, value = word.rpartition("=")
        if value.endswith(".json"):
            paths = () if value.startswith("/") else tuple(sorted(root.glob(value)))
            if not paths:
                raise ConfigError(f"{value}: no such file; expected a pattern relative to {root}")
            sources.append(Source(paths, label or None))
        else:
            options[label] = value
    names = [p.name for p in inspect.signature(BLOCKS[name]).parameters.values()][1:]
    for option in options:
        if option not in names:
            raise ConfigError(
                f"unknown option {option!r} of the block {name!r}; "
                + (f"one of: {', '.join(names)}" if names else "it has none")
            )
    return BLOCKS[name](sources, **options)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parse_options(Options, arguments, "experiments.readme")

    def body() -> dict:
        began = time.perf_counter()
        written = [str(path.relative_to(ROOT)) for path in update()]
        return {"written": written, "seconds": round(time.perf_counter() - began, 1)}

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
