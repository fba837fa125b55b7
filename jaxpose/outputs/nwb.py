"""pose_long.csv and quality.json of a prediction -> pose.nwb, by the extension ndx-pose.

    python -m jaxpose.outputs.nwb DIR

Needs the extra `nwb` and no JAX, so it also runs in an environment of its own.
"""

import csv
import hashlib
import json
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from jaxpose.body.skeleton import CONNECTIONS, JOINTS
from jaxpose.errors import DataError, UserError
from jaxpose.files import written_whole

NAME, UNKNOWN = "pose.nwb", datetime(1970, 1, 1, tzinfo=UTC)
"""Name of the file, and the start of a recording where it is not known: NWB demands one."""
_PX = "(0, 0) is the centre of the image's top-left pixel; x points right, y down"
_MM = "(0, 0, 0) is the camera; x points right, y down, z away from it; on the body's surface"


def parse_start(text: str | None) -> datetime:
    """Reads a time with its time zone; `UNKNOWN` for None.

    Raises:
      UserError: the text is no such time.
    """
    if text is None:
        return UNKNOWN
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        raise UserError(
            f"--session_start={text}: expected a time with its zone, 2026-01-31T10:00:00+01:00"
        )
    return start


def check_nwb() -> None:
    """Raises `UserError` unless NWB files can be written here."""
    try:
        import ndx_pose  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("pose.nwb needs ndx-pose; pip install 'jaxpose[nwb]'") from None


def write_nwb(out: Path, start: datetime = UNKNOWN) -> Path:
    """Writes pose.nwb beside the other files of a complete prediction; returns its path.

    There is one series per joint in px, and one in mm where the camera is known. Missing joints are
    NaN with confidence 0. `start` is when the recording began, with its time zone.

    Raises:
      DataError: the folder holds no complete prediction.
      UserError: the extra is not installed.
      OSError: the file cannot be written.
    """
    check_nwb()
    from ndx_pose import PoseEstimation, Skeleton, Skeletons
    from pynwb import NWBHDF5IO, NWBFile

    try:
        result = json.loads((out / "quality.json").read_text(encoding="utf-8"))
        time_s, xy, mm, confidence = _read(out / "pose_long.csv")
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise DataError(
            f"{out}: holds no complete prediction ({error!r}); expected a folder that `jaxpose "
            "predict` wrote"
        ) from error
    known = "" if start is not UNKNOWN else " The start time of the session is not known."
    file = NWBFile(
        session_description=f"Limb poses in {result['recording']}, from depth video.{known}",
        identifier=hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest(),
        session_start_time=start,
        source_script="jaxpose predict",
        source_script_file_name=f"jaxpose {result['jaxpose']}",
    )
    skeleton = Skeleton(name="infant", nodes=[*JOINTS], edges=np.array(CONNECTIONS, np.uint8))
    module = file.create_processing_module(
        name="behavior", description="Positions of 12 joints. Research use: no medical device."
    )
    module.add(Skeletons(skeletons=[skeleton]))
    meaning = (
        "calibrated probability that the joint is visible and near its position; 0 where missing"
        if result["confidence"] == "calibrated"
        else "height of the joint's map, which is no probability; 0 where missing"
    )
    common = {
        "scorer": f"jaxpose_{result['model'][:12]}",
        "source_software": "jaxpose",
        "source_software_version": result["jaxpose"],
        "skeleton": skeleton,
    }
    tables = [("PoseEstimation", xy, "pixels", _PX)]
    if np.isfinite(mm).any():
        tables.append(("PoseEstimation_mm", mm, "millimeters", _MM))
    for name, positions, unit, frame in tables:
        series = _series(positions, confidence, time_s, unit, frame, meaning)
        module.add(
            PoseEstimation(
                name=name,
                pose_estimation_series=series,
                description=f"Joints in {unit}; right and left are the infant's own.",
                **common,
            )
        )
    with written_whole(out / NAME) as beside, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The file path provided")  # it ends in .part for now
        with NWBHDF5IO(str(beside), "w") as io:
            io.write(file)
    return out / NAME


def _series(positions, confidence, time_s, unit: str, frame: str, meaning: str) -> list:
    from ndx_pose import PoseEstimationSeries

    series = []
    for joint, name in enumerate(JOINTS):
        series.append(
            PoseEstimationSeries(
                name=name,
                description=f"The infant's {name.replace('_', ' ')}.",
                data=positions[:, joint],
                unit=unit,
                reference_frame=frame,
                timestamps=series[0] if series else time_s,  # stored once
                confidence=confidence[:, joint],
                confidence_definition=meaning,
            )
        )
    return series


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reads times [n], px [n 12 2], mm [n 12 3] and confidences [n 12] of a pose_long.csv."""
    names = ("time_s", "x_px", "y_px", "x_mm", "y_mm", "z_mm", "confidence")
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        head = next(reader)
        columns = [head.index(name) for name in names]
        rows = [[float(row[c] or "nan") for c in columns] for row in reader]
    values = np.array(rows, np.float64).reshape(-1, len(JOINTS), len(names))
    return values[:, 0, 0], values[..., 1:3], values[..., 3:6], values[..., 6]


def convert(folders: list[str]) -> int:
    """Writes pose.nwb into each folder that is named; returns the exit code of the command."""
    try:
        if not folders:
            raise UserError("no folder; expected folders that `jaxpose predict` wrote")
        for folder in folders:
            print(write_nwb(Path(folder)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(convert(sys.argv[1:]))
