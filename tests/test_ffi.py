"""Python functions under XLA: arguments, results, attributes, errors, interrupts, and XLA's C
interface as jaxlib ships it."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose.lowering.onednn import ffi

HEADER = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"


def floats(buffer: ffi.Buffer) -> np.ndarray:
    size = int(np.prod(buffer.shape))
    return np.ctypeslib.as_array(
        ctypes.cast(buffer.address, ctypes.POINTER(ctypes.c_float)), (size,)
    ).reshape(buffer.shape)


def test_a_python_function_fills_xla_s_result_in_place():
    seen = []

    def outer(arguments, results, attributes):
        seen.append([(b.dtype, b.shape) for b in (*arguments, *results)])
        a, b = map(floats, arguments)
        floats(results[0])[...] = np.multiply.outer(a, b)
        floats(results[1])[...] = a.sum()

    ffi.register("test_outer", outer)
    out = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 3), ())]

    @jax.jit
    def run(a, b):
        product, total = jax.ffi.ffi_call("test_outer", out)(a, 10 * b)
        return product + 1, total

    product, total = run(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0, 5.0]))
    np.testing.assert_array_equal(product, [[31, 41, 51], [61, 81, 101]])
    assert total == 3
    assert seen == [[("float32", s) for s in ((2,), (3,), (2, 3), ())]]


def test_attributes_of_a_call_reach_the_function_by_name():
    received = []

    def function(arguments, results, attributes):
        received.append(attributes)
        floats(results[0])[...] = attributes["factor"]

    ffi.register("test_attributes", function)
    call = jax.ffi.ffi_call("test_attributes", jax.ShapeDtypeStruct((2,), jnp.float32))
    out = jax.jit(lambda: call(factor=np.float32(0.25), other=np.float32(3)))()
    np.testing.assert_array_equal(out, [0.25, 0.25])
    assert received == [{"factor": 0.25, "other": 3.0}]


def test_a_defined_function_is_registered_once_when_threads_call_it_at_once(monkeypatch):
    registered, register, start = [], ffi.register, threading.Barrier(4)

    def slow(name, function):
        registered.append(name)
        time.sleep(0.05)  # the others call meanwhile
        register(name, function)

    def double(arguments, results, attributes):
        floats(results[0])[...] = 2 * floats(arguments[0])

    monkeypatch.setattr(ffi, "register", slow)
    ffi.define("test_double", double)
    assert not registered
    outputs = {}

    def work(i):
        start.wait(timeout=60)
        out = jax.ShapeDtypeStruct((2,), jnp.float32)
        outputs[i] = np.asarray(ffi.call("test_double", out)(jnp.full(2, float(i))))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registered == ["test_double"]
    assert {i: v.tolist() for i, v in outputs.items()} == {i: [2 * i] * 2 for i in range(4)}


def test_importing_registers_nothing_and_leaves_signal_handlers_alone():
    code = (
        "import signal; from jaxpose import lowering; from jaxpose.lowering.onednn import ffi; "
        "print(len(ffi._handlers), len(ffi._pending), "
        "signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True)
    assert done.stdout.split() == ["0", "8", "True"]


def test_an_exception_in_the_function_stops_the_xla_program_with_its_message():
    def fail(arguments, results, attributes):
        raise ValueError("no such thing")

    ffi.register("test_fail", fail)
    call = jax.ffi.ffi_call("test_fail", jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(Exception, match="test_fail: no such thing"):
        jax.block_until_ready(jax.jit(call)(jnp.zeros(2)))


# ---- Ctrl-C ----

DOUBLE = """
import ctypes, os, signal, sys, threading, time
import jax, jax.numpy as jnp, numpy as np
from jaxpose.lowering.onednn import ffi

def double(arguments, results, attributes):
    during()
    ctypes.memmove(results[0].address, arguments[0].address, 8)
    pair = (ctypes.c_float * 2).from_address(results[0].address)
    pair[0] *= 2; pair[1] *= 2
    written.append(list(pair))

written = []
ffi.define("double", double)
run = jax.jit(ffi.call("double", jax.ShapeDtypeStruct((2,), jnp.float32)))
x = jnp.array([1.0, 2.0])
"""


def interrupted(program: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", DOUBLE + program]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def test_ctrl_c_inside_of_a_function_ends_the_program_as_ctrl_c_after_the_function():
    done = interrupted(
        """
def during():
    assert threading.current_thread() is threading.main_thread()
    signal.raise_signal(signal.SIGINT)

try:
    run(x)
    time.sleep(600)  # longer than the limit of this test
except KeyboardInterrupt:  # by a slow machine before `run` has returned
    print(*written)
    raise
"""
    )
    assert done.stdout == "[2.0, 4.0]\n"
    assert done.returncode == -signal.SIGINT  # what a shell shows as 130
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


def test_signals_at_any_moment_are_neither_lost_nor_turned_into_errors_or_wrong_results():
    done = interrupted(
        """
def during():
    time.sleep(0.002)

count, wrong, ready, limit = 0, 0, False, time.monotonic() + 60
def send():
    for k in range(60):
        while not ready and time.monotonic() < limit:
            time.sleep(0.0005)
        time.sleep(0.003 + 0.0007 * k % 0.006)
        before = count
        os.kill(os.getpid(), signal.SIGINT)
        while count == before and time.monotonic() < limit:
            time.sleep(0.0005)

run(x)
sender = threading.Thread(target=send)
sender.start()
while sender.is_alive():
    try:
        ready = True  # no signal comes before
        while sender.is_alive():
            wrong += np.asarray(run(x)).tolist() != [2.0, 4.0]
            time.sleep(0.0005)  # a signal that is sent again every 2 ms soon meets this
    except KeyboardInterrupt:
        ready, count = False, count + 1
print(count, wrong)
"""
    )
    assert done.stderr == "" and done.returncode == 0
    count, wrong = map(int, done.stdout.split())
    assert wrong == 0
    assert count == 60


def test_a_process_ends_although_xla_still_runs_a_program_that_calls_python():
    """As after Ctrl-C in training, which leaves a step behind."""
    done = interrupted(
        """
def during():
    time.sleep(0.001)
    threads.add(threading.current_thread())

@jax.jit
def long(x):
    m = jnp.full((300, 300), x[0])
    x = x + (m @ m)[0, :2]  # XLA runs programs without such products in the calling thread
    for _ in range(100):
        x = ffi.call("double", jax.ShapeDtypeStruct((2,), jnp.float32))(x) / 2
    return x

threads = set()
jax.block_until_ready(long(x))
assert threading.main_thread() not in threads
long(x)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---- the header ----


def parsed(header: str):
    """Struct name -> [(field name, C type)]; enumerator -> value; macro -> value."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", header, flags=re.DOTALL)
    structs, enums = {}, {}
    for name, body in re.findall(r"struct (XLA_FFI_\w+) \{(.*?)\n\}", text, flags=re.DOTALL):
        fields = []
        for line in (part.strip() for part in body.split(";") if part.strip()):
            if macro := re.fullmatch(r"_XLA_FFI_API_STRUCT_FIELD\((\w+)\)", line):
                fields.append((macro[1], "void*"))
            elif function := re.search(r"\(\*(\w+)\)\(", line):
                fields.append((function[1], "void*"))
            else:
                kind, field = re.fullmatch(r"(.*?)(\w+)", line, flags=re.DOTALL).groups()
                fields.append((field, kind.replace("struct ", "").strip()))
        structs[name] = fields
    enum_types = re.findall(r"typedef enum \{(.*?)\} (\w+);", text, flags=re.DOTALL)
    for body, _ in enum_types:
        enums |= {name: int(value) for name, value in re.findall(r"(\w+) = (\d+)", body)}
    macros = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)\n", text)}
    return structs, enums, {name for _, name in enum_types}, macros


def layout(name: str, structs, enum_types) -> tuple[list[tuple[str, int, int]], int, int]:
    """[(field, offset, size)], size and alignment of a struct, as a C compiler lays it out."""
    plain = {"size_t": 8, "int64_t": 8, "int": 4, "uint32_t": 4, "XLA_FFI_Handler_Traits": 4}
    offset, fields, widest = 0, [], 1
    for field, kind in structs[name]:
        if kind.endswith("*"):
            size = align = 8
        elif kind in structs:
            _, size, align = layout(kind, structs, enum_types)
        else:
            size = align = 4 if kind in enum_types else plain[kind]
        offset = -(-offset // align) * align
        fields.append((field, offset, size))
        offset, widest = offset + size, max(widest, align)
    return fields, -(-offset // widest) * widest, widest


def fields_of(structure) -> list[tuple[str, int, int]]:
    names = [f[0] for base in reversed(structure.__mro__) for f in vars(base).get("_fields_", [])]
    return [(n, getattr(structure, n).offset, getattr(structure, n).size) for n in names]


@pytest.fixture(scope="module")
def header():
    if not HEADER.exists():
        pytest.skip("this jaxlib comes without c_api.h")
    return parsed(HEADER.read_text())


RENAMED = {"XLA_FFI_Extension_Base": "XLA_FFI_InternalExtension"}
"""Name of a struct -> its name since jaxlib 0.12."""


@pytest.mark.parametrize("name", ffi.STRUCTURES)
def test_the_structures_are_those_of_the_header_that_jaxlib_ships(name, header):
    structs, _, enum_types, _ = header
    present = name if name in structs else RENAMED[name]
    expected, _, _ = layout(present, structs, enum_types)
    actual = fields_of(ffi.STRUCTURES[name])
    assert len(actual) >= 2 and actual == expected[: len(actual)]


def test_the_numbers_are_those_of_the_header_that_jaxlib_ships(header):
    _, enums, _, macros = header
    types = {"uint8": "U8", "float32": "F32", "bfloat16": "BF16"}
    assert {enums[f"XLA_FFI_DataType_{types[name]}"]: name for name in types} == ffi.DTYPES
    assert ffi.FLOAT32 == enums["XLA_FFI_DataType_F32"]
    assert ffi.EXECUTE == enums["XLA_FFI_ExecutionStage_EXECUTE"]
    assert ffi.METADATA == enums["XLA_FFI_Extension_Metadata"]
    assert ffi.INTERNAL_ERROR == enums["XLA_FFI_Error_Code_INTERNAL"]
    assert ffi.SCALAR == enums["XLA_FFI_AttrType_SCALAR"]
    assert ffi.VERSION[0] == macros["XLA_FFI_API_MAJOR"]
    assert ffi.VERSION[1] <= macros["XLA_FFI_API_MINOR"]
