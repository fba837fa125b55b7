"""Files of a data set -> batches of clips with their masks. TensorFlow lives here, and here alone:
in the modules that need it."""

import os

# Before TensorFlow is imported anywhere: it would talk of its CPU flags over the progress bars.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
