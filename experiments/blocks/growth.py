"""The nets' layers -> tables of costs layer by layer, and of how costs grow with the sizes.

Everything here is counted. Times are in `experiments.blocks.costs`.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from experiments.account import parse_clip
from experiments.blocks.source import Source, wrapped
from experiments.config import ConfigError
from experiments.table1 import layer_table, table
from jaxpose.cost.accounting import Cost, net_cost
from jaxpose.cost.memory import step_bytes
from jaxpose.lowering import lowering_named
from jaxpose.nets import detection, regression
from jaxpose.nets.factorise import VARIANTS
from jaxpose.nets.layers import Net

NETS = ("full", "asy", "thin")
"""Regression nets that are compared."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes at which costs are counted.

    Attributes:
      name: what differs from the paper's sizes.
      clip: (frames, rows, columns).
      width: width multiplier of the nets.
      batch: number of clips that are computed together.
    """

    name: str
    clip: tuple[int, int, int] = (3, 96, 128)
    width: float = 1.0
    batch: int = 1


SETTINGS = (
    Setting("the paper's: 3 frames of 128x96, width 1, 1 clip"),
    Setting("5 frames", (5, 96, 128)),
    Setting("9 frames", (9, 96, 128)),
    Setting("width 1/2", width=0.5),
    Setting("width 1/4", width=0.25),
    Setting("64x48", (3, 48, 64)),
    Setting("256x192", (3, 192, 256)),
    Setting("16 clips", batch=16),
    Setting("64x48 and width 1/4, the default", (3, 48, 64), 0.25),
)
"""The sizes of the table of growth; each but the last changes one thing."""


LEGEND = (
    "/ full: over the net with 3x3x3 kernels at the same sizes. MB moved: what the convolutions of "
    "a forward pass read and write, with kernels read once per batch. Step: forward and backward "
    "pass of a training step. MB stored: outputs that the backward pass needs. MB at most: the "
    "estimate of a step's temporary memory by which micro-batches are chosen, with oneDNN. "
    "Everything but the parameters grows in proportion to the number of clips, except that kernels "
    "are shared by a batch."
)
"""The note under the table of growth."""


def no_files(name: str, sources: Sequence[Source]) -> None:
    """Refuses files for a block that is counted from the nets.

    Raises:
      ConfigError: there is one.
    """
    if sources:
        raise ConfigError(
            f"the block `{name}` takes no files: it is counted from the nets; omit them"
        )


def cost_layers(
    sources: Sequence[Source],
    *,
    net: str = "asy",
    clip: str = "3,96,128",
    width: str = "1",
) -> str:
    """Returns a table with a row per layer of a net: of a variant, or of `detection`.

    Raises:
      ConfigError: an unknown net, or an option that cannot be used.
    """
    no_files("cost_layers", sources)
    if net not in (*VARIANTS, "detection"):
        raise ConfigError(f"unknown net {net!r}; one of: detection, {', '.join(VARIANTS)}")
    try:
        layers = _net(net, float(width)).layers
    except ValueError as error:
        raise ConfigError(f"the block `cost_layers`: {error}") from None
    return layer_table(layers, parse_clip(clip), paper=net == "asy" and float(width) == 1)


def _net(name: str, width: float) -> Net:
    """Returns a regression net, or the detection net."""
    return detection.net(width) if name == "detection" else regression.net(VARIANTS[name], width)


def cost_growth(sources: Sequence[Source]) -> str:
    """Returns a table of what each setting costs, per regression net, per clip in float32."""
    no_files("cost_growth", sources)
    rows = [row for setting in SETTINGS for row in _rows(setting)]
    header = ["per clip, float32", "parameters", "GMAC nominal", "useful", "/ full", "MB moved"]
    header += ["/ full", "FLOP/B", "step: GMAC useful", "/ full", "MB stored", "MB at most"]
    return f"{table(header, rows)}\n{wrapped(LEGEND)}"


def _rows(setting: Setting) -> Iterator[list[str]]:
    """Yields a row per net, after one with the setting's name."""
    yield [f"**{setting.name}**", *[""] * 11]
    full = net_cost(_net("full", setting.width).layers, setting.clip)
    for name in NETS:
        layers = _net(name, setting.width).layers
        cost = net_cost(layers, setting.clip)
        moved = moved_bytes(cost, setting.batch)
        memory = step_bytes(layers, setting.clip, 1, lowering_named("onednn"))
        yield [
            name,
            f"{cost.parameters:,}",
            f"{cost.macs_nominal / 1e9:.2f}",
            f"{cost.macs_useful / 1e9:.2f}",
            f"{cost.macs_useful / full.macs_useful:.2f}",
            f"{moved / 1e6:.0f}",
            f"{moved / moved_bytes(full, setting.batch):.2f}",
            f"{2 * cost.macs_nominal / moved:.0f}",
            f"{cost.train_macs_useful / 1e9:.2f}",
            f"{cost.train_macs_useful / full.train_macs_useful:.2f}",
            f"{cost.train_stored_bytes / 1e6:.0f}",
            f"{memory / 1e6:.0f}",
        ]


def moved_bytes(cost: Cost, batch: int) -> float:
    """Returns the bytes per clip that the convolutions of a forward pass read and write."""
    return cost.bytes - 4 * cost.kernel_weights * (1 - 1 / batch)


def cost_files(sources: Sequence[Source]) -> str:
    """Returns a table of the sizes of model files, which contain both nets in float32."""
    no_files("cost_files", sources)
    rows = []
    for width in (1.0, 0.5, 0.25):
        detector = stored_bytes("detection", width)
        for name in NETS:
            alone = stored_bytes(name, width)
            full = stored_bytes("full", width)
            rows.append(
                [
                    f"width {width:g}: {name}",
                    f"{alone / 1e6:.2f}",
                    f"{alone / full:.2f}",
                    f"{(detector + alone) / 1e6:.2f}",
                    f"{(detector + alone) / (detector + full):.2f}",
                ]
            )
    header = ["MB", "regression net", "/ full", "model file: both nets", "/ full"]
    return table(header, rows)


def stored_bytes(net: str, width: float) -> int:
    """Returns the bytes of a net's arrays in a model file: what is trained, and running statistics.

    A file has 10 to 20 kB more: names, and the specification.
    """
    cost = net_cost(_net(net, width).layers, (1, 16, 16))
    return 4 * (cost.parameters + cost.running_statistics)
