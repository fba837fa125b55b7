"""A data set's own files -> one file of frames on the net's grid, to train from without TensorFlow.

python -m data_pipeline.prepare --dataset=utd_mhad --data_dir=DIR --out=utd.npz
python -m experiments.run --dataset=utd_mhad --data_dir=utd.npz
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from data_pipeline.datasets import DATASETS
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import grid_of, save


def prepare(
    dataset: str, data_dir: Path, grid: tuple[int, int], out: Path, config: str | None = None
) -> dict:
    """Writes `out`; returns what it holds. Raises `DataError` for unusable data."""
    from data_pipeline.load import load_frames  # TensorFlow, only where it is needed

    began = time.perf_counter()
    out.parent.mkdir(parents=True, exist_ok=True)  # before reading, which takes long
    with tempfile.TemporaryDirectory() as cache:
        frames = load_frames(dataset, data_dir, grid, Path(cache), config)
    save(frames, out)
    return {
        "dataset": dataset,
        "frames": len(frames),
        "subjects": len(set(frames.subject.tolist())),
        "grid": list(grid),
        "bytes": out.stat().st_size,
        "seconds": round(time.perf_counter() - began, 1),
        "out": str(out),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data_pipeline.prepare", description=__doc__)
    parser.add_argument("--dataset", required=True, help=", ".join(DATASETS))
    parser.add_argument("--data_dir", required=True, type=Path, help="folder with its own files")
    parser.add_argument("--out", required=True, type=Path, help="file to write, .npz")
    parser.add_argument("--grid", default="64x48", help="columns x rows (default: %(default)s)")
    parser.add_argument("--builder", help="configuration of the data set, such as row_order")
    options = parser.parse_args(arguments)
    try:
        grid = grid_of(options.grid)
        known = DATASETS[options.dataset].configs if options.dataset in DATASETS else ()
        if known and options.builder not in (None, *known):
            raise DataError(f"unknown --builder {options.builder!r}; one of: {', '.join(known)}")
        if options.out.suffix != ".npz":
            raise DataError(f"--out={options.out}: wanted a name that ends in .npz")
        if options.out.is_dir():
            raise DataError(f"--out={options.out}: is a folder; wanted the name of a file")
        done = prepare(options.dataset, options.data_dir, grid, options.out, options.builder)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error}; to read data sets: pip install -e '.[data]'", file=sys.stderr)
        return 1
    print(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
