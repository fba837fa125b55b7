"""Committed result files -> the tables and sentences in README.md and docs/.

    python -m experiments.readme          # also: make readme

A document marks where a block goes:

    <!-- table: accuracy experiments/results/simulated-asy-*.json -->
    ... this part is replaced ...
    <!-- end -->

After the name of the block (`experiments.blocks`) come its files, as patterns relative to the root
of the project, and its options. `"LABEL=PATTERN"` gives the files of a pattern a label, under which
they are one row; `NAME=VALUE` is an option:

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

from data_pipeline.commands import parse_options, run_command
from experiments.blocks import BLOCKS
from experiments.blocks.source import Source
from experiments.config import ConfigError
from experiments.machines import ROOT
from experiments.rundir import write_text

DOCUMENTS = ("README.md", "docs/*.md", "experiments/results/README.md")
BEGIN, END = "<!-- table:", "<!-- end -->"
BLOCK = re.compile(rf"(?P<marker>{BEGIN}(?P<arguments>.*?)-->\n)(?P<content>.*?){END}", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes the tables and sentences of README.md and docs/*.md anew, from the result files that
    their markers name."""


def update(root: Path = ROOT) -> list[Path]:
    """Writes the blocks of all documents anew; returns the documents that have any.

    Raises:
      ConfigError: a marker that cannot be used, or a damaged result file.
    """
    paths = [path for pattern in DOCUMENTS for path in sorted(root.glob(pattern))]
    marked = [path for path in paths if BEGIN in path.read_text()]
    for path, text in {path: generated(path, root) for path in marked}.items():
        if text != path.read_text():
            write_text(path, text)
    return marked


def generated(path: Path, root: Path = ROOT) -> str:
    """Returns a document with its blocks written anew. Errors as in `update`."""
    text = path.read_text()
    for match in BLOCK.finditer(text):
        if BEGIN in match["content"]:
            raise ConfigError(f"{_place(path, text, match)}: has no {END} before the next marker")
    if text.count(BEGIN) != len(BLOCK.findall(text)):
        raise ConfigError(f"{path}: a marker {BEGIN} ... --> has no {END} after it")

    def block(match: re.Match) -> str:
        try:
            return match["marker"] + content(match["arguments"], root) + END
        except ConfigError as error:
            raise ConfigError(f"{_place(path, text, match)}: {error}") from None

    return BLOCK.sub(block, text)


def _place(path: Path, text: str, match: re.Match) -> str:
    return f"{path}:{text.count(chr(10), 0, match.start()) + 1}"


def content(arguments: str, root: Path = ROOT) -> str:
    """Returns the Markdown of one marker: the name of a block, files and options."""
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
    known = [p.name for p in inspect.signature(BLOCKS[name]).parameters.values()][1:]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"unknown option {option!r} of the block {name!r}; "
                + (f"one of: {', '.join(known)}" if known else "it has none")
            )
    return BLOCKS[name](sources, **options)


def main(arguments: list[str] | None = None) -> int:
    parse_options(Options, arguments, "experiments.readme")

    def body() -> dict:
        began = time.perf_counter()
        written = [str(path.relative_to(ROOT)) for path in update()]
        return {"written": written, "seconds": round(time.perf_counter() - began, 1)}

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
