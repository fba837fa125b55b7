"""Settings of sizes, threads, precision and instruction set -> their times, in one small file.

    python -m experiments.study.timing --dry_run      # the settings, and which ones are measured
    python -m experiments.study.timing                # on an idle machine: about 45 minutes

Each setting is a run of `experiments.bench` with both nets, alone and in a row. The file is
experiments/results/times-CPU.json; it is written after every setting, and the same command goes on
with those that it lacks.
"""

import dataclasses
import json
import os
import re
import sys
from pathlib import Path

from data_pipeline.errors import UserError
from experiments import machines
from experiments.bench import stored
from experiments.config import ConfigError
from experiments.study import workers
from jaxpose.commands import print_table, run_command
from jaxpose.files import write_json
from jaxpose.options import parse_options

RESULTS = machines.ROOT / "experiments" / "results"
NETS = ("full", "asy", "thin")
"""The regression nets that are timed."""
SHARED = ("commit", "dirty", "date", "isa", "loaded", "clip", "width", "versions", "ceilings")
"""Keys of a benchmark's result that a setting keeps."""
COLUMNS = ("net", "variant", "what", "batch", "dtype", "implementation", "lowering")
COLUMNS += ("threads",)
COLUMNS += (
    "median_ms",
    "iqr_ms",
    "p90_ms",
    "n",
    "blocks",
    "processes",
    "compile_s",
    "first_call_s",
)
COLUMNS += ("xla_temporary_mb", "gflop_per_s", "roofline_share", "epoch_s")
"""Keys of a benchmark's row that a setting keeps."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One run of the benchmark.

    Attributes:
      name: what differs from the default size.
      arguments: options of `experiments.bench`.
      threads: number of cores; None: all.
      isa: highest instruction set that oneDNN and XLA may use, a key of `ISAS`; None: all of the
        machine.
    """

    name: str
    arguments: tuple[str, ...] = ()
    threads: int | None = None
    isa: str | None = None


ISAS = {"AVX2": "AVX2", "AVX512_CORE": "AVX512"}
"""Instruction set by oneDNN's name -> by XLA's. The peers' libraries are not limited."""
SETTINGS = (
    Setting("default: 3 frames of 64x48, width 1/4, float32"),
    Setting("5 frames", ("--clip=5,48,64",)),
    Setting("9 frames", ("--clip=9,48,64",)),
    Setting("128x96", ("--clip=3,96,128",)),
    Setting("width 1/8", ("--width=0.125",)),
    Setting("width 1/2", ("--width=0.5",)),
    Setting("1 thread", threads=1),
    Setting("bfloat16", ("--precisions=bfloat16",)),
    Setting("oneDNN and XLA limited to AVX2", isa="AVX2"),
    Setting("oneDNN and XLA limited to AVX-512", isa="AVX512_CORE"),
    Setting("paper: 3 frames of 128x96, width 1", ("--size=paper", "--batches=1,16")),
)
"""What is timed; each but the last changes one thing."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Times the nets in several settings; the last line of stdout is a summary as JSON. The machine
    should do nothing else meanwhile."""

    minutes: float = 4.0
    """Duration of one setting, in minutes."""
    dry_run: bool = False
    """Only list the settings."""
    dirty: bool = False
    """Measure although files differ from the commit. The result says so."""
    runs_dir: Path = Path("runs/timing")
    """Folder for the benchmarks' own files."""
    out: Path = RESULTS
    """Folder of the result file."""


def path_of(folder: Path) -> Path:
    """Returns the result file of this machine's type."""
    slug = re.sub(r"[^A-Za-z0-9]+", "_", machines.cpu()).strip("_")
    return folder / f"times-{slug}.json"


def load(path: Path) -> dict:
    """Reads a result file; one that does not exist yet has no settings.

    Raises:
      ConfigError: it is damaged.
    """
    if not path.exists():
        return {"cpu": machines.cpu(), "cores": len(machines.cores()), "settings": {}}
    try:
        value = json.loads(path.read_text())
        if not isinstance(value["settings"], dict):
            raise KeyError("settings")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(
            f"{path}: is no result of experiments.study.timing ({type(error).__name__}: {error}); "
            "restore or delete it"
        ) from None
    return value


def command(setting: Setting, options: Options, folder: Path) -> list[str]:
    """Returns the command line of a setting's benchmark."""
    words = [sys.executable, "-m", "experiments.bench", f"--out={folder}"]
    words += [f"--minutes={options.minutes:g}", "--nets=detection,regression,pipeline"]
    words += [f"--variants={','.join(NETS)}", "--implementations=jaxpose,jaxpose_program"]
    words += ["--lowerings=onednn", "--whats=forward,train_step"]
    return [*words, *setting.arguments, *(["--dirty"] if options.dirty else [])]


def limited(isa: str | None) -> dict[str, str]:
    """Returns the environment variables that limit the instruction set of oneDNN and of XLA."""
    if isa is None:
        return {}
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_max_isa={ISAS[isa]}".strip()
    return {"ONEDNN_MAX_CPU_ISA": isa, "XLA_FLAGS": flags}


def measure(setting: Setting, options: Options) -> dict:
    """Runs the benchmark of one setting; returns what is kept of it.

    Raises:
      UserError: the benchmark failed.
    """
    folder = options.runs_dir / re.sub(r"[^a-z0-9]+", "-", setting.name.lower())
    cores = machines.cores()
    process = workers.start(
        command(setting, options, folder), cores[: setting.threads], **limited(setting.isa)
    )
    try:
        process.communicate()
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    if process.returncode:
        raise UserError(f"{setting.name}: the benchmark ended with {process.returncode}; see above")
    newest = max(folder.glob("bench-*.json"), key=lambda path: path.stat().st_mtime)
    return kept(stored.load(newest))


def kept(result: dict) -> dict:
    """Returns what a setting keeps of a benchmark's result: no single calls."""
    return {
        **{name: result[name] for name in SHARED},
        "rows": [{name: row.get(name) for name in COLUMNS} for row in result["rows"]],
        "ratios": result["ratios"],
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.study.timing")

    def body() -> dict:
        path = path_of(options.out)
        result = load(path)
        missing = [setting for setting in SETTINGS if setting.name not in result["settings"]]
        for setting in () if options.dry_run else missing:
            print_table(f"{setting.name}: about {options.minutes:g} min")
            result["settings"][setting.name] = measure(setting, options)
            write_json(path, result)
        lines = [
            f"{'measured' if setting.name in result['settings'] else 'open':<9} {setting.name}"
            for setting in SETTINGS
        ]
        print_table("\n".join(lines))
        left = [] if not options.dry_run else [setting.name for setting in missing]
        return {"file": str(path), "measured": list(result["settings"]), "open": left}

    return run_command(body, resume="the same command goes on with the settings that are missing")


if __name__ == "__main__":
    sys.exit(main())
