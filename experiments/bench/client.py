"""A worker process of the benchmark as its parent sees it: one JSON line to it, one line back."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

from experiments.bench.machine import cores
from experiments.bench.protocol import Plan


class WorkerDied(RuntimeError):
    """A worker ended without an answer; the message says how."""


class Refused(RuntimeError):
    """A worker answered with an error."""


class Worker:
    """A process that prepares cases and times them on request; `log` receives its stderr.

    `device` is what it answered to `start`: kind and platform of JAX's device, or nothing.
    """

    def __init__(self, kind: str, log: Path):
        self.kind, self.log, self.device = kind, log, {}
        command = [sys.executable, "-m", "experiments.bench.worker", kind]
        with open(log, "w") as errors:
            self.process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=errors, text=True)

    def ask(self, do: str, **options) -> dict:
        """Sends a request and waits for the answer.

        Raises:
          Refused: the worker could not do it.
          WorkerDied: the worker ended.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **options}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):  # nothing, or the beginning of an answer
            raise WorkerDied(self.exit_reason())
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def exit_reason(self) -> str:
        """Describes how a process that closed its end of the pipe ended."""
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if code == -signal.SIGKILL:  # it cannot log this itself
            return "was killed by SIGKILL, as the system does where memory runs out"
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        last_line = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return f"{how}: {last_line[0]}" if last_line else how

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def start_worker(plan: Plan, kind: str, folder: Path) -> Worker:
    """Starts a worker and imports its framework.

    Raises:
      Refused: the device does not exist.
      WorkerDied: it ended meanwhile; no process is left behind.
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
