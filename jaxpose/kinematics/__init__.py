"""Positions of joints over time -> numbers about movements, named as in Chambers et al. 2020.

    series      a regular time base, short gaps filled, derivatives
    body_frame  positions relative to the trunk, angles of joints
    measures    of one series: speed, path, entropy, range of motion
    symmetry    of a pair: correlation of left and right, asymmetry
    table       all of them, whole and by window -> rows of kinematics.csv

Pure functions of NumPy arrays; a missing position is NaN. Definitions are in docs/predict.md.
"""
