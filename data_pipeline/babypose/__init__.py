"""babyPose: depth PNGs and annotation sheets of preterm infants.

`sheets` reads the annotations, `layout` lists files, `frames` pairs sheets with images, `rules`
decides what can be imported, and `statistics` describes sheets.
None of them imports TensorFlow; only `babypose_dataset_builder` does.
"""
