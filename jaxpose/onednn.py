"""3-D convolutions and batch norm by oneDNN, the library behind PyTorch's on a CPU, called from
inside XLA.

    x [b t h w ci], kernel [kt kh kw ci/g co], bias [co] -> [b t h w co], and all gradients

One shared library without Python parts (the wheel `onednn-cpu-gomp`, extra `onednn`), reached
through ctypes and `jaxpose.ffi`: nothing is compiled. Activations stay in XLA's channels-last
layout; kernels are brought into the library's own blocked layout at every call, which is cheap.
Bias and ReLU are applied to a result before it goes to memory.
"""

import contextlib
import ctypes
import functools
import importlib.metadata
import os
import threading
from collections.abc import Callable, Iterator
from ctypes import c_float, c_int, c_int64, c_size_t, c_uint, c_void_p
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxpose import ffi

WHEEL = "onednn-cpu-gomp"
FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS = (
    f"jaxpose_onednn_{part}"
    for part in ("forward", "forward_relu", "backward_data", "backward_weights")
)
NORM_FORWARD, NORM_FORWARD_RELU, NORM_BACKWARD, NORM_BACKWARD_RELU = (
    f"jaxpose_onednn_norm_{part}"
    for part in ("forward", "forward_relu", "backward", "backward_relu")
)
"""What can be computed; also the names by which XLA calls them."""

# Constants of oneDNN 3's dnnl_types.h.
_TRAINING, _DIRECT, _RELU, _ANY_LAYOUT, _ALLOCATE = 64, 1, 32, 1, c_void_p(-1)
_SRC, _DST, _WEIGHTS, _BIAS, _DIFF_SRC, _DIFF_DST, _DIFF_WEIGHTS = 1, 17, 33, 41, 129, 145, 161
_MEAN, _VARIANCE, _SCALE, _SHIFT, _WORKSPACE, _DIFF_SCALE, _DIFF_SHIFT = (
    49,
    50,
    51,
    52,
    64,
    255,
    256,
)
_BACKWARD, _USE_SCALE, _USE_SHIFT, _NORM_RELU = 128, 2, 4, 8
_QUERY_WEIGHTS, _QUERY_DIFF_WEIGHTS, _QUERY_WORKSPACE = 131, 132, 135
_UNIMPLEMENTED = 3
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


def can(dtype: str) -> bool:
    """Whether the library is here and can convolve in this precision on this CPU, forward and
    backward: bfloat16 needs AVX-512 or more."""
    if not available():
        return False
    x, kernel = (1, 3, 4, 4, 8), (3, 3, 3, 8, 8)
    try:
        for operation in (FORWARD, FORWARD_RELU, BACKWARD_DATA, BACKWARD_WEIGHTS):
            _prepared(operation, dtype, x, kernel, x, False)
        _prepared_norm(dtype, x, 1e-3, True)
    except NotImplementedError:
        return False
    return True


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def convolve(
    x: Float[Array, "b t h w ci"],
    kernel: Float[Array, "kt kh kw cig co"],
    bias: Float[Array, "co"] | None,
    stride: tuple[int, int, int],
    relu: bool,
) -> Float[Array, "b t2 h2 w2 co"]:
    """As `jaxpose.convolution.convolve`; groups follow from the channels. What the CPU
    cannot do in x's precision (`can`) is a `NotImplementedError`."""
    _check_dtypes(x, kernel, *([] if bias is None else [bias]), like=x)
    b, *size, ci = x.shape
    *_, cig, co = kernel.shape
    if ci % cig or co % (ci // cig):
        raise ValueError(f"kernel {kernel.shape}: does not go with {ci} channels")
    if bias is not None and bias.shape != (co,):
        raise ValueError(f"bias {bias.shape}: wanted ({co},)")
    shape = (b, *(n // s for n, s in zip(size, stride, strict=True)), co)
    y = jax.ShapeDtypeStruct(shape, x.dtype)
    operation = FORWARD_RELU if relu else FORWARD
    _prepare(operation, x, kernel, y, bias is not None)
    return _call(operation, y)(x, kernel, *([] if bias is None else [bias]))


def _forward(x, kernel, bias, stride, relu):
    y = convolve(x, kernel, bias, stride, relu)
    return y, (x, kernel, bias, y if relu else None)


def _backward(stride, relu, saved, dy):
    x, kernel, bias, y = saved
    if relu:
        dy = jnp.where(y > 0, dy, 0)
    for operation in (BACKWARD_DATA, BACKWARD_WEIGHTS):
        _prepare(operation, x, kernel, dy, False)
    dx, dkernel = _call(BACKWARD_DATA, x)(dy, kernel), _call(BACKWARD_WEIGHTS, kernel)(x, dy)
    return dx, dkernel, None if bias is None else dy.sum((0, 1, 2, 3))


convolve.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalise(
    x: Float[Array, "b t h w c"],
    scale: Float[Array, "c"],
    shift: Float[Array, "c"],
    epsilon: float,
    relu: bool,
) -> tuple[Float[Array, "b t h w c"], Float[Array, "c"], Float[Array, "c"]]:
    """Batch norm in training mode, then ReLU if `relu`; and the batch's mean and variance (that of
    N, not N - 1), for running statistics: no gradient flows back through these two. ReLU makes 0
    of NaN, mean and variance keep it."""
    return _normalise_forward(x, scale, shift, epsilon, relu)[0]


def _normalise_forward(x, scale, shift, epsilon, relu):
    _check_dtypes(x, like=x)
    _check_dtypes(scale, shift, like=jnp.zeros(0, jnp.float32))
    if not scale.shape == shift.shape == x.shape[4:]:
        raise ValueError(f"scale {scale.shape}, shift {shift.shape}: wanted {x.shape[4:]}")
    norm = _prepared_norm(str(x.dtype), x.shape, float(np.float32(epsilon)), relu)
    channel = jax.ShapeDtypeStruct(scale.shape, jnp.float32)
    made = [jax.ShapeDtypeStruct(x.shape, x.dtype), channel, channel]
    if relu:
        made.append(jax.ShapeDtypeStruct((norm.signs_bytes,), jnp.uint8))
    forward = _call(NORM_FORWARD_RELU if relu else NORM_FORWARD, *made)
    y, mean, variance, *signs = forward(x, scale, shift, jnp.float32(epsilon))
    return (y, mean, variance), (x, scale, mean, variance, *signs)


def _normalise_backward(epsilon, relu, saved, gradients):
    x, scale, mean, variance, *signs = saved
    backward = _call(NORM_BACKWARD_RELU if relu else NORM_BACKWARD, x, scale, scale)
    return tuple(backward(gradients[0], x, scale, mean, variance, jnp.float32(epsilon), *signs))


normalise.defvjp(_normalise_forward, _normalise_backward)


def _check_dtypes(*arrays, like) -> None:
    """The library reads as many bytes as it was told, whoever owns them."""
    if not available():
        raise ModuleNotFoundError("oneDNN is not here: pip install -e '.[onednn]'")
    for array in arrays:
        if array.dtype != like.dtype or str(array.dtype) not in _DTYPES:
            raise TypeError(
                f"{array.dtype} with {like.dtype}: oneDNN takes float32 or bfloat16, all alike; "
                "scale and shift of batch norm float32"
            )


def _prepare(operation: str, x, kernel, y, biased: bool) -> None:
    """While JAX traces, so that what the library cannot do is an error of that line and not of a
    running program."""
    _prepared(operation, str(x.dtype), x.shape, kernel.shape, y.shape, biased)


def _call(operation: str, *like):
    results = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in like]
    result = results if len(like) > 1 else results[0]
    return jax.ffi.ffi_call(operation, result, vmap_method="sequential")


# ---- from here on inside XLA: addresses instead of arrays ----

_one_at_a_time = threading.Lock()
"""XLA runs what is independent at once, but every convolution takes all cores, and its threads
wait for one another: two at a time nearly stand still."""


def _compute(
    operation: str,
    x: ffi.Buffer,
    kernel: ffi.Buffer,
    y: ffi.Buffer,
    bias: ffi.Buffer | None = None,
) -> None:
    """Writes y, or x or the kernel where the operation computes their gradient."""
    key = (operation, x.dtype, x.shape, kernel.shape, y.shape, bias is not None)
    with _one_at_a_time:
        _prepared(*key).run(x.address, kernel.address, y.address, bias and bias.address)


def _register() -> None:
    """Arguments and results in the order of `convolve` and its gradients above."""

    def forward(operation):
        return lambda given, made: _compute(operation, *given[:2], *made, *given[2:])

    ffi.register(FORWARD, forward(FORWARD))
    ffi.register(FORWARD_RELU, forward(FORWARD_RELU))
    ffi.register(
        BACKWARD_DATA,
        lambda given, made: _compute(BACKWARD_DATA, made[0], given[1], given[0]),
    )
    ffi.register(
        BACKWARD_WEIGHTS,
        lambda given, made: _compute(BACKWARD_WEIGHTS, given[0], made[0], given[1]),
    )
    for relu, operation in enumerate((NORM_FORWARD, NORM_FORWARD_RELU)):
        ffi.register(operation, functools.partial(_norm_forward, bool(relu)))
    for relu, operation in enumerate((NORM_BACKWARD, NORM_BACKWARD_RELU)):
        ffi.register(operation, functools.partial(_norm_backward, bool(relu)))


def _norm_forward(relu: bool, given: list[ffi.Buffer], made: list[ffi.Buffer]) -> None:
    """x, scale, shift, epsilon -> y, mean, variance, with ReLU also which elements it let pass."""
    x, scale, shift, epsilon = given
    with _one_at_a_time:
        _norm_of(x, epsilon, relu).forward([x, scale, shift, *made])


def _norm_backward(relu: bool, given: list[ffi.Buffer], made: list[ffi.Buffer]) -> None:
    """dy, x, scale, mean, variance, epsilon, what passed -> gradients of x, scale, shift."""
    dy, x, scale, mean, variance, epsilon, *signs = given
    with _one_at_a_time:
        _norm_of(x, epsilon, relu).backward([dy, x, scale, mean, variance, *made, *signs])


def _norm_of(x: ffi.Buffer, epsilon: ffi.Buffer, relu: bool) -> "_Norm":
    return _prepared_norm(x.dtype, x.shape, c_float.from_address(epsilon.address).value, relu)


_register()


class _Convolution:
    """One operation on one geometry: prepared once, run often."""

    def __init__(self, operation: str, dtype: str, x, kernel, y, biased: bool):
        """Shapes of x [b t h w ci], kernel [kt kh kw ci/g co] and y [b t h w co]."""
        engine, self.operation = _engine(), operation
        groups = x[4] // kernel[3]
        strides = [n // m for n, m in zip(x[1:4], y[1:4], strict=True)]
        padded = [k if s == 1 else 1 for k, s in zip(kernel[:3], strides, strict=True)]
        before, after = [(k - 1) // 2 for k in padded], [k // 2 for k in padded]
        self.x, self.y = (_layout(s, (0, 4, 1, 2, 3), dtype) for s in (x, y))
        self.bias = _layout(kernel[4:], (0,), dtype) if biased else None
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
            *(engine, c_int(_TRAINING), c_int(_DIRECT), self.x, free, self.bias, self.y),
            *(*geometry, _followed_by_relu() if operation == FORWARD_RELU else None),
        )
        if operation == BACKWARD_DATA:
            described = _made(
                "dnnl_convolution_backward_data_primitive_desc_create",
                *(engine, c_int(_DIRECT), self.x, free, self.y, *geometry, forward, None),
            )
        elif operation == BACKWARD_WEIGHTS:
            described = _made(
                "dnnl_convolution_backward_weights_primitive_desc_create",
                *(engine, c_int(_DIRECT), self.x, free, None, self.y, *geometry, forward, None),
            )
        else:
            described = forward
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

    def run(self, x: int, kernel: int, y: int, bias: int | None) -> None:
        """Takes addresses."""
        with _computing() as (stream, memory):
            xs, ys = memory(self.x, c_void_p(x)), memory(self.y, c_void_p(y))
            inside = plain = memory(self.kernel, c_void_p(kernel))
            if self.reorder is not None:
                inside = memory(self.blocked, _ALLOCATE)
            if self.operation == BACKWARD_WEIGHTS:
                arguments = [(_SRC, xs), (_DIFF_DST, ys), (_DIFF_WEIGHTS, inside)]
                _execute(self.primitive, stream, *arguments)
                if self.reorder is not None:
                    _execute(self.reorder, stream, (_SRC, inside), (_DST, plain))
            else:
                if self.reorder is not None:
                    _execute(self.reorder, stream, (_SRC, plain), (_DST, inside))
                if self.operation == BACKWARD_DATA:
                    arguments = [(_DIFF_DST, ys), (_WEIGHTS, inside), (_DIFF_SRC, xs)]
                else:
                    arguments = [(_SRC, xs), (_WEIGHTS, inside), (_DST, ys)]
                if bias is not None:
                    arguments.append((_BIAS, memory(self.bias, c_void_p(bias))))
                _execute(self.primitive, stream, *arguments)


_prepared = functools.cache(_Convolution)


class _Norm:
    """Batch norm of one shape [b t h w c], forward and backward."""

    def __init__(self, dtype: str, shape: tuple[int, ...], epsilon: float, relu: bool):
        engine = _engine()
        self.x = _layout(shape, (0, 4, 1, 2, 3), dtype)
        self.channel = _layout(shape[4:], (0,), "float32")
        flags = c_uint(_USE_SCALE | _USE_SHIFT | (_NORM_RELU if relu else 0))
        forward = _made(
            "dnnl_batch_normalization_forward_primitive_desc_create",
            *(engine, c_int(_TRAINING), self.x, self.x, c_float(epsilon), flags, None),
        )
        backward = _made(
            "dnnl_batch_normalization_backward_primitive_desc_create",
            *(engine, c_int(_BACKWARD), self.x, self.x, self.x, c_float(epsilon), flags),
            *(forward, None),
        )
        self.primitives = [_made("dnnl_primitive_create", each) for each in (forward, backward)]
        query, size = library().dnnl_primitive_desc_query_md, library().dnnl_memory_desc_get_size
        query.restype, size.restype = c_void_p, c_size_t
        self.signs = c_void_p(query(forward, c_int(_QUERY_WORKSPACE), c_int(0)))
        self.signs_bytes = size(self.signs) if relu else 0

    def forward(self, buffers: list[ffi.Buffer]) -> None:
        roles = (_SRC, _SCALE, _SHIFT, _DST, _MEAN, _VARIANCE, _WORKSPACE)
        self._run(self.primitives[0], roles, buffers)

    def backward(self, buffers: list[ffi.Buffer]) -> None:
        roles = (_DIFF_DST, _SRC, _SCALE, _MEAN, _VARIANCE, _DIFF_SRC, _DIFF_SCALE, _DIFF_SHIFT)
        self._run(self.primitives[1], (*roles, _WORKSPACE), buffers)

    def _run(self, primitive: c_void_p, roles: tuple[int, ...], buffers: list[ffi.Buffer]) -> None:
        """The workspace comes last, where there is one."""
        with _computing() as (stream, memory):
            arguments = []
            for role, buffer in zip(roles, buffers, strict=False):
                whole = role in (_SRC, _DST, _DIFF_SRC, _DIFF_DST)
                layout = self.signs if role == _WORKSPACE else self.x if whole else self.channel
                arguments.append((role, memory(layout, c_void_p(buffer.address))))
            _execute(primitive, stream, *arguments)


_prepared_norm = functools.cache(_Norm)


@contextlib.contextmanager
def _computing() -> Iterator[tuple[c_void_p, Callable[[c_void_p, c_void_p], c_void_p]]]:
    """A stream, and what makes an array at an address known to the library; waits at the end."""
    engine, made = _engine(), []
    stream = _made("dnnl_stream_create", engine, c_int(1))

    def memory(layout: c_void_p, address: c_void_p) -> c_void_p:
        made.append(_made("dnnl_memory_create", layout, engine, address))
        return made[-1]

    try:
        yield stream, memory
        _do("dnnl_stream_wait", stream)
    finally:
        for one in made:
            _do("dnnl_memory_destroy", one)
        _do("dnnl_stream_destroy", stream)


# ---- the library's C interface ----


def _do(name: str, *arguments) -> None:
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
    _do(name, ctypes.byref(handle), *arguments)
    return handle


def _execute(primitive: c_void_p, stream: c_void_p, *arguments) -> None:
    array = (_Argument * len(arguments))(*arguments)
    _do("dnnl_primitive_execute", primitive, stream, c_int(len(arguments)), array)


@functools.cache
def _engine() -> c_void_p:
    cpu = 1
    return _made("dnnl_engine_create", c_int(cpu), c_size_t(0))


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


def _followed_by_relu() -> c_void_p:
    after, attributes = _made("dnnl_post_ops_create"), _made("dnnl_primitive_attr_create")
    _do("dnnl_post_ops_append_eltwise", after, c_int(_RELU), c_float(0), c_float(0))
    _do("dnnl_primitive_attr_set_post_ops", attributes, after)
    return attributes
