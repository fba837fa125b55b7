"""Python functions that XLA calls with the addresses of its buffers: `jax.ffi` without a compiler.

The structures below are those of XLA's C interface for foreign functions (`xla/ffi/api/c_api.h`,
which jaxlib ships), as far as a handler on a CPU needs them. A handler runs in a thread of XLA's
choice. It holds the GIL while it looks at the addresses, and a library that is called through
ctypes computes without it.
"""

import ctypes
import threading
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from typing import NamedTuple

import jax

from jaxpose.lowering.onednn import interrupts

VERSION = (0, 3)
"""Of the C interface. XLA refuses a handler of another major version, and a newer minor one."""
EXECUTE, METADATA, INTERNAL_ERROR, SCALAR = 3, 1, 13, 3
DTYPES = {6: "uint8", 11: "float32", 16: "bfloat16"}
"""Element types of the buffers that a handler can be called with."""
_SCALARS = {1: ctypes.c_bool, 4: ctypes.c_int32, 5: ctypes.c_int64, 11: ctypes.c_float}
"""Types of attributes."""


class Buffer(NamedTuple):
    """An array that XLA owns, dense and row-major."""

    address: int
    dtype: str
    shape: tuple[int, ...]


Function = Callable[..., None]
"""(list of arguments, list of results, **attributes); fills the results in place."""


# ---- c_api.h, in its order of fields ----


class Extension(Structure):
    pass


Extension._fields_ = [
    ("struct_size", c_size_t),
    ("type", c_int32),
    ("next", POINTER(Extension)),
]


class Header(Structure):
    """The beginning of most structures."""

    _fields_ = [("struct_size", c_size_t), ("extension_start", POINTER(Extension))]


class Version(Header):
    _fields_ = [("major_version", c_int32), ("minor_version", c_int32)]


class Metadata(Structure):
    _fields_ = [("struct_size", c_size_t), ("api_version", Version), ("traits", c_uint32)]


class MetadataExtension(Structure):
    _fields_ = [("extension_base", Extension), ("metadata", POINTER(Metadata))]


class BufferStruct(Header):
    _fields_ = [
        ("dtype", c_int32),
        ("data", c_void_p),
        ("rank", c_int64),
        ("dims", POINTER(c_int64)),
    ]


class Arguments(Header):
    _fields_ = [
        ("size", c_int64),
        ("types", POINTER(c_int32)),
        ("args", POINTER(POINTER(BufferStruct))),
    ]


class Results(Header):
    _fields_ = [
        ("size", c_int64),
        ("types", POINTER(c_int32)),
        ("rets", POINTER(POINTER(BufferStruct))),
    ]


class ByteSpan(Structure):
    _fields_ = [("ptr", c_void_p), ("len", c_size_t)]


class Scalar(Structure):
    _fields_ = [("dtype", c_int32), ("value", c_void_p)]


class Attributes(Header):
    _fields_ = [
        ("size", c_int64),
        ("types", POINTER(c_int32)),
        ("names", POINTER(POINTER(ByteSpan))),
        ("attrs", POINTER(c_void_p)),
    ]


class ErrorCreate(Header):
    _fields_ = [("message", c_char_p), ("errc", c_int32)]


class Api(Header):
    _fields_ = [
        ("api_version", Version),
        ("internal_api", c_void_p),
        ("XLA_FFI_Error_Create", ctypes.CFUNCTYPE(c_void_p, POINTER(ErrorCreate))),
    ]


class CallFrame(Header):
    _fields_ = [
        ("api", POINTER(Api)),
        ("ctx", c_void_p),
        ("stage", c_int32),
        ("args", Arguments),
        ("rets", Results),
        ("attrs", Attributes),
    ]


STRUCTURES = {
    "XLA_FFI_Extension_Base": Extension,
    "XLA_FFI_Api_Version": Version,
    "XLA_FFI_Metadata": Metadata,
    "XLA_FFI_Metadata_Extension": MetadataExtension,
    "XLA_FFI_Buffer": BufferStruct,
    "XLA_FFI_Args": Arguments,
    "XLA_FFI_Rets": Results,
    "XLA_FFI_ByteSpan": ByteSpan,
    "XLA_FFI_Scalar": Scalar,
    "XLA_FFI_Attrs": Attributes,
    "XLA_FFI_Error_Create_Args": ErrorCreate,
    "XLA_FFI_Api": Api,
    "XLA_FFI_CallFrame": CallFrame,
}
"""Name in `c_api.h` -> structure. Fields at the end that are not used are left out."""


# ---- declaring and calling ----

_Handler = ctypes.CFUNCTYPE(c_void_p, POINTER(CallFrame))
_handlers: list = []
"""They must outlive every program that calls them."""
_declared: dict[str, Function] = {}
_registering = threading.Lock()


def declare(name: str, function: Function) -> None:
    """Makes `call(name, ...)` possible. The function is registered at the first call, so that an
    import costs nothing and cannot fail for those who never call."""
    _declared[name] = function


def call(name: str, result, **options) -> Callable:
    """`jax.ffi.ffi_call` of a declared function."""
    interrupts.install()
    with _registering:
        if name in _declared:
            register(name, _declared[name])
            del _declared[name]  # not before: after a failure the next call tries again
    return jax.ffi.ffi_call(name, result, **options)


def register(name: str, function: Function) -> None:
    """Makes `jax.ffi.ffi_call(name, ...)` call `function` on a CPU. An exception in it becomes the
    error of the XLA program. Signal handlers run after it."""

    def handle(pointer):
        frame = pointer.contents
        if _write_version(frame.extension_start) or frame.stage != EXECUTE:
            return None
        try:
            arguments = _buffers(frame.args.size, frame.args.args)
            results = _buffers(frame.rets.size, frame.rets.rets)
            function(arguments, results, **_attributes(frame.attrs))
        except BaseException as error:  # the results are not valid
            return _create_error(
                frame.api.contents, f"{name}: {str(error) or type(error).__name__}"
            )
        return None

    interrupts.protect(handle)
    handler = _Handler(handle)
    _handlers.append(handler)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")


def _write_version(extension) -> bool:
    """At registration XLA asks once which version the handler was written for."""
    if not extension or extension.contents.type != METADATA:
        return False
    metadata = ctypes.cast(extension, POINTER(MetadataExtension)).contents.metadata.contents
    metadata.api_version.major_version, metadata.api_version.minor_version = VERSION
    metadata.traits = 0
    return True


def _buffers(size: int, pointers) -> list[Buffer]:
    buffers = []
    for i in range(size):
        buffer = pointers[i].contents
        shape = tuple(buffer.dims[: buffer.rank])
        buffers.append(Buffer(buffer.data, DTYPES[buffer.dtype], shape))
    return buffers


def _attributes(attributes: Attributes) -> dict[str, bool | int | float]:
    """Scalars by name."""
    values = {}
    for i in range(attributes.size):
        span = attributes.names[i].contents
        name = ctypes.string_at(span.ptr, span.len).decode()
        if attributes.types[i] != SCALAR:
            raise TypeError(f"attribute {name}: expected a scalar")
        scalar = ctypes.cast(attributes.attrs[i], POINTER(Scalar)).contents
        values[name] = _SCALARS[scalar.dtype].from_address(scalar.value).value
    return values


def _create_error(api: Api, message: str) -> int:
    arguments = ErrorCreate(
        struct_size=ctypes.sizeof(ErrorCreate), message=message.encode(), errc=INTERNAL_ERROR
    )
    return api.XLA_FFI_Error_Create(ctypes.byref(arguments))
