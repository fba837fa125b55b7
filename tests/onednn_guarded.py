"""Runs oneDNN's operations on arrays that lie against pages that may not be touched.

    python tests/onednn_guarded.py [all]

Every primitive is created in a thread of its own and run in the main one, on arrays whose first or
last byte borders on such a page; so does its temporary memory. An access outside of them ends the
process with a segmentation fault. Every case is printed before it runs; the last line is `done`.
"""

import ctypes
import itertools
import sys
import threading
from math import prod

import numpy as np

from jaxpose.lowering.onednn import dnnl, norm
from jaxpose.lowering.onednn.primitives import (
    BACKWARD_DATA,
    BACKWARD_WEIGHTS,
    FORWARD,
    FORWARD_RELU,
    prepared,
)

PAGE = 4096
ANONYMOUS, READ_WRITE, NO_ACCESS = 0x22, 3, 0
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Guarded:
    """Memory between two pages without access, at the beginning or at the end of it."""

    def __init__(self):
        self.maps = []

    def bytes(self, size: int, at_end: bool, align: int = 1) -> int:
        inside = max(1, -(-size // PAGE)) * PAGE
        start = libc.mmap(None, inside + 2 * PAGE, READ_WRITE, ANONYMOUS, -1, 0)
        libc.mprotect(start, PAGE, NO_ACCESS)
        libc.mprotect(start + PAGE + inside, PAGE, NO_ACCESS)
        self.maps.append((start, inside + 2 * PAGE))
        return start + PAGE + ((inside - size) // align * align if at_end else 0)

    def floats(self, shape, at_end: bool) -> int:
        address = self.bytes(4 * prod(shape), at_end)
        values = np.random.default_rng(0).normal(size=prod(shape)).astype(np.float32)
        ctypes.memmove(address, values.ctypes.data, values.nbytes)
        return address

    def free(self) -> None:
        for start, size in self.maps:
            libc.munmap(start, size)
        self.maps.clear()


def in_another_thread(create):
    created = []
    thread = threading.Thread(target=lambda: created.append(create()))
    thread.start()
    thread.join()
    return created[0]


def convolution(memory: Guarded, operation: str, x, kernel, at_end: bool) -> None:
    y, biased = (*x[:4], kernel[4]), operation in (FORWARD, FORWARD_RELU)
    primitive = in_another_thread(lambda: prepared(operation, "float32", x, kernel, y, biased))
    shapes = (x, kernel, y, kernel[4:]) if biased else (x, kernel, y)
    dnnl.workspace = lambda size: memory.bytes(size, at_end, align=64)
    primitive.run(*(memory.floats(shape, at_end) for shape in shapes))


def batch_norm(memory: Guarded, shape, relu: bool, at_end: bool) -> None:
    both = in_another_thread(lambda: norm.prepared("float32", shape, 1e-3, relu))
    x, y, dx = (memory.floats(shape, at_end) for _ in range(3))
    scale, shift, mean, variance, dscale, dshift = (
        memory.floats(shape[4:], at_end) for _ in range(6)
    )
    signs = [memory.bytes(both.signs_bytes, at_end)] if relu else []
    for primitive, addresses in (
        (both.forward, [x, scale, shift, y, mean, variance, *signs]),
        (both.backward, [y, x, scale, mean, variance, dx, dscale, dshift, *signs]),
    ):
        primitive.run(addresses, memory.bytes(primitive.scratchpad_bytes, at_end, align=64))


FEW = [(4, 4, 4), (8, 8, 8), (21, 21, 21), (3, 5, 1), (32, 32, 2), (64, 64, 64)]
"""Input channels, output channels, groups."""
MORE = [(4, 4, 2), (4, 8, 4), (8, 8, 2), (16, 16, 16), (6, 6, 6), (5, 5, 5), (12, 12, 12)]
MORE += [(1, 1, 1), (7, 9, 1), (4, 6, 2), (20, 20, 20), (9, 9, 3), (24, 24, 3), (18, 27, 9)]
EXTENTS = [(3, 3, 3), (1, 3, 1), (1, 1, 3), (3, 1, 1), (1, 3, 3), (1, 1, 1)]
SIZES = [(1, 3, 4, 6), (2, 3, 5, 7), (1, 1, 1, 2), (1, 3, 16, 16)]


def main(everything: bool) -> None:
    memory = Guarded()
    channels, sizes = (FEW + MORE, SIZES) if everything else (FEW, SIZES[1:3])
    operations = (FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS)
    cases = itertools.product(operations, channels, EXTENTS, sizes, (False, True))
    for operation, (ci, co, groups), extent, size, at_end in cases:
        x, kernel = (*size, ci), (*extent, ci // groups, co)
        print(operation, x, kernel, "guarded end" if at_end else "guarded beginning", flush=True)
        convolution(memory, operation, x, kernel, at_end)
        memory.free()
    widths = (1, 2, 4, 5, 8, 12, 16, 20, 33, 64) if everything else (1, 5, 8, 33)
    for c, size, relu, at_end in itertools.product(widths, sizes, (False, True), (False, True)):
        print("norm", (*size, c), f"{relu=} {at_end=}", flush=True)
        batch_norm(memory, (*size, c), relu, at_end)
        memory.free()
    print("done")


if __name__ == "__main__":
    main(everything=sys.argv[1:] == ["all"])
