"""Runs every operation of every net once by oneDNN: forward, with ReLU, gradients, batch norm.

    python tests/onednn_every_operation.py float32|bfloat16 [hung]

One clip at both sizes of the nets, and a training step's at the smaller one; with `hung`, only
those that once never returned. Every operation is printed before it runs, so that the last line
names the one that crashed or never returned; at the end the last line is `done`.
"""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose.lowering import convolve, lowering_named, upsample
from jaxpose.nets import detection, regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Layer

SIZES = [((1, 3, 48, 64), 0.25), ((8, 3, 48, 64), 0.25), ((1, 3, 96, 128), 1.0)]
"""Clips, frames, rows and columns; width of the nets."""
HUNG = [
    ((1, 3, 48, 64), Layer("", 256, 20)),
    ((1, 3, 96, 128), Layer("", 128, 256, kernel=(3, 3, 3))),
]
"""In bfloat16 on CPUs with matrix units (AMX), with two threads (LOG.md)."""
ONEDNN = lowering_named("onednn")


def layers(width: float) -> list[Layer]:
    nets = [detection.net(width), *(regression.net(v, width) for v in VARIANTS.values())]
    return [layer for net in nets for layer in net.layers]


def arrays(layer: Layer, clip, dtype: str):
    b, t, h, w = clip
    rng = np.random.default_rng(0)
    x = rng.standard_normal((b, t, h // layer.shrink, w // layer.shrink, layer.cin), np.float32)
    shape = (*layer.kernel, layer.cin // layer.groups, layer.cout)
    kernel = rng.standard_normal(shape, np.float32) / np.prod(shape[:4]) ** 0.5
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def run(layer: Layer, clip, dtype: str) -> None:
    x, kernel = arrays(layer, clip, dtype)

    def forward(x, kernel, bias=None, relu=False):
        if layer.transposed:
            return upsample(x, kernel, lowering=ONEDNN)
        options = {"stride": layer.stride, "groups": layer.groups, "relu": relu}
        return convolve(x, kernel, bias, **options, lowering=ONEDNN)

    y, gradients = jax.vjp(forward, x, kernel)
    results = [y, *gradients(y)]
    results.append(forward(x, kernel, bias=jnp.zeros(layer.cout, dtype), relu=True))
    if layer.norm:
        scale = jnp.ones(layer.cout)
        for relu in (False, True):
            out, gradients = jax.vjp(
                lambda y, s, b, relu=relu: ONEDNN.norm_relu(y, s, b, 1e-3, relu), y, scale, scale
            )
            results += [*out, *gradients(out)]
    for result in jax.block_until_ready(results):
        assert jnp.isfinite(result.astype(jnp.float32)).all(), layer


def cases(only_hung: bool):
    if only_hung:
        yield from HUNG
        return
    for clip, width in SIZES:
        different = {dataclasses.replace(layer, name="", relu=True) for layer in layers(width)}
        for layer in sorted(different, key=str):
            yield clip, layer


def main(dtype: str, *options: str) -> None:
    for clip, layer in cases(only_hung=options == ("hung",)):
        print(clip, layer, flush=True)
        run(layer, clip, dtype)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
