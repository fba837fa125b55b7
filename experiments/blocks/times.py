"""Measured times of nets in several settings -> tables; what is not measured is blank."""

from collections.abc import Iterator, Sequence

from experiments.bench.render import ms
from experiments.blocks.growth import no_files
from experiments.blocks.source import Source, wrapped
from experiments.machines import ROOT
from experiments.study import quality, timing
from experiments.study.evidence import committed
from experiments.table1 import table

WORDS = ["forward, 1 clip", "16 clips", "training step", "STEPS, min", "compile s", "MB"]


def cost_times(sources: Sequence[Source]) -> str:
    """Returns a table of the settings of `experiments.study.timing`, per type of machine."""
    no_files("cost_times", sources)
    paths = sorted((ROOT / "experiments" / "results").glob("times-*.json"))
    known = [timing.load(path) for path in paths] or [{"cpu": "not measured yet", "settings": {}}]
    rows = [row for machine in known for row in _machine(machine)]
    titles = [title.replace("STEPS", f"{quality.steps():,} steps") for title in WORDS]
    return table(["median ms", *titles], rows) + "\n" + wrapped(
        "A training is the benchmarked step times the steps of a training, never the seconds of a "
        "run. Compile: tracing and compilation of the training step. MB: temporary memory of the "
        "training step, as the compiler states it."
    )  # fmt: skip


def _machine(machine: dict) -> Iterator[list[str]]:
    """Yields the rows of one type of machine; a setting without results has a blank row."""
    yield [f"**{machine['cpu']}**", *[""] * len(WORDS)]
    for setting in timing.SETTINGS:
        measured = machine["settings"].get(setting.name)
        if measured is None:
            yield [setting.name, *[""] * len(WORDS)]
            continue
        busy = ", while the machine was busy" if measured["loaded"] else ""
        for net in timing.NETS:
            yield [f"{setting.name} ({measured['isa']}{busy}): {net}",
                   *_cells(measured, "regression", net)]  # fmt: skip
        yield ["detection", *_cells(measured, "detection", "")]
        for net in timing.NETS:
            yield [f"detection + {net}", *_cells(measured, "pipeline", net)]


def _cells(measured: dict, net: str, variant: str) -> list[str]:
    """Returns the cells of one net, or of both in a row, in one setting.

    A forward pass has the time of the faster of the jitted net and the recorded program.
    """
    rows = [row for row in measured["rows"] if (row["net"], row["variant"]) == (net, variant)]
    step = next((row for row in rows if row["what"] == "train_step"), {})
    passes = [row for row in rows if row["what"] == "forward"]
    forward = [
        min((row["median_ms"] for row in passes if row["batch"] == batch), default=None)
        for batch in (1, 16)
    ]
    step_ms = step.get("median_ms")
    return [
        *(ms(value) for value in forward),
        ms(step_ms) + (f" ({step['batch']} clips)" if step else ""),
        "" if step_ms is None else f"{quality.steps() * step_ms / 6e4:.1f}",
        "" if step.get("compile_s") is None else f"{step['compile_s']:.1f}",
        "" if step.get("xla_temporary_mb") is None else f"{step['xla_temporary_mb']:.0f}",
    ]


def cost_quality(sources: Sequence[Source]) -> str:
    """Returns a table of how long each net takes to a validation error fixed beforehand."""
    no_files("cost_quality", sources)
    group = committed().groups.get(("simulated", ""))
    steps_ms = _steps_ms(group.arms if group else {})
    rows = quality.rows(group, steps_ms) if group else []
    if not rows:
        rows = [[net, "0 of 0", "", "", ""] for net in timing.NETS]
    header = ["regression net", "trainings that reach it", "epochs", "median", "minutes"]
    return table(header, rows)


def _steps_ms(arms) -> dict[str, float]:
    """Returns the benchmarked step of every net on the type of machine of the trainings.

    It is empty if the trainings are of several types, or of one that was not timed.
    """
    machines = {(one["cpu"], one["cores"]) for arm in arms.values() for one in arm.values()}
    if len(machines) != 1:
        return {}
    ((cpu, cores),) = machines
    for path in sorted((ROOT / "experiments" / "results").glob("times-*.json")):
        machine = timing.load(path)
        names = (s.name for s in timing.SETTINGS if (s.threads or machine["cores"]) == cores)
        name = next(names, "")
        if machine["cpu"] == cpu and name in machine["settings"]:
            rows = machine["settings"][name]["rows"]
            steps = [r for r in rows if (r["net"], r["what"]) == ("regression", "train_step")]
            return {r["variant"]: r["median_ms"] for r in steps}
    return {}
