"""How long everything takes: nets, training steps, decoding, input; ours by every lowering, and
PyTorch, ONNX Runtime and OpenVINO on the same nets with the same weights.

    python -m experiments.bench --peers                      # 64x48, widths / 4
    python -m experiments.bench --peers --size=paper         # 128x96, width 1
    python -m experiments.bench --peers --size=paper --protocol=full

A result file is written after every fresh process; the last line of stdout is its JSON
without the single calls.
"""

import dataclasses
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from data_pipeline.commands import parse_options
from experiments.account import parse_clip
from experiments.bench import cases, machine, plots, report, written
from experiments.bench.processes import PROTOCOLS, Measured, Refused, WorkerDied, measure
from experiments.config import ConfigError
from experiments.rundir import write_json, write_text
from jaxpose.nets.factorise import VARIANTS

RESULTS = Path(__file__).resolve().parents[1] / "results"
NEEDED = {"torch": ("torch",), "onnxruntime": ("onnx", "onnxruntime")}
NEEDED["openvino"] = ("onnx", "openvino")
"""Kind of peer -> the packages that it needs; all in the extra `peers`."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Times the nets and what is around them, on a machine that should do nothing else. Lists are
    separated by commas; by default everything is timed that the protocol has time for."""

    size: str = "default"
    """default: 64x48, widths / 4; paper: 128x96, width 1; tiny: to see that it works."""
    clip: str | None = None
    """Frames, rows, columns, instead of the size's: 3,96,128."""
    protocol: str = "default"
    """default: 3 fresh processes, 20 minutes; full: 5, and 30 blocks in each, hours; smoke."""
    peers: bool = False
    """Also time PyTorch, ONNX Runtime and OpenVINO, where they are installed."""
    implementations: str | None = None
    """jaxpose, jax_conv3d, torch_eager, torch_compile, torch_onednn, onnxruntime, openvino."""
    nets: str | None = None
    """detection, regression, pipeline, decoding, input."""
    variants: str | None = None
    """Of the regression net: asy, full, r2plus1d, dwsep, thin."""
    whats: str | None = None
    """forward, train_step; chain, bipartite; to_grid, device_put; clip_to_pose."""
    lowerings: str | None = None
    """How convolutions are computed."""
    precisions: str | None = None
    """float32, bfloat16; on a GPU also tf32."""
    batches: str | None = None
    """Clips of a forward pass; by default 1,16, of size paper under the default protocol 1."""
    minutes: float | None = None
    """Instead of the protocol's."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where JAX runs."""
    seed: int = 0
    """Of the order of blocks."""
    out: str = str(RESULTS)
    """Folder for the result files."""


def chosen(option: str, text: str | None, known: tuple[str, ...], default: tuple) -> tuple:
    """A list from the command line, every name in it known."""
    if text is None:
        return default
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown {option} {name!r}; one of: {', '.join(known)}")
    if not names:
        raise ConfigError(f"--{option}s: names nothing; some of: {', '.join(known)}")
    return names


def selection(options: Options) -> tuple[cases.Choice, dict[str, str]]:
    """What is timed, and what is left out for want of a package."""
    for option, known in (("size", cases.SIZES), ("protocol", PROTOCOLS)):
        if getattr(options, option) not in known:
            raise ConfigError(
                f"unknown {option} {getattr(options, option)!r}; one of: {', '.join(known)}"
            )
    if options.minutes is not None and not 0 < options.minutes < 1e5:
        raise ConfigError(f"--minutes={options.minutes:g}: expected more than 0")
    paper = options.size == "paper"
    batches = (1,) if paper and options.protocol == "default" else (1, 16)
    if options.batches is not None:
        try:
            batches = tuple(int(n) for n in options.batches.split(","))
        except ValueError:
            raise ConfigError(
                f"--batches={options.batches}: expected numbers, such as 1,16"
            ) from None
        if min(batches) < 1:
            raise ConfigError(f"--batches={options.batches}: expected 1 or more")
    ours = ("jaxpose", "jax_conv3d")
    default = cases.IMPLEMENTATIONS if options.peers else ours
    expected = chosen("implementation", options.implementations, cases.IMPLEMENTATIONS, default)
    missing = {}
    for kind, packages in NEEDED.items():
        absent = [p for p in packages if importlib.util.find_spec(p) is None]
        for name in cases.WORKERS[kind]:
            if name in expected and absent:
                missing[name] = f"{absent[0]} is not installed: pip install -e '.[peers]'"
            elif name in expected and options.device == "gpu":
                missing[name] = "peers are timed on a CPU alone"
    both = options.protocol == "full" or options.size == "tiny"
    precisions = ("float32", "bfloat16") if both else ("float32",)
    return cases.Choice(
        nets=chosen("net", options.nets, cases.NETS, cases.NETS),
        variants=chosen("variant", options.variants, tuple(VARIANTS), tuple(VARIANTS)),
        whats=chosen("what", options.whats, cases.WHATS, cases.WHATS),
        lowerings=chosen("lowering", options.lowerings, cases.LOWERINGS, cases.LOWERINGS),
        precisions=chosen("precision", options.precisions, cases.PRECISIONS, precisions),
        batches=batches,
        implementations=tuple(name for name in expected if name not in missing),
    ), missing


def bench(options: Options) -> dict:
    """Everything; returns what the result file holds."""
    choice, missing = selection(options)
    size, protocol = cases.SIZES[options.size], PROTOCOLS[options.protocol]
    label = options.size
    if options.clip is not None:
        size = dataclasses.replace(size, clip=parse_clip(options.clip))
        label += "-" + "x".join(map(str, size.clip))
    if options.minutes is not None:
        protocol = dataclasses.replace(protocol, minutes=options.minutes)
    todo = cases.cases(size, choice)
    if not todo:
        raise ConfigError("these options leave nothing to time; leave one of them out")
    for name, why in missing.items():
        print(f"skipped: {name}: {why}", file=sys.stderr)
    # large pages for what every call allocates, as `make run` has them; for the peers, too
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    began = time.perf_counter()
    before = machine.load()
    warn(before)
    total = round(60 * protocol.minutes)
    form = "{elapsed} gone |{bar:16}| {desc}"
    bar = tqdm(total=total, bar_format=form, desc=f"{len(todo)} cases")

    def say(text: str) -> None:
        bar.n = min(total, round(time.perf_counter() - began))
        left = max(0, total - bar.n) // 60 + 1
        bar.set_description_str(f"about {left} min left; {text}")

    def result_of(results: Measured) -> dict:
        facts = {"size": label, "protocol": options.protocol, "seed": options.seed}
        facts |= {"load_before": before, "processes": results.processes}
        facts["seconds"] = round(time.perf_counter() - began, 1)
        return report.result(todo, results, size, facts, missing)

    def keep(results: Measured) -> None:
        result = result_of(results)
        stem = Path(options.out) / written.stem(result)
        stem.parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(f"{stem}.json"), result)
        write_text(Path(f"{stem}.csv"), written.as_csv(result["rows"]))

    results = measure(
        todo,
        protocol,
        size=size,
        device=options.device,
        seed=options.seed,
        say=say,
        on_process=keep,
    )
    bar.close()
    keep(results)  # with the load after the last process
    result = result_of(results)
    warn(max(results.loads, key=lambda load: load["busy_cores"]))
    stem = Path(options.out) / written.stem(result)
    write_text(Path(f"{stem}.md"), written.as_markdown(result))
    plots.draw(result, size, Path(f"{stem}.png"))
    return result


def warn(results: dict) -> None:
    if results["busy_cores"] > machine.LOADED:
        print(
            f"warning: the machine is busy: {results['busy_cores']} cores in use by others, load "
            f"{results['load_1min']}; times will be too long, and the result is marked. Stop what "
            "runs there and start again.",
            file=sys.stderr,
        )


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "experiments.bench")
    try:
        result = bench(options)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (Refused, WorkerDied) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the processes that were finished are in the result file", file=sys.stderr)
        return 130
    print(written.as_markdown(result), file=sys.stderr)
    result.pop("visits")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
