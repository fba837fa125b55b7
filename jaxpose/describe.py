"""A model file -> what `jaxpose info` prints: its nets, its training, its errors."""

import json
from pathlib import Path

from jaxpose import estimator
from jaxpose.cost.accounting import net_cost
from jaxpose.model import Model


def info(path: Path | None = None) -> dict:
    """Returns a model's digest, size, parameters and MACs of each net, and specification, as JSON.

    `path` is by default that of the model that jaxpose ships.

    Raises:
      ModelError: the file is missing, damaged, foreign, or of a newer version.
    """
    path = estimator.shipped_model() if path is None else path
    model = Model.load(path)
    specification = model.specification
    clip = (specification.clip_frames, *specification.grid)
    costs = {name: net_cost(net.layers, clip) for name, net in specification.nets().items()}
    return {
        "digest": model.digest,
        "bytes": path.stat().st_size,
        "parameters": {name: cost.parameters for name, cost in costs.items()},
        "macs_nominal": {name: cost.macs_nominal for name, cost in costs.items()},
        **specification.as_json(),
    }


def as_text(values: dict) -> str:
    """Formats what `info` returns for people."""
    rows, columns = values["grid"]
    decoding, provenance = values["decoding"], values["provenance"]
    parameters, interval_s = values["parameters"], values["frame_interval_s"]
    apart = "in no fixed order" if interval_s is None else f"{1e3 * interval_s:.0f} ms apart"
    lines = [
        f"model        {values['digest'][:12]}, {values['bytes'] / 1e6:.1f} MB",
        f"detection    {values['detection_factorise']}, width {values['detection_width']:g}, "
        f"{parameters['detection']:,} parameters",
        f"regression   {values['variant']}, width {values['regression_width']:g}, "
        f"{parameters['regression']:,} parameters",
        f"input        clips of {values['clip_frames']} frames, {apart}, {columns}x{rows} px; "
        "depth in mm",
        f"decoding     {values['maps']} maps, {values['linking']} linking, a joint is missing "
        f"below {decoding['min_score']:g}",
        f"joints       {', '.join(values['joints'])}",
    ]
    for name, value in provenance.items():
        if name == "subjects":
            value = ", ".join(f"{len(ids)} {part}" for part, ids in value.items())
        if name == "metrics":
            value = _errors(value)
        lines.append(f"{name:<12} {value if isinstance(value, str) else json.dumps(value)}")
    return "\n".join(lines)


def _errors(metrics: dict) -> str:
    """Formats the errors that `experiments.run` stores; anything else as JSON."""
    try:
        rmsd, missed = metrics["rmsd_fallback_px"]["all"], metrics["missed_rate"]
        return (
            f"RMSD per limb median {rmsd['median']:.2f}, mean {rmsd['mean']:.2f} px of 128x96, "
            f"{100 * missed:.1f} % of the joints missing, in {metrics['n_frames']} test frames"
        )
    except (KeyError, TypeError):  # None where no joint could be compared
        return json.dumps(metrics)
