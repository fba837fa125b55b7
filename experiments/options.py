"""Command line -> a checked configuration."""

import dataclasses
import sys

from experiments.checks import check
from experiments.config import Config, ConfigError
from experiments.recipe import PRESETS, Recipe, settle
from jaxpose import options


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
    config = options.parse(
        Config, arguments, "python -m experiments.run", default=Config(recipe=PRESETS[preset])
    )
    check(config)
    return dataclasses.replace(config, recipe=settle(config.recipe))
