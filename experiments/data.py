"""A configuration -> frames on the net's grid, from the data set's own files or a prepared file."""

from pathlib import Path

from data_pipeline.errors import DataError
from data_pipeline.examples.frames import Frames, load
from data_pipeline.load import fingerprint, load_frames
from experiments.config import Config
from experiments.rundir import claim

DEFAULT_SIMULATION = {"infants": 240, "frames": 16, "seed": 0, "size": (320, 240)}
"""Arguments of `simulate` for data that a run creates itself."""


def is_prepared(data_dir: Path | None) -> bool:
    """Tells whether the data is a file that `data_pipeline.prepare` wrote."""
    return data_dir is not None and data_dir.suffix == ".npz"


def read_frames(config: Config) -> Frames:
    """Reads the data set of a configuration. Simulated data is created if its folder is missing.

    Raises:
      DataError: the files cannot be used, or a prepared file is of another data set or grid.
      ConfigError: the cache folder cannot be written.
    """
    recipe, place = config.recipe, config.place
    if is_prepared(place.data_dir):
        return read_prepared(place.data_dir, recipe.dataset, recipe.rows_cols)
    data_dir = place.data_dir or Path("data/simulated")
    missing = recipe.dataset == "simulated" and (place.data_dir is None or not data_dir.exists())
    if not missing:
        fingerprint(recipe.dataset, data_dir, "")  # without files, no cache folder is left behind
    claim(place.cache_dir, 100_000_000, option="--cache_dir")
    if missing:
        from data_pipeline.simulate import simulate  # MuJoCo, only where it is needed

        simulate(data_dir, **DEFAULT_SIMULATION)
    return load_frames(recipe.dataset, data_dir, recipe.rows_cols, place.cache_dir, recipe.builder)


def read_prepared(path: Path, dataset: str, grid: tuple[int, int]) -> Frames:
    """Reads a file that `data_pipeline.prepare` wrote, of this data set on this grid.

    Raises:
      DataError: the file cannot be used, or is of another data set or grid.
    """
    frames = load(path)
    if frames.grid != grid or frames.dataset != dataset:
        raise DataError(
            f"{path}: holds {frames.dataset} on {frames.grid[1]}x{frames.grid[0]}, expected "
            f"--dataset={dataset} --grid={grid[1]}x{grid[0]}; change the options or prepare the "
            "data again"
        )
    return frames
