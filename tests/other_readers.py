"""Reads a prediction's folder with pandas, movement and pynwb, and compares; needs no JAX.

    python tests/other_readers.py DIR

tests/test_other_readers.py calls it, in an environment of its own where JAXPOSE_READERS names one.
It prints one line per reader that is installed.
"""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np


def long_table(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Joints, px [n j 2], mm [n j 3] and confidences [n j] of pose_long.csv."""
    with open(folder / "pose_long.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    joints = list(dict.fromkeys(row["joint"] for row in rows))
    names = ("x_px", "y_px", "x_mm", "y_mm", "z_mm", "confidence")
    values = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    values = values.reshape(-1, len(joints), len(names))
    return joints, values[..., :2], values[..., 2:5], values[..., 5]


def by_pandas(folder: Path) -> None:
    import pandas

    joints, px, _, confidence = long_table(folder)
    table = pandas.read_csv(folder / "pose.csv", header=[0, 1, 2], index_col=0)
    (scorer,) = table.columns.get_level_values(0).unique()
    for k, joint in enumerate(joints):
        np.testing.assert_allclose(table[scorer, joint, "x"], px[:, k, 0])
        np.testing.assert_allclose(table[scorer, joint, "y"], px[:, k, 1])
        np.testing.assert_allclose(table[scorer, joint, "likelihood"], confidence[:, k])


def by_movement(folder: Path) -> None:
    from movement.filtering import filter_by_confidence
    from movement.io import load_dataset

    joints, px, _, confidence = long_table(folder)
    read = load_dataset(folder / "pose.csv", source_software="DeepLabCut", fps=6)
    _same(read, joints, px, confidence)
    kept = filter_by_confidence(read.position, read.confidence, threshold=0.5)
    expected = np.where(confidence[..., None] >= 0.5, px, np.nan)
    _equal(kept, joints, expected)
    if (folder / "pose.nwb").exists():
        read = load_dataset(folder / "pose.nwb", source_software="NWB")
        _same(read, joints, px, confidence)


def _same(read, joints, px, confidence) -> None:
    assert list(read.keypoints.values) == joints or set(read.keypoints.values) == set(joints)
    _equal(read.position, joints, px)
    actual = read.confidence.squeeze("individuals", drop=True).transpose("time", "keypoints")
    actual = actual.sel(keypoints=joints).values
    np.testing.assert_allclose(actual, confidence, atol=1e-6)
    missing = np.isnan(read.position.sel(keypoints=joints)).any("space")
    missing = missing.squeeze("individuals", drop=True).transpose("time", "keypoints").values
    assert missing.any() and (actual[missing] == 0).all() and (actual[~missing] > 0).all()


def _equal(position, joints, expected) -> None:
    actual = position.squeeze("individuals", drop=True).transpose("time", "keypoints", "space")
    np.testing.assert_allclose(actual.sel(keypoints=joints).values, expected, atol=1e-3)


def by_pynwb(folder: Path) -> None:
    import ndx_pose  # noqa: F401
    from pynwb import NWBHDF5IO, validate

    from jaxpose.outputs.nwb import write_nwb

    joints, px, mm, confidence = long_table(folder)
    path = write_nwb(folder)
    with NWBHDF5IO(str(path), "r") as io:
        module = io.read().processing["behavior"]
        tables = {"PoseEstimation": ("pixels", px)}
        if np.isfinite(mm).any():
            tables["PoseEstimation_mm"] = ("millimeters", mm)
        assert {name for name in module.data_interfaces if name.startswith("Pose")} == set(tables)
        for name, (unit, expected) in tables.items():
            skeleton = module[name].skeleton
            assert list(skeleton.nodes[:]) == joints and skeleton.edges.shape == (8, 2)
            for k, joint in enumerate(joints):
                series = module[name][joint]
                assert series.unit == unit and "0 where missing" in series.confidence_definition
                np.testing.assert_allclose(series.data[:], expected[:, k])
                np.testing.assert_allclose(series.confidence[:], confidence[:, k])
        times = module["PoseEstimation"][joints[-1]].timestamps[:]
        assert (np.diff(times) > 0).all() and len(times) == len(px)
    problems = validate(path=str(path))
    assert not (problems[0] if isinstance(problems, tuple) else problems), problems


READERS = {"ndx_pose": by_pynwb, "pandas": by_pandas, "movement": by_movement}
"""Package -> what reads with it."""

if __name__ == "__main__":
    for package, read in READERS.items():
        if importlib.util.find_spec(package) is not None:
            read(Path(sys.argv[1]))
            print(package)
