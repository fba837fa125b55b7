"""babyPose folder -> TFDS data set of raw annotated frames (`data_pipeline.schema`).

    cd data_pipeline/babypose && tfds build --manual_dir DIR

or, because that command of TFDS 4.9.10 imports apache-beam and mlcroissant, without these

    import data_pipeline.babypose.babypose_dataset_builder
    config = tfds.download.DownloadConfig(manual_dir=DIR)
    tfds.builder("babypose").download_and_prepare(download_config=config)

DIR is described in `data_pipeline.babypose.frames`; `python -m data_pipeline.check DIR` lists
everything that would stop the build.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from etils import epath

from data_pipeline.babypose.layout import source_files
from data_pipeline.errors import DataError
from data_pipeline.schema import example_of, frame_features
from data_pipeline.sources import babypose

_KEYS = 2**128  # TFDS sorts by key in buckets that divide this range


@dataclasses.dataclass
class BabyPoseConfig(tfds.core.BuilderConfig):
    """Order of the frames.

    `row_order` is the order of the sheet's rows, which are sorted as strings, not in time. The
    authors may have cut their clips from those rows; this configuration shows the effect.
    """

    row_order: bool = False


class Builder(tfds.core.GeneratorBasedBuilder):
    """The TFDS builder `babypose`. It has one split, `train`, with every infant in it.

    How to divide the infants is the user's choice. TFDS has the name `all` for the same frames.
    """

    # TFDS would look this up through importlib_resources, which it does not install.
    code_path = epath.Path(__file__)

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Raw annotated frames, 12 joints."}
    BUILDER_CONFIGS = [
        BabyPoseConfig(name="time_order", description="Frames sorted by their number."),
        BabyPoseConfig(
            name="row_order",
            description="Frames in the order of the sheet's rows, which is not time order.",
            row_order=True,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download babyPose from https://zenodo.org/records/3891404 and pass the folder that contains
    result_pz<ID>.csv (or .xlsx) and pz<ID>/<n>_16bit.png as --manual_dir.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=frame_features(),
            description=(
                "Depth video of preterm infants in their cribs (uint16 mm, 640x480) with the 12 "
                "joints of their limbs, annotated in every fifth frame."
            ),
            homepage="https://zenodo.org/records/3891404",
            citation="""@article{migliorelli2020babypose,
  title={The babyPose dataset},
  author={Migliorelli, Lucia and Moccia, Sara and Pietrini, Rocco and
          Carnielli, Virgilio Paolo and Frontoni, Emanuele},
  journal={Data in Brief},
  volume={33},
  pages={106329},
  year={2020},
  doi={10.1016/j.dib.2020.106329}
}""",
            disable_shuffling=True,
            supervised_keys=None,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        try:
            root = Path(dl_manager.manual_dir)
        except AssertionError as error:  # TFDS raises it for a missing or empty folder
            raise DataError(str(error)) from error
        return {"train": self._generate_examples(root)}

    def _generate_examples(self, root: Path) -> Iterator[tuple[int, dict]]:
        """Yields (key, example) of every frame.

        Raises:
          DataError: after the last example, if the folder has a problem. TFDS then removes what it
            has written.
        """
        # Small keys would all fall into the first bucket, which is sorted in memory: 3 GB.
        spread = _KEYS // max(1, len(source_files(root)))
        config = "row_order" if self.builder_config.row_order else "time_order"
        for key, frame in enumerate(babypose(root, config)):
            # A path is stored as the file's own bytes; an array is encoded again.
            depth = frame.depth_mm[..., None] if frame.image is None else str(frame.image)
            yield key * spread, example_of(frame, depth)
