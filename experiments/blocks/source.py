"""The files that a marker names, and texts for its block."""

import dataclasses
import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.config import ConfigError


@dataclasses.dataclass(frozen=True)
class Source:
    """The files of one pattern of a marker.

    Attributes:
      paths: the files that match, in the order of their names.
      label: label of the row that the files share; None if each file is a row.
    """

    paths: tuple[Path, ...]
    label: str | None = None


def read(path: Path) -> dict:
    """Reads a JSON object.

    Raises:
      ConfigError: the file cannot be read, or is damaged.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not JSON ({error}); restore the file") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is not a JSON object; restore the file")
    return value


def of_each(sources: Sequence[Source], describe: Callable[[dict], str], command: str) -> str:
    """Describes every file, a result of `command`, and joins the texts.

    Raises:
      ConfigError: a file is damaged, or of another kind.
    """
    text = ""
    for path in (path for source in sources for path in source.paths):
        try:
            text += describe(read(path))
        except (KeyError, TypeError, IndexError):
            raise ConfigError(f"{path}: is no result of {command}") from None
    return text


def joined(parts: list[str]) -> str:
    """Joins parts of a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def wrapped(text: str, width: int = 100) -> str:
    """Wraps a paragraph into lines of at most `width` characters; longer words are not broken."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False) + "\n"
