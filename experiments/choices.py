"""What the user left to the machine, chosen once: a resumed run keeps what its config.json says."""

import dataclasses

from data_pipeline.datasets import DATASETS
from data_pipeline.examples import clips
from experiments.config import Config, ConfigError
from jaxpose.cost import memory
from jaxpose.lowering import fastest, lowering_named
from jaxpose.nets import detection, regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Layer, Numerics


def stage_layers(config: Config) -> dict[str, list[Layer]]:
    """What the nets of both stages are made of."""
    return {
        "detection": [*detection.layers(config.width).values()],
        "regression": [*regression.layers(VARIANTS[config.variant], config.width)],
    }


def resolve(config: Config, kept: dict) -> Config:
    """No `auto` and no None where a number is wanted. `kept`: an earlier start's config.json."""
    lowering = config.lowering
    if lowering == "auto":
        lowering = kept.get("lowering", fastest(config.precision).name)
    chosen = {"lowering": lowering}
    if config.feed == "auto":
        prepared = (config.data_dir or "").endswith(".npz")
        chosen["feed"] = kept.get("feed", "numpy" if prepared else "tensorflow")
    if config.mirror is None:
        chosen["mirror"] = kept.get("mirror", DATASETS[config.dataset].symmetric)
    clip = (clips.CLIP, *config.rows_cols)
    for stage, layers in stage_layers(config).items():
        settings = getattr(config, stage)
        if settings.micro_batches is None:
            fit = memory.micro_batches(
                layers=layers,
                clip=clip,
                batch=settings.batch_size,
                lowering=lowering_named(lowering),
                available=memory.machine_bytes(),
            )
            parts = kept.get(stage, {}).get("micro_batches", fit)
            chosen[stage] = dataclasses.replace(settings, micro_batches=parts)
    config = dataclasses.replace(config, **chosen)
    check_lowering(config)
    return config


def numerics(config: Config) -> Numerics:
    """How the nets of a resolved configuration are computed."""
    return Numerics(
        lowering=lowering_named(config.lowering),
        dtype=config.precision,
        bn_momentum=config.bn_momentum,
        bn_epsilon=config.bn_epsilon,
    )


def check_lowering(config: Config) -> None:
    """Raises `ConfigError` where the lowering cannot be used, before anything is written."""
    reason = lowering_named(config.lowering).unavailable(config.precision)
    if reason is not None:
        raise ConfigError(
            f"--lowering={config.lowering} --precision={config.precision}: {reason}, or choose "
            "--lowering=folded in a run with another --name"
        )
