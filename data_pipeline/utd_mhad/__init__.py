"""UTD-MHAD: standing adults before a Kinect v1, as `recordings` (numpy) and as a TFDS builder.

The builder's module is not imported here, so that reading recordings needs no TensorFlow.
"""
