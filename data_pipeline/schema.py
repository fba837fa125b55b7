"""The examples that every TFDS builder stores: raw annotated frames, in order.

    {depth, joints, visible, subject, sequence, frame, crop}, one example per annotated frame

Frames are facts of the data set. Clips, grids and masks are choices that are made later.
"""

import numpy as np
import tensorflow_datasets as tfds

from data_pipeline.sources import AnnotatedFrame
from jaxpose.body.skeleton import JOINTS


def frame_features() -> tfds.features.FeaturesDict:
    """Returns the features of one example:

    depth     uint16 [h w 1], millimetres at the sensor's size, 0 = no return
    joints    float32 [12 2], (x, y) px of that image, (0, 0) is the centre of the top-left
              pixel, order of `jaxpose.body.skeleton.JOINTS`, (-1, -1) where not visible
    visible   bool [12], false = not annotated (hidden, or outside the image)
    subject   the infant's or the person's id; a split by infant divides by it
    sequence  the recording within the subject, "" where there is only one
    frame     number of the raw frame within the sequence
    crop      int32 [4] (x, y, width, height) px of the image: the part that the nets see; it
              covers pixels x ... x + width - 1, and is the same for a whole sequence
    """
    joints = len(JOINTS)
    return tfds.features.FeaturesDict(
        {
            "depth": tfds.features.Image(
                shape=(None, None, 1), dtype=np.uint16, encoding_format="png"
            ),
            "joints": tfds.features.Tensor(shape=(joints, 2), dtype=np.float32),
            "visible": tfds.features.Tensor(shape=(joints,), dtype=np.bool_),
            "subject": tfds.features.Text(),
            "sequence": tfds.features.Text(),
            "frame": tfds.features.Scalar(dtype=np.int32),
            "crop": tfds.features.Tensor(shape=(4,), dtype=np.int32),
        }
    )


def example_of(frame: AnnotatedFrame, depth: np.ndarray | str) -> dict:
    """Returns one example; `depth` is uint16 [h w 1], or the path of a PNG that contains it."""
    return {
        "depth": depth,
        "joints": frame.joints,
        "visible": frame.visible,
        "subject": frame.recording.subject,
        "sequence": frame.recording.sequence,
        "frame": frame.number,
        "crop": np.array(frame.recording.crop, np.int32),
    }
