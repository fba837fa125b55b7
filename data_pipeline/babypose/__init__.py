"""babyPose: depth PNGs and annotation sheets of preterm infants.

`sheets` reads the annotations, `layout` lists files, `frames` pairs sheets with images, `swaps`
looks for exchanged sides and `rules` decides what can be imported. None of them imports
TensorFlow; only `babypose_dataset_builder` does.
"""
