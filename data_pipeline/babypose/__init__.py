"""babyPose: depth PNGs and annotation sheets of preterm infants -> stored frames (TFDS).

`sheets` reads the annotations, `frames` pairs them with their images, `swaps` looks for exchanged
sides. None of them imports TensorFlow; only `babypose_dataset_builder` does.
"""
