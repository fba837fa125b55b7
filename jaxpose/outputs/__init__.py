"""Poses of a recording -> files for people and for other programs, and warnings.

    inspection  frames on their way to the nets: what does not suit them
    anatomy     which way the head points, exchanged sides
    doubts      times, poses and mm that do not fit
    rows        which rows a table has: gaps in the numbers are rows, too
    tables      pose.csv in DeepLabCut's layout, pose_long.csv
    coco        pose_coco.json, COCO keypoints
    usable      the positions that movements are measured in, usable time per limb
    movements   kinematics.csv
    quality     quality.json: coverage, gaps, what could not be used
    colours     the colours of limbs
    captions    text on images: the frame's number, the colours' key
    overlay     overlay.mp4
    report      report.html
    nwb         pose.nwb

Records are those of `jaxpose.prediction.journal`, one per frame.
"""
