"""Every lowering on this machine's device against JAX's own 3-D convolution."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose.lowering import LOWERINGS, Lowering, convolve, upsample

EQUAL = 1e-5
"""Largest relative deviation of float32 sums in another order."""
KERNELS = ((3, 3, 3), (1, 3, 1), (1, 1, 3), (3, 1, 1), (1, 3, 3), (1, 1, 1))
"""Extents (t, y, x) of the kernels that are checked."""


def check(lowering: str) -> dict[str, float]:
    """Compares a lowering with JAX's own 3-D convolution, with all products in IEEE float32.

    Returns, by kernel, the largest deviation of the output and of both gradients, as a share of the
    largest value.
    """
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    def strided(x, kernel, lowering):
        return convolve(x, kernel, stride=(1, 2, 2), lowering=lowering)

    def depthwise(x, kernel, lowering):
        return convolve(x, kernel, groups=16, lowering=lowering)

    measured = {}
    with jax.default_matmul_precision("highest"):
        for kernel in KERNELS:
            x, weights = draw(2, 3, 12, 20, 16), draw(*kernel, 16, 24)
            name = "x".join(map(str, kernel))
            measured[name] = deviation(convolve, x, weights, LOWERINGS[lowering])
        for name, function, x_shape, kernel_shape in (
            ("1x2x2 strided", strided, (2, 3, 12, 20, 16), (1, 2, 2, 16, 24)),
            ("1x2x2 transposed", upsample, (2, 3, 6, 10, 16), (1, 2, 2, 16, 24)),
            ("3x3x3 depthwise", depthwise, (2, 3, 12, 20, 16), (3, 3, 3, 1, 16)),
        ):
            x, weights = draw(*x_shape), draw(*kernel_shape)
            measured[name] = deviation(function, x, weights, LOWERINGS[lowering])
    return measured


def deviation(function: Callable, x: jax.Array, kernel: jax.Array, lowering: Lowering) -> float:
    """Returns the largest deviation of a lowering from conv3d, in the output and both gradients."""

    def outputs(lowering: Lowering) -> list[jax.Array]:
        """Computes the output and both gradients."""

        def loss(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel, lowering=lowering)))

        value = jax.jit(lambda x, kernel: function(x, kernel, lowering=lowering))(x, kernel)
        return [value, *jax.jit(jax.grad(loss, argnums=(0, 1)))(x, kernel)]

    pairs = zip(outputs(lowering), outputs(LOWERINGS["conv3d"]), strict=True)
    return float(max(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)) for a, b in pairs))


def check_all() -> dict[str, dict]:
    """Checks every lowering; the result of one that cannot be used is the reason, under `error`."""
    checked = {}
    for lowering in LOWERINGS:
        try:
            checked[lowering] = check(lowering)
        except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
            checked[lowering] = {"error": str(error).splitlines()[0]}
    return checked
