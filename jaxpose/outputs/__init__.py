"""Poses of a recording -> files for people and for other programs.

rows       which rows a table has: gaps in the numbers are rows, too
tables     pose.csv in DeepLabCut's layout, pose_long.csv
coco       pose_coco.json, COCO keypoints
quality    quality.json: coverage, gaps, what could not be used
"""
