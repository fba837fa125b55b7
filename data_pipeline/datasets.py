"""The data sets: units, background, folder layout and configurations of each."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Facts about one data set.

    Attributes:
      background_mm: depth of a cell without a valid pixel, in mm above the frame's median cell: 0
        where it is a hole in a surface, more where the background was removed.
      scale_mm: unit of the nets' input, about the spread of the depth around its mean. paper:
        unclear, it names no unit.
      layout: layout of the source folder, for messages.
      configs: names of the builder's configurations, the default first.
    """

    background_mm: float
    scale_mm: float
    layout: str
    configs: tuple[str, ...]


_ORDERS = ("time_order", "row_order")

DATASETS = {
    "simulated": Dataset(
        0.0, 200.0, "as babypose, written by `python -m data_pipeline.simulate`", _ORDERS
    ),
    "utd_mhad": Dataset(
        600.0, 500.0, "Depth/*_depth.mat and Skeleton/*_skeleton.mat", ("every5", "every1")
    ),
    "babypose": Dataset(0.0, 200.0, "pz<ID>/<n>_16bit.png and result_pz<ID>.csv or .xlsx", _ORDERS),
}


def builders_help() -> str:
    """Returns the help of an option that selects a configuration of a data set."""
    listed = "; ".join(f"{name}: {' or '.join(d.configs)}" for name, d in DATASETS.items())
    return f"Configuration of the data set. {listed}. None: the first one."
