"""Depth recordings in files -> frames with their number, their time and their depth in mm.

    recording    what a recording is: an iterator of frames, and what holds for all of them
    png          one depth image, read bit for bit
    tiff         the size of a TIFF
    numbering    numbers that are absent
    folder       a folder of numbered depth images
    utd_mhad     UTD-MHAD's depth files
    source       a recording as it is predicted: frames, or why there is none
    images       any folder of 16-bit PNG or TIFF images
    stacks       .npy, .npz, .mat and raw frames
    video        16-bit .mkv
    opening      what a user names -> a source
    orientation  turned images
    ahead        threads that read frames before they are used

Training, evaluation and prediction read depth through these modules alone. They import NumPy,
OpenCV and, for UTD-MHAD, SciPy. Annotations are added in `data_pipeline`.
"""
