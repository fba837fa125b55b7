"""Frames on the net's grid, and the clips, splits and batches made of them."""
