"""What a lowering is, and the two functions through which every lowering is used.

    convolve   x [b t h w ci], kernel [kt kh kw ci/groups co], bias [co] -> [b t2 h2 w2 co]
    upsample   x [b t h w ci], kernel [1 kh kw ci co] -> [b t h*kh w*kw co]

They check shapes and types once, for all lowerings alike, and then call the lowering.
"""

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import Array, Float

Extent = tuple[int, int, int]
"""(t, y, x)."""


def always_available(dtype: str) -> str | None:
    """The default of `Lowering.unavailable`: nothing is missing."""
    return None


@dataclasses.dataclass(frozen=True)
class Lowering:
    """One way of computing convolutions. It changes the time, never the values or gradients."""

    name: str
    convolve: Callable
    """(x, kernel, bias or None, *, stride, groups, relu) -> y; the arguments are checked already.
    Cross-correlation, then bias, then ReLU."""
    upsample: Callable
    """(x, kernel) -> y; the arguments are checked already. Transposed convolution."""
    step_factor: Callable[[Extent], float]
    """Kernel extent -> temporary memory of a training step, in multiples of the layer's output."""
    norm_relu: Callable | None = None
    """Batch norm in training mode, then ReLU if `relu`: (x, scale, shift, epsilon, relu) ->
    (y, mean, variance), the last two of the batch and without gradients. None: XLA computes it
    from `flax.nnx.BatchNorm`."""
    unavailable: Callable[[str], str | None] = always_available
    """"float32" or "bfloat16" -> None where the lowering can be used; otherwise one sentence with
    the reason and the remedy."""


def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None = None,
    *,
    stride: Extent = (1, 1, 1),
    groups: int = 1,
    relu: bool = False,
    lowering: Lowering,
) -> Float[Array, "b t2 h2 w2 co"]:
    """Cross-correlation, then bias and ReLU; extents and strides in (t, y, x) order.

    With stride 1 the input is zero-padded and keeps its size. Otherwise the stride equals the
    kernel's extent, whose copies tile the input without padding.

    Raises `ValueError` for shapes that do not go together, `TypeError` for unequal dtypes, and
    what the lowering raises where it cannot be used (`Lowering.unavailable` says why).
    """
    shapes = x.shape, kernel.shape, None if bias is None else bias.shape
    check_convolution(*shapes, stride=stride, groups=groups)
    check_dtypes(x=x, kernel=kernel, **({} if bias is None else {"bias": bias}))
    return lowering.convolve(x, kernel, bias, stride=stride, groups=groups, relu=relu)


def upsample(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw ki co"],
    *,
    lowering: Lowering,
) -> Float[Array, "b t h2 w2 co"]:
    """Transposed convolution whose stride equals the kernel's extent (1, kh, kw).

    Every pixel becomes a tile of kh x kw pixels, its pixel (y, x) by tap (y, x) of the kernel, as
    in Keras and PyTorch. Raises the same errors as `convolve`.
    """
    ci = x.shape[-1]
    if kernel.shape[0] != 1 or kernel.shape[3] != ci:
        raise ValueError(
            f"kernel {kernel.shape} with {ci} input channels: expected shape (1, kh, kw, {ci}, co)"
        )
    check_dtypes(x=x, kernel=kernel)
    return lowering.upsample(x, kernel)


def check_convolution(
    x: tuple[int, ...],
    kernel: tuple[int, ...],
    bias: tuple[int, ...] | None,
    *,
    stride: Extent,
    groups: int,
) -> None:
    """Raises `ValueError` unless arrays of these shapes can be convolved."""
    if len(x) != 5 or len(kernel) != 5:
        raise ValueError(
            f"x {x}, kernel {kernel}: expected (b, t, h, w, ci) and (kt, kh, kw, ci/groups, co)"
        )
    size, ci = x[1:4], x[4]
    extent, cig, co = kernel[:3], kernel[3], kernel[4]
    if groups < 1 or ci % groups or co % groups or cig != ci // groups:
        raise ValueError(
            f"kernel {kernel} with {ci} input channels and groups={groups}: expected shape "
            f"(kt, kh, kw, {ci}/groups, co), where groups divides {ci} and co"
        )
    if stride == (1, 1, 1):
        if not all(taps % 2 for taps in extent):
            raise ValueError(f"kernel extent {extent}: expected odd numbers, which have a centre")
    elif extent != stride or groups != 1:
        raise ValueError(
            f"stride {stride}, kernel extent {extent}, groups={groups}: expected a stride equal to "
            "the extent and groups=1, or stride (1, 1, 1)"
        )
    if any(n % step for n, step in zip(size, stride, strict=True)):
        raise ValueError(f"input size {size} (t, y, x): expected multiples of the stride {stride}")
    if bias is not None and bias != (co,):
        raise ValueError(f"bias {bias}: expected ({co},), one value per output channel")


def check_dtypes(**arrays: Array) -> None:
    """Raises `TypeError` unless all have one dtype."""
    dtypes = {name: str(array.dtype) for name, array in arrays.items()}
    if len(set(dtypes.values())) > 1:
        listed = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"{listed}: expected one dtype; convert with .astype")


def add_bias_and_relu(
    y: Float[Array, "b t h w co"], bias: Float[Array, "co"] | None, relu: bool
) -> Float[Array, "b t h w co"]:
    """The end of a convolution for lowerings that leave it to XLA."""
    y = y if bias is None else y + bias.reshape(1, 1, 1, 1, -1)
    return jax.nn.relu(y) if relu else y
