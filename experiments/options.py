"""Command line -> a checked configuration."""

import dataclasses
import sys
from pathlib import Path

from experiments import initial
from experiments.checks import check
from experiments.config import Config, ConfigError
from experiments.recipe import PRESETS, Recipe, settle
from jaxpose import options

FINETUNE = "finetune"
"""Preset that --init implies."""


def parse(arguments: list[str] | None = None) -> Config:
    """Parses a command line, that of the process by default, into a checked `Config`.

    Unknown options end the program with tyro's message.

    Raises:
      ConfigError: a value that no run can use.
      ModelError: the model that --init names cannot be used.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    init = _value(arguments, "--init")
    preset = _value(arguments, "--preset") or (FINETUNE if init else Recipe.preset)
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; one of: {', '.join(PRESETS)}")
    recipe = PRESETS[preset]
    if init and not {"-h", "--help"} & {*arguments}:
        recipe = initial.settings_of(Path(init).expanduser(), recipe)
    config = options.parse(
        Config, arguments, "python -m experiments.run", default=Config(recipe=recipe)
    )
    check(config)
    config = dataclasses.replace(config, recipe=settle(config.recipe))
    if config.place.init is not None:
        initial.check(config.place.init, config.recipe)
    return config


def _value(arguments: list[str], option: str) -> str | None:
    """Returns the value of an option that sets the defaults of others; None if it is not there."""
    value = None
    for argument, following in zip(arguments, [*arguments, None][1:], strict=True):
        if argument == option:
            value = following
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
    return value
