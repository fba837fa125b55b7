"""oneDNN's C interface through ctypes: objects, and primitives that run on addresses.

This module allocates the temporary memory (the *scratchpad*) of every primitive. The library's own
scratchpad belongs to the thread that creates a primitive. JAX traces in one thread, and XLA may run
the program in another, where that scratchpad is a null pointer or too small.
"""

import ctypes
import functools
import threading
from collections.abc import Iterable, Sequence
from ctypes import c_int, c_int64, c_size_t, c_void_p

import numpy as np

from jaxpose.lowering.onednn.library import library

CACHED = 512
"""Size of the cache of each kind of primitive, which destroys the least recently used one first. A
training run of both nets needs about 150."""

# Constants of oneDNN 3's dnnl_types.h.
TRAINING, SRC, DST, DIFF_SRC, DIFF_DST = 64, 1, 17, 129, 145
DTYPES = {"float32": 3, "bfloat16": 2}
_UNIMPLEMENTED, _CPU, _DEFAULT_FLAGS = 3, 1, 1
_QUERY_IMPLEMENTATION, _ANY_LAYOUT = 8, 1
_SCRATCHPAD, _QUERY_SCRATCHPAD, _SCRATCHPAD_BY_USER = 80, 136, 1
Dims = c_int64 * 12

one_at_a_time = threading.Lock()
"""Lock that must be held while a primitive runs.

XLA runs independent operations concurrently. Each of the library's operations uses all cores and
waits for its threads, so two concurrent ones nearly stop each other. The primitives' arguments and
the scratchpad are shared, too."""


class _Argument(ctypes.Structure):
    _fields_ = [("arg", c_int), ("memory", c_void_p)]


class Handle(c_void_p):
    """An object of the library, which is destroyed with this Python object."""

    _destroy = None

    def __del__(self):
        if self._destroy is not None and self.value:
            self._destroy(self)


def check_dtypes(*arrays, like) -> None:
    """Checks that all arrays have the dtype of `like`, and that the library supports it.

    The library does not check: it reads as many bytes as the descriptors say.

    Raises:
      TypeError: a dtype differs, or is neither float32 nor bfloat16.
    """
    library()
    for array in arrays:
        if array.dtype != like.dtype or str(array.dtype) not in DTYPES:
            raise TypeError(
                f"dtypes {array.dtype} and {like.dtype}: expected equal ones, float32 or bfloat16 "
                "(scale and shift of batch norm: float32); convert with .astype"
            )


# ---- objects ----

_KINDS = ("primitive_desc", "primitive_attr", "primitive", "memory_desc", "memory", "post_ops")


def check_call(function: str, *arguments) -> None:
    """Calls a function of the library.

    Raises:
      NotImplementedError: the library cannot compute this on this CPU.
      RuntimeError: the function returned another error.
    """
    status = getattr(library(), function)(*arguments)
    if status == _UNIMPLEMENTED:
        raise NotImplementedError(
            f"oneDNN cannot compute this on this CPU ({function}); choose the lowering 'folded'"
        )
    if status:
        raise RuntimeError(f"oneDNN: {function} failed with status {status}")


def create(function: str, *arguments) -> Handle:
    """Calls one of the library's `dnnl_..._create...` functions and returns the new object."""
    handle = Handle()
    check_call(function, ctypes.byref(handle), *arguments)
    kind = next(kind for kind in _KINDS if kind in function)
    handle._destroy = getattr(library(), f"dnnl_{kind}_destroy")
    return handle


@functools.cache
def engine() -> c_void_p:
    """Returns the engine of the CPU, which exists as long as the process."""
    handle = c_void_p()
    check_call("dnnl_engine_create", ctypes.byref(handle), c_int(_CPU), c_size_t(0))
    return handle


@functools.cache
def _stream() -> c_void_p:
    handle = c_void_p()
    check_call("dnnl_stream_create", ctypes.byref(handle), engine(), c_int(_DEFAULT_FLAGS))
    return handle


def attributes() -> Handle:
    """Returns attributes of a primitive whose scratchpad is passed at every call."""
    handle = create("dnnl_primitive_attr_create")
    mode = c_int(_SCRATCHPAD_BY_USER)
    check_call("dnnl_primitive_attr_set_scratchpad_mode", handle, mode)
    return handle


def layout(shape: tuple[int, ...], order: tuple[int, ...], dtype: str) -> Handle:
    """Returns the descriptor of a dense row-major array; the library sees its axes in `order`."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return create(
        "dnnl_memory_desc_create_with_strides",
        c_int(len(order)),
        Dims(*(shape[a] for a in order)),
        c_int(DTYPES[dtype]),
        Dims(*(strides[a] for a in order)),
    )


def any_layout(shape: tuple[int, ...], order: tuple[int, ...], dtype: str) -> Handle:
    """Descriptor of an array whose layout the library chooses for the primitive; as `layout`."""
    return create(
        "dnnl_memory_desc_create_with_tag",
        c_int(len(order)),
        Dims(*(shape[a] for a in order)),
        c_int(DTYPES[dtype]),
        c_int(_ANY_LAYOUT),
    )


def query(description: Handle, what: int) -> c_void_p:
    """Returns a memory descriptor of a primitive's description, which owns it."""
    function = library().dnnl_primitive_desc_query_md
    function.restype = c_void_p
    return c_void_p(function(description, c_int(what), c_int(0)))


def implementation(description: Handle) -> str:
    """Returns the library's name of the code that it will run, such as "brgconv:avx512_core"."""
    name = ctypes.c_char_p()
    query = c_int(_QUERY_IMPLEMENTATION)
    check_call("dnnl_primitive_desc_query", description, query, c_int(0), ctypes.byref(name))
    return name.value.decode()


def size_of(memory_layout: c_void_p) -> int:
    """Returns the size of an array with this descriptor, in bytes."""
    function = library().dnnl_memory_desc_get_size
    function.restype = c_size_t
    return function(memory_layout)


# ---- running ----


def arguments_of(memories: Iterable[tuple[int, Handle]]) -> ctypes.Array:
    """The arguments of a primitive: the library's number of each, and its memory object."""
    memories = list(memories)
    return (_Argument * len(memories))(*memories)


def set_address(memory: Handle, address: int) -> None:
    """Lets a memory object stand for the bytes from `address` on."""
    check_call("dnnl_memory_set_data_handle", memory, c_void_p(address))


def execute_all(calls: Iterable[tuple[Handle, c_int, ctypes.Array]]) -> None:
    """Runs primitives, each with the number of its arguments and the arguments, one after the
    other. `one_at_a_time` must be held."""
    execute, stream = library().dnnl_primitive_execute, _stream()
    for primitive, count, arguments in calls:
        if status := execute(primitive, stream, count, arguments):
            raise RuntimeError(f"oneDNN: a primitive failed with status {status}")


class Primitive:
    """One operation of the library on fixed shapes, created once and run often."""

    def __init__(self, description: Handle, arguments: Sequence[tuple[int, c_void_p]]):
        """Creates the primitive.

        `arguments` are pairs of the library's number of an argument and its memory descriptor, in
        the order in which `run` takes their addresses.
        """
        scratchpad = query(description, _QUERY_SCRATCHPAD)
        self.scratchpad_bytes = size_of(scratchpad)
        if self.scratchpad_bytes:
            arguments = [*arguments, (_SCRATCHPAD, scratchpad)]
        self._primitive = create("dnnl_primitive_create", description)
        self._memories = [
            create("dnnl_memory_create", each, engine(), c_void_p(None)) for _, each in arguments
        ]
        numbers = [number for number, _ in arguments]
        self._arguments = arguments_of(zip(numbers, self._memories, strict=True))

    def run(self, addresses: Sequence[int], scratchpad: int) -> None:
        """Runs the primitive; the caller holds `one_at_a_time`.

        `scratchpad` is the address of `scratchpad_bytes` bytes.
        """
        # a primitive without a scratchpad has no memory for the last address
        for memory, address in zip(self._memories, (*addresses, scratchpad), strict=False):
            set_address(memory, address)
        execute_all([(self._primitive, c_int(len(self._memories)), self._arguments)])


ALIGNMENT = 4096
"""Bytes; the addresses of buffers are multiples of it."""
_workspace = (np.empty(0, np.uint8), 0)
"""The buffer and its first aligned address."""


def workspace(size: int) -> int:
    """Returns the address of at least `size` bytes of temporary memory.

    All primitives share this one buffer, which grows when needed; the caller holds `one_at_a_time`.
    """
    global _workspace
    if _workspace[0].size < size + ALIGNMENT:
        _workspace = (np.empty(0, np.uint8), 0)  # frees the old buffer first
        buffer = np.empty(size + ALIGNMENT, np.uint8)
        address = buffer.ctypes.data
        _workspace = (buffer, address + -address % ALIGNMENT)
    return _workspace[1]
