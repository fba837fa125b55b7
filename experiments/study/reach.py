"""A variant -> how far one output of its regression net sees, measured by gradients.

python -m experiments.study.reach --out=experiments/results/receptive-field.json
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from data_pipeline.outputs import written_too
from jaxpose.commands import run_command
from jaxpose.nets.compute import Computation
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.modules import RegressionNet
from jaxpose.options import parse_options
from jaxpose.training.step import run_net, split_net

CLIP = (11, 11, 11)
"""Frames, rows and columns of a clip that is larger than any receptive field here."""
WIDTH = 1 / 8
DRAWS = 6
"""Number of random inputs: one ReLU may hide a path, not all of them."""


def receptive_field(variant: str) -> tuple[int, int, int]:
    """Returns the extent (t, y, x) in frames and px of the inputs that move one output.

    It is the extent of the non-zero gradients, with respect to depth, of the output in the middle
    of a clip of random numbers, in a net of random weights.
    """
    net = RegressionNet(VARIANTS[variant], width=WIDTH, computation=Computation(), rngs=nnx.Rngs(0))
    graph, weights = split_net(net)
    centre = tuple(size // 2 for size in CLIP)

    @jax.jit
    @jax.grad
    def gradient(depth, maps):
        maps, _ = run_net(graph, weights, depth, maps, train=False)
        return maps[(0, *centre)].sum()

    rng, seen = np.random.default_rng(0), np.zeros(CLIP, bool)
    for _ in range(DRAWS):
        inputs = (rng.normal(size=(1, *CLIP, channels)).astype(np.float32) for channels in (1, 20))
        seen |= np.asarray(gradient(*inputs))[0, ..., 0] != 0
    return tuple(
        int(np.ptp(np.flatnonzero(seen.any(axis=tuple({0, 1, 2} - {axis}))))) + 1
        for axis in range(3)
    )


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures the receptive field of the regression net of every variant."""

    out: Path | None = None
    """File to which the result is written, too: a name in .json."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.study.reach")

    def measure() -> dict:
        return {name: receptive_field(name) for name in VARIANTS}

    return run_command(lambda: written_too(measure, options.out))


if __name__ == "__main__":
    sys.exit(main())
