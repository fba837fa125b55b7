"""UTD-MHAD: standing adults before a Kinect v1.

`recordings` reads the files with numpy; `utd_mhad_dataset_builder` is the TFDS builder. It is not
imported here, so that reading recordings needs no TensorFlow.
"""
