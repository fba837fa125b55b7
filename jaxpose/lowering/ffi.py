"""A Python function that XLA calls with the addresses of its buffers: `jax.ffi` without a compiler.

The structures are those of XLA's C interface for foreign functions (`xla/ffi/api/c_api.h`, which
jaxlib ships), as far as a handler on a CPU needs them. The handler runs in XLA's thread, holds the
GIL for the few microseconds that it takes to look at the addresses, and gives it back while a
library called through ctypes computes.
"""

import ctypes
import threading
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from typing import NamedTuple

import jax

VERSION = (0, 3)
"""Of the C interface. XLA refuses a handler of another major version, and a newer minor one."""
_EXECUTE = 3
_METADATA = 1
_INTERNAL_ERROR = 13

DTYPES = {6: "uint8", 11: "float32", 16: "bfloat16"}
"""Codes of the element types that a handler can be given."""


class Buffer(NamedTuple):
    """An array that XLA owns, dense and row-major."""

    address: int
    dtype: str
    shape: tuple[int, ...]


class _Extension(Structure):
    pass


_Extension._fields_ = [
    ("struct_size", c_size_t),
    ("type", c_int32),
    ("next", POINTER(_Extension)),
]


class _Head(Structure):
    """How every structure of the interface begins."""

    _fields_ = [("struct_size", c_size_t), ("extension", POINTER(_Extension))]


class _Version(_Head):
    _fields_ = [("major", c_int32), ("minor", c_int32)]


class _Metadata(Structure):
    _fields_ = [("struct_size", c_size_t), ("version", _Version), ("traits", c_uint32)]


class _MetadataExtension(Structure):
    _fields_ = [("base", _Extension), ("metadata", POINTER(_Metadata))]


class _Buffer(_Head):
    _fields_ = [
        ("dtype", c_int32),
        ("data", c_void_p),
        ("rank", c_int64),
        ("dims", POINTER(c_int64)),
    ]


class _Buffers(_Head):
    """Arguments, or results."""

    _fields_ = [
        ("size", c_int64),
        ("types", POINTER(c_int32)),
        ("items", POINTER(POINTER(_Buffer))),
    ]


class _ErrorCreate(_Head):
    _fields_ = [("message", c_char_p), ("code", c_int32)]


class _Api(_Head):
    _fields_ = [
        ("version", _Version),
        ("internal", c_void_p),
        ("error_create", ctypes.CFUNCTYPE(c_void_p, POINTER(_ErrorCreate))),
    ]


class _CallFrame(_Head):
    _fields_ = [
        ("api", POINTER(_Api)),
        ("context", c_void_p),
        ("stage", c_int32),
        ("arguments", _Buffers),
        ("results", _Buffers),
    ]


_Handler = ctypes.CFUNCTYPE(c_void_p, POINTER(_CallFrame))
_registered: list = []
"""Handlers must outlive every program that calls them."""


_offered: dict[str, Callable] = {}
_registering = threading.Lock()


def offer(name: str, function: Callable[[list[Buffer], list[Buffer]], None]) -> None:
    """As `register`, but XLA hears of it at the first `call` alone: importing costs nothing, and
    cannot fail for those who never call."""
    _offered[name] = function


def call(name: str, result, **options) -> Callable:
    """`jax.ffi.ffi_call` of a function that was offered."""
    with _registering:
        if name in _offered:
            register(name, _offered[name])
            del _offered[name]  # not before: what failed is tried again
    return jax.ffi.ffi_call(name, result, **options)


def register(name: str, function: Callable[[list[Buffer], list[Buffer]], None]) -> None:
    """Makes `jax.ffi.ffi_call(name, ...)` call `function(arguments, results)` on a CPU, which
    fills the results in place. An exception becomes the error of the XLA program."""

    def handle(frame_at):
        frame = frame_at.contents
        if _told_version(frame.extension) or frame.stage != _EXECUTE:
            return None
        try:
            function(_buffers(frame.arguments), _buffers(frame.results))
        except BaseException as error:  # an interrupt, too: the result is not there
            told = str(error) or type(error).__name__
            return _failed(frame.api.contents, f"{name}: {told}")
        return None

    handler = _Handler(handle)
    _registered.append(handler)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")


def _told_version(extension) -> bool:
    """XLA asks once, at registration, what the handler was written for."""
    if not extension or extension.contents.type != _METADATA:
        return False
    metadata = ctypes.cast(extension, POINTER(_MetadataExtension)).contents.metadata.contents
    metadata.version.major, metadata.version.minor = VERSION
    metadata.traits = 0
    return True


def _buffers(found: _Buffers) -> list[Buffer]:
    buffers = []
    for i in range(found.size):
        item = found.items[i].contents
        buffers.append(Buffer(item.data, DTYPES[item.dtype], tuple(item.dims[: item.rank])))
    return buffers


def _failed(api: _Api, message: str) -> int:
    args = _ErrorCreate(
        struct_size=ctypes.sizeof(_ErrorCreate), message=message.encode(), code=_INTERNAL_ERROR
    )
    return api.error_create(ctypes.byref(args))
