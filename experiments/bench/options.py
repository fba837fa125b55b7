"""The benchmark's command line -> a plan."""

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from experiments.account import parse_clip
from experiments.bench import cases
from experiments.bench.protocol import PROTOCOLS, Plan, Protocol
from experiments.config import ConfigError
from experiments.machines import ROOT
from jaxpose.nets.factorise import VARIANTS

RESULTS = ROOT / "experiments" / "results"
PACKAGES = {
    "torch": ("torch",),
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
}
"""Kind of peer -> the packages that it needs, which are in the extra `peers`."""


def _sizes() -> str:
    """Lists the sizes for the help."""
    return ", ".join(
        f"{name} ({size.clip[2]}x{size.clip[1]}, width {size.width:g})"
        for name, size in cases.SIZES.items()
    )


def _protocols() -> str:
    """Lists the protocols for the help."""
    return ", ".join(
        f"{name} ({protocol.processes} processes, {protocol.minutes:g} min)"
        for name, protocol in PROTOCOLS.items()
    )


@dataclasses.dataclass(frozen=True)
class Options:
    """Times the nets, decoding and input. The machine should do nothing else meanwhile.

    Values in lists are separated by commas. By default a list has all values that the protocol has
    time for. The result files, a table and a figure are written to --out."""

    size: Annotated[str, arg(help=f"Size of clips and nets: {_sizes()}.")] = "default"
    clip: str | None = None
    """Frames, rows and columns of a clip, such as 3,96,128. None: those of the size."""
    width: float | None = None
    """Width multiplier of the nets. None: that of the size."""
    protocol: Annotated[str, arg(help=f"How much is measured: {_protocols()}.")] = "default"
    peers: bool = False
    """Also time PyTorch, ONNX Runtime and OpenVINO, if they are installed."""
    implementations: Annotated[
        str | None, arg(help=f"List of implementations: {', '.join(cases.IMPLEMENTATIONS)}.")
    ] = None
    nets: Annotated[
        str | None,
        arg(help=f"List of what is timed: {', '.join(cases.NETS)}. A pipeline is both nets."),
    ] = None
    variants: Annotated[
        str | None, arg(help=f"List of regression nets: {', '.join(VARIANTS)}.")
    ] = None
    whats: Annotated[
        str | None,
        arg(
            help=f"List of operations: {', '.join(cases.WHATS)}. chain and bipartite decode; "
            "device_put and to_grid are input; clip_to_pose is both nets and decoding; "
            "camera_to_pose is all that by the shipped model, from images of a camera."
        ),
    ] = None
    lowerings: Annotated[
        str | None,
        arg(help=f"List of ways to compute convolutions: {', '.join(cases.LOWERINGS)}."),
    ] = None
    precisions: Annotated[
        str | None,
        arg(help=f"List of precisions: {', '.join(cases.PRECISIONS)}. tf32 needs a GPU."),
    ] = None
    batches: Annotated[
        str | None,
        arg(
            help="List of numbers of clips in a forward pass. None: 1,16, or 1 for the size paper "
            "with the default protocol."
        ),
    ] = None
    minutes: float | None = None
    """Duration in minutes. None: that of the protocol."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device that JAX computes on. auto: a GPU if JAX has one, else the CPU."""
    seed: int = 0
    """Seed of the order of cases in a block."""
    dirty: bool = False
    """Measure although files differ from the commit. The result says so."""
    out: Path = RESULTS
    """Folder for the result files."""


def label(options: Options) -> str:
    """Returns the name of the size in results, with clip and width that are not the size's own."""
    parts = [options.size]
    if options.clip is not None:
        parts.append("x".join(map(str, parse_clip(options.clip))))
    if options.width is not None:
        parts.append(f"width{options.width:g}")
    return "-".join(parts)


def plan(options: Options) -> tuple[Plan, dict[str, str]]:
    """Returns the plan, and for each implementation that cannot be timed the reason.

    Raises:
      ConfigError: an option that cannot be used.
    """
    size = _known("size", options.size, cases.SIZES)
    if options.clip is not None:
        size = dataclasses.replace(size, clip=parse_clip(options.clip))
    if options.width is not None:
        if not 0 < options.width < math.inf:
            raise ConfigError(f"--width={options.width:g}: expected a number above 0")
        size = dataclasses.replace(size, width=options.width)
    protocol: Protocol = _known("protocol", options.protocol, PROTOCOLS)
    if options.minutes is not None:
        if not 0 < options.minutes < math.inf:
            raise ConfigError(f"--minutes={options.minutes:g}: expected a number above 0")
        protocol = dataclasses.replace(protocol, minutes=options.minutes)
    choice, missing = selection(options)
    chosen = tuple(cases.cases(size, choice))
    if not chosen:
        raise ConfigError("these options leave nothing to time; omit one of them")
    return Plan(chosen, protocol, size, options.device, options.seed), missing


def _known(option: str, name: str, known: dict):
    """Returns the value of a name; raises `ConfigError` for an unknown one."""
    if name not in known:
        raise ConfigError(f"unknown {option} {name!r}; one of: {', '.join(known)}")
    return known[name]


def selection(options: Options) -> tuple[cases.Choice, dict[str, str]]:
    """Returns the choice among all cases, and for each implementation left out the reason."""
    names = _names(
        "implementation",
        options.implementations,
        known=cases.IMPLEMENTATIONS,
        default=cases.IMPLEMENTATIONS if options.peers else cases.OURS,
    )
    missing = left_out(names, options.device)
    both = options.protocol == "full" or options.size == "tiny"
    precisions = ("float32", "bfloat16") if both else ("float32",)
    return cases.Choice(
        nets=_names("net", options.nets, cases.NETS),
        variants=_names("variant", options.variants, tuple(VARIANTS)),
        whats=_names("what", options.whats, cases.WHATS),
        lowerings=_names("lowering", options.lowerings, cases.LOWERINGS),
        precisions=_names("precision", options.precisions, cases.PRECISIONS, precisions),
        batches=_batches(options),
        implementations=tuple(name for name in names if name not in missing),
    ), missing


def _names(
    option: str, text: str | None, known: Sequence[str], default: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Parses a list of names; without one, returns `default`, or else all that are `known`."""
    if text is None:
        return tuple(known if default is None else default)
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown {option} {name!r}; one of: {', '.join(known)}")
    if not names:
        raise ConfigError(f"--{option}s={text}: expected names among: {', '.join(known)}")
    return names


def _batches(options: Options) -> tuple[int, ...]:
    if options.batches is None:
        paper = options.size == "paper" and options.protocol == "default"
        return (1,) if paper else (1, 16)
    try:
        batches = tuple(int(n) for n in options.batches.split(","))
    except ValueError:
        raise ConfigError(f"--batches={options.batches}: expected numbers, such as 1,16") from None
    if min(batches) < 1:
        raise ConfigError(f"--batches={options.batches}: expected 1 or more")
    return batches


def left_out(names: Sequence[str], device: str) -> dict[str, str]:
    """Returns, for each implementation that cannot be timed here, the reason."""
    reasons = {}
    for kind, packages in PACKAGES.items():
        absent = [package for package in packages if importlib.util.find_spec(package) is None]
        for name in cases.WORKERS[kind]:
            if name in names and absent:
                reasons[name] = f"{absent[0]} is not installed: pip install -e '.[peers]'"
    if device == "gpu":
        alone = {name: cases.CPU_ALONE for name in names if name not in cases.ON_GPU}
        reasons |= {name: reason for name, reason in alone.items() if name not in reasons}
    return reasons
