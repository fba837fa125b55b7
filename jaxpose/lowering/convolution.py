"""One convolution, several ways of computing it: weights always [kt kh kw ci co], the *lowering*
a separate, exact choice.

    conv3d    XLA's own 3-D convolution, forward and backward
    folded    axes that the kernel does not span become batch, so that XLA sees 2-D convolutions;
              weight gradients of one-directional kernels are GEMMs
    onednn    the library behind PyTorch's convolutions on a CPU (`jaxpose.lowering.onednn`)

The lowering changes time more than the factorisation does, so the two are never mixed: every
lowering gives the same values and gradients, by test. Why folding pays: XLA on a CPU runs 2-D
convolutions several times faster than 3-D ones.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxpose.lowering import onednn

Lowering = Literal["conv3d", "folded", "onednn"]


def fastest(dtype: Literal["float32", "bfloat16"]) -> Lowering:
    """What measurements speak for on JAX's default device: oneDNN on a CPU that it is installed
    for and can compute `dtype` on, folded on another. On a GPU nothing was measured yet: conv3d,
    which is cuDNN there.

    The shape plays no part: oneDNN was the fastest of the three in every forward pass and step of
    `experiments/results/bench-{default,paper}-cpu-float32-*.json`: asy, full and detection."""
    if jax.default_backend() != "cpu":
        return "conv3d"
    return "onednn" if onednn.can(dtype) else "folded"


def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None = None,
    *,
    stride: tuple[int, int, int] = (1, 1, 1),
    groups: int = 1,
    relu: bool = False,
    lowering: Lowering,
) -> Float[Array, "b t2 h2 w2 co"]:
    """Cross-correlation, zero-padded to keep the size (stride 1) or, where kernel = stride,
    tiling the input without padding; then bias and ReLU. (t, y, x) order throughout.

    `onednn` raises `ModuleNotFoundError` where the library is not installed; CPU alone."""
    if stride == (1, 1, 1) and not all(extent % 2 for extent in kernel.shape[:3]):
        raise ValueError(f"kernel {kernel.shape[:3]}: wanted odd extents, which have a centre")
    if any(size % step for size, step in zip(x.shape[1:4], stride, strict=True)):
        raise ValueError(f"{x.shape[1:4]} (t, y, x): wanted sizes that divide by {stride}")
    if lowering == "onednn":
        return onednn.convolve(x, kernel, bias, stride, relu)
    if lowering == "conv3d":
        out = _xla(x, kernel, stride=stride, groups=groups)
    elif stride != (1, 1, 1):
        out = _tiles(x, kernel, stride)
    else:
        out = _folded(x, kernel, groups)
    out = out if bias is None else out + bias
    return jax.nn.relu(out) if relu else out


def upsample(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "1 kh kw ci co"],
    *,
    lowering: Lowering,
) -> Float[Array, "b t h2 w2 co"]:
    """Transposed convolution with kernel = stride (1, kh, kw): every pixel becomes a tile, tap
    (y, x) of the kernel its pixel (y, x), as in Keras and PyTorch. Errors as in `convolve`."""
    if lowering == "onednn":
        return onednn.upsample(x, kernel)
    if lowering == "conv3d":
        # lax correlates with the spread-out input, which lays every tile down mirrored
        mirrored = kernel[:, ::-1, ::-1]
        return lax.conv_transpose(x, mirrored, kernel.shape[:3], "VALID", dimension_numbers=_NDHWC)
    b, t, h, w, _ = x.shape
    _, kh, kw, ci, co = kernel.shape
    tiles = x @ kernel.transpose(3, 0, 1, 2, 4).reshape(ci, kh * kw * co)
    tiles = tiles.reshape(b, t, h, w, kh, kw, co).transpose(0, 1, 2, 4, 3, 5, 6)
    return tiles.reshape(b, t, h * kh, w * kw, co)


_NDHWC = ("NDHWC", "DHWIO", "NDHWC")
_NHWC = ("NHWC", "HWIO", "NHWC")


def _xla(x, kernel, *, stride=(1, 1, 1), groups=1):
    padding = [
        ((k - 1) // 2, k // 2) if s == 1 else (0, 0)
        for k, s in zip(kernel.shape[:3], stride, strict=True)
    ]
    return lax.conv_general_dilated(
        x, kernel, stride, padding, dimension_numbers=_NDHWC, feature_group_count=groups
    )


def _tiles(x, kernel, stride):
    """Kernel = stride (1, s, s): each tile of pixels is one row of a matrix product."""
    assert kernel.shape[:3] == stride and stride[0] == 1, (kernel.shape, stride)
    b, t, h, w, ci = x.shape
    _, kh, kw = stride
    tiles = x.reshape(b, t, h // kh, kh, w // kw, kw, ci).transpose(0, 1, 2, 4, 3, 5, 6)
    return tiles.reshape(b, t, h // kh, w // kw, kh * kw * ci) @ kernel.reshape(kh * kw * ci, -1)


def _folded(x, kernel, groups):
    extent = kernel.shape[:3]
    if extent == (1, 1, 1):
        return x @ kernel[0, 0, 0]
    if groups == 1 and sorted(extent)[:2] == [1, 1]:
        return _line(x, kernel)
    return _planes(x, kernel, groups)


def _planes(x, kernel, groups=1):
    """A sum of 2-D convolutions over frames, one per temporal tap; each tap skips the frames
    that it would only multiply with padding. One- and two-directional kernels are one of them."""
    b, t, h, w, ci = x.shape
    kt, kh, kw, _, co = kernel.shape
    if kh == kw == 1:  # time takes the place of rows, rows and columns fold into columns
        x = x.reshape(b, t, h * w, ci)
        return _conv2d(x, kernel[:, :, 0], groups).reshape(b, t, h, w, co)
    out = None
    for tap in range(kt):
        lag = tap - kt // 2
        first, last = max(0, lag), min(t, t + lag)
        frames = x[:, first:last].reshape(b * (last - first), h, w, ci)
        part = _conv2d(frames, kernel[tap], groups).reshape(b, last - first, h, w, co)
        part = jnp.pad(part, [(0, 0), (max(0, -lag), max(0, lag)), (0, 0), (0, 0), (0, 0)])
        out = part if out is None else out + part
    return out


def _conv2d(x, kernel, groups):
    padding = [((k - 1) // 2, k // 2) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=_NHWC, feature_group_count=groups
    )


@jax.custom_vjp
def _line(x, kernel):
    """A kernel that extends along one axis only, with a weight gradient that XLA would turn into
    a convolution with a window as large as the image."""
    return _planes(x, kernel)


def _line_forward(x, kernel):
    return _line(x, kernel), (x, kernel)


def _line_backward(saved, dy):
    """The weight gradient is one GEMM a tap: x transposed times the output gradients, shifted."""
    x, kernel = saved
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
