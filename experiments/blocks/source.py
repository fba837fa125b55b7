"""Files that a marker names, and how they are read."""

import dataclasses
import json
import textwrap
from pathlib import Path

from experiments.config import ConfigError


@dataclasses.dataclass(frozen=True)
class Source:
    """One pattern of a marker: the files that it matches, in order of their names, and a label,
    under which they are one row; None without a label."""

    paths: tuple[Path, ...]
    label: str | None = None


def read(path: Path) -> dict:
    """Reads a JSON object.

    Raises:
      ConfigError: a damaged file.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not JSON ({error}); restore the file") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is not a JSON object; restore the file")
    return value


def joined(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def wrapped(text: str, width: int = 100) -> str:
    """A paragraph in lines of at most `width` characters, where words allow it."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False) + "\n"
