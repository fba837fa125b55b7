"""What labelling tools need beside COCO keypoints: names, order and drawing of the joints.

cvat_labels.json    the text for "Raw", where labels of a CVAT project are entered
label_studio.xml    the labelling interface of a Label Studio project
label_studio.json   its tasks, with predictions: Label Studio's own importer of COCO keypoints gives
                    each of them the category's name, so that joints lose theirs
"""

import json
from typing import Any

from jaxpose.body.skeleton import CONNECTIONS, JOINTS, LIMBS
from jaxpose.files import write_json, write_text
from jaxpose.labels.package import IMAGES, Exported, Package
from jaxpose.outputs.coco import CATEGORY
from jaxpose.outputs.colours import web_colour

CVAT, INTERFACE, TASKS = "cvat_labels.json", "label_studio.xml", "label_studio.json"

# % of CVAT's drawing, head down as in the images, in the order of JOINTS
_DRAWN = (
    (65, 75), (80, 60), (70, 45), (35, 75), (20, 60), (30, 45),
    (58, 42), (62, 25), (62, 8), (42, 42), (38, 25), (38, 8),
)  # fmt: skip


def colour(joint: int) -> str:
    """Returns the colour of a joint's limb, such as #ff783c, as overlay.mp4 has it."""
    return web_colour(next(name for name, joints in LIMBS.items() if joint in joints))


def write(package: Package) -> None:
    """Writes the three files.

    Raises:
      OSError: one cannot be written.
    """
    write_json(package.folder / CVAT, [cvat_label()])
    write_text(package.folder / INTERFACE, interface())
    tasks = [task(frame, package.size) for frame in package.frames]
    write_text(package.folder / TASKS, json.dumps(tasks) + "\n")


def cvat_label() -> dict[str, Any]:
    """Returns the skeleton as CVAT describes a label."""
    lines = [
        f'<line x1="{_DRAWN[a][0]}" y1="{_DRAWN[a][1]}" x2="{_DRAWN[b][0]}" y2="{_DRAWN[b][1]}" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in CONNECTIONS
    ]
    circles = [
        f'<circle r="0.75" cx="{x}" cy="{y}" data-type="element node" data-element-id="{k}" '
        f'data-node-id="{k}" data-label-name="{name}"></circle>'
        for k, (name, (x, y)) in enumerate(zip(JOINTS, _DRAWN, strict=True), 1)
    ]
    points = [
        {"name": name, "type": "points", "color": colour(k), "attributes": []}
        for k, name in enumerate(JOINTS)
    ]
    return {
        "name": CATEGORY["name"],
        "type": "skeleton",
        "color": "#ffffff",
        "attributes": [],
        "sublabels": points,
        "svg": "".join(lines + circles),
    }


def interface() -> str:
    """Returns Label Studio's labelling interface. `model_index` is the order of an export to COCO,
    which Label Studio offers where there are rectangles, too."""
    labels = "\n".join(
        f'    <Label value="{name}" model_index="{k}" background="{colour(k)}"/>'
        for k, name in enumerate(JOINTS)
    )
    return f"""<View>
  <Image name="image" value="$image" zoom="true"/>
  <KeyPointLabels name="joints" toName="image" strokeWidth="3">
{labels}
  </KeyPointLabels>
  <RectangleLabels name="box" toName="image">
    <Label value="{CATEGORY["name"]}"/>
  </RectangleLabels>
</View>
"""


def task(frame: Exported, size: tuple[int, int]) -> dict[str, Any]:
    """Returns Label Studio's task of a frame; positions are % of the image."""
    width, height = size
    result = [
        {
            "id": f"{frame.number}-{name}",
            "type": "keypointlabels",
            "from_name": "joints",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "x": 100 * (point[0] + 0.5) / width,
                "y": 100 * (point[1] + 0.5) / height,
                "width": 0.5,
                "keypointlabels": [name],
            },
        }
        for name, point in zip(JOINTS, frame.xy, strict=True)
        if point is not None
    ]
    return {
        "data": {"image": f"/data/local-files/?d={IMAGES}/{frame.image}"},
        "predictions": [{"model_version": "jaxpose", "result": result}],
    }
