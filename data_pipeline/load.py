"""A data set's own files -> `Frames` on the net's grid, by way of its TFDS builder.

    files -> TFDS records (raw frames) -> depth by area mean, joints through the crop -> one file

Both results are kept under the cache folder, named after what they depend on, so a second run
starts at once and a changed source is read again.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_pipeline.datasets import DATASETS, builder_of
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import Frames, load, save, usual_step
from data_pipeline.locks import locked
from jaxpose.body.geometry import cell_weights, inside, joints_to_grid

tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's


SUFFIXES = (".mat", ".png", ".csv", ".xlsx")
"""Files that a data set is made from; a README beside them is not."""


def depth_to_grid(depth_mm, rows, cols, background_mm: float):
    """`geometry.depth_to_grid` in TensorFlow: uint16 [h w] -> float32 [rows cols], with
    the cells' weights over the image's rows and columns already known."""
    depth = tf.cast(depth_mm, tf.float32)
    weight = rows @ tf.cast(depth > 0, tf.float32) @ tf.transpose(cols)
    empty = weight < 1e-6
    mean = rows @ depth @ tf.transpose(cols) / tf.where(empty, 1.0, weight)
    ordered = tf.sort(tf.reshape(tf.where(empty, np.float32(np.inf), mean), [-1]))
    valid = tf.reduce_sum(tf.cast(~empty, tf.int32))
    median = tf.where(valid > 0, ordered[tf.maximum(valid - 1, 0) // 2], 0.0)
    return tf.where(empty, median + background_mm, mean)


def load_frames(
    dataset: str, data_dir: Path, grid: tuple[int, int], cache_dir: Path, config: str | None = None
) -> Frames:
    """`config` is one of the builder's configurations, by default its first."""
    builder_of(dataset)  # an unknown data set is told before a missing folder
    config = config or DATASETS[dataset].configs[0]
    key = _fingerprint(dataset, data_dir, config)
    prepared = cache_dir / f"{dataset}-{key}-{grid[1]}x{grid[0]}.npz"
    with locked(prepared):
        if not prepared.exists():
            records = cache_dir / "tfds" / f"{dataset}-{key}"
            save(_read(dataset, data_dir, grid, records, config), prepared)
    return load(prepared)


def _fingerprint(dataset: str, data_dir: Path, config: str) -> str:
    """Of what a data set is made from: names, sizes and times of its files, and the builder's
    version; reading the files themselves would take as long as building."""
    if not data_dir.is_dir():
        raise DataError(
            f"{data_dir}: no such folder; --data_dir names the folder with the files of "
            f"{dataset}: {DATASETS[dataset].layout}"
        )
    files = sorted(p for p in data_dir.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{data_dir}: no data here; {dataset} wants {DATASETS[dataset].layout}")
    listed = [(str(p.relative_to(data_dir)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    version = str(builder_of(dataset).VERSION)
    facts = json.dumps([dataset, version, config, str(data_dir.resolve()), listed])
    return hashlib.sha256(facts.encode()).hexdigest()[:12]


def _build(dataset: str, data_dir: Path, records: Path, config: str | None):
    """The TFDS builder with its records written; an interrupted build starts anew."""
    builder = builder_of(dataset)(data_dir=records, config=config)
    if not Path(builder.data_dir).exists():
        print(f"reading {dataset} from {data_dir}", file=sys.stderr)
        shutil.rmtree(records, ignore_errors=True)
        builder = builder_of(dataset)(data_dir=records, config=config)
        download = tfds.download.DownloadConfig(manual_dir=data_dir)
        builder.download_and_prepare(download_config=download)
    return builder


def _read(
    dataset: str, data_dir: Path, grid: tuple[int, int], records: Path, config: str | None
) -> Frames:
    builder = _build(dataset, data_dir, records, config)
    background = DATASETS[dataset].background_mm
    count = builder.info.splits.total_num_examples
    weights = {}

    def to_grid(example):
        """Depth on the grid; the weights of a crop are worked out once."""
        height, width = example["depth"].shape[:2]
        x, y, w, h = (int(v) for v in example["crop"])
        key = (x, y, w, h, height, width)
        if key not in weights:
            weights[key] = (
                tf.constant(cell_weights(y, h, grid[0], height)),
                tf.constant(cell_weights(x, w, grid[1], width)),
            )
        return depth_to_grid_compiled(example["depth"][..., 0], *weights[key])

    depth_to_grid_compiled = tf.function(
        lambda depth, rows, cols: depth_to_grid(depth, rows, cols, background),
        reduce_retracing=True,
    )
    columns = {name: [] for name in ("joints", "visible", "subject", "sequence", "frame", "crop")}
    depth = np.empty((count, *grid), np.float32)
    # `all` in record order; the crop differs between recordings, so frames go one by one
    examples = builder.as_dataset(split="all").prefetch(tf.data.AUTOTUNE)
    bar = tqdm(examples, total=count, desc=f"{dataset} on {grid[1]}x{grid[0]}", unit="frame")
    for index, example in enumerate(bar):
        depth[index] = to_grid(example)
        for name, values in columns.items():
            values.append(example[name].numpy())
    crop = np.array(columns["crop"], np.int32)
    xy = joints_to_grid(np.array(columns["joints"], np.float32), crop[:, None], grid)
    visible = np.array(columns["visible"]) & inside(xy, grid)
    frame = np.array(columns["frame"], np.int32)
    return Frames(
        dataset=dataset,
        depth_mm=depth,
        xy=np.where(visible[..., None], xy, np.float32(-1)),
        visible=visible,
        subject=np.array([s.decode() for s in columns["subject"]]),
        sequence=np.array([s.decode() for s in columns["sequence"]]),
        frame=frame,
        crop=crop,
        step=0 if config == "row_order" else usual_step(frame),
    )
