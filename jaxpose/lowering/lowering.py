"""The type of a lowering, and the checks of arguments that all lowerings share."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Extent = tuple[int, int, int]
"""(t, y, x) in frames, pixels, pixels."""
Shape = tuple[Any, ...]
"""Sizes of an array. They are integers, except for those that an export leaves open."""


def platform() -> str:
    """Returns the kind of JAX's default device, such as "cpu" or "gpu"."""
    device = jax.config.jax_default_device
    return jax.default_backend() if device is None else getattr(device, "platform", str(device))


def _always_available(dtype: str) -> str | None:
    return None


@runtime_checkable
class Recorder(Protocol):
    """Records the operations of nets.

    Its methods stand for operations on arrays [b t h w c], but receive and return nodes: objects
    with the array's `shape`, which only this recorder understands.
    """

    def input(self, shape: tuple[int, int, int, int, int]) -> Any:
        """Returns a node for the next argument."""

    def convolve(
        self,
        x: Any,
        kernel: Float[np.ndarray, "kt kh kw cig co"],
        bias: Float[np.ndarray, "co"],
        *,
        stride: Extent,
        groups: int,
        relu: bool,
        transposed: bool,
    ) -> Any:
        """Records the function `convolve`, or `upsample` if `transposed`, then bias and ReLU."""

    def concatenate(self, parts: Sequence[Any]) -> Any:
        """Records the concatenation of the parts' channels."""

    def sigmoid(self, x: Any) -> Any:
        """Records the logistic function of x, in float32."""


@runtime_checkable
class ProgramRecorder(Recorder, Protocol):
    """Records the operations of nets, then returns one program that computes them all."""

    def finish(self, *outputs: Any) -> Callable[..., list[np.ndarray]]:
        """Returns the program: float32 numpy arrays, in the order of `input` -> the outputs.

        It can be called from several threads. Raises `NotImplementedError` for what the lowering
        cannot compute on this CPU.
        """


@dataclasses.dataclass(frozen=True)
class Lowering:
    """One way to compute convolutions. Its functions receive arguments that were checked.

    Attributes:
      name: name in configurations and results.
      convolve: (x, kernel, bias or None, stride, groups, relu) -> y, as the function `convolve`.
      upsample: (x, kernel) -> y, the transposed convolution, as the function `upsample`.
      memory_factor: extent of a kernel -> temporary memory that its convolution takes in a training
        step, in sizes of the convolution's output.
      norm_relu: batch norm in training mode, then ReLU: (x, scale, shift, epsilon, relu) ->
        y, mean, variance. None leaves both to flax and XLA.
      recorder: type of activations -> a recorder of a program that predicts without XLA; None if
        prediction is a jitted function as any other.
      unavailable: type of activations -> why the lowering cannot compute it on this machine and
        what to do instead; None if it can.
    """

    name: str
    convolve: Callable
    upsample: Callable
    memory_factor: Callable[[Extent], float]
    norm_relu: Callable | None = None
    recorder: Callable[[str], ProgramRecorder] | None = None
    unavailable: Callable[[str], str | None] = _always_available


def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "_"] | None = None,
    *,
    stride: Extent = (1, 1, 1),
    groups: int = 1,
    relu: bool = False,
    lowering: Lowering,
) -> Float[Array, "b t2 h2 w2 co"]:
    """Computes a cross-correlation, adds the bias, and applies ReLU where asked to.

    With stride 1 the input is zero-padded to keep its size. Otherwise kernel = stride, and the
    kernel tiles the input without padding. Extents and strides are (t, y, x).

    Raises:
      ValueError: shapes, groups or strides do not fit together.
      TypeError: x, kernel and bias have different types.
      ModuleNotFoundError: the lowering's library is not installed.
      NotImplementedError: the lowering cannot compute x's type on this CPU.
    """
    check_convolution(x.shape, kernel.shape, stride, groups)
    if bias is not None and bias.shape != kernel.shape[4:]:
        raise ValueError(f"bias {bias.shape}: expected {kernel.shape[4:]}")
    _check_types(x=x, kernel=kernel, bias=bias)
    return lowering.convolve(x, kernel, bias, stride, groups, relu)


def upsample(
    x: Float[Array, "b t h w ci"], kernel: Float[Array, "_ kh kw _ co"], *, lowering: Lowering
) -> Float[Array, "b t h2 w2 co"]:
    """Computes a transposed convolution with kernel = stride (1, kh, kw).

    Every pixel becomes a tile of kh x kw pixels; the kernel's tap (y, x) gives the tile's pixel
    (y, x), as in Keras and PyTorch. Errors as in `convolve`.
    """
    check_upsampling(x.shape, kernel.shape)
    _check_types(x=x, kernel=kernel)
    return lowering.upsample(x, kernel)


def add_bias(
    y: Float[Array, "b t h w co"], bias: Float[Array, "co"] | None
) -> Float[Array, "b t h w co"]:
    """Adds one number per channel; None adds nothing."""
    return y if bias is None else y + bias[None, None, None, None]


# ---- checks ----


def check_convolution(x: Shape, kernel: Shape, stride: Extent, groups: int) -> None:
    """Checks the shapes of a convolution; recorders check those of their nodes here, too.

    Raises:
      ValueError: shapes, groups or strides do not fit together.
    """
    _check_axes(x, kernel)
    size, extent, (per_group, cout) = x[1:4], kernel[:3], kernel[3:]
    if stride == (1, 1, 1):
        if not all(taps % 2 for taps in extent):
            raise ValueError(f"kernel {extent}: expected odd extents, which have a centre")
        if any(k > 2 * n + 1 for k, n in zip(extent, size, strict=True)):
            raise ValueError(
                f"kernel {extent}: expected at most 2 n + 1 along an axis of n, here of "
                f"{size} (t, y, x)"
            )
    elif extent != stride or stride[0] != 1:
        raise ValueError(f"kernel {extent}, stride {stride}: expected a kernel equal to (1, s, s)")
    if any(n % step for n, step in zip(size, stride, strict=True)):
        raise ValueError(f"{size} (t, y, x): expected sizes divisible by {stride}")
    if groups < 1 or x[4] != groups * per_group or cout % groups:
        raise ValueError(
            f"kernel {kernel}, groups={groups}: expected x of {groups * per_group} channels, "
            f"not {x}, and outputs divisible by the groups"
        )


def check_upsampling(x: Shape, kernel: Shape) -> None:
    """Checks the shapes of a transposed convolution; as `check_convolution`."""
    _check_axes(x, kernel)
    if kernel[0] != 1 or kernel[3] != x[4]:
        raise ValueError(f"kernel {kernel}: expected (1, rows, columns, {x[4]}, channels)")


def _check_axes(x: Shape, kernel: Shape) -> None:
    """Raises `ValueError` for other than five axes, or an empty one."""
    for name, shape, axes in (
        ("x", x, "[clips frames rows columns channels]"),
        ("kernel", kernel, "[frames rows columns channels channels]"),
    ):
        if len(shape) != 5 or 0 in shape:
            raise ValueError(f"{name} {shape}: expected {axes}, none of them empty")


def _check_types(**arrays: Array | None) -> None:
    """Raises `TypeError` for other than one floating-point type; None has none."""
    types = {name: array.dtype for name, array in arrays.items() if array is not None}
    if len(set(types.values())) > 1 or not jnp.issubdtype(types["x"], jnp.floating):
        listed = ", ".join(f"{name} {dtype}" for name, dtype in types.items())
        raise TypeError(f"{listed}: expected one floating-point type; convert with .astype")
