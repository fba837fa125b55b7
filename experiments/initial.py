"""A model that a training goes on from: its settings, what must agree with them, its weights."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from data_pipeline.datasets import DATASETS
from data_pipeline.examples.frames import Frames
from experiments.config import Config, ConfigError
from experiments.recipe import Recipe
from jaxpose import model_file
from jaxpose.model_file import NetWeights
from jaxpose.nets.modules import ConvNet
from jaxpose.specification import Specification


def settings_of(path: Path, recipe: Recipe) -> Recipe:
    """Returns the recipe with the nets, the grid and the decoding of a model, and with its hash.

    Raises:
      ModelError: the file cannot be used.
    """
    specification, weights = model_file.read(path)
    rows, columns = specification.grid
    same_width = specification.detection_width == specification.regression_width
    return dataclasses.replace(
        recipe,
        variant=specification.variant,
        grid=f"{columns}x{rows}",
        width=specification.regression_width,
        radius=specification.decoding.radius_px,
        bn_epsilon=specification.bn_epsilon,
        min_score=specification.decoding.min_score,
        maps=specification.maps,
        linking=specification.linking,
        init_digest=model_file.digest(specification, weights),
        detection=dataclasses.replace(
            recipe.detection,
            factorise=specification.detection_factorise,
            width=None if same_width else specification.detection_width,
        ),
        regression=dataclasses.replace(recipe.regression, target_scale=specification.target_scale),
    )


def check(path: Path, recipe: Recipe) -> None:
    """Checks that a settled recipe trains the nets of a model, on inputs as the model's.

    Raises:
      ConfigError: names every option that disagrees.
      ModelError: the file cannot be used.
    """
    specification, _ = model_file.read(path)
    rows, columns = specification.grid
    dataset = DATASETS[recipe.dataset]
    pairs = [
        ("--variant", recipe.variant, specification.variant),
        ("--grid", recipe.grid, f"{columns}x{rows}"),
        ("--detection.width", recipe.detection.width, specification.detection_width),
        ("--regression.width", recipe.regression.width, specification.regression_width),
        ("--detection.factorise", recipe.detection.factorise, specification.detection_factorise),
        ("--radius", recipe.radius, specification.decoding.radius_px),
        ("--bn_epsilon", recipe.bn_epsilon, specification.bn_epsilon),
        ("--regression.target_scale", recipe.regression.target_scale, specification.target_scale),
        ("unit of depth, mm:", dataset.scale_mm, specification.depth_scale_mm),
    ]
    if differing := [f"{name} {its} there, {own} here" for name, own, its in pairs if own != its]:
        raise ConfigError(
            f"--init={path}: the model has other settings: {'; '.join(differing)}; omit these "
            "options, which --init sets, or start from a model that has them"
        )


def check_frames(config: Config, frames: Frames) -> None:
    """Checks that frames are as far apart in time as those of the model.

    Raises:
      ConfigError: they are not.
    """
    if config.place.init is None:
        return
    theirs, ours = _read(config)[0].frame_interval_s, frames.interval_s
    if theirs is not None and ours is not None and abs(theirs - ours) > 0.01:
        raise ConfigError(
            f"--init={config.place.init}: the model's frames are {theirs:.3f} s apart, those of "
            f"the data {ours:.3f} s; annotate frames of that distance"
        )


def set_weights(config: Config, net: ConvNet, name: str) -> None:
    """Replaces the initial weights of a net ("detection", "regression") by the model's, if any.

    Raises:
      ConfigError: the file is not the one that the run began with.
    """
    if config.place.init is not None:
        net.set_weights(_read(config)[1][name])


def _read(config: Config) -> tuple[Specification, Mapping[str, NetWeights]]:
    specification, weights = model_file.read(config.place.init)
    if model_file.digest(specification, weights) != config.recipe.init_digest:
        raise ConfigError(f"--init={config.place.init}: the file has changed since the run began")
    return specification, weights
