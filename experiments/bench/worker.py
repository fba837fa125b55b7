"""One process of the benchmark: prepares cases, then times them when it is told to.

    python -m experiments.bench.worker KIND      JSON lines in, one JSON line out for each

    {"do": "start", "size", "threads", "device", "reference"}  -> device
    {"do": "ceilings"}                                         -> {"ceilings": {...}}
    {"do": "reference", "case": {...}}                         -> {}
    {"do": "prepare", "case": {...}, "warm_s"}                 -> {"facts": {...}, "call_s": ...}
    {"do": "visit", "name", "calls"}                           -> {"seconds": [...]}
    {"do": "settings"}                                         -> {"environment", "malloc"}

While others are timed it waits for its next line, which takes no time of any core.
"""

import json
import math
import os
import sys
import traceback
from pathlib import Path

from experiments.bench import machine
from experiments.bench.cases import Case, Size
from jaxpose.cost import memory
from jaxpose.cost.timing import Timed, warm_up


def serve(kind: str) -> None:
    malloc = memory.keep_freed()  # as in `experiments.run`; for the peers, too
    # whatever a library prints goes to stderr: stdout belongs to the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = _Worker(kind, malloc)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # the other cases go on; this one says why it is not there
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


class _Worker:
    """What the requests do."""

    def __init__(self, kind: str, malloc: dict[str, int]):
        self.kind, self.malloc, self.timed = kind, malloc, {}

    def start(self, size: dict, threads: int, device: str, reference: str) -> dict:
        from experiments.bench.prepared import Reference

        clip = tuple(size.pop("clip"))
        common = (Size(clip, **size), threads, Reference(Path(reference)))
        if self.kind == "jax":
            from experiments.bench.ours import Ours

            self.side = Ours(*common, device)
            return self.side.described()
        elif self.kind == "torch":
            from experiments.bench.torch_peer import Torch

            self.side = Torch(*common)
        else:
            from experiments.bench.runtimes import OnnxRuntime, OpenVino

            self.side = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}[self.kind](*common)
        return {}

    def ceilings(self) -> dict:
        from experiments.bench.ceilings import ceilings

        tiny = math.prod(self.side.size.clip) < 2000
        return {"ceilings": ceilings(self.side.device, tiny=tiny)}

    def reference(self, case: dict) -> dict:
        self.side.write_reference(Case(**case))
        return {}

    def prepare(self, case: dict, warm_s: float) -> dict:
        before = _memory_mb("VmRSS")
        _forget_peak()
        prepared = self.side.prepare(Case(**case))
        timed = Timed(prepared.call)
        # the call that was checked has warmed a slow case up
        first = prepared.facts.pop("checked_s", 0.0)
        if first <= warm_s:
            first = timed.visit(1)[0]
        peak = _memory_mb("VmHWM")
        call_s = warm_up(timed.visit, most_s=warm_s) if first < warm_s else first
        self.timed[Case(**case).name] = timed
        facts = {"first_call_s": first, "process_mb": peak}
        facts["prepared_mb"] = None if peak is None else round(peak - before, 1)
        return {"facts": {**prepared.facts, **facts}, "call_s": call_s}

    def visit(self, name: str, calls: int) -> dict:
        return {"seconds": self.timed[name].visit(calls)}

    def settings(self) -> dict:
        """What it ran under, by its end: libraries set some when they are loaded."""
        return {"environment": machine.settings(), "malloc": self.malloc}


def _memory_mb(field: str) -> float | None:
    """VmRSS: resident now, VmHWM: at most since the peak was forgotten. Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return round(int(lines[field].split()[0]) / 1024, 1)


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed: the peak is then the process's
        pass


if __name__ == "__main__":
    serve(sys.argv[1])
