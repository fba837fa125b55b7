"""Python functions under XLA, and the library that is reached through them."""

import ctypes
import importlib.metadata
import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lowerings import NEEDS_ONEDNN

from jaxpose import convolution, ffi, onednn


def floats(buffer: ffi.Buffer) -> np.ndarray:
    size = int(np.prod(buffer.shape))
    return np.ctypeslib.as_array(
        ctypes.cast(buffer.address, ctypes.POINTER(ctypes.c_float)), (size,)
    ).reshape(buffer.shape)


def test_a_python_function_fills_xla_s_result_in_place():
    seen = []

    def outer(arguments, results):
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


def test_an_exception_in_the_function_stops_the_xla_program_with_its_message():
    def fail(arguments, results):
        raise ValueError("no such thing")

    ffi.register("test_fail", fail)
    call = jax.ffi.ffi_call("test_fail", jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(Exception, match="test_fail: no such thing"):
        jax.block_until_ready(jax.jit(call)(jnp.zeros(2)))


def test_without_the_library_the_folded_lowering_is_chosen_and_the_other_says_what_to_install(
    monkeypatch,
):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    onednn.library.cache_clear()
    try:
        assert convolution.fastest("float32") == convolution.fastest("bfloat16") == "folded"
        with pytest.raises(ModuleNotFoundError, match=r"\[onednn\]"):
            convolution.convolve(
                jnp.zeros((1, 1, 4, 4, 1)), jnp.zeros((1, 3, 1, 1, 1)), lowering="onednn"
            )
    finally:
        onednn.library.cache_clear()


@NEEDS_ONEDNN
def test_where_the_library_is_installed_it_is_chosen_on_a_cpu():
    if jax.default_backend() == "cpu":
        assert convolution.fastest("float32") == "onednn"


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_a_gpu_xla_s_own_convolution_is_chosen_with_and_without_the_library(
    there, dtype, monkeypatch
):
    monkeypatch.setattr(onednn, "can", lambda dtype: there)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert convolution.fastest(dtype) == "conv3d"
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert convolution.fastest(dtype) == ("onednn" if there else "folded")


ASK = """
import jax, jax.numpy as jnp
from jaxpose import convolution, onednn
x = jnp.ones((1, 3, 4, 4, 8), "bfloat16")
try:
    convolution.convolve(x, jnp.ones((3, 3, 3, 8, 8), "bfloat16"), lowering="onednn")
    done = True
except NotImplementedError:
    done = False
print(onednn.can("float32"), done, onednn.can("bfloat16"), convolution.fastest("bfloat16"))
"""


@NEEDS_ONEDNN
@pytest.mark.parametrize("newest, said", [("AVX2", "True False False folded"), ("DEFAULT", None)])
def test_whether_the_library_has_bfloat16_on_this_cpu_is_what_a_convolution_says(newest, said):
    # the library takes the newest instructions that it may use from the environment
    limits = {"ONEDNN_MAX_CPU_ISA": newest, "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", ASK], env=os.environ | limits, stdout=-1, text=True, check=True
    ).stdout.strip()
    assert found in ([said] if said else ["True True True onednn", "True False False folded"])


@NEEDS_ONEDNN
def test_a_shape_that_the_library_cannot_do_is_refused_while_tracing():
    x, kernel = jnp.zeros((1, 1, 4, 4, 3)), jnp.zeros((1, 3, 1, 2, 2))  # 3 channels in groups of 2
    with pytest.raises(ValueError, match="3 channels"):
        jax.eval_shape(lambda x, k: convolution.convolve(x, k, lowering="onednn"), x, kernel)


@NEEDS_ONEDNN
def test_threads_that_convolve_at_once_each_get_their_own_result():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 3, 8, 9, 4)), jnp.float32)
    kernels = [jnp.asarray(rng.normal(size=(3, 3, 3, 4, 4)), jnp.float32) for _ in range(4)]
    run = jax.jit(lambda k: convolution.convolve(x, k, lowering="onednn"))
    alone, found = [np.asarray(run(k)) for k in kernels], [[] for _ in kernels]

    def work(i):
        found[i] = [np.asarray(run(kernels[i])) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(kernels))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for wanted, many in zip(alone, found, strict=True):
        assert len(many) == 20
        for one in many:
            np.testing.assert_array_equal(one, wanted)  # bit by bit: the same order of sums
