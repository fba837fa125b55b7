"""A graph of operations -> a program that computes it in one call, from and to numpy arrays.

Between operations there is no Python but one call of the library each, and no XLA. All memory is
allocated when the program is created, except that of the results.
"""

from collections.abc import Sequence
from ctypes import c_int, c_void_p
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxpose.lowering.onednn import dnnl
from jaxpose.lowering.onednn.graph import Node
from jaxpose.lowering.onednn.steps import Array, Step, Steps


class Program:
    """Computes output nodes from input nodes. It can be called from several threads, one after the
    other: the library uses all cores, and the memory between operations is shared."""

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], dtype: str):
        """`dtype` is the type of activations and kernels. Raises `NotImplementedError` for what
        the library cannot compute on this CPU."""
        steps = Steps(inputs, outputs, dtype)
        self._shapes = [node.shape for node in inputs], [node.shape for node in outputs]
        outside = [*steps.inputs, *steps.outputs]
        self._arena, addresses = _allocate(steps.steps, outside)
        self._memories, self._calls = [], []
        self._outside = [[] for _ in outside]
        """Memory objects of every input and output."""
        for step in steps.steps:
            self._prepare(step, addresses, outside)
        self._constants = [a.values for step in steps.steps for _, a in step.arguments]

    def _prepare(self, step: Step, addresses: dict[Array, int], outside: list[Array]) -> None:
        """Creates the step's primitive, and memory objects with the addresses of its arguments."""
        memories = []
        for number, array in step.arguments:
            address = c_void_p(addresses.get(array))
            memory = dnnl.create("dnnl_memory_create", array.layout, dnnl.engine(), address)
            memories.append((number, memory))
            if array in outside:
                self._outside[outside.index(array)].append(memory)
        primitive = dnnl.create("dnnl_primitive_create", step.description)
        self._memories += memories
        self._calls.append((primitive, c_int(len(memories)), dnnl.arguments_of(memories)))

    def __call__(self, *arrays: Float[np.ndarray, "b t h w _"]) -> list[np.ndarray]:
        """Returns the outputs, float32 [b t h w c].

        Raises:
          ValueError: the arrays do not have the inputs' shapes.
        """
        expected, results = self._shapes[0], [np.empty(s, np.float32) for s in self._shapes[1]]
        shapes = [array.shape for array in arrays]
        if shapes != expected:
            raise ValueError(f"arrays of shapes {shapes}: expected {expected}")
        arrays = [np.ascontiguousarray(array, np.float32) for array in arrays]
        with dnnl.one_at_a_time:
            for memories, array in zip(self._outside, [*arrays, *results], strict=True):
                for memory in memories:
                    dnnl.set_address(memory, array.ctypes.data)
            dnnl.execute_all(self._calls)
        return results


class Lifetime(NamedTuple):
    """Size of an array, and the first and the last step that use it."""

    bytes: int
    first: int
    last: int


def place(arrays: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Assigns memory to arrays so that those in use at the same time do not overlap.

    The largest array comes first; each is put at the lowest place that is free.

    Returns:
      Offsets in bytes, multiples of 4096, and the size of the memory.
    """
    offsets = [0] * len(arrays)
    placed: list[int] = []
    for k in sorted(range(len(arrays)), key=lambda k: -arrays[k].bytes):
        size, first, last = arrays[k]
        at = 0
        for other in sorted(placed, key=lambda other: offsets[other]):
            if arrays[other].first > last or arrays[other].last < first:
                continue
            if at + size <= offsets[other]:
                break
            at = max(at, _aligned(offsets[other] + arrays[other].bytes))
        offsets[k] = at
        placed.append(k)
    return offsets, max((o + a.bytes for o, a in zip(offsets, arrays, strict=True)), default=0)


def _aligned(address: int) -> int:
    return -(-address // dnnl.ALIGNMENT) * dnnl.ALIGNMENT


def _allocate(steps: list[Step], outside: list[Array]) -> tuple[np.ndarray, dict[Array, int]]:
    """Memory for all arrays that steps compute for each other, and the addresses of all arrays
    except those from and to the outside."""
    addresses, lifetimes = {}, {}
    for k, step in enumerate(steps):
        for _, array in step.arguments:
            if array.address is not None:
                addresses[array] = array.address
            elif array not in outside:
                first = lifetimes[array].first if array in lifetimes else k
                lifetimes[array] = Lifetime(array.bytes, first, last=k)
    offsets, size = place(list(lifetimes.values()))
    arena = np.empty(size + dnnl.ALIGNMENT, np.uint8)
    start = _aligned(arena.ctypes.data)
    addresses |= {array: start + o for array, o in zip(lifetimes, offsets, strict=True)}
    return arena, addresses
