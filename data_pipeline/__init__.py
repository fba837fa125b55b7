"""Files of a data set -> batches of clips with their masks.

This package alone imports TensorFlow, in the modules that need it.
"""

import os

from jaxpose.starting import end_at_once

end_at_once("-m")

# Set before TensorFlow is imported: it would print its CPU flags into the progress bars.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
