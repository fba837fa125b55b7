"""Recordings -> poses of all frames: which frames form a clip, what a pose is, what is stored."""
