"""The same recipe gives the same weights as when NUMERICS was raised last.

python tests/test_numerics.py    writes the golden weights of the present NUMERICS
"""

import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from lowerings import FOLDED, NEEDS_ONEDNN, ONEDNN
from test_resume import SMALL, made_up

from data_pipeline.examples.frames import save
from experiments import rundir
from experiments.data import read_frames
from experiments.numerics import NUMERICS
from experiments.options import parse
from experiments.run import make_split
from experiments.trainings import train_detection, train_regression
from jaxpose.lowering.onednn import norm

GOLDEN = Path(__file__).parent / "golden" / f"numerics-{NUMERICS}.npz"
MOVED = 1e-4
"""Largest difference of a weight that rounding in another order may cause."""
# Adam would turn the rounding of a gradient near zero into whole steps.
TWENTY_STEPS = [
    f"--{stage}.{option}"
    for stage in ("detection", "regression")
    for option in ("epochs=2", "steps_per_epoch=10", "optimiser=sgd", "learning_rate=1e-3")
]


def train(folder: Path, *more: str) -> dict[str, np.ndarray]:
    """Weights of both nets after 20 steps each on made-up infants."""
    folder.mkdir(exist_ok=True)
    save(made_up(), folder / "frames.npz")
    options = [f"--data_dir={folder / 'frames.npz'}", f"--runs_dir={folder / 'runs'}"]
    config = parse([*options, "--feed=numpy", *SMALL, *TWENTY_STEPS, *more])
    config.run_dir.mkdir(parents=True)
    frames = read_frames(config)
    split = make_split(config, frames)
    history = rundir.History(config.run_dir)
    detector = train_detection(config, frames, split, history)
    regressor = train_regression(config, frames, split, history, detector)
    history.close()
    return {
        f"{net}/{layer}/{field}": array
        for net, trained in (("detection", detector), ("regression", regressor))
        for layer, weights in trained.weights.items()
        for field, array in weights._asdict().items()
        if array is not None
    }


@pytest.fixture(autouse=True)
def quickly_compiled():
    """Nets of a few weights: compiling them would take all the time."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.parametrize(
    "lowering", [FOLDED, pytest.param(ONEDNN, marks=[NEEDS_ONEDNN, pytest.mark.slow])]
)
@pytest.mark.promotes_types
def test_twenty_steps_of_both_nets_give_the_golden_weights(lowering, tmp_path):
    weights = train(tmp_path, f"--lowering={lowering.name}")
    with np.load(GOLDEN) as golden:
        assert set(golden.files) == set(weights)
        moved = {name: float(np.abs(weights[name] - golden[name]).max()) for name in weights}
    name = max(moved, key=moved.get)
    assert moved[name] < MOVED, (
        f"{name} moved by {moved[name]:.1e}: training computes something else than under NUMERICS "
        f"{NUMERICS}; raise NUMERICS (experiments/numerics.py), and say in LOG.md what changed"
    )


@NEEDS_ONEDNN
@pytest.mark.slow
@pytest.mark.parametrize("vector", [1, 16])
@pytest.mark.promotes_types
def test_batch_norm_by_either_library_leaves_the_weights_of_thin_where_they_were(
    vector, tmp_path, monkeypatch
):
    """thin's numbers of channels were normalised by oneDNN once, and are by XLA now."""
    monkeypatch.setattr(norm, "VECTOR", vector)
    ours, expected = (
        train(tmp_path / name, "--variant=thin", f"--lowering={name}")
        for name in ("onednn", "folded")
    )
    assert max(float(np.abs(ours[name] - expected[name]).max()) for name in ours) < MOVED


if __name__ == "__main__":
    jax.config.update("jax_disable_most_optimizations", True)
    GOLDEN.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        np.savez_compressed(GOLDEN, **train(Path(scratch), "--lowering=folded"))
    print(GOLDEN)
