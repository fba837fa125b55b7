"""Records -> pose_coco.json: keypoints as COCO defines them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxpose.body.skeleton import CONNECTIONS, JOINTS
from jaxpose.decoding.confidence import FOUND, MISSING, STATES
from jaxpose.files import written_whole

CATEGORY = {
    "id": 1,
    "name": "infant",
    "supercategory": "person",
    "keypoints": list(JOINTS),
    "skeleton": [[a + 1, b + 1] for a, b in CONNECTIONS],
}


def annotation(record: np.void, number: int) -> dict:
    """Returns the annotation of one frame; `number` is its id and its image's.

    Visibility is 2 for a found joint, 1 for a weak one, 0 for a missing one, whose x and y are 0.
    The box is that of the joints; COCO's x and y begin at the corner of the image, half a pixel
    before the centre of the top-left pixel.
    """
    state = np.array(STATES)[record["state"]]
    present = state != MISSING
    xy = np.where(present[:, None], record["xy"] + 0.5, 0).astype(float)
    visibility = np.where(state == FOUND, 2, 1) * present
    low, high = (xy[present].min(0), xy[present].max(0)) if present.any() else (xy[0], xy[0])
    keypoints = [v for (x, y), seen in zip(xy, visibility, strict=True) for v in (x, y, int(seen))]
    return {
        "id": number,
        "image_id": number,
        "category_id": CATEGORY["id"],
        "keypoints": [round(v, 3) for v in keypoints],
        "num_keypoints": int(present.sum()),
        "bbox": [round(float(v), 3) for v in (*low, *(high - low))],
        "area": round(float(np.prod(high - low)), 3),
        "iscrowd": 0,
        "score": round(float(record["confidence"].mean()), 4),
    }


def write_coco(
    path: Path,
    records: np.ndarray,
    size: tuple[int, int],
    info: dict,
    image_name: Callable[[int], str] | None = None,
) -> None:
    """Writes images, annotations and the category; `size` is (width, height) px.

    `image_name` turns a frame's number into its file's name; without, it is `<n>_16bit.png`.
    Image and annotation ids count from 1, `frame` is the frame's number. Frame by frame, so that a
    long recording needs no memory.
    """
    width, height = size
    with written_whole(path) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps([CATEGORY])},\n')
        file.write('"images": [')
        for index, record in enumerate(records, 1):
            number = int(record["number"])
            image = {
                "id": index,
                "file_name": image_name(number) if image_name else f"{number}_16bit.png",
                "frame": number,
                "width": width,
                "height": height,
            }
            file.write(("," if index > 1 else "") + "\n" + json.dumps(image))
        file.write('],\n"annotations": [')
        for index, record in enumerate(records, 1):
            file.write(("," if index > 1 else "") + "\n" + json.dumps(annotation(record, index)))
        file.write("]}\n")
