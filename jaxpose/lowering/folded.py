"""The lowering `folded`: 3-D convolutions as 2-D convolutions and matrix products.

Axes that the kernel does not span become batch, so that XLA sees 2-D convolutions, which it runs
several times faster on a CPU than 3-D ones. The weight gradients of kernels that span one axis are
matrix products.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxpose.lowering.lowering import Extent, Lowering, add_bias

_NHWC = ("NHWC", "HWIO", "NHWC")


def convolve(x, kernel, bias, stride, groups, relu):
    """Computes `Lowering.convolve`."""
    y = _fold(x, kernel, groups) if stride == (1, 1, 1) else _tiles(x, kernel, stride, groups)
    y = add_bias(y, bias)
    return jax.nn.relu(y) if relu else y


def upsample(x, kernel):
    """Computes `Lowering.upsample` as one matrix product: every pixel becomes a tile."""
    b, t, h, w, _ = x.shape
    _, kh, kw, ci, co = kernel.shape
    tiles = x @ kernel.transpose(3, 0, 1, 2, 4).reshape(ci, kh * kw * co)
    tiles = tiles.reshape(b, t, h, w, kh, kw, co).transpose(0, 1, 2, 4, 3, 5, 6)
    return tiles.reshape(b, t, h * kh, w * kw, co)


def _tiles(x, kernel, stride, groups):
    """Convolves where kernel = stride (1, s, s): each tile of pixels is a row of one product."""
    b, t, h, w, ci = x.shape
    _, kh, kw = stride
    if groups > 1:
        x = x.reshape(b * t, h, w, ci)
        y = lax.conv_general_dilated(
            x,
            kernel[0],
            stride[1:],
            "VALID",
            dimension_numbers=_NHWC,
            feature_group_count=groups,
        )
        return y.reshape(b, t, h // kh, w // kw, -1)
    tiles = x.reshape(b, t, h // kh, kh, w // kw, kw, ci).transpose(0, 1, 2, 4, 3, 5, 6)
    return tiles.reshape(b, t, h // kh, w // kw, kh * kw * ci) @ kernel.reshape(kh * kw * ci, -1)


def _fold(x, kernel, groups):
    """Convolves with stride 1, in the way that suits the axes that the kernel spans."""
    extent = kernel.shape[:3]
    if groups == 1 and extent == (1, 1, 1):
        return x @ kernel[0, 0, 0]
    if groups == 1 and sorted(extent)[:2] == [1, 1]:
        return _line(x, kernel)
    return _planes(x, kernel, groups)


def _planes(x, kernel, groups=1):
    """Adds up 2-D convolutions, one per temporal tap of the kernel.

    Each tap skips the frames that it would multiply with padding alone. A kernel that spans no
    space, or no time, is a single 2-D convolution.
    """
    b, t, h, w, ci = x.shape
    kt, kh, kw, _, co = kernel.shape
    if kh == kw == 1:  # time takes the place of rows, rows and columns fold into columns
        x = x.reshape(b, t, h * w, ci)
        return _conv2d(x, kernel[:, :, 0], groups).reshape(b, t, h, w, co)
    y = None
    for tap in range(kt):
        lag = tap - kt // 2
        first, last = max(0, lag), min(t, t + lag)
        frames = x[:, first:last].reshape(b * (last - first), h, w, ci)
        part = _conv2d(frames, kernel[tap], groups).reshape(b, last - first, h, w, co)
        part = jnp.pad(part, [(0, 0), (max(0, -lag), max(0, lag)), (0, 0), (0, 0), (0, 0)])
        y = part if y is None else y + part
    return y


def _conv2d(x, kernel, groups):
    padding = [((k - 1) // 2, k // 2) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=_NHWC, feature_group_count=groups
    )


@jax.custom_vjp
def _line(x, kernel):
    """Convolves with a kernel that spans one axis.

    It has its own gradient: XLA would compute that of the weights by a convolution with a window
    as large as the image.
    """
    return _planes(x, kernel)


def _line_forward(x, kernel):
    return _line(x, kernel), (x, kernel)


def _line_backward(residuals, dy):
    """Computes the weight gradient by one product per tap: x transposed times the shifted gradient
    of the output."""
    x, kernel = residuals
    axis = 1 + max(range(3), key=lambda a: kernel.shape[a])
    rows = x.reshape(-1, x.shape[-1]).T
    gradients = []
    for tap in range(kernel.shape[axis - 1]):
        lag = tap - kernel.shape[axis - 1] // 2
        shift = [(lag, -lag, 0) if a == axis else (0, 0, 0) for a in range(5)]
        shifted = lax.pad(dy, jnp.zeros((), dy.dtype), shift)
        gradients.append(rows @ shifted.reshape(-1, dy.shape[-1]))
    mirrored = kernel[::-1, ::-1, ::-1].swapaxes(3, 4)
    return _planes(dy, mirrored), jnp.stack(gradients).reshape(kernel.shape)


_line.defvjp(_line_forward, _line_backward)


def _memory_factor(extent: Extent) -> float:
    """Returns a factor above the memory that was measured.

    Whole nets on a CPU: 3.1 for nets without a kernel that spans both time and space. For nets with
    such kernels, which are computed tap by tap: 4.2 (dwsep), 4.6 to 5.1 (detection), 5.2 to 5.4
    (full and thin).
    """
    return 7.8 if extent[0] > 1 and max(extent[1:]) > 1 else 3.5


LOWERING = Lowering("folded", convolve=convolve, upsample=upsample, memory_factor=_memory_factor)
