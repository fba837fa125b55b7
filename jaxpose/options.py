"""A command line -> a dataclass of options, with `~` expanded in every path.

An option is a path if its value is a `Path`, so a dataclass of options gives each path that type.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, TypeVar

import tyro

from jaxpose.commands import drop_output
from jaxpose.errors import UserError

(POSITIONAL,) = tyro.conf.Positional[str].__metadata__
"""What tyro marks such an option with."""

Options = TypeVar("Options")


def parse(
    options: Any,
    arguments: list[str] | None,
    program: str,
    *,
    default: Any = None,
    description: str | None = None,
) -> Any:
    """Parses a command line, that of the process where `arguments` is None, into `options`.

    `options` is a dataclass, or a union of those of several subcommands. `program` is named in the
    help. Options that cannot be parsed end the program with code 2.
    """
    try:
        parsed = tyro.cli(
            options,
            args=arguments,
            prog=program,
            description=description,
            use_underscores=True,
            **({} if default is None else {"default": default}),
        )
        return expand(parsed)
    except BrokenPipeError:  # the reader of the help closed it
        drop_output()
        raise SystemExit(0) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def parse_options(options: type[Options], arguments: list[str] | None, module: str) -> Options:
    """Parses the command line of a module, which the help names, as `parse` does."""
    return parse(options, arguments, f"python -m {module}")


def expand(options: Any) -> Any:
    """Returns a dataclass of options with `~` and `~user` expanded in every path.

    Raises:
      UserError: the home folder of a user is unknown. The message names the option.
    """
    changed = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        option = field.name.upper() if is_positional(field) else f"--{field.name}"
        if dataclasses.is_dataclass(value):
            changed[field.name] = expand(value)
        elif isinstance(value, Path):
            changed[field.name] = _expand(value, option)
        elif isinstance(value, tuple):
            changed[field.name] = tuple(
                _expand(v, option) if isinstance(v, Path) else v for v in value
            )
    return dataclasses.replace(options, **changed)


def numbers(option: str, text: str, form: str, kind: type = int) -> tuple:
    """Parses numbers of a form such as "X,Y,WIDTH,HEIGHT" or "WIDTHxHEIGHT".

    The last two of whole ones are a width and a height.

    Raises:
      UserError: another form, or a width or a height below 1.
    """
    separator = "," if "," in form else "x"
    count = len(form.split(separator))
    try:
        parsed = tuple(kind(part) for part in text.split(separator))
    except ValueError:
        parsed = ()
    if len(parsed) != count:
        raise UserError(f"{option}={text}: expected {count} numbers in the form {form}")
    for side, value in zip(("width", "height"), parsed[-2:], strict=True):
        if kind is int and value < 1:
            raise UserError(f"{option}={text}: the {side} is {value}; expected at least 1 px")
    return parsed


def is_positional(field: dataclasses.Field) -> bool:
    """Tells whether an option is written without its name."""
    return POSITIONAL in getattr(field.type, "__metadata__", ())


def _expand(path: Path, option: str) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"{option}={path}: {error}; write the whole path") from None
