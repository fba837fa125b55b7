"""Simulated ward: a seeded infant on a mattress under a depth camera, in babyPose's own layout.

    body       crown-heel length and proportions   -> MJCF infant (metres, world frame)
    movement   random stream, seconds              -> joint targets at 30 Hz (radians)
    temperament, postures, curves                  -> how one infant moves; what movement is made of
    scene      infant, mattress, walls, carer      -> MuJoCo model, ten physical steps a raw frame
    camera     pinhole camera above the mattress   -> rays; noise-free depth; projected joints
    mattress, cloths, tubes, carer                 -> what is under and over the infant
    sensor     noise-free depth (mm)               -> uint16 mm with noise, shadows and holes
    annotation joints and the visible surface      -> what hides each joint; clicked pixels
    recording  (seed, infant)                      -> the above, frame by frame, in memory
    writing, folder                                -> files of an infant; the folder around them
    parameters, ranges, quota                      -> the distributions and their bounds

World: metres, the mattress is z = 0, x to the right of the image, -y down the image, z up to the
camera. All random numbers depend on (seed, infant) alone.
"""
