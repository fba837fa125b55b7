"""Results of the benchmark, and counts of the nets' layers -> tables of costs, and sentences."""

from collections.abc import Iterator, Sequence

from experiments.account import account, parse_clip
from experiments.bench import stored
from experiments.bench.cases import PEERS, PRECISIONS, Case
from experiments.bench.comparisons import PYTORCH
from experiments.bench.render import interval, ms, speedup
from experiments.blocks.source import Source, joined, wrapped
from experiments.config import ConfigError
from experiments.recipe import STAGES
from experiments.table1 import table
from jaxpose.cost.accounting import CONVENTION
from jaxpose.nets.factorise import VARIANTS

COLUMNS = {
    "torch_onednn": "PyTorch, oneDNN by hand",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "onnxruntime_shipped": "ONNX Runtime, our file",
    "openvino_shipped": "OpenVINO, our file",
    "jax_conv3d": "JAX's own",
}
"""Implementation -> title of its column, after ours and PyTorch's."""
WHATS = {"forward": "forward", "train_step": "training step"}
"""Value of a row's `what` -> its text."""


def costs(
    sources: Sequence[Source],
    *,
    sentences: str = "yes",
    precisions: str = ",".join(PRECISIONS),
    batches: str = "",
) -> str:
    """Returns a table of median times, with our speed-up over the best of the peers.

    That is the best of those that were timed: the others' cells are blank. Ours is the fastest
    lowering, PyTorch's time the better of eager and compiled. `precisions` and `batches`, numbers
    of clips, select rows. Unless `sentences=no`, sentences describe the machine and the ratios of
    asy over full.

    Raises:
      ConfigError: there is no file, or one is damaged.
    """
    results = [stored.load(path) for source in sources for path in source.paths]
    if not results:
        raise ConfigError("the table `costs` names no file; expected results of experiments.bench")
    timed = {row["implementation"] for result in results for row in result["rows"]}
    columns = [implementation for implementation in COLUMNS if implementation in timed]
    header = ["median ms", "jaxpose", *["PyTorch"] * bool(timed & {*PYTORCH})]
    header += [COLUMNS[implementation] for implementation in columns]
    header.append("speed-up over the best peer with a time in the row (95 %)")
    rows: list[list[str]] = []
    last = ""
    for result in results:
        if size(result) != last:
            last = size(result)
            rows.append([f"**{last}**", *[""] * (len(header) - 1)])
        for task in _tasks(result):
            clips = not batches or str(task[0]["batch"]) in batches.split(",")
            if clips and task[0]["dtype"] in precisions.split(","):
                rows.append(_line(result, task, columns, pytorch="PyTorch" in header))
    if sentences == "no":
        return table(header, rows)
    texts = [sentence for result in results for sentence in _sentences(result)]
    return f"{table(header, rows)}\n{wrapped(' '.join([_machines(results), *texts]))}"


def size(result: dict) -> str:
    """Names the grid and the width of a result's nets."""
    _, rows, cols = result["clip"]
    return f"{cols}x{rows}, width {result['width']:g}"


def _tasks(result: dict) -> Iterator[list[dict]]:
    """Yields the rows of every task and type that we computed."""
    tasks: dict[tuple, list[dict]] = {}
    for row in result["rows"]:
        if row["net"] in (*STAGES, "pipeline") and row["what"] in WHATS:
            key = tuple(row[k] for k in ("net", "variant", "what", "batch", "dtype"))
            tasks.setdefault(key, []).append(row)
    yield from (rows for rows in tasks.values() if _ours(rows))


def _ours(rows: list[dict]) -> list[dict]:
    """Returns our lowerings, jitted and as recorded programs."""
    return [row for row in rows if row["implementation"] in ("jaxpose", "jaxpose_program")]


def _line(result: dict, rows: list[dict], columns: list[str], *, pytorch: bool) -> list[str]:
    """Returns the cells of one task: ours, the peers, and the ratio over the best of them.

    `columns` are the implementations that have one; `pytorch`: whether PyTorch has one.
    """
    fastest = min(_ours(rows), key=lambda row: row["median_ms"])
    ratio = _ratio(result, _ours(rows), [row for row in rows if row["implementation"] in PEERS])
    both = [row["median_ms"] for row in rows if row["implementation"] in PYTORCH]
    clips = f"{fastest['batch']} clip" + "s" * (fastest["batch"] > 1)
    net = fastest["variant"] or "detection"
    net = f"detection + {net}" if fastest["net"] == "pipeline" else net
    task = f"{net}, {WHATS[fastest['what']]}, {clips}"
    task += "" if fastest["dtype"] == "float32" else f", {fastest['dtype']}"
    peers = {row["implementation"]: row["median_ms"] for row in rows}
    return [
        task,
        f"{ms(fastest['median_ms'])} ({fastest['lowering']})",
        *[ms(min(both, default=None))] * pytorch,
        *(ms(peers.get(implementation)) for implementation in columns),
        f"{speedup(ratio)} ({interval(ratio)})" if ratio else "",
    ]


def _ratio(result: dict, of: list[dict], over: list[dict]) -> dict | None:
    """Returns the stored ratio of the fastest of `of` over that of `over`; None if there is none.

    Both are rows of the result.
    """
    sides = [{Case.of_row(row).name for row in side} for side in (of, over)]
    for ratio in result["ratios"]:
        mine, theirs = ratio.get("candidates", [ratio["of"]]), ratio.get("among", [ratio["over"]])
        if [{*mine}, {*theirs}] == sides:
            return ratio
    return None


def _machines(results: list[dict]) -> str:
    """Describes machine, versions and commit of the results, in a clause each if they differ."""
    clauses = []
    for result in results:
        isa = f", {result['isa']}" if result["isa"] else ""
        torch = result["versions"].get("torch", "").split("+")[0]
        timed = {row["implementation"] for row in result["rows"]}
        pytorch = f", PyTorch {torch}" if torch and timed & {*PEERS} else ""
        pytorch += ", the better of eager and compiled" if pytorch and timed & {*PYTORCH} else ""
        dirty = ", from changed files" if result["dirty"] else ""
        busy = ", while the machine was busy" if result["loaded"] else ""
        clauses.append(
            f"{result['cores']} cores ({result['cpu']}{isa}), jax {result['versions']['jax']}"
            f"{pytorch}, commit {result['commit']}{dirty}{busy}"
        )
    if len(set(clauses)) == 1:
        return f"{clauses[0]}."
    names = [
        f"{size(result)}{', training' * all(row['what'] == 'train_step' for row in result['rows'])}"
        for result in results
    ]
    return f"{'; '.join(f'{n}: {c}' for n, c in zip(names, clauses, strict=True))}."


def _sentences(result: dict) -> Iterator[str]:
    """Yields the ratios of asy over full, times of decoding and input, and the noise."""
    ratios = list(_asy_over_full(result))
    if ratios:
        yield f"At {size(result)}, the speed-up of asy over full is {joined(ratios)}."
    around = {
        ("decoding", "chain"): "decoding a pose",
        ("input", "to_grid"): "reducing a frame to the grid",
        ("pipeline", "camera_to_pose"): "the way from a camera's images to the pose",
    }
    times = [
        f"{ms(row['median_ms'])} ms for {text}" + f" in {row['dtype']}" * (row["net"] == "pipeline")
        for row in result["rows"]
        if (text := around.get((row["net"], row["what"])))
    ]
    if times:
        yield f"Besides, at {size(result)}, there are {joined(times)}."
    if result["control_spread"]:
        most = 100 * max(result["control_spread"].values())
        yield f"At {size(result)}, a case in one block of 20 differs from itself by {most:.0f} %."


def _asy_over_full(result: dict) -> Iterator[str]:
    """Yields clauses such as "1.82 (1.81 to 1.84) forward with 1 clip (45 % less time; 2.29 by
    nominal MACs)"."""
    for rows in _tasks(result):
        fastest = min(_ours(rows), key=lambda row: row["median_ms"])
        if (fastest["net"], fastest["variant"]) != ("regression", "asy"):
            continue
        key = ("net", "what", "batch", "dtype")
        asy, full = (
            [
                row
                for row in result["rows"]
                if row["variant"] == variant
                and row["implementation"] not in PEERS
                and all(row[k] == fastest[k] for k in key)
            ]
            for variant in ("asy", "full")
        )
        ratio = _ratio(result, asy, full)
        if ratio is None:
            continue
        what = {"forward": "forward", "train_step": "in a training step"}[fastest["what"]]
        what += f" with {fastest['batch']} clip" + "s" * (fastest["batch"] > 1)
        what += "" if fastest["dtype"] == "float32" else f" in {fastest['dtype']}"
        macs = full[0]["macs_nominal"] / fastest["macs_nominal"]
        yield (
            f"{speedup(ratio)} ({interval(ratio)}) {what} ({100 * ratio['reduction']:.0f} % less "
            f"time; {macs:.2f} by nominal MACs)"
        )


def weights(
    sources: Sequence[Source],
    *,
    clip: str = "3,96,128",
    width: str = "1",
    variants: str = ",".join(VARIANTS),
) -> str:
    """Returns a table of parameters, MACs and bytes per net and clip, counted from the layers.

    Raises:
      ConfigError: an option that cannot be used, or a file.
    """
    if sources:
        raise ConfigError(
            "the table `weights` takes no files: it is counted from the nets; omit them"
        )
    try:
        counted = account(parse_clip(clip), float(width))
    except ValueError as error:
        raise ConfigError(f"the table `weights`: {error}") from None
    names = [name.strip() for name in variants.split(",")]
    if unknown := [name for name in names if name not in VARIANTS]:
        raise ConfigError(f"unknown variant {unknown[0]!r}; one of: {', '.join(VARIANTS)}")
    alone, both = counted["variants"], counted["pipeline"]
    rows = [_weights(name, alone[name], alone["full"]) for name in names]
    rows.append(_weights("detection", counted["detection"], None))
    rows += [_weights(f"detection + {name}", both[name], both["full"]) for name in names]
    header = ["per clip, float32", "kernel weights", "parameters", "GMAC nominal", "/ full"]
    header += ["useful", "/ full", "MB moved"]
    return f"{table(header, rows)}\n{wrapped(CONVENTION)}"


def _weights(net: str, cost: dict, full: dict | None) -> list[str]:
    """Returns the cells of one net, with its MACs over those of `full`."""
    macs = []
    for key in ("macs_nominal", "macs_useful"):
        macs += [f"{cost[key] / 1e9:.2f}", f"{cost[key] / full[key]:.2f}" if full else ""]
    return [
        net,
        f"{cost['kernel_weights']:,}",
        f"{cost['parameters']:,}",
        *macs,
        f"{cost['bytes'] / 1e6:.0f}",
    ]
