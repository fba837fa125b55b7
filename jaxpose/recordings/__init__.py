"""Depth recordings in files -> frames with their number, their time and their depth in mm.

    recording    what a recording is: an iterator of frames, and what holds for all of them
    png          one depth image, read bit for bit
    decode       the bytes of an image file -> its pixels
    numbering    numbers that are absent
    clips        which clips a recording is divided into
    folder       a folder of numbered depth images
    utd_mhad     UTD-MHAD's depth files
    source       a recording as it is predicted: frames, or why there is none
    images       any folder of 16-bit PNG or TIFF images
    stacks       .npy, .npz, .mat and raw frames
    video        16-bit .mkv
    opening      what a user names -> a source
    state        whether a recording's files changed
    orientation  turned images
    ahead        threads that read frames before they are used

Training, evaluation and prediction read depth through these modules alone. They import NumPy,
OpenCV and, for UTD-MHAD, SciPy. Annotations are added in `data_pipeline`.
"""
