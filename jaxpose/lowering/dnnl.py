"""oneDNN's C interface through ctypes: the library behind PyTorch's on a CPU, without a compiler.

One shared library without Python parts (the wheel `onednn-cpu-gomp`, extra `onednn`). What it
computes: `onednn` (convolutions), `onednn_products` (some of their weight
gradients), `onednn_norm` (batch norm).
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

from jaxpose.lowering import ffi

WHEEL = "onednn-cpu-gomp"

# Constants of oneDNN 3's dnnl_types.h.
TRAINING, SRC, DST, DIFF_SRC, DIFF_DST = 64, 1, 17, 129, 145
_UNIMPLEMENTED = 3
DTYPES = {"float32": 3, "bfloat16": 2}
Dims = c_int64 * 12


class _Argument(ctypes.Structure):
    _fields_ = [("arg", c_int), ("memory", c_void_p)]


@functools.cache
def library() -> ctypes.CDLL | None:
    """oneDNN, or None where the wheel is not installed or cannot be loaded."""
    try:
        files = importlib.metadata.files(WHEEL) or []
        (path,) = [Path(f.locate()).resolve() for f in files if f.name == "libdnnl.so.3"]
        # Threads of OpenMP that wait by spinning would take the cores away from XLA's.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        return ctypes.CDLL(str(path))
    except (importlib.metadata.PackageNotFoundError, ValueError, OSError):
        return None


def available() -> bool:
    return library() is not None


def check_dtypes(*arrays, like) -> None:
    """The library reads as many bytes as it was told, whoever owns them."""
    if not available():
        raise ModuleNotFoundError("oneDNN is not here: pip install -e '.[onednn]'")
    for array in arrays:
        if array.dtype != like.dtype or str(array.dtype) not in DTYPES:
            raise TypeError(
                f"{array.dtype} with {like.dtype}: oneDNN takes float32 or bfloat16, all alike; "
                "scale and shift of batch norm float32"
            )


def call(operation: str, *like):
    results = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in like]
    result = results if len(like) > 1 else results[0]
    return ffi.call(operation, result, vmap_method="sequential")


one_at_a_time = threading.Lock()
"""XLA runs what is independent at once, but every convolution takes all cores, and its threads
wait for one another: two at a time nearly stand still."""


@contextlib.contextmanager
def computing() -> Iterator[tuple[c_void_p, Callable[[c_void_p, c_void_p], c_void_p]]]:
    """A stream, and what makes an array at an address known to the library; waits at the end."""
    wrapped = []
    stream = made("dnnl_stream_create", engine(), c_int(1))

    def memory(layout: c_void_p, address: c_void_p) -> c_void_p:
        wrapped.append(made("dnnl_memory_create", layout, engine(), address))
        return wrapped[-1]

    try:
        yield stream, memory
        do("dnnl_stream_wait", stream)
    finally:
        for one in wrapped:
            do("dnnl_memory_destroy", one)
        do("dnnl_stream_destroy", stream)


def do(name: str, *arguments) -> None:
    status = getattr(library(), name)(*arguments)
    if status == _UNIMPLEMENTED:
        raise NotImplementedError(
            f"oneDNN cannot do this on this CPU ({name}); choose the lowering `folded`"
        )
    if status:
        raise RuntimeError(f"oneDNN: {name} failed with status {status}")


def made(name: str, *arguments) -> c_void_p:
    """What a `dnnl_..._create` makes."""
    handle = c_void_p()
    do(name, ctypes.byref(handle), *arguments)
    return handle


def execute(primitive: c_void_p, stream: c_void_p, *arguments) -> None:
    array = (_Argument * len(arguments))(*arguments)
    do("dnnl_primitive_execute", primitive, stream, c_int(len(arguments)), array)


@functools.cache
def engine() -> c_void_p:
    cpu = 1
    return made("dnnl_engine_create", c_int(cpu), c_size_t(0))


def layout(shape: tuple[int, ...], order: tuple[int, ...], dtype: str) -> c_void_p:
    """Descriptor of a dense row-major array, its axes taken in `order`."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return made(
        "dnnl_memory_desc_create_with_strides",
        *(c_int(len(order)), Dims(*(shape[a] for a in order))),
        *(c_int(DTYPES[dtype]), Dims(*(strides[a] for a in order))),
    )


SCRATCHPAD, _QUERY_SCRATCHPAD, _USER = 80, 136, 1


@functools.cache
def plain_attributes() -> c_void_p:
    attributes = made("dnnl_primitive_attr_create")
    do("dnnl_primitive_attr_set_scratchpad_mode", attributes, c_int(_USER))
    return attributes


def scratchpad_of(described) -> c_void_p:
    query = library().dnnl_primitive_desc_query_md
    query.restype = c_void_p
    return c_void_p(query(described, c_int(_QUERY_SCRATCHPAD), c_int(0)))
