"""Measurements -> a result: rows, ratios, targets and predictions."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from experiments.bench.cases import Case, Size
from experiments.bench.comparisons import Comparison, Visits, comparisons, ratio
from experiments.bench.expected import PREDICTIONS, Prediction
from experiments.bench.machine import cores, environment, loaded
from experiments.bench.measured import Measured
from experiments.bench.targets import bars, limits
from experiments.bench.weights import layers_of
from experiments.recipe import STAGES
from jaxpose.cost.accounting import net_cost
from jaxpose.cost.ratios import control_spread, summarise
from jaxpose.cost.roofline import Ceilings, least_seconds
from jaxpose.cost.timing import Visit

SCHEMA = 3
"""Version of the form of a result, and of its statistic (see `stored`)."""
STATISTIC = (
    "a ratio is the median over blocks; of several cases the fastest is chosen in even blocks and "
    "compared in odd ones, and the reverse"
)
"""How the ratios of a result follow from its calls."""
MISS = 0.2
"""Relative error from which on a prediction counts as missed."""
FACTS = (
    "deviation",
    "settings",
    "compile_s",
    "first_call_s",
    "xla_temporary_mb",
    "hlo",
    "convolution",
    "ynn_fusion",
    "custom_call",
)
"""Facts about a case that its row has. `xla_temporary_mb` is what XLA's compiler states for our
cases, not the memory of a process."""
PAPER_CLIPS = 22 * 751
"""Number of training clips in an epoch of the paper."""


def result(
    cases: Sequence[Case],
    measured: Measured,
    size: Size,
    facts: dict,
    missing: Mapping[str, str],
) -> dict:
    """Returns the content of a result file.

    `facts` are those of the command: size, protocol, seed, commit, dirty, load_before, processes,
    seconds. `missing` has the reason for every implementation that was left out.
    """
    visits: dict[str, list[Visit]] = {}
    for visit in measured.visits:
        visits.setdefault(visit.subject, []).append(visit)
    timed = [case for case in cases if case.name in visits]
    machine = environment()
    shared = {"cpu": machine["cpu"], "isa": machine["isa"]}
    rows = [{**row(case, visits[case.name], measured, size), **shared} for case in timed]
    untimed = [case.name for case in cases if measured.deaths and case.name not in visits]
    loads = [facts["load_before"], *measured.loads]
    platform = measured.device.get("platform")
    return {
        "schema": SCHEMA,
        "statistic": STATISTIC,
        **{name: value for name, value in facts.items() if name != "load_before"},
        "clip": list(size.clip),
        "width": size.width,
        "device": measured.device.get("device"),
        "platform": platform,
        **machine,
        "settings": measured.settings,
        "load": {"before": facts["load_before"], "during": measured.loads},
        "loaded": any(map(loaded, loads)),
        "ceilings": measured.ceilings,
        "products": measured.products,
        "rows": rows,
        **compared(timed, rows, visits, facts["size"], platform, machine["isa"]),
        "skipped": {
            **missing,
            **{name: "lost with a worker that ended: see deaths" for name in untimed},
            **measured.notes,
        },
        "deaths": [
            {**dataclasses.asdict(death), "message": str(death)} for death in measured.deaths
        ],
        "visits": [
            [v.subject, v.process, v.block, v.position, v.twin,
             [round(1e3 * s, 4) for s in v.seconds], round(1e3 * v.after_pause, 4)]
            for v in measured.visits
        ],
    }  # fmt: skip


def compared(
    cases: Sequence[Case],
    rows: Sequence[dict],
    visits: Visits,
    size: str,
    platform: str | None,
    isa: str | None,
) -> dict:
    """Returns the parts of a result that compare: A/A controls, ratios, targets, predictions."""
    spreads = {name: control_spread(values) for name, values in visits.items()}
    ratios = [ratio(comparison, visits) for comparison in comparisons(cases)]
    return {
        "control_spread": {name: round(s, 6) for name, s in spreads.items() if s is not None},
        "ratios": [r for r in ratios if r is not None],
        "bars": bars(cases, visits, size, isa) if platform == "cpu" else [],
        "limits": limits(rows, size, isa) if platform == "cpu" else [],
        "predictions": predictions(cases, visits, size, platform),
    }


def row(case: Case, visits: Sequence[Visit], measured: Measured, size: Size) -> dict:
    """Returns one line of the table.

    Its `roofline_share` is the least time over the median: 1 is as fast as the fastest product and
    the fastest copy of this machine allow.
    """
    facts = measured.facts[case.name]
    summary = summarise(visits)
    values = {
        **dataclasses.asdict(case),
        "clip": list(size.clip),
        "width": size.width,
        "threads": cores(),
        "bn_folded": case.what in ("forward", "clip_to_pose", "camera_to_pose"),
        **{k: round(v, 4) if isinstance(v, float) else v for k, v in summary._asdict().items()},
        **{k: facts.get(k) for k in FACTS},
    }
    if case.net in (*STAGES, "pipeline"):
        values |= net_values(case, summary.median_ms, size, measured.ceilings)
    return values


def net_values(case: Case, median_ms: float, size: Size, ceilings: dict[str, float]) -> dict:
    """Returns the MACs of a net, the rate at which they were computed, and the roofline's share."""
    cost = net_cost(layers_of(case.net, case.variant, size.width), size.clip)
    train = case.what == "train_step"
    macs = case.batch * (cost.train_macs_nominal if train else cost.macs_nominal)
    share = 1e3 * least_s(case, size, ceilings) / median_ms
    values = {
        "macs_nominal": macs,
        "gflop_per_s": round(2 * macs / median_ms / 1e6, 1),
        "roofline_share": round(share, 3),
    }
    if train:
        values["epoch_s"] = round(median_ms / 1e3 * epoch_steps(case, size), 1)
    return values


def epoch_steps(case: Case, size: Size) -> int:
    """Returns the number of steps in an epoch of the size's preset; the paper's has every clip."""
    return size.config.stage(case.net).steps_per_epoch or PAPER_CLIPS // case.batch


def least_s(case: Case, size: Size, ceilings: dict[str, float]) -> float:
    """Returns the least time of a case in seconds.

    It excludes taps on padding, which need not be computed, and in prediction batch norm and ReLU.
    bfloat16 has half the bytes.
    """
    bytes_per_s = ceilings["bytes"] * (2 if case.dtype == "bfloat16" else 1)
    training = case.what == "train_step"
    return least_seconds(
        layers_of(case.net, case.variant, size.width),
        size.clip,
        Ceilings(ceilings[case.dtype], bytes_per_s),
        batch=case.batch,
        training=training,
        fused=not training,
        useful=True,
    )


def predictions(
    cases: Sequence[Case], visits: Visits, size: str, platform: str | None
) -> list[dict]:
    """Returns the predictions, each with what was measured, for every lowering that it fits."""
    entries = []
    for prediction in PREDICTIONS:
        if size not in prediction.sizes or platform != prediction.platform:
            continue
        for lowering in dict.fromkeys(case.lowering for case in cases):
            measured = _measured(prediction, cases, visits, lowering)
            if measured is None:
                continue
            error = measured / prediction.value - 1
            entries.append(
                {
                    "what": prediction.what,
                    "lowering": lowering,
                    "predicted": prediction.value,
                    "measured": round(measured, 3),
                    "error": round(error, 3),
                    "missed": abs(error) > MISS,
                }
            )
    return entries


def _measured(
    prediction: Prediction, cases: Sequence[Case], visits: Visits, lowering: str
) -> float | None:
    """Returns the speed-up, or the ms, that a prediction is about; None if it was not timed."""
    of, over = (
        next((case for case in cases if side is not None and side.fits(case, lowering)), None)
        for side in (prediction.of, prediction.over)
    )
    if of is None or (prediction.over is not None and over is None):
        return None
    if over is None:
        return 1e3 * statistics.median(s for v in visits[of.name] for s in v.seconds)
    reached = ratio(Comparison((of,), (over,)), visits)
    return reached and reached["speedup"]
