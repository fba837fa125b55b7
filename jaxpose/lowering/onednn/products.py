"""Weight gradients that are computed as matrix products instead of by oneDNN's convolutions.

    x [b t h w ci], dy [b t h w co] -> dkernel [kt kh kw ci co]

These are the gradients of float32 kernels along one axis, for which oneDNN's own code takes up to
three times as long (LOG.md): with AVX-512 if there are many channels, without it almost always. The
gradient of one tap is x transposed times dy, summed over all pixels p of dy whose p + lag lies
inside x. Pixels are consecutive in memory, so a lag is an offset, and the pixels to leave out are
the ends of contiguous ranges.
"""

import ctypes
from collections.abc import Iterator
from ctypes import c_char, c_float, c_int64, c_void_p
from typing import NamedTuple

from jaxpose.lowering.onednn import dnnl
from jaxpose.lowering.onednn.library import instruction_set

FEW, MANY = 16 * 16, 64 * 128
"""Smallest product of input and output channels for which matrix products are faster: without
AVX-512, and with it."""

_FLOAT = 4  # bytes


def faster(dtype: str, x: tuple[int, ...], kernel: tuple[int, ...], y: tuple[int, ...]) -> bool:
    """Returns whether `weight_gradient` can be used, and is faster than oneDNN's convolution.

    The shapes are x [b t h w ci], kernel [kt kh kw ci/g co] and y [b t h w co].
    """
    *extent, ci, co = kernel
    along_one_axis = sorted(extent)[:2] == [1, 1] and max(extent) > 1 and max(extent) % 2
    plain = x[:4] == y[:4] and x[4] == ci  # no stride, no groups
    least = MANY if "AVX-512" in (instruction_set() or "") else FEW
    return bool(dtype == "float32" and plain and along_one_axis and ci * co >= least)


class Product(NamedTuple):
    """The sum of sign * x[from_x + k * step]^T dy[from_dy + k * step] over k < count, in pixels."""

    from_x: int
    from_dy: int
    step: int
    count: int
    sign: int


def products(size: tuple[int, int, int, int], axis: int, lag: int) -> Iterator[Product]:
    """Yields the products whose sum is one tap's gradient.

    `size` is (b, t, h, w); the tap is `lag` pixels from the kernel's middle along `axis`, 1 to 3.
    """
    b, t, h, w = size
    pixels = b * t * h * w
    if lag == 0:
        yield Product(from_x=0, from_dy=0, step=1, count=pixels, sign=1)
        return
    reach = abs(lag)
    if reach >= size[axis]:
        return
    if axis == 3:
        # Rows are short: all pixels at once, minus the pairs that cross from a row to the next.
        yield _shifted(lag, earlier=0, later=reach, step=1, count=pixels - reach, sign=1)
        for column in range(reach if b * t * h > 1 else 0):
            yield _shifted(
                lag,
                earlier=w - reach + column,
                later=w + column,
                step=w,
                count=b * t * h - 1,
                sign=-1,
            )
        return
    stretch, offset = (t * h * w, reach * h * w) if axis == 1 else (h * w, reach * w)
    for first in range(0, pixels, stretch):
        yield _shifted(
            lag, earlier=first, later=first + offset, step=1, count=stretch - offset, sign=1
        )


def _shifted(lag: int, *, earlier: int, later: int, step: int, count: int, sign: int) -> Product:
    """Returns the product in which x starts after dy for a positive lag, before it otherwise."""
    from_x, from_dy = (later, earlier) if lag > 0 else (earlier, later)
    return Product(from_x, from_dy, step, count, sign)


def weight_gradient(x: int, dy: int, dkernel: int, x_shape, kernel_shape) -> None:
    """Computes the kernel's gradient from x and dy, and writes it to dkernel.

    `x`, `dy` and `dkernel` are addresses of float32 arrays; the shapes are those of x [b t h w ci]
    and of the kernel [kt kh kw ci co]. The caller holds `dnnl.one_at_a_time`.
    """
    *size, ci = x_shape
    *extent, _, co = kernel_shape
    taps = max(extent)
    axis = 1 + extent.index(taps)
    ctypes.memset(dkernel, 0, _FLOAT * taps * ci * co)
    for tap in range(taps):
        target = dkernel + _FLOAT * tap * ci * co
        for p in products(tuple(size), axis, tap - taps // 2):
            _add_product(p, x, dy, target, ci, co)


def _add_product(p: Product, x: int, dy: int, target: int, ci: int, co: int) -> None:
    """Adds one product to the [ci co] floats at `target`."""
    first_x = c_void_p(x + _FLOAT * p.from_x * ci)
    first_dy = c_void_p(dy + _FLOAT * p.from_dy * co)
    dnnl.check_call(
        "dnnl_sgemm",
        c_char(b"T"),
        c_char(b"N"),
        c_int64(ci),
        c_int64(co),
        c_int64(p.count),
        c_float(p.sign),
        first_x,
        c_int64(p.step * ci),
        first_dy,
        c_int64(p.step * co),
        c_float(1),
        c_void_p(target),
        c_int64(co),
    )
