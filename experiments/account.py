"""The nets' layers -> tables of weights, parameters, MACs and bytes.

python -m experiments.account --clip=3,96,128 --width=1
"""

import dataclasses
import math
import sys

from data_pipeline.examples.clips import CLIP
from experiments.config import ConfigError
from experiments.table1 import layer_table, table
from jaxpose.commands import run_command
from jaxpose.cost.accounting import CONVENTION, Cost, net_cost
from jaxpose.nets import detection, regression
from jaxpose.nets.detection import SHRINK
from jaxpose.nets.factorise import VARIANTS
from jaxpose.options import parse_options


@dataclasses.dataclass(frozen=True)
class Options:
    """Prints weights, parameters, MACs and bytes of every net, layer by layer and in total, for
    one clip in float32; the last line of stdout is the same as JSON.

    A MAC is one multiplication and one addition. Nominal MACs count every kernel tap; useful ones
    exclude those that multiply zero padding, as XLA's own count does.
    """

    clip: str = f"{CLIP},96,128"
    """FRAMES,ROWS,COLUMNS of the clip."""
    width: float = 1.0
    """Width multiplier: multiplies every number of channels."""


def parse_clip(text: str) -> tuple[int, int, int]:
    """Parses the option --clip: "3,96,128" -> (3, 96, 128), frames, rows and columns.

    Raises:
      ConfigError: another form, or a size that the nets cannot process.
    """
    try:
        frames, rows, cols = (int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--clip={text}: expected FRAMES,ROWS,COLUMNS, such as 3,96,128"
        ) from None
    if frames < 1 or rows < SHRINK or cols < SHRINK or rows % SHRINK or cols % SHRINK:
        raise ConfigError(
            f"--clip={text}: expected one frame or more, and rows and columns divisible by "
            f"{SHRINK}, such as 3,96,128"
        )
    return frames, rows, cols


def account(clip: tuple[int, int, int], width: float) -> dict:
    """Counts every variant, the detection net, and the two one after the other."""
    detector = detection.net(width).layers
    nets = {name: regression.net(variant, width).layers for name, variant in VARIANTS.items()}
    costs = {name: net_cost(layers, clip) for name, layers in nets.items()}
    first = net_cost(detector, clip)
    return {
        "clip": list(clip),
        "width": width,
        "variants": {name: dataclasses.asdict(cost) for name, cost in costs.items()},
        "detection": dataclasses.asdict(first),
        "pipeline": {name: dataclasses.asdict(first + cost) for name, cost in costs.items()},
        "convention": CONVENTION,
    }


def by_layer(clip: tuple[int, int, int], width: float) -> str:
    """Formats the layers of every net in a table each; asy is beside the paper's Table I."""
    parts = []
    for name, variant in VARIANTS.items():
        layers = regression.net(variant, width).layers
        parts.append(f"## {name}\n\n" + layer_table(layers, clip, paper=name == "asy"))
    detector = detection.net(width).layers
    return "\n".join([*parts, "## detection net\n\n" + layer_table(detector, clip)])


def as_table(costs: dict) -> str:
    """Formats the totals; ratios are over the full regression net, or the pipeline with it."""
    rows = []
    nets = {**costs["variants"], "detection net": costs["detection"]}
    nets |= {f"detection + {name}": values for name, values in costs["pipeline"].items()}
    for name, values in nets.items():
        cost = Cost(**values)
        full = costs["pipeline" if "+" in name else "variants"]["full"]
        rows.append(
            [
                name,
                f"{cost.kernel_weights:,}",
                f"{cost.biases:,}",
                f"{cost.norm_parameters:,}",
                f"{cost.parameters:,}",
                f"{cost.running_statistics:,}",
                f"{cost.macs_nominal / 1e9:.3f}",
                f"{cost.macs_nominal / full['macs_nominal']:.3f}",
                f"{cost.macs_useful / 1e9:.3f}",
                f"{cost.macs_useful / full['macs_useful']:.3f}",
                f"{cost.bytes / 1e6:.1f}",
                f"{cost.activation_bytes / 1e6:.1f}",
                f"{cost.intensity:.0f}",
                f"{cost.train_macs_nominal / 1e9:.3f}",
                f"{cost.train_macs_useful / 1e9:.3f}",
                f"{cost.train_bytes / 1e6:.1f}",
                f"{cost.train_stored_bytes / 1e6:.1f}",
            ]
        )
    header = ["net", "kernel weights", "biases", "norm", "parameters", "statistics"]
    header += ["GMAC nominal", "/ full", "useful", "/ full", "MB moved", "MB activations"]
    header += ["FLOP/B", "training: GMAC nominal", "useful", "MB moved", "MB stored"]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(Options, arguments, "experiments.account")

    def body() -> dict:
        if not 0 < options.width < math.inf:
            raise ConfigError(f"--width={options.width:g}: expected a number above 0")
        costs = account(parse_clip(options.clip), options.width)
        print(f"# One clip of {options.clip}, float32\n", file=sys.stderr)
        print(by_layer(tuple(costs["clip"]), options.width), file=sys.stderr)
        print(f"## Totals\n\n{as_table(costs)}", file=sys.stderr)
        print(CONVENTION, file=sys.stderr)
        return costs

    return run_command(body)


if __name__ == "__main__":
    sys.exit(main())
