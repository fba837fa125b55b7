"""The choices that `auto` leaves to the machine. They are made once; a resumed run has the same."""

import dataclasses

import jax

from data_pipeline.examples import clips
from experiments.config import Config, ConfigError, Machine
from experiments.data import is_prepared
from experiments.recipe import Recipe
from jaxpose.cost import memory
from jaxpose.lowering import fastest, lowering_named, missing_instructions
from jaxpose.nets.layers import Net
from jaxpose.specification import both_nets


def nets(recipe: Recipe) -> dict[str, Net]:
    """Describes the nets of both stages, "detection" and "regression"."""
    return both_nets(
        recipe.variant,
        detection_factorise=recipe.detection.factorise,
        detection_width=recipe.detection.width,
        regression_width=recipe.regression.width,
    )


def use_device(machine: Machine) -> None:
    """Sets JAX's default device. Call it before JAX computes.

    Raises:
      ConfigError: JAX has no such device.
    """
    if machine.device == "auto":
        return
    jax.config.update("jax_default_device", find_device(machine.device))


def find_device(name: str) -> jax.Device:
    """Returns JAX's first device of a kind: auto, cpu or gpu.

    Raises:
      ConfigError: JAX has no such device.
    """
    try:
        return jax.devices(None if name == "auto" else name)[0]
    except RuntimeError:
        available = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise ConfigError(
            f"--device={name}: JAX has no such device, only: {available}; install JAX for it, or "
            "pass another --device"
        ) from None


def resolve(config: Config, stored: dict) -> Config:
    """Replaces every `auto` by a choice.

    `stored` is the machine part of the config.json of an earlier start, or {}.

    Raises:
      ConfigError: the lowering cannot be used here, the CPU lacks the precision and no lowering
        that emulates it is named, or a batch does not fit into memory.
    """
    machine, precision = config.machine, config.recipe.precision
    if machine.lowering == "auto":
        if reason := missing_instructions(precision):
            raise ConfigError(f"--precision={precision}: {reason}, in a run with another --name")
        lowering = stored.get("lowering", fastest(precision).name)
        machine = dataclasses.replace(machine, lowering=lowering)
    if machine.feed == "auto":
        prepared = is_prepared(config.place.data_dir)
        feed = stored.get("feed", "numpy" if prepared else "tensorflow")
        machine = dataclasses.replace(machine, feed=feed)
    if reason := lowering_named(machine.lowering).unavailable(precision):
        raise ConfigError(
            f"--lowering={machine.lowering} --precision={precision}: {reason}, in a run with "
            "another --name"
        )
    config = dataclasses.replace(config, machine=machine)
    check_memory(config)
    return config


def check_memory(config: Config) -> None:
    """Checks that a training step of each net fits into memory.

    Raises:
      ConfigError: one does not. The message says which number of micro-batches to pass: that number
        changes what batch norm sees, so it is never chosen silently.
    """
    recipe, machine = config.recipe, config.machine
    lowering, available = lowering_named(machine.lowering), memory.machine_bytes()
    clip = (clips.CLIP, *recipe.rows_cols)
    for stage, net in nets(recipe).items():
        parts, batch = machine.micro_batches(stage), recipe.stage(stage).batch_size
        need = memory.step_bytes(net.layers, clip, batch, lowering)
        if need / parts > memory.SHARE * available:
            fit = memory.micro_batches(net.layers, clip, batch, lowering, available)
            if fit > parts:
                raise ConfigError(
                    f"a training step of the {stage} net takes about {need / parts / 1e9:.0f} GB, "
                    f"{memory.SHARE * available / 1e9:.0f} GB of this machine's memory may be "
                    f"used; pass --{stage}_micro_batches={fit} (batch norm then sees "
                    f"{batch // fit} clips at a time), or a smaller --batch_size"
                )
