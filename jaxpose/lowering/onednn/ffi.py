"""Python functions that XLA calls with the addresses of its buffers: `jax.ffi` without a compiler.

The structures are those of XLA's C interface for foreign functions (`xla/ffi/api/c_api.h`, which
jaxlib ships; a test compares the two), as far as a handler on a CPU needs them. XLA chooses the
thread in which a handler runs, Python's main thread too. The handler holds the GIL for the few
microseconds in which it reads the addresses, and releases it while a library called through ctypes
computes.
"""

import ctypes
import threading
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from typing import NamedTuple

import jax

from jaxpose.lowering.onednn import interrupts

VERSION = (0, 3)
"""Version of the C interface. XLA refuses a handler with another major or a newer minor version."""
EXECUTE = 3
METADATA = 1
SCALAR = 3
INTERNAL_ERROR = 13

DTYPES = {6: "uint8", 11: "float32", 16: "bfloat16"}
"""Codes of the element types that a handler may receive."""
FLOAT32 = 11


class Buffer(NamedTuple):
    """An array that XLA owns, dense and row-major."""

    address: int
    dtype: str
    shape: tuple[int, ...]


Function = Callable[[list[Buffer], list[Buffer], dict[str, float]], None]
"""A function of (arguments, results, attributes) that writes the results in place."""


class ExtensionBase(Structure):
    pass


ExtensionBase._fields_ = [
    ("struct_size", c_size_t),
    ("type", c_int32),
    ("next", POINTER(ExtensionBase)),
]


class Head(Structure):
    """The beginning of almost every structure of the interface."""

    _fields_ = [("struct_size", c_size_t), ("extension_start", POINTER(ExtensionBase))]


class ApiVersion(Head):
    _fields_ = [("major_version", c_int32), ("minor_version", c_int32)]


class Metadata(Structure):
    _fields_ = [("struct_size", c_size_t), ("api_version", ApiVersion), ("traits", c_uint32)]


class MetadataExtension(Structure):
    _fields_ = [("extension_base", ExtensionBase), ("metadata", POINTER(Metadata))]


class BufferStruct(Head):
    _fields_ = [
        ("dtype", c_int32),
        ("data", c_void_p),
        ("rank", c_int64),
        ("dims", POINTER(c_int64)),
    ]


class Args(Head):
    _fields_ = [
        ("size", c_int64),
        ("types", POINTER(c_int32)),
        ("args", POINTER(POINTER(BufferStruct))),
    ]


class Rets(Head):
    _fields_ = [
        ("size", c_int64),
        ("types", POINTER(c_int32)),
        ("rets", POINTER(POINTER(BufferStruct))),
    ]


class ByteSpan(Structure):
    _fields_ = [("ptr", c_void_p), ("len", c_size_t)]


class Scalar(Structure):
    _fields_ = [("dtype", c_int32), ("value", c_void_p)]


class Attrs(Head):
    _fields_ = [
        ("size", c_int64),
        ("types", POINTER(c_int32)),
        ("names", POINTER(POINTER(ByteSpan))),
        ("attrs", POINTER(c_void_p)),
    ]


class ErrorCreateArgs(Head):
    _fields_ = [("message", c_char_p), ("errc", c_int32)]


class Api(Head):
    _fields_ = [
        ("api_version", ApiVersion),
        ("internal_api", c_void_p),
        ("XLA_FFI_Error_Create", ctypes.CFUNCTYPE(c_void_p, POINTER(ErrorCreateArgs))),
    ]


class CallFrame(Head):
    _fields_ = [
        ("api", POINTER(Api)),
        ("ctx", c_void_p),
        ("stage", c_int32),
        ("args", Args),
        ("rets", Rets),
        ("attrs", Attrs),
    ]


STRUCTURES = {
    "XLA_FFI_Extension_Base": ExtensionBase,
    "XLA_FFI_Api_Version": ApiVersion,
    "XLA_FFI_Metadata": Metadata,
    "XLA_FFI_Metadata_Extension": MetadataExtension,
    "XLA_FFI_Buffer": BufferStruct,
    "XLA_FFI_Args": Args,
    "XLA_FFI_Rets": Rets,
    "XLA_FFI_ByteSpan": ByteSpan,
    "XLA_FFI_Scalar": Scalar,
    "XLA_FFI_Attrs": Attrs,
    "XLA_FFI_Error_Create_Args": ErrorCreateArgs,
    "XLA_FFI_Api": Api,
    "XLA_FFI_CallFrame": CallFrame,
}
"""Name in c_api.h -> the structure here, which has the first fields of that one."""

_Handler = ctypes.CFUNCTYPE(c_void_p, POINTER(CallFrame))
_handlers: list = []
"""Handlers must outlive every program that calls them."""
_pending: dict[str, Function] = {}
_registering = threading.Lock()


def define(name: str, function: Function) -> None:
    """Defines a function, which is registered with XLA at its first `call`.

    An import therefore takes no time, and does not fail where the function is never called.
    """
    _pending[name] = function


def call(name: str, result, **options) -> Callable:
    """Returns `jax.ffi.ffi_call` of a function that was defined."""
    interrupts.install()
    with _registering:
        if name in _pending:
            register(name, _pending[name])
            del _pending[name]  # after the registration, which is tried again if it fails
    return jax.ffi.ffi_call(name, result, **options)


def register(name: str, function: Function) -> None:
    """Makes `jax.ffi.ffi_call(name, ...)` call `function` on a CPU.

    An exception becomes the error of the XLA program; for signals see `interrupts`.
    """

    def handle(frame_pointer):
        try:
            interrupts.count_call()
            frame = frame_pointer.contents
            if _answer_metadata(frame.extension_start) or frame.stage != EXECUTE:
                return None
            arguments = _buffers(frame.args.size, frame.args.args)
            results = _buffers(frame.rets.size, frame.rets.rets)
            function(arguments, results, _attributes(frame.attrs))
            return None
        except BaseException as error:  # whatever it is, the result does not exist
            message = str(error) or type(error).__name__
            return _create_error(frame_pointer.contents.api.contents, f"{name}: {message}")

    interrupts.protect(handle)
    handler = _Handler(handle)
    _handlers.append(handler)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")


def _answer_metadata(extension) -> bool:
    """Answers XLA's question at registration for the version of the interface; False if none."""
    if not extension or extension.contents.type != METADATA:
        return False
    metadata = ctypes.cast(extension, POINTER(MetadataExtension)).contents.metadata.contents
    metadata.api_version.major_version, metadata.api_version.minor_version = VERSION
    metadata.traits = 0
    return True


def _buffers(size: int, items) -> list[Buffer]:
    buffers = []
    for i in range(size):
        item = items[i].contents
        buffers.append(Buffer(item.data, DTYPES[item.dtype], tuple(item.dims[: item.rank])))
    return buffers


def _attributes(attrs: Attrs) -> dict[str, float]:
    values = {}
    for i in range(attrs.size):
        span = attrs.names[i].contents
        name = ctypes.string_at(span.ptr, span.len).decode()
        scalar = ctypes.cast(attrs.attrs[i], POINTER(Scalar)).contents
        if attrs.types[i] != SCALAR or scalar.dtype != FLOAT32:
            raise TypeError(f"attribute {name!r}: expected a float32 scalar")
        values[name] = ctypes.c_float.from_address(scalar.value).value
    return values


def _create_error(api: Api, message: str) -> int:
    args = ErrorCreateArgs(
        struct_size=ctypes.sizeof(ErrorCreateArgs), message=message.encode(), errc=INTERNAL_ERROR
    )
    return api.XLA_FFI_Error_Create(ctypes.byref(args))
