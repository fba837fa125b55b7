"""The benchmark: times the nets, training steps, decoding and input.

Our nets run by every lowering; PyTorch, ONNX Runtime and OpenVINO run the same nets with the same
weights.

    python -m experiments.bench --peers                      # 64x48, widths / 4
    python -m experiments.bench --peers --size=paper         # 128x96, width 1
    python -m experiments.bench --peers --size=paper --protocol=full

A result file is written after every fresh process. The last line of stdout is its JSON without the
times of single calls.
"""

import os
import sys
import time
from pathlib import Path

from tqdm import tqdm

from data_pipeline.errors import UserError
from experiments.bench import machine, render, report, stored
from experiments.bench.client import Refused, WorkerDied
from experiments.bench.measured import Measured
from experiments.bench.options import Options, label, plan
from experiments.bench.processes import measure
from experiments.config import ConfigError
from experiments.rundir import claim
from jaxpose.commands import print_table, run_command
from jaxpose.options import parse_options


def bench(options: Options) -> dict:
    """Measures, writes the result files, and returns the result."""
    planned, missing = plan(options)
    folder = options.out
    claim(folder, 10_000_000, option="--out")
    code = machine.code()
    check(code, options.dirty)
    for name, reason in missing.items():
        print(f"skipped: {name}: {reason}", file=sys.stderr)
    # Large pages for what every call allocates, as in `make run`; the peers get them, too.
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    began = time.perf_counter()
    before = machine.load()
    warn(before)
    progress = Progress(planned.protocol.minutes, len(planned.cases))

    def save(measured: Measured) -> Path:
        """Writes the result so far."""
        facts = {
            "size": label(options),
            "protocol": options.protocol,
            "seed": options.seed,
            "commit": code.commit,
            "dirty": code.dirty or machine.code() != code,
            "load_before": before,
            "processes": measured.processes,
            "seconds": round(time.perf_counter() - began, 1),
        }
        result = report.result(planned.cases, measured, planned.size, facts, missing)
        return stored.save(result, folder)

    measured = measure(planned, say=progress.say, on_process=save)
    progress.close()
    path = save(measured)
    for load in measured.loads:
        warn(load)
    stored.render_file(path)
    return stored.load(path)


def check(code: machine.Code, allowed: bool) -> None:
    """Checks that the code is that of a commit, unless other code is allowed.

    Raises:
      ConfigError: files differ from the commit.
    """
    if code.dirty and not allowed:
        raise ConfigError(
            f"{len(code.changed)} files differ from the commit, such as {code.changed[0]}: the "
            "result would belong to no commit; commit them, or pass --dirty, which marks the "
            "result"
        )


def warn(load: dict) -> None:
    """Prints a warning if other programs use the machine, or its host took cores away."""
    if machine.loaded(load):
        print(
            f"warning: the machine is busy: others use {load['busy_cores']} cores, the host took "
            f"{load['stolen_cores']}, the load is {load['load_1min']}; times are too long, and the "
            "result is marked. Stop the other programs and start again.",
            file=sys.stderr,
        )


class Progress:
    """A progress bar in the protocol's minutes."""

    def __init__(self, minutes: float, cases: int):
        self.began, self.total = time.perf_counter(), round(60 * minutes)
        form = "{elapsed} |{bar:16}| {desc}"
        self.bar = tqdm(total=self.total, bar_format=form, desc=f"{cases} cases")

    def say(self, text: str) -> None:
        """Shows what is being done, and the minutes that are left."""
        self.bar.n = min(self.total, round(time.perf_counter() - self.began))
        left = max(0, self.total - self.bar.n) // 60 + 1
        self.bar.set_description_str(f"about {left} min left; {text}")

    def close(self) -> None:
        """Ends the bar."""
        self.bar.close()


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.bench")

    def body() -> dict:
        try:
            result = bench(options)
        except (Refused, WorkerDied) as error:
            raise UserError(str(error)) from None
        print_table(render.as_markdown(result))
        return {name: value for name, value in result.items() if name != "visits"}

    return run_command(body, resume="the processes that were finished are in the result file")


if __name__ == "__main__":
    sys.exit(main())
