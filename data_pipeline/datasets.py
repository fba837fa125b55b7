"""What is known of each data set: its builder, its ground, and how its folder looks."""

import dataclasses
import importlib

from data_pipeline.errors import DataError


@dataclasses.dataclass(frozen=True)
class Dataset:
    """
    Attributes:
        background_mm: what a cell without a valid pixel is given above the frame's median: 0 where
            it is a hole in a surface, a stretch behind the body where the background was removed.
        scale_mm: unit of the net's input, about the depth's spread around its mean.
        layout: the source folder, in words.
        configs: names of the builder's configurations, the default first.
        symmetric: a mirror image could as well be a recording, so that it may be trained on.
    """

    background_mm: float
    scale_mm: float
    layout: str
    configs: tuple[str, ...]
    symmetric: bool


_ORDERS = ("time_order", "row_order")

DATASETS = {
    "simulated": Dataset(
        0.0, 200.0, "as babypose, written by `python -m data_pipeline.simulate`", _ORDERS, True
    ),
    "utd_mhad": Dataset(
        600.0, 500.0, "Depth/*_depth.mat and Skeleton/*_skeleton.mat", ("every5", "every1"), False
    ),
    "babypose": Dataset(
        0.0, 200.0, "pz<ID>/<n>_16bit.png and result_pz<ID>.csv or .xlsx", _ORDERS, True
    ),
}


def builder_of(dataset: str):
    """The TFDS builder's class; imports TensorFlow."""
    if dataset not in DATASETS:
        raise DataError(f"unknown data set {dataset!r}; one of: {', '.join(DATASETS)}")
    module = f"data_pipeline.{dataset}.{dataset}_dataset_builder"
    return importlib.import_module(module).Builder
