"""Command line -> a checked configuration."""

import dataclasses
import sys
from pathlib import Path

import tyro

from experiments.checks import check
from experiments.config import Config, ConfigError
from experiments.recipe import PRESETS, Recipe, settle


def parse(arguments: list[str] | None = None) -> Config:
    """Parses a command line, that of the process by default, into a checked `Config`.

    Unknown options end the program with tyro's message.

    Raises:
      ConfigError: a value that no run can use.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    preset = Recipe.preset
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            preset = arguments[position + 1]
        elif argument.startswith("--preset="):
            preset = argument.removeprefix("--preset=")
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; one of: {', '.join(PRESETS)}")
    config = tyro.cli(
        Config,
        default=Config(recipe=PRESETS[preset]),
        args=arguments,
        prog="python -m experiments.run",
        use_underscores=True,
    )
    folders = ("data_dir", "runs_dir", "cache_dir")
    expanded = {name: _expand(getattr(config.place, name)) for name in folders}
    place = dataclasses.replace(config.place, **expanded)
    config = dataclasses.replace(config, place=place)
    check(config)
    return dataclasses.replace(config, recipe=settle(config.recipe))


def _expand(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser())
