"""oneDNN's C interface through ctypes: the library behind PyTorch's on a CPU, without a compiler.

One shared library without Python parts (the wheel `onednn-cpu-gomp`, extra `onednn`). Constants
are those of oneDNN 3's dnnl_types.h.
"""

import contextlib
import ctypes
import functools
import importlib.metadata
import os
import threading
from collections.abc import Callable, Iterator
from ctypes import c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import jax
import numpy as np

from jaxpose.lowering.onednn import ffi

WHEEL = "onednn-cpu-gomp"

FORWARD_TRAINING = 64
SRC, DST, DIFF_SRC, DIFF_DST, SCRATCHPAD = 1, 17, 129, 145, 80
UNIMPLEMENTED = 3
QUERY_SCRATCHPAD = 136
SCRATCHPAD_OF_CALLER = 1
DTYPES = {"float32": 3, "bfloat16": 2}
ALLOCATE = c_void_p(-1)
CACHED = 512
"""Most primitives of a kind that are kept; the default nets need about 100."""
Dims = c_int64 * 12

INSTRUCTION_SETS = {
    0x1: "SSE4.1",
    0x3: "AVX",
    0x7: "AVX2",
    0xF: "AVX2 VNNI",
    0x1F: "AVX2 VNNI 2",
    0x27: "AVX-512",
    0x67: "AVX-512 VNNI",
    0xE7: "AVX-512 BF16",
    0x1EF: "AVX-512 FP16",
    0xFEF: "AVX-512 AMX",
    0x1FEF: "AVX-512 AMX FP16",
}


class _Argument(ctypes.Structure):
    _fields_ = [("arg", c_int), ("memory", c_void_p)]


@functools.cache
def library() -> ctypes.CDLL | None:
    """Loads oneDNN; None where the wheel is not installed or cannot be loaded."""
    try:
        files = importlib.metadata.files(WHEEL) or []
        (path,) = [Path(f.locate()).resolve() for f in files if f.name == "libdnnl.so.3"]
        with _environment(OMP_WAIT_POLICY="passive"):
            return ctypes.CDLL(str(path))
    except (importlib.metadata.PackageNotFoundError, ValueError, OSError):
        return None


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Sets environment variables that are not set, for as long as the library loads: OpenMP reads
    them then. Its threads would wait by spinning and take the cores from XLA's."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def available() -> bool:
    return library() is not None


def instruction_set() -> str | None:
    """Name of the newest instructions that the library uses on this CPU; None without it."""
    if not available():
        return None
    code = library().dnnl_get_effective_cpu_isa()
    return INSTRUCTION_SETS.get(code, f"unknown ({code:#x})")


def check_dtypes(*arrays, like) -> None:
    """The library reads as many bytes as its descriptors say, whatever the array's size.

    Raises:
      ModuleNotFoundError: the library is not installed.
      TypeError: another type than `like` has.
    """
    if not available():
        raise ModuleNotFoundError("oneDNN is not installed: pip install 'jaxpose[onednn]'")
    for array in arrays:
        if array.dtype != like.dtype or str(array.dtype) not in DTYPES:
            raise TypeError(
                f"{array.dtype} with {like.dtype}: oneDNN takes float32 or bfloat16, all alike; "
                "scale and shift of batch norm float32"
            )


def call(operation: str, *like):
    """Returns the XLA function of an operation whose results have the shapes of `like`."""
    results = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in like]
    result = results if len(like) > 1 else results[0]
    return ffi.call(operation, result, vmap_method="sequential")


one_at_a_time = threading.Lock()
"""XLA runs independent operations at once, but every convolution takes all cores, and its threads
wait for one another: two at a time nearly stand still."""


@contextlib.contextmanager
def computing() -> Iterator[tuple[c_void_p, Callable[[c_void_p, c_void_p], c_void_p]]]:
    """Yields a stream, and a function that describes an array at an address to the library; waits
    for the stream at the end."""
    memories = []
    stream = create("dnnl_stream_create", engine(), c_int(1))

    def memory(layout: c_void_p, address: c_void_p) -> c_void_p:
        memories.append(create("dnnl_memory_create", layout, engine(), address))
        return memories[-1]

    try:
        yield stream, memory
        check("dnnl_stream_wait", stream)
    finally:
        for one in memories:
            check("dnnl_memory_destroy", one)
        check("dnnl_stream_destroy", stream)


def check(name: str, *arguments) -> None:
    """Calls a function of the library.

    Raises:
      NotImplementedError: the library has no such primitive for this CPU.
      RuntimeError: any other status but success.
    """
    status = getattr(library(), name)(*arguments)
    if status == UNIMPLEMENTED:
        raise NotImplementedError(
            f"oneDNN cannot do this on this CPU ({name}); choose the lowering `folded`"
        )
    if status:
        raise RuntimeError(f"oneDNN: {name} failed with status {status}")


def create(name: str, *arguments) -> c_void_p:
    """Returns the handle that a `dnnl_..._create` function creates."""
    handle = c_void_p()
    check(name, ctypes.byref(handle), *arguments)
    return handle


class Handles:
    """Handles that are destroyed together with their owner."""

    def __init__(self):
        self._destroy: list[tuple[str, c_void_p]] = []

    def create(self, name: str, *arguments) -> c_void_p:
        """As `create`, for dnnl_<kind>_create[...] and dnnl_<kind>_desc_create."""
        handle = create(name, *arguments)
        kind = name.removeprefix("dnnl_")
        if kind == "primitive_create":
            destroy = "dnnl_primitive_destroy"
        elif "primitive_desc_create" in kind:
            destroy = "dnnl_primitive_desc_destroy"
        else:
            destroy = "dnnl_memory_desc_destroy"
        self._destroy.append((destroy, handle))
        return handle

    def layout(self, shape: tuple[int, ...], order: tuple[int, ...], dtype: str) -> c_void_p:
        """Describes a dense row-major array, its axes taken in `order`."""
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        return self.create(
            "dnnl_memory_desc_create_with_strides",
            c_int(len(order)),
            Dims(*(shape[a] for a in order)),
            c_int(DTYPES[dtype]),
            Dims(*(strides[a] for a in order)),
        )

    def __del__(self):
        with contextlib.suppress(Exception):  # at exit the library may be gone
            for name, handle in reversed(self._destroy):
                getattr(library(), name)(handle)


class Primitive:
    """A primitive that gets its scratch memory from the caller.

    By default the library keeps scratch memory per thread, of the thread that *creates* a
    primitive. XLA executes it in another thread, where that memory is missing.
    """

    def __init__(self, handles: Handles, description: c_void_p):
        self.handle = handles.create("dnnl_primitive_create", description)
        self._scratchpad = query_layout(description, QUERY_SCRATCHPAD)
        self._bytes = layout_bytes(self._scratchpad)

    def execute(self, stream: c_void_p, memory, *arguments) -> None:
        """Runs with (role, memory) pairs; the caller holds `one_at_a_time`."""
        if self._bytes:
            address = _scratch.address(self._bytes)
            arguments = (*arguments, (SCRATCHPAD, memory(self._scratchpad, c_void_p(address))))
        array = (_Argument * len(arguments))(*arguments)
        check("dnnl_primitive_execute", self.handle, stream, c_int(len(arguments)), array)


class _Scratch:
    """Scratch memory that grows to the largest size asked for."""

    def __init__(self):
        self._buffer = np.empty(0, np.uint8)

    def address(self, size: int) -> int:
        """Address of `size` bytes, aligned to 64, valid until the next call."""
        if len(self._buffer) < size + 64:
            self._buffer = np.empty(size + 64, np.uint8)
        return -(-self._buffer.ctypes.data // 64) * 64


_scratch = _Scratch()


def query_layout(description: c_void_p, what: int) -> c_void_p:
    """Returns a memory descriptor that belongs to a primitive descriptor."""
    query = library().dnnl_primitive_desc_query_md
    query.restype = c_void_p
    return c_void_p(query(description, c_int(what), c_int(0)))


def layout_bytes(layout: c_void_p) -> int:
    size = library().dnnl_memory_desc_get_size
    size.restype = c_size_t
    return size(layout)


@functools.cache
def attributes() -> c_void_p:
    """Attributes of every primitive without post-operations."""
    return create_attributes()


def create_attributes() -> c_void_p:
    attributes = create("dnnl_primitive_attr_create")
    check("dnnl_primitive_attr_set_scratchpad_mode", attributes, c_int(SCRATCHPAD_OF_CALLER))
    return attributes


@functools.cache
def engine() -> c_void_p:
    cpu = 1
    return create("dnnl_engine_create", c_int(cpu), c_size_t(0))
