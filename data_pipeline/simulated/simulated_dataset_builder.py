"""A folder made by `python -m data_pipeline.simulate` -> TFDS data set `simulated`.

The folder has babyPose's own layout, so this is babyPose's importer under another name.
"""

import tensorflow_datasets as tfds
from etils import epath

from data_pipeline.babypose import babypose_dataset_builder as babypose
from data_pipeline.schema import frame_features


class Builder(babypose.Builder):
    """One split, `train`, as in babyPose."""

    code_path = epath.Path(__file__)
    name = "simulated"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Create the folder with `python -m data_pipeline.simulate --out=DIR`; pass DIR as --manual_dir.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=frame_features(),
            description=(
                "Simulated depth video of infants on a mattress, with joints as an annotator "
                "would click them."
            ),
            disable_shuffling=True,
            supervised_keys=None,
        )
