"""What the user left to the machine, chosen once: a resumed run keeps what its config.json says."""

import dataclasses

from data_pipeline.datasets import DATASETS
from data_pipeline.examples import clips
from experiments.config import Config, ConfigError
from jaxpose.cost import memory
from jaxpose.lowering import convolution
from jaxpose.nets import detection, regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Layer


def stage_layers(config: Config) -> dict[str, list[Layer]]:
    """What the nets of both stages are made of."""
    return {
        "detection": [*detection.net(config.width).layers],
        "regression": [*regression.net(VARIANTS[config.variant], config.width).layers],
    }


def resolve(config: Config, kept: dict) -> Config:
    """No `auto` and no None where a number is wanted. `kept`: an earlier start's config.json."""
    lowering = config.lowering
    if lowering == "auto":
        lowering = kept.get("lowering", convolution.fastest(config.precision))
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
                *(layers, clip, settings.batch_size, lowering), memory.machine_bytes()
            )
            parts = kept.get(stage, {}).get("micro_batches", fit)
            chosen[stage] = dataclasses.replace(settings, micro_batches=parts)
    config = dataclasses.replace(config, **chosen)
    if config.lowering == "onednn":
        check_onednn(config.precision)
    return config


def check_onednn(precision: str) -> None:
    """Raises `ConfigError` where the lowering onednn cannot be had, before anything is kept."""
    otherwise = "or choose --lowering=folded, in a run with another --name"
    if convolution.fastest("float32") != "onednn":
        raise ConfigError(
            "--lowering=onednn: needs a CPU and the library, pip install -e '.[onednn]' on x86-64 "
            f"Linux; {otherwise}"
        )
    if convolution.fastest(precision) != "onednn":
        raise ConfigError(
            f"--lowering=onednn --precision={precision}: oneDNN cannot compute {precision} on this "
            f"CPU, wanted one with AVX-512; choose --precision=float32, {otherwise}"
        )
