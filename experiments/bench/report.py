"""Visits -> rows, ratios, what was predicted and what was expected beside what was found."""

import dataclasses
import statistics
from collections.abc import Sequence

from experiments.bench.cases import PEERS, Case, Size
from experiments.bench.expected import BARS, PREDICTIONS
from experiments.bench.machine import LOADED, cores, environment
from experiments.bench.processes import Measured
from experiments.bench.weights import layers_of
from jaxpose.cost.accounting import net_cost
from jaxpose.cost.roofline import Ceilings, least_seconds
from jaxpose.cost.timing import Visit, compare, control_spread, summarise

MISS = 0.2
"""A prediction that is further off than this wants an explanation."""


def result(
    cases: Sequence[Case], results: Measured, size: Size, facts: dict, missing: dict[str, str]
) -> dict:
    """What the result file holds."""
    visits: dict[str, list[Visit]] = {}
    for visit in results.visits:
        visits.setdefault(visit.subject, []).append(visit)
    timed = [case for case in cases if case.name in visits]
    rows = [row(case, visits[case.name], results, size) for case in timed]
    ratios = [r for of, over in pairs(timed, rows) if (r := ratio(of, over, visits))]
    spreads = {
        name: spread
        for name, values in visits.items()
        if (spread := control_spread(values)) is not None
    }
    never = {c.name: "left out with a worker that ended: see deaths"
             for c in cases if results.deaths and c.name not in visits}  # fmt: skip
    others = [facts["load_before"], *results.loads]
    busy = max(load["busy_cores"] for load in others)
    return {
        **facts,
        "device": results.device.get("device"),
        "platform": results.device.get("platform"),
        **environment(),
        "settings": results.settings,
        "load": {"before": facts["load_before"], "between_processes": results.loads},
        "loaded": busy > LOADED,
        "ceilings": results.ceilings,
        "control_spread": spreads,
        "rows": rows,
        "ratios": ratios,
        "bars": bars(timed, rows, visits, facts["size"]),
        "predictions": predictions(timed, visits, facts["size"], results.device.get("platform")),
        "skipped": {**missing, **never, **results.notes},
        "deaths": [{**dataclasses.asdict(death), "said": str(death)} for death in results.deaths],
        "visits": [[v.subject, *v[1:5], [round(1e3 * s, 4) for s in v.seconds],
                    round(1e3 * v.after_pause, 4)] for v in results.visits],
    }  # fmt: skip


def row(case: Case, visits: list[Visit], results: Measured, size: Size) -> dict:
    """One line of the table; `roofline_share` is the least time over the median: 1 would be as
    fast as multiplying large matrices and copying large arrays allows."""
    facts = results.facts[case.name]
    summary = summarise(visits)
    values = {
        **dataclasses.asdict(case),
        "clip": list(size.clip),
        "width": size.width,
        "threads": cores(),
        "bn_folded": case.what in ("forward", "clip_to_pose"),
        **{k: round(v, 4) if isinstance(v, float) else v for k, v in summary._asdict().items()},
        **{k: facts.get(k) for k in FACTS},
    }
    if case.net in ("detection", "regression", "pipeline"):
        layers = layers_of(case.net, case.variant, size.width)
        cost = net_cost(layers, size.clip)
        train = case.what == "train_step"
        macs = case.batch * (cost.train_macs_nominal if train else cost.macs_nominal)
        values["macs_nominal"] = macs
        values["gflop_per_s"] = round(2 * macs / summary.median_ms / 1e6, 1)
        values["roofline_share"] = round(
            1e3 * least_s(case, layers, size, results.ceilings) / summary.median_ms, 3
        )
        if train:
            values["epoch_s"] = round(summary.median_ms / 1e3 * epoch_steps(case, size), 1)
    return values


FACTS = (
    "deviation",
    "settings",
    "compile_s",
    "first_call_s",
    "prepared_mb",
    "process_mb",
    "temporary_mb",
    "hlo",
)
FACTS += ("convolution", "ynn_fusion", "custom_call")

PAPER_CLIPS = 22 * 751
"""Training clips of an epoch of the paper."""


def epoch_steps(case: Case, size: Size) -> int:
    """Of the preset; the paper's epoch sees every clip."""
    return getattr(size.config, case.net).steps_per_epoch or PAPER_CLIPS // case.batch


def least_s(case: Case, layers, size: Size, ceilings: dict[str, float]) -> float:
    """Taps on padding left out, which no implementation has to compute; batch norm and ReLU free
    in prediction. bfloat16 has half the bytes."""
    bytes_per_s = ceilings["bytes"] * (2 if case.dtype == "bfloat16" else 1)
    # a machine whose bfloat16 products are emulated is not held to their speed
    flops = max(ceilings[case.dtype], ceilings["float32"])
    machine = Ceilings(flops, bytes_per_s)
    training = case.what == "train_step"
    return least_seconds(
        *(layers, size.clip, machine),
        batch=case.batch,
        training=training,
        fused=not training,
        useful=True,
    )


def ratio(of: Case, over: Case, visits: dict[str, list[Visit]]) -> dict | None:
    results = compare(
        [v for v in visits[of.name] if not v.twin], [v for v in visits[over.name] if not v.twin]
    )
    if results is None:
        return None
    rounded = {
        key: [round(x, 4) for x in value] if isinstance(value, tuple) else value and round(value, 4)
        for key, value in results._asdict().items()
    }
    return {"of": of.name, "over": over.name, **rounded}


def pairs(cases: Sequence[Case], rows: Sequence[dict]) -> list[tuple[Case, Case]]:
    """Who is compared with whom: a variant with full by the same lowering and precision; our
    lowerings with JAX's own; our best with every peer; best of a variant with best of full."""
    by_task: dict[tuple, list[Case]] = {}
    for case in cases:
        by_task.setdefault(case.task, []).append(case)
    results = []
    for (net, variant, what, batch), same in by_task.items():
        full = by_task.get((net, "full", what, batch), [])
        if variant not in ("", "full"):
            results += [
                (a, b) for a in same for b in full if how(a) == how(b)
            ]  # within a lowering, or within a peer
            if ours(same) and ours(full):
                results.append((best(ours(same), rows), best(ours(full), rows)))
        results += [
            (a, b)
            for a in same
            for b in same
            if b.lowering == "conv3d" and a.lowering != "conv3d" and a.lowering
            and a.dtype == b.dtype
        ]  # fmt: skip
        results += [
            (a, b)
            for a in same
            for b in same
            if a.lowering and a.lowering == b.lowering and (a.dtype, b.dtype) in FASTER
        ]
        if ours(same):
            first = best([c for c in ours(same) if c.dtype == "float32"] or ours(same), rows)
            results += [(first, peer) for peer in same if peer.implementation in PEERS]
    return list(dict.fromkeys((a, b) for a, b in results if a != b))


FASTER = (("bfloat16", "float32"), ("tf32", "float32"))


def how(case: Case) -> tuple:
    return case.implementation, case.lowering, case.dtype


def ours(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.implementation not in PEERS]


def best(cases: Sequence[Case], rows: Sequence[dict]) -> Case:
    """The one with the lowest median."""
    medians = {tuple(r[f.name] for f in dataclasses.fields(Case)): r["median_ms"] for r in rows}
    return min(cases, key=lambda case: medians[dataclasses.astuple(case)])


def bars(cases, rows, visits, size: str) -> list[dict]:
    """What the study wants to reach, beside what it reached: our best over PyTorch, the better of
    eager and compiled as they come."""
    results = []
    for bar in BARS.get(size, ()):
        same = [c for c in cases if c.task == bar.task and c.dtype == "float32"]
        mine = [c for c in ours(same) if c.lowering != "conv3d"]
        theirs = [c for c in same if c.implementation in bar.over]
        if not mine or not theirs:
            continue
        reached = ratio(best(mine, rows), best(theirs, rows), visits)
        if reached is not None:
            met = "aim" if reached["speedup"] >= bar.aim else "must"
            met = met if reached["speedup"] >= bar.must else "missed"
            results.append({"must": bar.must, "aim": bar.aim, "met": met, **reached})
    return results


def predictions(cases, visits, size: str, platform: str | None) -> list[dict]:
    results = []
    for p in PREDICTIONS:
        if size not in p.sizes or platform != p.platform:
            continue
        for lowering in dict.fromkeys(c.lowering for c in cases):
            of, over = (
                next((c for c in cases if side.fits(c, lowering)), None) for side in (p.of, p.over)
            )
            if of is None or (p.over.net and over is None):
                continue
            if over is None:
                measured = 1e3 * statistics.median(s for v in visits[of.name] for s in v.seconds)
            else:
                compared = ratio(of, over, visits)
                if compared is None:
                    continue
                measured = compared["speedup"]
            error = measured / p.value - 1
            results.append(
                {
                    "what": p.what,
                    "lowering": lowering,
                    "predicted": p.value,
                    "measured": round(measured, 3),
                    "error": round(error, 3),
                    "missed": abs(error) > MISS,
                    "explanation": p.explanation if abs(error) > MISS else "",
                }
            )
    return results
