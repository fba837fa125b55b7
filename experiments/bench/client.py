"""The parent's side of the benchmark's worker processes: one JSON line per request and answer."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

from experiments.bench.machine import cores
from experiments.bench.protocol import Plan


class WorkerDied(RuntimeError):
    """A worker ended without an answer. The message says how, as a clause without a subject."""


class Refused(RuntimeError):
    """A worker answered with an error."""


class Worker:
    """A process that prepares cases and times them on request.

    Attributes:
      kind: kind of worker, a key of `cases.WORKERS`, or "reference".
      log: file that receives the process's stderr.
      device: kind and platform of JAX's device, or {}; the answer to the request `start`.
    """

    def __init__(self, kind: str, log: Path):
        self.kind, self.log, self.device = kind, log, {}
        command = [sys.executable, "-m", "experiments.bench.worker", kind]
        with open(log, "w") as errors:
            self.process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=errors, text=True)

    def ask(self, do: str, **options) -> dict:
        """Sends the request `do` and waits for the answer.

        Raises:
          Refused: the worker answered with an error.
          WorkerDied: the worker ended.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **options}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):  # no answer, or the beginning of one
            raise WorkerDied(self.exit_reason())
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def exit_reason(self) -> str:
        """Describes how the process ended, after it closed its end of the pipe."""
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if code == -signal.SIGKILL:  # it cannot log this itself
            return "was killed by SIGKILL, as the system does where memory runs out"
        reason = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        last_line = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return f"{reason}: {last_line[0]}" if last_line else reason

    def end(self) -> None:
        """Kills the process and waits for its end."""
        self.process.kill()
        self.process.communicate()


def start_worker(plan: Plan, kind: str, folder: Path) -> Worker:
    """Starts a worker, which imports its framework. `folder` is for its log and for references.

    Raises:
      Refused: the device does not exist.
      WorkerDied: the worker ended meanwhile.
    """
    worker = Worker(kind, folder / f"{kind}.log")
    size = dataclasses.asdict(plan.size)
    try:
        worker.device = worker.ask(
            "start", size=size, threads=cores(), device=plan.device, reference=str(folder)
        )
    except BaseException:
        worker.end()
        raise
    return worker
