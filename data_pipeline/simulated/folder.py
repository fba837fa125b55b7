"""Settings and recordings -> the files beside the recordings: settings, README and a picture."""

import dataclasses
import json
from pathlib import Path

import cv2
import mujoco
import numpy as np

from data_pipeline.errors import DataError
from data_pipeline.simulated.parameters import DEFAULT
from data_pipeline.simulated.picture import contact_sheet
from jaxpose.files import remove_parts, write_text, written_whole

NOTE, README, PICTURE = "simulation.json", "README.md", "frames.png"

TEXT = """# Simulated infants

**Simulated data.** No infant was recorded: MuJoCo moved capsule infants on a mattress and cast
the depth images. The layout is that of the babyPose data set.
{picture}
    python -m data_pipeline.simulate --infants={infants} --frames={frames} --seed={seed} \\
        --size={width},{height}{options} --out=...

{changed}Completed with {versions}.

| file | what |
|---|---|
| `pz<ID>/<n>_16bit.png` | depth, uint16 mm, 0 = no return; n = 1, 6, 11, ... of 30 Hz |
| `result_pz<ID>.csv` | clicked joints, integer px, `-1,-1` = hidden or outside the image |
| `pz<ID>/camera.json` | fx, fy, cx, cy, width, height, px; the top-left pixel's centre is (0, 0) |
| `pz<ID>/truth.npz` | exact, before the annotator's error: joints_mm [n 12 3], joints_px [n 12 2], visible [n 12], hidden_by [n 12]; the same of head and neck: head_neck_mm [n 2 3], ... |
| `pz<ID>/scene.xml` | the infant and its crib as a MuJoCo scene, without cloths and hoses; keyframe `settled` is the posture before the first frame |
| `simulation.json` | seed, sizes and parameters; with the same ones the same version gives the same bytes |

`hidden_by` names what lies between a hidden joint and the camera (`cloth`, `hose`, `carer`, `nest`,
`wall`, `head`, `thorax`, `pelvis`, or a part of a limb by its inner joint, such as `right_elbow` for
the forearm), or says `outside` the image.
Joints are in the order right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee,
ankle, left hip, knee, ankle; right and left are the infant's own. Millimetres are in the camera's
frame: x right, y down, z away.

A scene opens in MuJoCo's viewer (`pip install mujoco`), where key 5 shows the mattress:
`python -m mujoco.viewer --mjcf=DIR/pz1/scene.xml`.

How these sheets compare with babyPose's: `python -m data_pipeline.simulated.fidelity DIR`.
"""  # noqa: E501

PICTURE_TEXT = """
![Simulated depth frames, one per infant, with the clicked joints](frames.png)

*Simulated. One frame per infant; dots are the clicked joints, violet is no return.*

"""


def claim(out: Path, settings: dict, infants: int) -> None:
    """Creates `out` and writes the simulation's settings to it.

    Raises:
      DataError: `out` contains something else already, or more infants than `infants`.
    """
    note = out / NOTE
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder with --out")
    settings = json.loads(json.dumps(settings))  # tuples become lists, as in what was written
    if note.exists():
        try:
            existing = json.loads(note.read_text())
        except json.JSONDecodeError as error:
            raise DataError(f"{note} is damaged ({error}); delete {out} or name another") from None
        if differences := _differences(existing, settings):
            raise DataError(
                f"{out} holds another simulation: {'; '.join(differences[:5])}; "
                "name another folder with --out, or delete this one"
            )
        more = [p.name for p in out.glob("result_pz*.csv") if int(p.stem[9:]) > infants]
        if more:
            raise DataError(
                f"{out} holds more than the {infants} infants asked for ({', '.join(sorted(more))})"
                "; ask for all of them, or name another folder with --out"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    remove_parts(note)
    if any(out.iterdir()):
        raise DataError(f"{out} holds something else; name an empty or a new folder with --out")
    write_text(note, json.dumps(settings, indent=1) + "\n")


def _differences(existing, expected, name: str = "") -> list[str]:
    """Returns `seed is 3 there, 4 expected` for every leaf in which two trees differ."""
    if isinstance(existing, dict) and isinstance(expected, dict):
        keys = [*existing, *(k for k in expected if k not in existing)]
        parts = (
            _differences(existing.get(k), expected.get(k), f"{name}.{k}".lstrip(".")) for k in keys
        )
        return [line for part in parts for line in part]
    return [] if existing == expected else [f"{name} is {existing} there, {expected} expected"]


def described(out: Path) -> bool:
    """Returns whether the README exists, which is written last."""
    return (out / README).exists()


def describe(out: Path, settings: dict, infants: int) -> None:
    """Writes the folder's README, and a picture of the first infants where there are images."""
    picture, options, changed = "", "", ""
    if settings["images"]:
        with written_whole(out / PICTURE) as beside:
            beside.write_bytes(contact_sheet(out))
        picture = PICTURE_TEXT
    else:
        options = " --sheets_only"
    if settings["parameters"] != dataclasses.asdict(DEFAULT):
        options += " --parameters=FILE.json"
        changed = "What FILE.json changed is in `simulation.json`. "
    versions = {"mujoco": mujoco, "numpy": np, "opencv-python": cv2}
    width, height = settings["size"]
    text = TEXT.format(
        infants=infants, frames=settings["frames"], seed=settings["seed"], width=width,
        height=height, options=options, picture=picture, changed=changed,
        versions=", ".join(f"{name} {module.__version__}" for name, module in versions.items()),
    )  # fmt: skip
    write_text(out / README, text)
