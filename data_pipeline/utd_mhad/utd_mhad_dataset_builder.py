"""UTD-MHAD's `.mat` files -> TFDS `utd_mhad`, frames as in `data_pipeline.schema`, in order.

    cd data_pipeline/utd_mhad && tfds build --config=every5 --manual_dir=DIR

DIR holds Depth/ and Skeleton/. 324 recordings take 16 MiB at one frame in five.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_pipeline.errors import DataError
from data_pipeline.schema import example_of, frame_features
from data_pipeline.sources import utd_mhad

DESCRIPTION = """\
Kinect v1 depth video of eight standing adults, front view, in 27 actions, with the sensor's own
joints. The person is cut out; images are mirror images, while joint names are the person's own.
"""

CITATION = """\
@inproceedings{chen2015utd,
  title = {{UTD-MHAD}: A Multimodal Dataset for Human Action Recognition Utilizing a Depth Camera
           and a Wearable Inertial Sensor},
  author = {Chen, Chen and Jafari, Roozbeh and Kehtarnavaz, Nasser},
  booktitle = {IEEE International Conference on Image Processing (ICIP)},
  pages = {168--172},
  year = {2015}
}
"""


@dataclasses.dataclass(eq=False)
class UtdMhadConfig(tfds.core.BuilderConfig):
    """One raw frame in `every` is stored; 5 leaves 6 of the sensor's 30 frames per second."""

    every: int = 5

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"every={self.every}: expected 1 (all frames) or more")


class Builder(tfds.core.GeneratorBasedBuilder):
    """The TFDS builder `utd_mhad`. It has one split, `train`, to be divided by subject.

    Frames are sorted by subject, action, trial and number. TFDS has the name `all` for the same
    frames.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [
        UtdMhadConfig(name="every5", every=5, description="One raw frame in five."),
        UtdMhadConfig(name="every1", every=1, description="Every raw frame."),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Fetch the depth and the skeleton archive from the data set's page and unpack them side by side:
    Depth/a1_s1_t1_depth.mat ... and Skeleton/a1_s1_t1_skeleton.mat ...
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=frame_features(),
            description=DESCRIPTION,
            homepage="https://personal.utdallas.edu/~kehtar/UTD-MHAD.html",
            citation=CITATION,
            disable_shuffling=True,
            supervised_keys=None,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        try:
            folder = Path(dl_manager.manual_dir)
        except AssertionError as error:  # TFDS raises it for a missing or empty folder
            raise DataError(str(error)) from error
        return {"train": self._generate_examples(folder)}

    def _generate_examples(self, folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields (key, example) of every frame."""
        for key, frame in enumerate(utd_mhad(folder, f"every{self.builder_config.every}")):
            yield key, example_of(frame, frame.depth_mm[..., None])
