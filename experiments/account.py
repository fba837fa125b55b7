"""What each regression net costs, and the detection net beside it: counted from its description.

python -m experiments.account --clip=3,96,128 --width=1
"""

import dataclasses
import json
import math
import sys

import tyro

from data_pipeline.clips import CLIP
from experiments.config import ConfigError
from experiments.tables import table
from jaxpose import detection, regression
from jaxpose.accounting import Cost, net_cost
from jaxpose.detection import SHRINK
from jaxpose.factorise import VARIANTS


@dataclasses.dataclass(frozen=True)
class Options:
    """Prints weights, parameters, MACs and bytes of every net, for one clip in float32; the last
    line of stdout is the same as JSON.

    A MAC is one multiplication and one addition. Nominal MACs count every kernel tap; useful ones
    leave out those that multiply zero padding, as XLA's own count does."""

    clip: str = f"{CLIP},96,128"
    """Frames, rows, columns."""
    width: float = 1.0
    """Multiplies every channel count."""


def parse_clip(text: str) -> tuple[int, int, int]:
    """ "3,96,128" -> (3, 96, 128)."""
    try:
        frames, rows, cols = (int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--clip={text}: wanted FRAMES,ROWS,COLUMNS, such as 3,96,128") from None
    if frames < 1 or rows < SHRINK or cols < SHRINK or rows % SHRINK or cols % SHRINK:
        raise ConfigError(
            f"--clip={text}: wanted at least one frame, and rows and columns that divide by "
            f"{SHRINK}, such as 3,96,128"
        )
    return frames, rows, cols


def account(clip: tuple[int, int, int], width: float) -> dict:
    """Costs of every variant and of the detection net, as plain numbers."""
    return {
        "clip": list(clip),
        "width": width,
        "variants": {
            name: dataclasses.asdict(net_cost(regression.layers(variant, width), clip))
            for name, variant in VARIANTS.items()
        },
        "detection": dataclasses.asdict(net_cost(detection.layers(width).values(), clip)),
    }


def as_table(costs: dict) -> str:
    """Markdown; ratios are over the full regression net."""
    full = Cost(**costs["variants"]["full"])
    rows = []
    for name, values in {**costs["variants"], "detection net": costs["detection"]}.items():
        cost = Cost(**values)
        rows.append(
            [
                name,
                f"{cost.kernel_weights:,}",
                f"{cost.parameters:,}",
                f"{cost.macs_nominal / 1e9:.3f}",
                f"{cost.macs_nominal / full.macs_nominal:.3f}",
                f"{cost.macs_useful / 1e9:.3f}",
                f"{cost.macs_useful / full.macs_useful:.3f}",
                f"{cost.bytes / 1e6:.1f}",
                f"{cost.activation_bytes / 1e6:.1f}",
            ]
        )
    header = ["net", "kernel weights", "parameters", "GMAC nominal", "/ full", "useful", "/ full"]
    return table([*header, "MB moved", "MB activations"], rows)


def main(arguments: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.account")
    try:
        if not 0 < options.width < math.inf:
            raise ConfigError(f"--width={options.width:g}: wanted more than 0")
        costs = account(parse_clip(options.clip), options.width)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(as_table(costs), file=sys.stderr)
    print(json.dumps(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
