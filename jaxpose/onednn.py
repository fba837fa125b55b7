"""3-D convolutions by oneDNN, the library behind PyTorch's on a CPU, called from inside XLA.

    x [b t h w ci], kernel [kt kh kw ci/g co] -> [b t h w co], and both gradients

One shared library without Python parts (the wheel `onednn-cpu-gomp`, extra `onednn`), reached
through ctypes and `jaxpose.ffi`: nothing is compiled. Activations stay in XLA's channels-last
layout; kernels are brought into the library's own blocked layout at every call, which is cheap.
"""

import ctypes
import functools
import importlib.metadata
import os
import threading
from ctypes import c_int, c_int64, c_void_p
from pathlib import Path

import jax
from jaxtyping import Array, Float

from jaxpose import ffi

WHEEL = "onednn-cpu-gomp"
FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS = (
    f"jaxpose_onednn_{part}" for part in ("forward", "backward_data", "backward_weights")
)

# Constants of oneDNN 3's dnnl_types.h.
_TRAINING, _DIRECT, _ANY_LAYOUT, _ALLOCATE = 64, 1, 1, c_void_p(-1)
_SRC, _DST, _WEIGHTS, _DIFF_SRC, _DIFF_DST, _DIFF_WEIGHTS = 1, 17, 33, 129, 145, 161
_UNIMPLEMENTED = 3
_QUERY_WEIGHTS, _QUERY_DIFF_WEIGHTS = 131, 132
_DTYPES = {"float32": 3, "bfloat16": 2}
_Dims = c_int64 * 12


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


def _call(name: str, *arguments) -> None:
    status = getattr(library(), name)(*arguments)
    if status == _UNIMPLEMENTED:
        raise NotImplementedError(
            f"oneDNN cannot do this on this CPU ({name}); choose the lowering `folded`"
        )
    if status:
        raise RuntimeError(f"oneDNN: {name} failed with status {status}")


def _made(name: str, *arguments) -> c_void_p:
    """What a `dnnl_..._create` makes."""
    handle = c_void_p()
    _call(name, ctypes.byref(handle), *arguments)
    return handle


@functools.cache
def _engine() -> c_void_p:
    return _made("dnnl_engine_create", c_int(1), ctypes.c_size_t(0))


def _layout(shape: tuple[int, ...], order: tuple[int, ...], dtype: str) -> c_void_p:
    """Descriptor of a dense row-major array, its axes taken in `order`."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return _made(
        "dnnl_memory_desc_create_with_strides",
        *(c_int(len(order)), _Dims(*(shape[a] for a in order))),
        *(c_int(_DTYPES[dtype]), _Dims(*(strides[a] for a in order))),
    )


_one_at_a_time = threading.Lock()
"""XLA runs what is independent at once, but every convolution takes all cores, and its threads
wait for one another by spinning: two at a time nearly stand still."""


class _Convolution:
    """One operation on one geometry, prepared once; `run` may be called by several threads."""

    def __init__(self, operation: str, dtype: str, x, kernel, y):
        """Shapes of x [b t h w ci], kernel [kt kh kw ci/g co] and y [b t h w co]."""
        engine, self.operation = _engine(), operation
        groups = x[4] // kernel[3]
        strides = [(n + m - 1) // m if n != m else 1 for n, m in zip(x[1:4], y[1:4], strict=True)]
        padded = [k if s == 1 else 1 for k, s in zip(kernel[:3], strides, strict=True)]
        before, after = [(k - 1) // 2 for k in padded], [k // 2 for k in padded]
        self.x, self.y = (_layout(s, (0, 4, 1, 2, 3), dtype) for s in (x, y))
        # oneDNN wants output channels, then input channels, and groups first
        grouped = (*kernel[:4], groups, kernel[4] // groups)
        order = (4, 5, 3, 0, 1, 2) if groups > 1 else (5, 3, 0, 1, 2)
        self.kernel = _layout(grouped, order, dtype)
        free = _made(
            "dnnl_memory_desc_create_with_tag",
            *(c_int(len(order)), _Dims(*(grouped[a] for a in order))),
            *(c_int(_DTYPES[dtype]), c_int(_ANY_LAYOUT)),
        )
        geometry = [_Dims(*v) for v in (strides, (0, 0, 0), before, after)]
        forward = _made(
            "dnnl_convolution_forward_primitive_desc_create",
            *(engine, c_int(_TRAINING), c_int(_DIRECT), self.x, free, None, self.y),
            *(*geometry, None),
        )
        if operation == FORWARD:
            described = forward
        elif operation == BACKWARD_DATA:
            described = _made(
                "dnnl_convolution_backward_data_primitive_desc_create",
                *(engine, c_int(_DIRECT), self.x, free, self.y, *geometry, forward, None),
            )
        else:
            described = _made(
                "dnnl_convolution_backward_weights_primitive_desc_create",
                *(engine, c_int(_DIRECT), self.x, free, None, self.y, *geometry, forward, None),
            )
        query = library().dnnl_primitive_desc_query_md
        query.restype = c_void_p
        what = _QUERY_DIFF_WEIGHTS if operation == BACKWARD_WEIGHTS else _QUERY_WEIGHTS
        self.blocked = c_void_p(query(described, c_int(what), c_int(0)))
        self.primitive = _made("dnnl_primitive_create", described)
        self.reorder = None
        if not library().dnnl_memory_desc_equal(self.kernel, self.blocked):
            ends = (self.kernel, self.blocked)
            source, target = ends[::-1] if operation == BACKWARD_WEIGHTS else ends
            self.reorder = _made(
                "dnnl_primitive_create",
                _made("dnnl_reorder_primitive_desc_create", source, engine, target, engine, None),
            )

    @staticmethod
    def of(operation: str, x: ffi.Buffer, kernel: ffi.Buffer, y: ffi.Buffer) -> None:
        with _one_at_a_time:
            _prepared(operation, x.dtype, x.shape, kernel.shape, y.shape).run(
                x.address, kernel.address, y.address
            )

    def run(self, x: int, kernel: int, y: int) -> None:
        """Addresses; of what the operation computes, the last one is written."""
        engine = _engine()
        stream = _made("dnnl_stream_create", engine, c_int(1))
        xs = _made("dnnl_memory_create", self.x, engine, c_void_p(x))
        ys = _made("dnnl_memory_create", self.y, engine, c_void_p(y))
        plain = _made("dnnl_memory_create", self.kernel, engine, c_void_p(kernel))
        made, inside = [xs, ys, plain], plain
        if self.reorder is not None:
            inside = _made("dnnl_memory_create", self.blocked, engine, _ALLOCATE)
            made.append(inside)
        if self.reorder is not None and self.operation != BACKWARD_WEIGHTS:
            _execute(self.reorder, stream, (_SRC, plain), (_DST, inside))
        if self.operation == FORWARD:
            arguments = (_SRC, xs), (_WEIGHTS, inside), (_DST, ys)
        elif self.operation == BACKWARD_DATA:
            arguments = (_DIFF_DST, ys), (_WEIGHTS, inside), (_DIFF_SRC, xs)
        else:
            arguments = (_SRC, xs), (_DIFF_DST, ys), (_DIFF_WEIGHTS, inside)
        _execute(self.primitive, stream, *arguments)
        if self.reorder is not None and self.operation == BACKWARD_WEIGHTS:
            _execute(self.reorder, stream, (_SRC, inside), (_DST, plain))
        _call("dnnl_stream_wait", stream)
        for memory in made:
            _call("dnnl_memory_destroy", memory)
        _call("dnnl_stream_destroy", stream)


_prepared = functools.cache(_Convolution)

ffi.register(FORWARD, lambda x_k, y: _Convolution.of(FORWARD, *x_k, *y))
ffi.register(BACKWARD_DATA, lambda dy_k, dx: _Convolution.of(BACKWARD_DATA, *dx, *dy_k[::-1]))
ffi.register(
    BACKWARD_WEIGHTS, lambda x_dy, dk: _Convolution.of(BACKWARD_WEIGHTS, x_dy[0], *dk, x_dy[1])
)


def _execute(primitive: c_void_p, stream: c_void_p, *arguments) -> None:
    array = (_Argument * len(arguments))(*arguments)
    _call("dnnl_primitive_execute", primitive, stream, c_int(len(arguments)), array)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    stride: tuple[int, int, int],
) -> Float[Array, "b t2 h2 w2 co"]:
    """As `jaxpose.convolution.convolve`; groups follow from the channels. bfloat16 needs a CPU
    with AVX-512."""
    if not available():
        raise ModuleNotFoundError("oneDNN is not here: pip install -e '.[onednn]'")
    b, *size, ci = x.shape
    *_, cig, co = kernel.shape
    if ci % cig or co % (ci // cig):
        raise ValueError(f"kernel {kernel.shape}: does not go with {ci} channels")
    y = (b, *(n // s for n, s in zip(size, stride, strict=True)), co)
    return _computed(FORWARD, y, x.dtype, (x.shape, kernel.shape, y))(x, kernel)


def _forward(x, kernel, stride):
    return convolve(x, kernel, stride), (x, kernel)


def _backward(stride, saved, dy):
    x, kernel = saved
    geometry = x.shape, kernel.shape, dy.shape
    return (
        _computed(BACKWARD_DATA, x.shape, x.dtype, geometry)(dy, kernel),
        _computed(BACKWARD_WEIGHTS, kernel.shape, kernel.dtype, geometry)(x, dy),
    )


convolve.defvjp(_forward, _backward)


def _computed(operation: str, shape: tuple[int, ...], dtype, geometry):
    """The operation as a function on arrays. It is prepared here, while JAX traces, so that what
    the library cannot do is an error of this line and not of a running program."""
    _prepared(operation, str(dtype), *geometry)
    result = jax.ShapeDtypeStruct(shape, dtype)
    return jax.ffi.ffi_call(operation, result, vmap_method="sequential")
