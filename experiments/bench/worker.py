"""A worker process of the benchmark: it prepares cases and times them on request.

    python -m experiments.bench.worker KIND      JSON lines in, one JSON line out for each

    {"do": "start", "size", "threads", "device", "reference"}  -> {"device", "platform"} or {}
    {"do": "ceilings"}                                         -> {"products", "bytes_per_s"}
    {"do": "reference", "case": {...}}                         -> {}
    {"do": "prepare", "case": {...}, "warm_s"}                 -> {"facts": {...}, "call_s": ...}
    {"do": "visit", "name", "calls"}                           -> {"seconds": [...]}
    {"do": "settings"}                                         -> {"environment", "malloc"}

KIND is jax, programs, torch, onnxruntime or openvino, or `reference`, which computes JAX's
reference results alone. While other processes are timed, a worker waits for its next line without
using a core.
"""

import contextlib
import json
import math
import os
import sys
import traceback
from pathlib import Path

from experiments.bench import machine
from experiments.bench.cases import CPU_ALONE, ON_GPU, Case, Size
from jaxpose.cost import memory
from jaxpose.cost.timing import Timed, warm_up


def serve(kind: str) -> None:
    """Answers requests until stdin ends."""
    malloc = memory.keep_freed()  # as in `experiments.run`; the peers get it, too
    # All that libraries print goes to stderr: stdout is for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = _Worker(kind, malloc)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # this case is reported, the others are timed
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


class _Worker:
    """The requests of the protocol above, one method each."""

    def __init__(self, kind: str, malloc: dict[str, int]):
        self.kind, self.malloc, self.timed = kind, malloc, {}

    def start(self, size: dict, threads: int, device: str, reference: str) -> dict:
        """Imports the framework; returns kind and platform of JAX's device, or {}."""
        from experiments.bench.prepared import Reference

        clip = tuple(size.pop("clip"))
        self.device = device
        common = (Size(clip, **size), threads, Reference(Path(reference)))
        if self.kind in ("jax", "reference"):
            from experiments.bench.ours import Ours

            self.side = Ours(*common, device)
            return self.side.described()
        if self.kind == "programs":
            from experiments.bench.programs import Programs

            self.side = Programs(*common)
        elif self.kind == "torch":
            from experiments.bench.torch_peer import Torch

            self.side = Torch(*common, device)
        else:
            from experiments.bench.runtimes import OnnxRuntime, OpenVino

            self.side = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}[self.kind](*common)
        return {}

    def ceilings(self) -> dict:
        """Measures the machine's ceilings with the framework's products."""
        from experiments.bench import ceilings

        tiny = math.prod(self.side.size.clip) < 2000
        if self.kind == "jax":
            return ceilings.by_jax(self.side.device, tiny=tiny)
        if self.kind == "torch":
            return ceilings.by_torch(self.side.device, tiny=tiny)
        return ceilings.NOTHING

    def reference(self, case: dict) -> dict:
        """Writes the reference of a case's task."""
        with contextlib.suppress(OSError):  # not Linux
            # If memory runs out, the system should end this process, not the benchmark.
            Path("/proc/self/oom_score_adj").write_text("1000")
        self.side.write_reference(Case(**case))
        return {}

    def prepare(self, case: dict, warm_s: float) -> dict:
        """Compiles, checks and warms up a case.

        Raises:
          ValueError: the implementation does not run on the device.
        """
        name = Case(**case).implementation
        if self.device == "gpu" and name not in ON_GPU:
            raise ValueError(f"{name} {CPU_ALONE}")
        prepared = self.side.prepare(Case(**case))
        timed = Timed(prepared.call)
        first = timed.visit(1)[0]
        call_s = warm_up(timed.visit, most_s=warm_s)
        self.timed[Case(**case).name] = timed
        return {"facts": {**prepared.facts, "first_call_s": first}, "call_s": call_s}

    def visit(self, name: str, calls: int) -> dict:
        """Times calls of a prepared case."""
        return {"seconds": self.timed[name].visit(calls)}

    def settings(self) -> dict:
        """Returns the environment after all preparations: libraries set variables when loaded."""
        return {"environment": machine.settings(), "malloc": self.malloc}


if __name__ == "__main__":
    serve(sys.argv[1])
