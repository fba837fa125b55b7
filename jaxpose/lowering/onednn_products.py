"""Weight gradients of kernels along one axis, as matrix products by oneDNN.

    x [b t h w ci], dy [b t h w co] -> dkernel [kt kh kw ci co]

One tap's gradient is x transposed times dy, over all pixels p of dy whose p + lag lies inside of x.
Pixels are consecutive in memory, so a lag is an offset, and what must be left out are ends of
stretches. oneDNN's own kernels for this take up to three times as long where channels are many
(LOG.md).
"""

import ctypes
from collections.abc import Iterator
from ctypes import c_char, c_float, c_int64, c_void_p
from typing import NamedTuple

from jaxpose.lowering import dnnl

WIDE = 64 * 128
"""Input times output channels, from which on products are faster."""

_FLOAT = 4  # bytes


class Product(NamedTuple):
    """x[from_x + k * step]^T dy[from_dy + k * step], summed over `count` k; in pixels."""

    from_x: int
    from_dy: int
    step: int
    count: int
    sign: int


def faster(dtype: str, x: tuple[int, ...], kernel: tuple[int, ...], y: tuple[int, ...]) -> bool:
    """For x [b t h w ci], kernel [kt kh kw ci/g co] and y [b t h w co]; `dnnl_sgemm` is float32."""
    *extent, ci, co = kernel
    along_one_axis = sorted(extent)[:2] == [1, 1] and max(extent) > 1 and max(extent) % 2
    plain = x[:4] == y[:4] and x[4] == ci  # no stride, no groups
    return bool(dtype == "float32" and plain and along_one_axis and ci * co >= WIDE)


def products(size: tuple[int, int, int, int], axis: int, lag: int) -> Iterator[Product]:
    """What makes up one tap's gradient. `size` is (b, t, h, w); `axis` 1 to 3 of it, along which
    the tap is `lag` away from the middle."""
    b, t, h, w = size
    pixels = b * t * h * w
    if lag == 0:
        yield Product(0, 0, 1, pixels, 1)
        return
    reach = abs(lag)
    if reach >= size[axis]:
        return
    if axis == 3:
        # Rows are short: all pixels at once, less the pairs that join a row's end to the next one.
        yield _at(lag, 0, reach, 1, pixels - reach, 1)
        for column in range(reach if b * t * h > 1 else 0):
            yield _at(lag, w - reach + column, w + column, w, b * t * h - 1, -1)
        return
    stretch, offset = (t * h * w, reach * h * w) if axis == 1 else (h * w, reach * w)
    for first in range(0, pixels, stretch):
        yield _at(lag, first, first + offset, 1, stretch - offset, 1)


def _at(lag: int, earlier: int, later: int, step: int, count: int, sign: int) -> Product:
    """x lies after dy where the lag is positive."""
    ends = (later, earlier) if lag > 0 else (earlier, later)
    return Product(*ends, step, count, sign)


def weight_gradient(x: int, dy: int, dkernel: int, x_shape, kernel_shape) -> None:
    """Takes addresses, x's shape [b t h w ci] and the kernel's [kt kh kw ci co]; writes dkernel."""
    *size, ci = x_shape
    *extent, _, co = kernel_shape
    taps = max(extent)
    axis = 1 + extent.index(taps)
    ctypes.memset(dkernel, 0, _FLOAT * taps * ci * co)
    for tap in range(taps):
        to = dkernel + _FLOAT * tap * ci * co
        for p in products(tuple(size), axis, tap - taps // 2):
            dnnl.do(
                "dnnl_sgemm",
                *(c_char(b"T"), c_char(b"N"), c_int64(ci), c_int64(co), c_int64(p.count)),
                *(c_float(p.sign), c_void_p(x + _FLOAT * p.from_x * ci), c_int64(p.step * ci)),
                *(c_void_p(dy + _FLOAT * p.from_dy * co), c_int64(p.step * co)),
                *(c_float(1), c_void_p(to), c_int64(co)),
            )
