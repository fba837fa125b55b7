"""Frames of a recording -> labels that a person corrects elsewhere -> a sheet to train on.

`choice` chooses frames, `exporting` writes them to the folder that `package` describes, with 8-bit
copies that `pictures` draws. `coco` writes and reads COCO keypoints, `entries` checks a corrected
file, `importing` writes what was corrected as a babyPose `sheet`.
"""
